"""Observation: the decimal logarithm of a quantitative result, where the study file asks for one (HBV DNA).

It is derived, points to what it is derived from, and exists only where there is a number to take a logarithm of:
for exact and for censored results above zero, never for "not detected", and not where the laboratory measured the
logarithm itself: that one stands (``measured_result``), and the logarithm of its rounded antilogarithm may differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from fhirbridge.elements import LOINC, Element, coding, concept, identifier, present, quantity, when
from fhirbridge.errors import Resource
from fhirbridge.identity import Identity
from fhirbridge.records.types import LaboratoryResult
from fhirbridge.records.values import Censored, Number
from fhirbridge.study import Assay, Logarithm, Study
from fhirbridge.terminology.logarithms import log10
from mappings import meta, visit
from mappings.analyte import analyte, assay, interpretation, measuring_interval, record_name, result_quantity
from mappings.laboratory_result import result_reference
from mappings.measured_result import CATEGORY, as_measured
from mappings.patient import patient_reference

PROFILE = "laboratory-log10"


def laboratory_log10(record: LaboratoryResult, study: Study, identity: Identity) -> Iterator[Resource]:
    """Yield the Observation of the logarithm, or nothing. Raises MappingError as ``laboratory_result`` does."""
    measured = analyte(record, study)
    if measured.log10 is None or not isinstance(record.value, Number | Censored) or record.value.value <= 0:
        return
    found = as_measured(record)
    if found is not None and found.loinc == measured.log10.loinc:
        return
    used = assay(record, measured)
    logical = identity.id("Observation", "laboratory-log10", record.result)
    yield present(
        resourceType="Observation",
        id=logical,
        meta=meta.subject_level(measured.log10.profile, study),
        extension=visit.extensions(record_name(record), record.visit, study),
        identifier=[identifier(study.system("result-log10"), logical)],
        status=record.status,
        category=[concept(CATEGORY)],
        code=concept(coding(LOINC, measured.log10.loinc, measured.log10.display), text=measured.log10.title),
        subject=patient_reference(record.subject, identity),
        effectiveDateTime=when(record.collected),
        valueQuantity=_logarithm(result_quantity(record, measured, *_parts(record.value)), measured.log10),
        interpretation=interpretation(record.value, used),
        method=concept(text=used.name) if used else None,
        referenceRange=_reference_range(measured.log10, used),
        derivedFrom=[result_reference(record.result, identity)],
    )


def _parts(value: Number | Censored) -> tuple[Decimal, str | None]:
    return value.value, value.comparator if isinstance(value, Censored) else None


def _logarithm(original: Element, log: Logarithm) -> Element:
    """Return the Quantity's logarithm; a comparator stays true, because the logarithm rises with its argument."""
    return quantity(log10(original["value"]), log.unit_title, log.unit, original.get("comparator"))


def _reference_range(log: Logarithm, used: Assay | None) -> list[Element]:
    if used is None or not (used.lloq or used.uloq):
        return []
    low = quantity(log10(used.lloq), log.unit_title, log.unit) if used.lloq else None
    high = quantity(log10(used.uloq), log.unit_title, log.unit) if used.uloq else None
    return [measuring_interval(low, high, used)]
