"""What one incoming result means to the study by itself: read, mapped and harmonised, before others are looked at."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from fhirbridge.protocol.civil import Day, Undated, civil_day
from fhirbridge.study import Analyte, Study
from fhirbridge.sync.pull import reading as readings
from fhirbridge.sync.pull.incoming import Incoming
from fhirbridge.sync.pull.remarks import contradicted
from fhirbridge.terminology.deriving import Derived
from fhirbridge.terminology.harmonising import Harmonised, Reported, harmonise
from fhirbridge.terminology.labels import contradict
from fhirbridge.terminology.laboratories import Laboratories, LaboratoryTest
from fhirbridge.terminology.readings import Reading
from fhirbridge.terminology.units import COPIES, Amount

OPEN = frozenset({"registered", "preliminary"})
WITHDRAWN = frozenset({"cancelled", "entered-in-error"})
LONGEST_TEXT = 500
"""Longer than ``terminology.lexemes.LONGEST``, so that what is cut is never read."""
DONE = frozenset({"final", "amended", "corrected"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """One result as it is understood."""

    incoming: Incoming
    reported: Reported
    harmonised: Harmonised
    analyte: Analyte | None
    """The study's analyte, where all rows that its code could mean agree on it."""
    day: Day | Undated
    doubts: tuple[str, ...]
    """What a person must look at: codes of flags, and what the source's own words contradict."""

    @property
    def reading(self) -> Reading:
        """The value as it was read."""
        return self.reported.reading

    @property
    def usable(self) -> bool:
        """Whether it gives the study a value or an answer."""
        return self.harmonised.canonical is not None or self.harmonised.answer is not None

    @property
    def derived(self) -> Derived | None:
        """The rule and amount in the analyte's unit, where the laboratory measured copies or a logarithm."""
        if self.analyte is None or self.harmonised.canonical is None or self.as_reported:
            return None
        return next((one for one in self.harmonised.derived if one.loinc == self.analyte.loinc), None)

    @property
    def as_reported(self) -> bool:
        """Whether the canonical value is in the analyte's own unit, so that nothing had to be computed from it."""
        canonical = self.harmonised.canonical
        return self.analyte is not None and (canonical is None or canonical.unit == self.analyte.unit)

    @property
    def amount(self) -> Amount | None:
        """The number in the analyte's unit, None where there is none or no way to it."""
        if self.as_reported:
            return self.harmonised.canonical
        return self.derived.amount if self.derived else None

    @property
    def kind(self) -> int:
        """How near to the study's own value it was measured: 0 as the study has it, 1 as copies, 2 as a logarithm."""
        canonical = self.harmonised.canonical
        return 0 if self.as_reported or canonical is None else 1 if canonical.unit == COPIES else 2


def collects(incoming: Incoming, laboratories: Laboratories) -> bool:
    """Tell whether a result may be one that the study collects; what is not is neither kept nor judged.

    An unmapped code may be one, and so may a test whose printed name contradicts its code.
    """
    rows = _rows(incoming, laboratories)
    names = [name for name in (incoming.label, *(code.display for code in incoming.codes)) if name]
    return (
        not rows
        or any(row.analyte for row in rows)
        or any(contradict(name, row.loinc_name) for row in rows for name in names)
    )


def without_strange_words(incoming: Incoming, laboratories: Laboratories) -> Incoming:
    """Return a result as it may be kept: what is no result and nobody knows the test of may be anything, a name too.

    Of a code that no laboratory's file has, a value that does not read as a result is withheld. Of a known test such
    a text is kept, for a person to see, each string cut to ``LONGEST_TEXT`` characters: still too long to be read.
    """
    value = incoming.value
    if value is None or readings.read(incoming, laboratories.decimal_mark(incoming.laboratory)).kind != "unreadable":
        return incoming
    if not _rows(incoming, laboratories):
        return replace(incoming, value=readings.WITHHELD)
    return replace(incoming, value={name: _cut(part) for name, part in value.items()})


def _cut(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _cut(inner) for name, inner in part.items()}
    if isinstance(part, list | tuple):
        return [_cut(inner) for inner in part]
    return part[:LONGEST_TEXT] if isinstance(part, str) else part


def _rows(incoming: Incoming, laboratories: Laboratories) -> set[LaboratoryTest]:
    return {
        *laboratories.find(incoming.laboratory, incoming.codes, incoming.label),
        *laboratories.common(incoming.codes),
    }


def mean(incoming: Incoming, laboratories: Laboratories, study: Study) -> Meaning:
    """Read and harmonise one result; ``study`` is the one with the laboratories' analytes."""
    day = civil_day(incoming.collected, study.schedule.zone)
    reading = readings.read(incoming, laboratories.decimal_mark(incoming.laboratory))
    rows = laboratories.find(incoming.laboratory, incoming.codes, incoming.label)
    reported = Reported(
        laboratory=incoming.laboratory, codes=incoming.codes, label=incoming.label, reading=reading,
        collected=day.date if isinstance(day, Day) else dt.date.max, unit=incoming.unit,
    )  # fmt: skip
    dated = isinstance(day, Day) or not any(row.valid_from or row.valid_until for row in rows)
    # Which of several rows held is not known without a date: then the result has a meaning to nobody.
    harmonised = harmonise(reported, laboratories, study) if dated else Harmonised()
    named = {row.analyte for row in rows if not isinstance(day, Day) or row.valid_on(day.date)} or {None}
    name = harmonised.analyte or (next(iter(named)) if len(named) == 1 else None)
    return Meaning(
        incoming=incoming, reported=reported, harmonised=harmonised, analyte=study.analyte(name) if name else None,
        day=day, doubts=tuple(_doubts(incoming, reading, harmonised)),
    )  # fmt: skip


def _doubts(incoming: Incoming, reading: Reading, harmonised: Harmonised) -> Iterator[str]:
    yield from dict.fromkeys(flag.code for flag in harmonised.flags)
    if readings.contradicts(reading, incoming.interpretation):
        yield "interpretation contradicts"
    if contradicted(incoming.notes, reading):
        yield "note contradicts"
    if incoming.status == "unknown":
        yield "status unknown"


def written(amount: Amount) -> str:
    """Return a number in the grammar of the study's tables (``records.values``): ``5.50``, ``<10``."""
    value: Decimal = amount.value
    return f"{amount.comparator or ''}{value}"
