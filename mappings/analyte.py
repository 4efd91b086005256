"""What the study file says about a laboratory result: its analyte, assay and unit, and what its value signifies."""

from __future__ import annotations

from decimal import Decimal

from fhirbridge.elements import Element, coding, concept, present, quantity
from fhirbridge.records.types import LaboratoryResult
from fhirbridge.records.values import Censored, LabValue, Ordinal
from fhirbridge.study import Analyte, Assay, Study
from fhirbridge.terminology.codes import ANSWERS, INTERPRETATION, RANGE_KIND_SYSTEM, RANGE_KINDS
from mappings.refusal import refusal

DETECTED = coding(INTERPRETATION, "DET", "Detected")
NEGATIVE = coding(INTERPRETATION, "NEG", "Negative")


def record_name(record: LaboratoryResult) -> str:
    """Return how an error speaks of the record."""
    return f"laboratory {record.result}"


def analyte(record: LaboratoryResult, study: Study) -> Analyte:
    """Return the record's analyte. Raises MappingError for one the study lacks."""
    found = study.analyte(record.analyte)
    if found is None:
        known = ", ".join(analyte.name for analyte in study.analytes)
        raise refusal(
            record_name(record),
            "analyte",
            record.analyte,
            "analyte",
            f"study {study.id} measures no such analyte",
            f"Write one of {known}, or add the analyte to the study file.",
        )
    return found


def assay(record: LaboratoryResult, measured: Analyte) -> Assay | None:
    """Return the record's assay, the analyte's first where it names none. Raises MappingError for an unknown one."""
    found = measured.assay(record.assay)
    if found is None and record.assay is not None:
        known = ", ".join(repr(assay.name) for assay in measured.assays) or "none"
        raise refusal(
            record_name(record),
            "assay",
            record.assay,
            "assay",
            f"analyte {measured.name} has no such assay, so its limits are unknown",
            f"Write one of {known}, or add the assay to the analyte in the study file.",
        )
    return found


def result_quantity(record: LaboratoryResult, measured: Analyte, value: Decimal, comparator: str | None) -> Element:
    """Return the Quantity in the analyte's UCUM unit, digits as reported.

    Raises MappingError where the record's unit is not exactly that one: a unit is never assumed.
    """
    if measured.unit is None or record.unit != measured.unit:
        wanted = f"the unit {measured.unit}" if measured.unit else "no number: its answers are words"
        raise refusal(
            record_name(record),
            "unit",
            record.unit,
            "unit",
            f"analyte {measured.name} takes {wanted}",
            "Give the value in that unit with its exact UCUM code; nothing is converted or assumed here.",
        )
    return quantity(value, measured.unit_title or measured.unit, measured.unit, comparator)


def interpretation(value: LabValue | None, used: Assay | None) -> list[Element]:
    """Return what the value alone implies.

    A coded answer says it itself. Below a limit, an assay that reports "not detected" in words means detected
    (HBV DNA: "<10" is not "target not detected"); below its threshold of positivity it means negative (HBsAg).
    """
    match value:
        case Ordinal(answer):
            return [concept(ANSWERS[answer][1])]
        case Censored("<" | "<=", limit) if used is not None:
            if used.tells_not_detected:
                return [concept(DETECTED)]
            if used.positive_from is not None and _below(value, limit, used.positive_from):
                return [concept(NEGATIVE)]
    return []


def measuring_interval(low: Element | None, high: Element | None, used: Assay) -> Element:
    """Return the assay's limits of quantification as a reference range of its own kind, never mistaken for normal.

    Two assays with other limits then differ visibly in the middle of a study.
    """
    kind = concept(coding(RANGE_KIND_SYSTEM, "measuring-interval", RANGE_KINDS["measuring-interval"]))
    return present(low=low, high=high, type=kind, text=f"Limits of quantification of {used.name}")


def _below(value: Censored, limit: Decimal, threshold: Decimal) -> bool:
    """Whether the result lies below the threshold for certain."""
    return limit < threshold or (limit == threshold and value.comparator == "<")
