"""ResearchStudy: the study as its study file describes it.

What R4 has no element for is said in the extensions HL7 publishes for R5's elements in R4
(https://hl7.org/fhir/uv/xver-r5.r4/): the planned enrolment and the registry's own recruitment state.
"""

from __future__ import annotations

from collections.abc import Iterator

from fhirbridge.elements import Element, coding, concept, identifier, present, reference
from fhirbridge.errors import Resource
from fhirbridge.identity import Identity
from fhirbridge.study import Arm, Code, Concept, Objective, Study
from mappings import meta
from mappings.eligibility_group import eligibility_reference
from mappings.location import location_reference
from mappings.organization import organization_reference

PROFILE = "trial-research-study"

XVER = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ResearchStudy"
TARGET_NUMBER = f"{XVER}.recruitment.targetNumber"
PROGRESS_STATUS = f"{XVER}.progressStatus"
PHASE_SYSTEM = "http://terminology.hl7.org/CodeSystem/research-study-phase"
OBJECTIVE_SYSTEM = "http://terminology.hl7.org/CodeSystem/research-study-objective-type"


def study_reference(study: Study) -> Element:
    """Return the reference to the study."""
    return reference("ResearchStudy", study.id)


def target_number(planned: int) -> Element:
    """Return the extension that holds how many participants the study plans to enrol."""
    return {"url": TARGET_NUMBER, "valueUnsignedInt": planned}


def progress_status(state: Element) -> Element:
    """Return the extension that holds a recruitment state R4's status list lacks; ``state`` is a CodeableConcept."""
    return {"url": PROGRESS_STATUS, "extension": [{"url": "state", "valueCodeableConcept": state}]}


def research_study(study: Study, _study: Study, _identity: Identity) -> Iterator[Resource]:
    """Yield the ResearchStudy. Dates keep the precision of the study file (``2025-09`` stays so)."""
    yield present(
        resourceType="ResearchStudy",
        id=study.id,
        meta=meta.study_level(PROFILE, study),
        extension=[
            target_number(study.target),
            *([progress_status(concept(_coding(study.progress_status)))] if study.progress_status else []),
        ],
        identifier=[identifier(found.system, found.value, use=found.use) for found in study.identifiers],
        title=study.title,
        status=study.status,
        phase=concept(coding(PHASE_SYSTEM, study.phase)),
        category=[_concept(category) for category in study.categories],
        condition=[_concept(condition) for condition in study.conditions],
        keyword=[concept(text=keyword) for keyword in study.keywords],
        description=study.description.strip(),
        enrollment=[eligibility_reference(study)],
        period={"start": study.start, "end": study.end},
        sponsor=organization_reference(study, study.sponsor),
        site=[location_reference(study, site.name) for site in study.sites],
        arm=[_arm(arm) for arm in study.arms],
        objective=[_objective(objective) for objective in study.objectives],
    )


def _coding(code: Code) -> Element:
    return coding(code.system, code.code, code.display)


def _concept(found: Concept) -> Element:
    return concept(*(_coding(code) for code in found.codes), text=found.text)


def _arm(arm: Arm) -> Element:
    """Return the arm; its name is what ResearchSubject.assignedArm repeats, so it is never prettified."""
    return {"name": arm.name, "type": concept(text=arm.kind), "description": f"{arm.title}. {arm.description}"}


def _objective(objective: Objective) -> Element:
    return {"name": objective.name, "type": concept(coding(OBJECTIVE_SYSTEM, objective.kind))}
