"""The study and the visit that a result belongs to, as the two extensions every clinical result carries."""

from __future__ import annotations

from fhirbridge.elements import Element, reference
from fhirbridge.errors import Resource
from fhirbridge.study import Study
from mappings.meta import profile
from mappings.refusal import refusal

STUDY_EXTENSION = "http://hl7.org/fhir/StructureDefinition/workflow-researchStudy"
"""HL7's own, allowed on Observation and DiagnosticReport in R4."""

VISIT_EXTENSION = profile("study-visit")


def extensions(record: str, visit: str, study: Study) -> list[Element]:
    """Return the extensions naming study and visit. Raises MappingError for a visit the schedule lacks."""
    if visit != study.schedule.unscheduled and study.visit(visit) is None:
        raise refusal(
            record,
            "visit",
            visit,
            "visit",
            f"study {study.id} plans no such visit",
            f"Write the name of a planned visit, or {study.schedule.unscheduled} for an unscheduled one.",
        )
    return [
        {"url": STUDY_EXTENSION, "valueReference": reference("ResearchStudy", study.id)},
        {"url": VISIT_EXTENSION, "valueString": visit},
    ]


def visit_of(resource: Resource) -> str | None:
    """Return the visit that a result names, None where it names none."""
    found = (one.get("valueString") for one in resource.get("extension", ()) if one.get("url") == VISIT_EXTENSION)
    return next(found, None)
