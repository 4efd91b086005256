"""ResearchSubject: one person's part in the study: number, state, arm, consent.

The identifier is the subject number, typed as anonymous (v2-0203 ANON): it names nobody without the site's list.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from fhirbridge.elements import Element, coding, concept, identifier, period, present, when
from fhirbridge.errors import Resource
from fhirbridge.identity import Identity
from fhirbridge.records.types import Subject, SubjectFacts
from fhirbridge.study import Study
from fhirbridge.terminology.codes import IDENTIFIER_TYPE, MILESTONE_SYSTEM, MILESTONES
from mappings import meta
from mappings.consent import consent_reference
from mappings.patient import patient_reference
from mappings.refusal import refusal
from mappings.research_study import study_reference

PROFILE = "trial-research-subject"

PROGRESS = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ResearchSubject.progress"
BEFORE_TREATMENT = frozenset(
    {"candidate", "eligible", "ineligible", "not-registered", "pending-on-study", "potential-candidate", "screening"}
)
"""States in which an arm may be assigned but none has been followed yet."""


def research_subject(record: Subject, study: Study, identity: Identity) -> Iterator[Resource]:
    """Yield the ResearchSubject. Raises MappingError for an arm the study lacks."""
    arm = _arm(record, study)
    yield present(
        resourceType="ResearchSubject",
        id=identity.id("ResearchSubject", record.subject),
        meta=meta.subject_level(PROFILE, study),
        extension=[_index(record.index_date)] if record.index_date else None,
        identifier=[
            identifier(
                study.system("subject"),
                record.subject,
                use="secondary",
                kind=concept(coding(IDENTIFIER_TYPE, "ANON", "Anonymous identifier")),
            )
        ],
        status=record.status,
        period=period(record.enrolment_date, record.end_date),
        study=study_reference(study),
        individual=patient_reference(record.subject, identity),
        assignedArm=arm,
        actualArm=None if record.status in BEFORE_TREATMENT else arm,
        consent=consent_reference(record.subject, identity),
    )


def subject_facts(research_subject: Resource, consent: Resource, patient: Resource | None = None) -> SubjectFacts:
    """Read back what ``research_subject``, ``consent`` and ``patient`` wrote; without a Patient no death is known.

    Raises KeyError for resources they did not write.
    """
    agreed: Element = consent["provision"]["period"]
    taking_part: Element = research_subject.get("period") or {}
    died = (patient or {}).get("deceasedDateTime")
    return SubjectFacts(
        subject=research_subject["identifier"][0]["value"],
        arm=research_subject.get("assignedArm"),
        consent_date=dt.date.fromisoformat(agreed["start"]),
        consent_withdrawn=_day(agreed.get("end")),
        enrolment_date=_day(taking_part.get("start")),
        index_date=_day(_index_date(research_subject)),
        end_date=_day(taking_part.get("end")),
        death_date=_day(died) if died and len(died) >= len("2028-02-29") else None,
    )


def _day(text: str | None) -> dt.date | None:
    return dt.date.fromisoformat(text[:10]) if text else None


def _index_date(research_subject: Resource) -> str | None:
    for progress in research_subject.get("extension", ()):
        parts = {part["url"]: part for part in progress.get("extension", ())}
        codes = parts.get("milestone", {}).get("valueCodeableConcept", {}).get("coding", ())
        if progress["url"] == PROGRESS and any(code.get("code") == "index" for code in codes):
            return str(parts["startDate"]["valueDateTime"])
    return None


def _index(day: dt.date) -> Element:
    """Return R5's progress entry for the index date, time zero of schedule and endpoints, which R4 has no place for."""
    return {
        "url": PROGRESS,
        "extension": [
            {
                "url": "milestone",
                "valueCodeableConcept": concept(coding(MILESTONE_SYSTEM, "index", MILESTONES["index"])),
            },
            {"url": "startDate", "valueDateTime": when(day)},
        ],
    }


def _arm(record: Subject, study: Study) -> str | None:
    if record.arm is None or study.arm(record.arm):
        return record.arm
    known = ", ".join(repr(arm.name) for arm in study.arms)
    raise refusal(
        f"subject {record.subject}",
        "arm",
        record.arm,
        "arm",
        f"study {study.id} has no such arm",
        f"Write one of {known}, exactly so, or leave it empty before assignment.",
    )
