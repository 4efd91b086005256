"""Judges a harmonised value: against its assay's limits, against what is possible, and against the words beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from fhirbridge.study import Analyte, Assay
from fhirbridge.terminology.flags import Flag
from fhirbridge.terminology.laboratories import LaboratoryTest
from fhirbridge.terminology.readings import Reading
from fhirbridge.terminology.units import Amount

StudyAnswer = Literal["positive", "negative", "detected", "not detected", "indeterminate"]
Quantification = Literal["within", "below", "above", "not detected"]


@dataclass(slots=True)
class Findings:
    """What has been found so far about one result."""

    flags: set[Flag] = field(default_factory=set)

    def add(self, code: str, detail: str = "") -> None:
        self.flags.add(Flag(code, detail))


def limits(test: LaboratoryTest, analyte: Analyte | None, assay: Assay | None) -> tuple[Decimal | None, Decimal | None]:
    """Return LLOQ and ULOQ in the row's canonical unit: the row's own, else those of the study's assay."""
    direct = analyte is not None and test.canonical_unit == analyte.unit
    lloq = test.lloq if test.lloq is not None or assay is None or not direct else assay.lloq
    uloq = test.uloq if test.uloq is not None or assay is None or not direct else assay.uloq
    return lloq, uloq


def quantification(
    amount: Amount, lloq: Decimal | None, uloq: Decimal | None, found: Findings
) -> Quantification | None:
    """Return where the value lies among the assay's limits, None where that is not known; flag what does not fit."""
    if amount.comparator in ("<", "<="):
        if lloq is not None and amount.value != lloq:
            found.add("limit is not the assay's")
        return "below" if lloq is None or amount.value <= lloq else None
    if amount.comparator in (">", ">="):
        if uloq is not None and amount.value != uloq:
            found.add("limit is not the assay's")
        return "above" if uloq is None or amount.value >= uloq else None
    if lloq is not None and amount.value < lloq:
        found.add("below the assay's limit")
        return "below"
    if uloq is not None and amount.value > uloq:
        found.add("above the assay's limit")
        return "above"
    return None if lloq is None and uloq is None else "within"


def check_possible(amount: Amount, test: LaboratoryTest, analyte: Analyte | None, found: Findings) -> None:
    """Flag a value beyond what is biologically possible."""
    lowest, highest = test.lowest_possible, test.highest_possible
    if analyte is not None and test.canonical_unit == analyte.unit:
        lowest = analyte.lowest_possible if lowest is None else lowest
        highest = analyte.highest_possible if highest is None else highest
    if (lowest is not None and amount.below(lowest)) or (highest is not None and amount.above(highest)):
        found.add("impossible")


def check_answer(amount: Amount, answer: StudyAnswer | None, assay: Assay | None, found: Findings) -> None:
    """Flag a number on the other side of the assay's threshold than the answer beside it."""
    threshold = assay.positive_from if assay else None
    if threshold is None or answer not in ("positive", "negative"):
        return
    if (answer == "positive" and amount.below(threshold)) or (
        answer == "negative" and amount.comparator in (None, ">", ">=") and amount.value >= threshold
    ):
        found.add("answer and number contradict")


def unsaid_of_assay(comparator: str | None, analyte: Analyte | None, assay: Assay | None) -> bool:
    """Whether the study tells detected from not detected below a limit of the analyte, but not by this assay.

    So it is with an assay that only a laboratory's file has: what the study file says of assays, it does not say of it.
    """
    if comparator not in ("<", "<=") or analyte is None or assay is None or assay.tells_not_detected:
        return False
    return any(other.tells_not_detected for other in analyte.assays)


def leaves_detection_open(reading: Reading, amount: Amount, answer: StudyAnswer | None, assay: Assay | None) -> bool:
    """Whether "below the limit of detection" or "negative (<10)" may mean either, detected or not detected."""
    if amount.comparator not in ("<", "<="):
        return False
    if answer == "negative":
        return assay is None or assay.positive_from is None
    return reading.limit_kind == "detection" and answer is None
