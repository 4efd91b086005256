"""Registry record to ResearchStudy: R4's own elements first, then HL7's published extensions, then notes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from fhirbridge.elements import Element, coding, concept, identifier, present, reference
from fhirbridge.errors import Resource
from fhirbridge.records.ctgov_modules import Contact, MeshTerm, StudyId
from fhirbridge.records.ctgov_record import RegistryRecord
from mappings import registry_extensions as extensions
from mappings.registry_associates import associates, principal_investigator
from mappings.registry_dates import period, progress, registration
from mappings.registry_eligibility import group_id
from mappings.registry_notes import notes
from mappings.registry_parties import location_id, meta, organization, prefix
from mappings.registry_publications import artifacts
from mappings.registry_terms import (
    ARM_TYPE,
    ARM_TYPES,
    CLASSIFIER,
    MESH,
    OUTCOME,
    TITLE,
    phase,
    purpose,
    status,
    worded,
    words,
)

NCT = "https://clinicaltrials.gov/nctid"
CTGOV = "https://fhirbridge.github.io/sid/ctgov"
"""Root of the systems of identifiers that are the sponsor's or another registry's, where no system is published."""


def research_study(record: RegistryRecord) -> Resource:
    """Return the ResearchStudy. Raises MappingError for a status that R4 cannot say."""
    protocol = record.protocol
    titles, design, places = protocol.identification, protocol.design, protocol.contacts
    observational = design.study_type == "OBSERVATIONAL"
    sponsor = protocol.sponsors.lead_sponsor
    stopped = protocol.status.why_stopped
    return present(
        resourceType="ResearchStudy",
        id=prefix(record),
        meta=meta(record, "registry-study"),
        extension=list(_extensions(record)),
        identifier=list(_identifiers(record)),
        title=titles.official_title or titles.brief_title,
        status=status(record),
        primaryPurposeType=purpose(design.design_info.primary_purpose if design.design_info else None),
        phase=None if observational else phase(design.phases),
        category=list(_categories(record)),
        focus=_coded([found.name for found in protocol.arms.interventions], record.derived.interventions.meshes),
        condition=_coded(list(protocol.conditions.conditions), record.derived.conditions.meshes),
        contact=[found for found in map(_contact, places.central_contacts) if found],
        relatedArtifact=list(artifacts(record)),
        keyword=_keywords(record),
        location=[
            concept(text=name) for name in dict.fromkeys(s.country for s in protocol.contacts.locations if s.country)
        ],
        description=protocol.description.detailed_description or protocol.description.brief_summary,
        enrollment=[reference("Group", group_id(record))] if protocol.eligibility else None,
        period=period(protocol.status.start_date_struct, protocol.status.completion_date_struct),
        sponsor=organization(record, sponsor.name if sponsor else None),
        principalInvestigator=principal_investigator(record),
        site=[reference("Location", id_) for id_ in dict.fromkeys(location_id(record, s) for s in places.locations)],
        reasonStopped=concept(text=stopped) if stopped else None,
        note=[{"text": text} for text in notes(record)],
        arm=[
            present(
                name=arm.label,
                type=worded(arm.type, ARM_TYPE, ARM_TYPES.get(arm.type)) if arm.type else None,
                description=arm.description,
            )
            for arm in protocol.arms.arm_groups
        ],
    )


def _contact(found: Contact) -> Element:
    return present(name=found.name, telecom=extensions.telecom(found.phone, found.phone_ext, found.email))


def _identifiers(record: RegistryRecord) -> Iterator[Element]:
    module = record.protocol.identification
    yield identifier(NCT, record.nct_id, use="official")
    yield from (identifier(NCT, alias, use="old") for alias in module.nct_id_aliases)
    if module.org_study_id_info:
        by = organization(record, module.organization.full_name if module.organization else None)
        owner = by["reference"].rpartition("-")[2] if by else prefix(record)
        yield _identifier(module.org_study_id_info, f"{CTGOV}/organization-study-id/{owner}") | present(assigner=by)
    for info in module.secondary_id_infos:
        assigner = {"display": info.domain} if info.domain else None
        yield _identifier(info, f"{CTGOV}/secondary-id/{_slug(info)}") | present(assigner=assigner)


def _slug(info: StudyId) -> str:
    """Return who issued an identifier as part of a URL: ``other-grant-lantern-fund``, a hash for other scripts."""
    who = f"{info.type or 'other'} {info.domain or ''}".lower()
    named = "-".join(re.findall(r"[a-z0-9]+", who))
    return named if who.isascii() else f"{named}-{hashlib.sha256(who.encode()).hexdigest()[:12]}"


def _identifier(info: StudyId, system: str) -> Element:
    return identifier(system, info.id, use="secondary", kind=concept(text=info.type) if info.type else None)


def _extensions(record: RegistryRecord) -> Iterator[Element]:
    protocol = record.protocol
    titles, texts, enrollment = protocol.identification, protocol.description, protocol.design.enrollment_info
    if titles.official_title and titles.brief_title:
        yield extensions.label(
            titles.brief_title, concept(coding(TITLE, "short-title", "Short title"), text="Brief title")
        )
    if titles.acronym:
        yield extensions.label(titles.acronym, concept(coding(TITLE, "acronym", "Acronym")))
    if texts.detailed_description and texts.brief_summary:
        yield extensions.description_summary(texts.brief_summary)
    yield from progress(record)
    yield from registration(record)
    yield from (extensions.study_design(concept(text=text)) for text in _design(record))
    oversight = protocol.oversight
    for regulated, code in ((oversight.is_fda_regulated_drug, "drug"), (oversight.is_fda_regulated_device, "device")):
        if regulated:
            yield extensions.classifier(concept(coding(CLASSIFIER, f"fda-regulated-{code}")))
    yield from associates(record)
    if enrollment and enrollment.count is not None:
        if enrollment.type == "ESTIMATED":
            yield extensions.target_number(enrollment.count)
        elif enrollment.type == "ACTUAL":
            yield extensions.actual_number(enrollment.count)
    outcomes = protocol.outcomes
    for kind, found in (
        (concept(coding(OUTCOME, "primary", "Primary")), outcomes.primary_outcomes),
        (concept(coding(OUTCOME, "secondary", "Secondary")), outcomes.secondary_outcomes),
        (concept(text="Other"), outcomes.other_outcomes),
    ):
        for outcome in found:
            frame = f"Time frame: {outcome.time_frame}" if outcome.time_frame else None
            description = "\n\n".join(text for text in (outcome.description, frame) if text)
            yield extensions.outcome_measure(outcome.measure, kind, description or None)


def _categories(record: RegistryRecord) -> Iterator[Element]:
    design = record.protocol.design
    info = design.design_info
    for word in (design.study_type, info and info.observational_model, info and info.time_perspective):
        if word:
            yield concept(text=word)
    if design.patient_registry:
        yield concept(text="Patient registry")


def _design(record: RegistryRecord) -> Iterator[str]:
    info = record.protocol.design.design_info
    if info is None:
        return
    masking = info.masking_info
    for name, value in (
        ("Allocation", info.allocation),
        ("Intervention model", info.intervention_model),
        ("Intervention model description", info.intervention_model_description),
        ("Masking", masking and masking.masking),
        ("Who is masked", ", ".join(masking.who_masked) if masking else None),
        ("Masking description", masking and masking.masking_description),
    ):
        if value:
            yield f"{name}: {value}"


def _coded(names: list[str], meshes: tuple[MeshTerm, ...]) -> list[Element]:
    """Return the sponsor's terms, with the MeSH code of the same words where the registry found one."""
    codes = {words(mesh.term): coding(MESH, mesh.id, mesh.term) for mesh in meshes}
    return [concept(*([codes[words(name)]] if words(name) in codes else []), text=name) for name in names]


def _keywords(record: RegistryRecord) -> list[Element]:
    """Return the keywords, and those MeSH terms that no condition or intervention bears.

    The registry's indexing guesses terms ("GPC3 gene" became a syndrome), so they serve to find the study and say
    nothing of what it is about.
    """
    protocol, derived = record.protocol, record.derived
    own = {words(name) for name in (*protocol.conditions.conditions, *(i.name for i in protocol.arms.interventions))}
    terms = [
        mesh for mesh in (*derived.conditions.meshes, *derived.interventions.meshes) if words(mesh.term) not in own
    ]
    return [concept(text=word) for word in protocol.conditions.keywords] + [
        concept(coding(MESH, mesh.id, mesh.term), text=mesh.term) for mesh in terms
    ]
