"""From what a laboratory reported to what a study can use: LOINC code, canonical value beside the reported, flags.

Pure, total and deterministic: no clock, no order of arrival, no exception for anything a laboratory can send.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from fhirbridge.study import Analyte, Assay, Study
from fhirbridge.terminology import units
from fhirbridge.terminology.deriving import Derived, derived
from fhirbridge.terminology.flags import Flag
from fhirbridge.terminology.judging import (
    Findings,
    Quantification,
    StudyAnswer,
    check_answer,
    check_possible,
    leaves_detection_open,
    limits,
    quantification,
    unsaid_of_assay,
)
from fhirbridge.terminology.labels import contradict
from fhirbridge.terminology.laboratories import ANY, Laboratories, LaboratoryTest, ReportedCode
from fhirbridge.terminology.readings import Reading
from fhirbridge.terminology.units import Amount

AbsentReason = Literal["not-performed", "error", "unknown"]

_ANSWERS: dict[str, StudyAnswer] = {
    "positive": "positive", "reactive": "positive", "strongly positive": "positive", "negative": "negative",
    "non-reactive": "negative", "detected": "detected", "not detected": "not detected",
    "indeterminate": "indeterminate",
}  # fmt: skip
"""An answer in the study's words. ``weakly positive`` has none: positive or indeterminate is a person's decision."""
_ABSENT: dict[str, AbsentReason] = {
    "cancelled": "not-performed", "insufficient": "not-performed", "not performed": "not-performed",
    "haemolysed": "error", "clotted": "error", "lipaemic": "error", "failed": "error", "not available": "unknown",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """One result as it came. ``unit`` is the one in a field of its own (HL7 v2 OBX-6), beside any in the reading."""

    laboratory: str
    codes: tuple[ReportedCode, ...]
    label: str | None
    reading: Reading
    collected: dt.date
    """Civil date of the specimen in the study's time zone."""
    unit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Harmonised:
    """A result in the study's terms; ``reported`` and ``canonical`` stand side by side. Flags are in a fixed order."""

    reported: Amount | None = None
    test: LaboratoryTest | None = None
    """The row that it was mapped by."""
    analyte: str | None = None
    """The study's analyte; None where the study does not collect this test, or the code is unmapped."""
    canonical: Amount | None = None
    answer: StudyAnswer | None = None
    absent_reason: AbsentReason | None = None
    pending: bool = False
    assay: str | None = None
    lloq: Decimal | None = None
    uloq: Decimal | None = None
    quantification: Quantification | None = None
    derived: tuple[Derived, ...] = ()
    flags: tuple[Flag, ...] = ()

    @property
    def loinc(self) -> str | None:
        """The LOINC code that the result's own code was mapped to."""
        return self.test.loinc if self.test else None

    @property
    def stopped(self) -> bool:
        """Whether a flag stands in the way of any value."""
        return any(flag.stops for flag in self.flags)


def harmonise(result: Reported, laboratories: Laboratories, study: Study) -> Harmonised:
    """Harmonise one result. ``study`` is the one with the laboratories' analytes (``with_laboratories``)."""
    found = Findings()
    reading = result.reading
    reported = _reported(result)
    rows = _rows(result, laboratories, found)
    test = _test(result, rows, found) if rows else None
    if test is not None:
        _compare_labels(result, test, found)
    if reading.kind == "unreadable":
        found.add("unreadable", reading.reason or "")
    analyte = study.analyte(test.analyte) if test is not None and test.analyte else None
    if test is None or any(flag.stops for flag in found.flags):
        return _harmonised(found, reported, test, analyte)
    if reading.kind == "no result":
        absence = reading.absence or "not available"
        return _harmonised(
            found, reported, test, analyte, pending=absence == "pending", absent_reason=_ABSENT.get(absence)
        )
    assay = analyte.assay(test.assay) if analyte is not None and test.assay else None
    return _valued(reading, reported, test, analyte, assay, found)


def _rows(result: Reported, laboratories: Laboratories, found: Findings) -> tuple[LaboratoryTest, ...]:
    """Return the rows that may be meant: valid at the specimen's date, all of one opinion with the common codes."""
    known = laboratories.find(result.laboratory, result.codes, result.label)
    rows = tuple(row for row in known if row.valid_on(result.collected))
    if not rows:
        found.add("code not valid then" if known else "unmapped code")
        return ()
    opinions = [{row.loinc for row in rows if row.code == code} for code in {row.code for row in rows}]
    common = {row.loinc for row in laboratories.common(result.codes)}
    if not set.intersection(*opinions) or (common and not common & {row.loinc for row in rows}):
        found.add("codes contradict")
    return rows


