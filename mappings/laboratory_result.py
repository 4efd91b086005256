"""Observation: one laboratory result, whatever the analyte; the study file says what each analyte is.

A number is a Quantity in the exact UCUM unit of the analyte with the digits it came with. A result beyond a limit
carries FHIR's comparator. "Not detected" is a result and therefore a coded value; only what was never measured has
a dataAbsentReason (invariant obs-6, http://hl7.org/fhir/R4/observation.html).
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from fhirbridge.elements import LOINC, Element, coding, concept, identifier, present, quantity, reference, when
from fhirbridge.errors import Resource
from fhirbridge.identity import Identity
from fhirbridge.records import values
from fhirbridge.records.build import moment
from fhirbridge.records.types import LaboratoryResult, ResultFacts
from fhirbridge.records.values import Censored, LabValue, Number, Ordinal, Text
from fhirbridge.study import Analyte, Assay, Study
from fhirbridge.terminology.codes import ABSENT_REASON, ABSENT_REASONS, ANSWERS
from mappings import meta, visit
from mappings.analyte import analyte, assay, interpretation, measuring_interval, record_name, result_quantity
from mappings.measured_result import CATEGORY, as_measured, measured_reference
from mappings.patient import patient_reference
from mappings.refusal import refusal

PROFILE = "laboratory-result"
"""Of any analyte; the study file may name a tighter one for an analyte, as it does for HBV DNA."""


def logical_id(result: str, identity: Identity) -> str:
    """Return the Observation's id for this result."""
    return identity.id("Observation", "laboratory", result)


def result_reference(result: str, identity: Identity) -> Element:
    """Return the reference to the Observation of this result."""
    return reference("Observation", logical_id(result, identity))


def laboratory_result(record: LaboratoryResult, study: Study, identity: Identity) -> Iterator[Resource]:
    """Yield the Observation. Raises MappingError for an analyte, assay, unit, visit or value the study cannot say."""
    measured = analyte(record, study)
    used = assay(record, measured)
    logical = logical_id(record.result, identity)
    yield present(
        resourceType="Observation",
        id=logical,
        meta=meta.subject_level(measured.profile, study),
        extension=visit.extensions(record_name(record), record.visit, study),
        identifier=[identifier(study.system("result"), logical)],
        status=record.status,
        category=[concept(CATEGORY)],
        code=concept(coding(LOINC, measured.loinc, measured.display), text=measured.title),
        subject=patient_reference(record.subject, identity),
        effectiveDateTime=when(record.collected),
        **_value(record, measured),
        dataAbsentReason=absent_reason(record),
        interpretation=interpretation(record.value, used),
        note=_notes(record),
        method=concept(text=used.name) if used else None,
        specimen=_specimen(measured),
        referenceRange=_reference_range(measured, used),
        derivedFrom=[measured_reference(record, identity)] if as_measured(record) else None,
    )


def absent_reason(record: LaboratoryResult) -> Element | None:
    """Return why there is no value, None where there is one."""
    if record.absent_reason is None:
        return None
    return concept(coding(ABSENT_REASON, record.absent_reason, ABSENT_REASONS[record.absent_reason]))


def _value(record: LaboratoryResult, measured: Analyte) -> Element:
    """Return the one ``value[x]`` this value takes for a test of this scale, or nothing."""
    match record.value, measured.scale:
        case None, _:
            return {}
        case Number(value), "Qn":
            return {"valueQuantity": result_quantity(record, measured, value, None)}
        case Censored(comparator, value), "Qn":
            return {"valueQuantity": result_quantity(record, measured, value, comparator)}
        case Ordinal(answer), scale if scale == "Ord" or (scale == "Qn" and answer == "not detected"):
            return {"valueCodeableConcept": concept(ANSWERS[answer][0], text=answer.capitalize())}
        case Text(text), "Nar":
            return {"valueString": text}
    raise refusal(
        record_name(record),
        "value",
        record.reported,
        "value",
        f"a test of scale {measured.scale} cannot have a {type(record.value).__name__} as its value",
        "Qn takes a number or 'not detected', Ord an answer in words, Nar text: mend the value or the analyte.",
    )


def _notes(record: LaboratoryResult) -> list[Element]:
    """Return the raw value, how ours was computed, and the comment; free text, so sites must keep names out of it."""
    found = as_measured(record)
    raw = [{"text": f"Reported as: {record.reported}"}] if record.reported else []
    computed = [{"text": f"Computed from what was measured: {found.rule}"}] if found else []
    return raw + computed + ([{"text": record.comment}] if record.comment else [])


def _specimen(measured: Analyte) -> Element | None:
    if measured.specimen is None:
        return None
    return {"type": "Specimen", "display": measured.specimen.display or measured.specimen.code}


def _reference_range(measured: Analyte, used: Assay | None) -> list[Element]:
    if used is None or measured.unit is None or (used.lloq is None and used.uloq is None):
        return []
    unit, title = measured.unit, measured.unit_title or measured.unit
    low = None if used.lloq is None else quantity(used.lloq, title, unit)
    high = None if used.uloq is None else quantity(used.uloq, title, unit)
    return [measuring_interval(low, high, used)]


def result_facts(observation: Resource, study: Study) -> ResultFacts | None:
    """Read back what ``laboratory_result`` wrote; None for any other Observation: logarithms, what was measured."""
    systems = {one["system"] for one in observation.get("identifier", ())}
    if study.system("result") not in systems:
        return None
    codes = {one["code"] for one in observation["code"]["coding"] if one["system"] == LOINC}
    found = next((one for one in study.analytes if one.loinc in codes), None)
    at = visit.visit_of(observation)
    if found is None or at is None:
        return None
    return ResultFacts(
        id=observation["id"],
        analyte=found.name,
        visit=at,
        collected=moment(observation["effectiveDateTime"], study),
        value=_value_of(observation),
        status=observation["status"],
    )


def _value_of(observation: Resource) -> LabValue | None:
    number = observation.get("valueQuantity")
    if number is not None:
        value = Decimal(number["value"])
        return Censored(number["comparator"], value) if "comparator" in number else Number(value)
    if "valueString" in observation:
        return Text(observation["valueString"])
    codes = {one["code"] for one in observation.get("valueCodeableConcept", {}).get("coding", ())}
    return next((Ordinal(answer) for answer in values.ANSWERS if ANSWERS[answer][0]["code"] in codes), None)
