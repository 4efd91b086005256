"""How laboratories name and measure tests, from their CSV files: a new laboratory, code, unit or assay is a row there.

One row says what one code of one laboratory means when its result comes in one unit: the LOINC code, the canonical
unit and the exact factor to it, and the assay with its limits for as long as they held. docs/harmonisation.md has
the columns.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Literal

from fhirbridge.terminology.glyphs import folded, plain, unit_text
from fhirbridge.terminology.numerals import DecimalMark

ANY = "*"
"""The laboratory of rows that hold for every laboratory: codes that mean the same everywhere, such as LOINC's."""

Scale = Literal["Qn", "Ord", "Nar"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaboratoryTest:
    """One row. Limits and possible values are in ``canonical_unit``; validity is inclusive at both ends."""

    laboratory: str
    system: str
    code: str | None
    labels: tuple[str, ...]
    """How the laboratory prints the test's name; the first is shown, the others are known too."""
    analyte: str | None
    """Name of the study's analyte; None for a test that the study does not collect."""
    loinc: str
    loinc_name: str
    scale: Scale
    units: tuple[str, ...]
    """Units as reported, each an exact string; an empty one means that none is printed."""
    canonical_unit: str | None
    factor: Decimal
    """Canonical value = reported value times this."""
    decimal_mark: DecimalMark | None
    assay: str | None
    lloq: Decimal | None
    uloq: Decimal | None
    copies_per_iu: Decimal | None
    lowest_possible: Decimal | None
    highest_possible: Decimal | None
    valid_from: dt.date | None
    valid_until: dt.date | None
    source: str
    """File and line."""

    def __hash__(self) -> int:
        """Hash where the row stands, which tells it from others: all its columns take longer than looking it up."""
        return hash((self.source, self.code))

    @property
    def logarithmic(self) -> bool:
        """Whether its canonical value is a decimal logarithm."""
        return "log" in (self.canonical_unit or "").lower()

    def valid_on(self, day: dt.date) -> bool:
        """Tell whether the row holds for a specimen taken on this day."""
        return (self.valid_from or dt.date.min) <= day <= (self.valid_until or dt.date.max)

    def takes(self, unit: str | None) -> bool:
        """Tell whether a result may come in exactly this unit; None is no unit at all."""
        return unit_text(unit or "") in self.units

    def knows(self, label: str) -> bool:
        """Tell whether the laboratory prints the test's name so; letters' case and accents do not count."""
        return folded(plain(label)) in _folded_all(self.labels)


@lru_cache(maxsize=4096)
def _folded_all(labels: tuple[str, ...]) -> frozenset[str]:
    return frozenset(folded(plain(known)) for known in labels)


@dataclass(frozen=True, slots=True)
class ReportedCode:
    """A code as reported; ``system`` None is the laboratory's own (HL7 v2 ``L``, ``99…``)."""

    system: str | None
    code: str
    display: str | None = None


@dataclass(frozen=True)
class Laboratories:
    """All laboratories' rows, looked up by code."""

    rows: tuple[LaboratoryTest, ...]

    @cached_property
    def _by_code(self) -> dict[tuple[str, str], list[LaboratoryTest]]:
        found: dict[tuple[str, str], list[LaboratoryTest]] = {}
        for row in self.rows:
            if row.code is not None:
                found.setdefault((row.laboratory, row.code), []).append(row)
        return found

    @cached_property
    def _marks(self) -> dict[str, DecimalMark]:
        return {row.laboratory: row.decimal_mark for row in self.rows if row.decimal_mark is not None}

    def names(self) -> tuple[str, ...]:
        """Return the laboratories' names in order, without ``ANY``."""
        return tuple(sorted({row.laboratory for row in self.rows} - {ANY}))

    def decimal_mark(self, laboratory: str) -> DecimalMark | None:
        """Return the decimal mark that the laboratory declares, None where it declares none or is unknown."""
        return self._marks.get(laboratory)

    def find(
        self, laboratory: str, codes: Sequence[ReportedCode], label: str | None = None
    ) -> tuple[LaboratoryTest, ...]:
        """Return every row for these codes, at whatever date: the laboratory's own, else those for any laboratory.

        A result without a code is found by its exact label, among rows that have no code either.
        """
        own = [row for code in codes for row in self._of(laboratory, code)]
        if not codes and label is not None:
            own = [row for row in self.rows if row.code is None and row.laboratory == laboratory and row.knows(label)]
        return tuple(dict.fromkeys(own)) or self.common(codes)

    def common(self, codes: Iterable[ReportedCode]) -> tuple[LaboratoryTest, ...]:
        """Return the rows for any laboratory that these codes name."""
        return tuple(dict.fromkeys(row for code in codes for row in self._of(ANY, code)))

    def _of(self, laboratory: str, code: ReportedCode) -> list[LaboratoryTest]:
        rows = self._by_code.get((laboratory, code.code), [])
        own = code.system is None and laboratory != ANY
        return [row for row in rows if own or row.system == code.system]