def _test(result: Reported, rows: tuple[LaboratoryTest, ...], found: Findings) -> LaboratoryTest | None:
    """Return the row for the result's unit. Without a number the unit only helps to choose."""
    reading = result.reading
    code, texts = reading.unit_code, [unit for unit in (reading.unit, result.unit) if unit]
    given = [unit for unit in (code, *texts) if unit]
    takers = [{row for row in rows if row.takes(unit)} for unit in given]
    known = [one for one in takers if one]
    if not reading.measured or rows[0].scale != "Qn":
        fitting = set.intersection(*known) if known else set(rows)
        loincs = {row.loinc for row in fitting}
        if len(loincs) == 1:
            return min(fitting, key=rows.index)
        if fitting and len({row.analyte for row in fitting}) == 1 and reading.kind == "not detected":
            # IU and copies under one code: that nothing was found is the analyte's result by either assay.
            found.add("assay unsaid")
            return min(fitting, key=rows.index)
        found.add("units contradict" if not fitting else "unit missing")
        return None
    if not given:
        takers = known = [{row for row in rows if row.takes(None)}]
        if not known[0]:
            found.add("unit missing")
            return None
    if not known or (code is not None and not takers[0]) or (code is None and len(known) < len(takers)):
        found.add("unit unknown")
        return None
    if len(known) < len(takers):
        found.add("unit's text unknown")
    fitting = set.intersection(*known)
    if len(fitting) != 1:
        found.add("units contradict")
        return None
    return fitting.pop()


def _compare_labels(result: Reported, test: LaboratoryTest, found: Findings) -> None:
    for name in (result.label, *(code.display for code in result.codes)):
        kind = contradict(name, test.loinc_name) if name else None
        if kind:
            found.add("code and label contradict", kind)
    if result.label and test.labels and test.laboratory != ANY and not test.knows(result.label):
        found.add("label unfamiliar")


def _reported(result: Reported) -> Amount | None:
    reading = result.reading
    if not reading.measured or reading.value is None:
        return None
    return Amount(reading.value, reading.unit_code or reading.unit or result.unit or "", reading.comparator)


def _valued(
    reading: Reading,
    reported: Amount | None,
    test: LaboratoryTest,
    analyte: Analyte | None,
    assay: Assay | None,
    found: Findings,
) -> Harmonised:
    """Harmonise a result that was read and mapped."""
    answer = _ANSWERS.get(reading.answer) if reading.answer else None
    if test.scale == "Nar":
        return _harmonised(found, reported, test, analyte)
    if test.scale == "Ord":
        if reading.answer is None:
            found.add("scale contradicts")
        elif answer is None:
            found.add("answer not in the study's words")
        return _harmonised(found, reported, test, analyte, answer=answer)
    if reading.kind == "not detected":
        if any(flag.code == "assay unsaid" for flag in found.flags):
            return _harmonised(found, reported, test, analyte, answer=answer, quantification="not detected")
        return _limited(found, reported, test, analyte, assay, None, answer)
    if reported is None or test.canonical_unit is None:
        found.add("no single number" if reading.upper is not None else "scale contradicts")
        return _harmonised(found, reported, test, analyte)
    if reading.logarithm and not test.logarithmic:
        found.add("logarithm contradicts")
        return _harmonised(found, reported, test, analyte)
    canonical = units.converted(reported, test.factor, test.canonical_unit)
    if leaves_detection_open(reading, canonical, answer, assay):
        found.add("detected or not is unsaid")
    if unsaid_of_assay(canonical.comparator, analyte, assay):
        found.add("assay not in the study file")
    check_possible(canonical, test, analyte, found)
    check_answer(canonical, answer, assay, found)
    return _limited(found, reported, test, analyte, assay, canonical, None)


def _limited(
    found: Findings,
    reported: Amount | None,
    test: LaboratoryTest,
    analyte: Analyte | None,
    assay: Assay | None,
    canonical: Amount | None,
    answer: StudyAnswer | None,
) -> Harmonised:
    """Set the value against the assay's limits at that date."""
    lloq, uloq = limits(test, analyte, assay)
    state: Quantification | None = "not detected" if answer == "not detected" else None
    if canonical is not None:
        state = quantification(canonical, lloq, uloq, found)
    return _harmonised(
        found, reported, test, analyte, canonical=canonical, answer=answer, assay=test.assay, lloq=lloq, uloq=uloq,
        quantification=state, derived=derived(canonical, test, analyte, assay) if canonical else (),
    )  # fmt: skip


def _harmonised(
    found: Findings, reported: Amount | None, test: LaboratoryTest | None, analyte: Analyte | None, **rest: object
) -> Harmonised:
    """Return the result with its flags in order; a flag that stops takes every value with it."""
    flags = tuple(sorted(found.flags))
    if any(flag.stops for flag in flags):
        rest = {}
    return Harmonised(
        reported=reported,
        test=test,
        analyte=analyte.name if analyte else None,
        flags=flags,
        **rest,  # type: ignore[arg-type]
    )
