"""Observation: what the laboratory measured, under its own code and unit, where the study's value is computed from it.

Copies per millilitre and logarithms are never overwritten: the study's value is a second Observation, ``derivedFrom``
this one, so that whoever doubts the factor can go back to the number on the laboratory's sheet.
"""

from __future__ import annotations

from collections.abc import Iterator

from fhirbridge.elements import LOINC, Element, coding, concept, identifier, present, quantity, reference, when
from fhirbridge.errors import Resource
from fhirbridge.identity import Identity
from fhirbridge.records.types import LaboratoryResult, MeasuredValue
from fhirbridge.records.values import Censored, Number
from fhirbridge.study import Study
from fhirbridge.terminology.codes import OBSERVATION_CATEGORY
from mappings import meta, visit
from mappings.analyte import analyte, assay, interpretation, record_name
from mappings.patient import patient_reference
from mappings.refusal import refusal

PROFILE = "laboratory-result"

CATEGORY = coding(OBSERVATION_CATEGORY, "laboratory", "Laboratory")


def as_measured(record: LaboratoryResult) -> MeasuredValue | None:
    """Return what was measured, where that is another quantity than the study's value."""
    return record.source.measured if record.source else None


def measured_reference(record: LaboratoryResult, identity: Identity) -> Element:
    """Return the reference to the Observation of what was measured."""
    return reference("Observation", _logical_id(record, identity))


def measured_result(record: LaboratoryResult, study: Study, identity: Identity) -> Iterator[Resource]:
    """Yield the Observation, or nothing. Raises MappingError for an analyte, assay or visit the study lacks."""
    found = as_measured(record)
    if found is None:
        return
    of = analyte(record, study)
    used = assay(record, of)
    logical = _logical_id(record, identity)
    yield present(
        resourceType="Observation",
        id=logical,
        meta=meta.subject_level(PROFILE, study),
        extension=visit.extensions(record_name(record), record.visit, study),
        identifier=[identifier(study.system("result-measured"), logical)],
        status=record.status,
        category=[concept(CATEGORY)],
        code=concept(coding(LOINC, found.loinc, found.display), text=f"{of.title}, as measured"),
        subject=patient_reference(record.subject, identity),
        effectiveDateTime=when(record.collected),
        valueQuantity=_quantity(record, found),
        interpretation=interpretation(found.value, used),
        note=[{"text": f"Reported as: {record.reported}"}] if record.reported else None,
        method=concept(text=used.name) if used else None,
    )


def _logical_id(record: LaboratoryResult, identity: Identity) -> str:
    return identity.id("Observation", "laboratory-measured", record.result)


def _quantity(record: LaboratoryResult, found: MeasuredValue) -> Element:
    match found.value:
        case Number(value):
            return quantity(value, found.unit, found.unit)
        case Censored(comparator, value):
            return quantity(value, found.unit, found.unit, comparator)
    raise refusal(
        record_name(record),
        "measured",
        type(found.value).__name__,
        "value",
        "nothing can be computed from a measured value that is no number",
        "Accept the result under the code it was measured by, or reject it.",
    )
