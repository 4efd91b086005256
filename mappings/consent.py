"""Consent: that a person agreed to take part in this study, from when, and until when.

R4 allows no ``type`` on the root provision and demands one on those inside it, so the root says where and when and
the one inside it says permit (http://hl7.org/fhir/R4/consent-definitions.html#Consent.provision.type).
"""

from __future__ import annotations

from collections.abc import Iterator

from fhirbridge.elements import LOINC, Element, coding, concept, identifier, period, present, reference, when
from fhirbridge.errors import Resource
from fhirbridge.identity import Identity
from fhirbridge.records.types import Subject
from fhirbridge.study import Study
from fhirbridge.terminology.codes import TRIAL_RESEARCH
from mappings import meta
from mappings.organization import organization_reference
from mappings.patient import patient_reference
from mappings.refusal import refusal
from mappings.research_study import study_reference

PROFILE = "trial-consent"

STUDY_CONTEXT = "http://hl7.org/fhir/StructureDefinition/consent-ResearchStudyContext"
SCOPE = coding("http://terminology.hl7.org/CodeSystem/consentscope", "research", "Research")
CATEGORY = coding(LOINC, "57016-8", "Privacy policy acknowledgment Document")


def logical_id(subject: str, identity: Identity) -> str:
    """Return the Consent's id for this subject number."""
    return identity.id("Consent", subject)


def consent_reference(subject: str, identity: Identity) -> Element:
    """Return the reference to the Consent of the person with this subject number."""
    return reference("Consent", logical_id(subject, identity))


def consent(record: Subject, study: Study, identity: Identity) -> Iterator[Resource]:
    """Yield the Consent; withdrawal makes it inactive and ends its period on that day.

    Raises MappingError for a site that is none of the study's.
    """
    logical = logical_id(record.subject, identity)
    yield present(
        resourceType="Consent",
        id=logical,
        meta=meta.subject_level(PROFILE, study),
        identifier=[identifier(study.system("consent"), logical)],
        status="inactive" if record.consent_withdrawn else "active",
        scope=concept(SCOPE),
        category=[concept(CATEGORY)],
        patient=patient_reference(record.subject, identity),
        dateTime=when(record.consent_date),
        organization=[_site(record, study)],
        policy=[{"uri": study.system("informed-consent")}],
        provision={
            "extension": [{"url": STUDY_CONTEXT, "valueReference": study_reference(study)}],
            "period": period(record.consent_date, record.consent_withdrawn),
            "purpose": [TRIAL_RESEARCH],
            "provision": [{"type": "permit", "purpose": [TRIAL_RESEARCH]}],
        },
    )


def _site(record: Subject, study: Study) -> Element:
    if record.site not in {site.name for site in study.sites}:
        known = ", ".join(site.name for site in study.sites)
        raise refusal(
            f"subject {record.subject}",
            "site",
            record.site,
            "site",
            f"study {study.id} has no such site",
            f"Write one of: {known}.",
        )
    return organization_reference(study, record.site)
