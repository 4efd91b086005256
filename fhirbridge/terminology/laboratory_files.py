"""Reads the laboratories' CSV files and refuses what is misspelt, doubled or contradictory, naming file and line."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import itertools
import re
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import get_args

from fhirbridge.errors import ConfigurationError
from fhirbridge.terminology.glyphs import unit_text
from fhirbridge.terminology.laboratories import Laboratories, LaboratoryTest, Scale
from fhirbridge.terminology.numerals import DecimalMark

COLUMNS = (
    "laboratory", "system", "code", "label", "analyte", "loinc", "loinc_name", "scale", "unit", "canonical_unit",
    "factor", "decimal", "assay", "lloq", "uloq", "copies_per_iu", "lowest_possible", "highest_possible",
    "valid_from", "valid_until",
)  # fmt: skip
REQUIRED = ("laboratory", "system", "loinc", "loinc_name", "scale")
_MARKS: dict[str, DecimalMark | None] = {"point": ".", "comma": ",", "": None}
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:E[+-]?[0-9]{1,2})?", re.ASCII)
_LOINC = re.compile(r"([0-9]{1,6})-([0-9])", re.ASCII)


def load(places: Iterable[Path]) -> Laboratories:
    """Read files, and every ``*.csv`` in folders, as one table, in the order of their names.

    Raises ConfigurationError for a row that breaks a rule, and for a file or folder that is not there.
    """
    paths: list[Path] = []
    for place in places:
        if not place.exists():
            raise ConfigurationError(f"setting 'laboratories': there is no file or folder {place}.")
        paths += place.glob("*.csv") if place.is_dir() else [place]
    rows = [row for path in sorted(paths) for row in _rows(path)]
    _check_together(rows)
    return Laboratories(tuple(rows))


def digest(laboratories: Laboratories) -> str:
    """Return a digest of all rows, whatever the order of the files; where a row stands does not count."""
    rows = sorted(repr(replace(row, source="")) for row in laboratories.rows)
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _rows(path: Path) -> list[LaboratoryTest]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            lines = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{path.name}: {error}. A laboratory's file is UTF-8 CSV.") from error
    unknown = [name for name in header if name not in COLUMNS]
    if unknown or len(set(header)) < len(header):
        raise ConfigurationError(f"{path.name}: column {(unknown or header)[0]!r} is unknown or doubled. {_HELP}")
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise ConfigurationError(f"{path.name}: column {missing[0]!r} is missing. {_HELP}")
    return [_Cells(path.name, line, header, cells).row() for line, cells in lines]


class _Cells:
    """One line of a file."""

    def __init__(self, file: str, line: int, header: list[str], cells: list[str]) -> None:
        self.source = f"{file}:{line}"
        if len(cells) != len(header):
            raise ConfigurationError(f"{self.source}: {len(cells)} cells under {len(header)} columns. {_HELP}")
        self.cells = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}

    def row(self) -> LaboratoryTest:
        """Return the line as a row. Raises ConfigurationError naming the cell at fault."""
        for name in REQUIRED:
            if not self.text(name):
                raise self.wrong(name, "it must not be empty")
        scale = self.scale()
        row = LaboratoryTest(
            laboratory=self.text("laboratory"), system=self.text("system"), code=self.text("code") or None,
            labels=tuple(label.strip() for label in self.text("label").split("|") if label.strip()),
            analyte=self.text("analyte") or None, loinc=self.loinc(), loinc_name=self.text("loinc_name"), scale=scale,
            units=tuple(unit_text(unit) for unit in self.text("unit").split("|")),
            canonical_unit=self.text("canonical_unit") or None, factor=self.factor(),
            decimal_mark=self.mark(), assay=self.text("assay") or None, lloq=self.number("lloq"),
            uloq=self.number("uloq"), copies_per_iu=self.number("copies_per_iu"),
            lowest_possible=self.number("lowest_possible"), highest_possible=self.number("highest_possible"),
            valid_from=self.date("valid_from"), valid_until=self.date("valid_until"), source=self.source,
        )  # fmt: skip
        self.check(row)
        return row

    def check(self, row: LaboratoryTest) -> None:
        """Refuse a row whose cells contradict each other."""
        if row.code is None and not row.labels:
            raise self.wrong("code", "a test needs a code, or a label where the laboratory has no codes")
        if (row.scale == "Qn") != (row.canonical_unit is not None):
            raise self.wrong("canonical_unit", "a unit goes with scale Qn and only with it")
        if row.scale == "Qn" and not self.text("factor"):
            raise self.wrong("factor", "write the factor from the reported to the canonical unit, 1 if they are equal")
        for name, number in (("factor", row.factor), ("copies_per_iu", row.copies_per_iu)):
            if number is not None and number <= 0:
                raise self.wrong(name, "it must be above zero")
        for low, high, name in (
            (row.lloq, row.uloq, "uloq"),
            (row.lowest_possible, row.highest_possible, "highest_possible"),
            (row.valid_from, row.valid_until, "valid_until"),
        ):
            if low is not None and high is not None and low > high:  # type: ignore[operator]  # two of one type
                raise self.wrong(name, "it lies below its counterpart")
        if (row.lloq is not None or row.uloq is not None) and row.assay is None:
            raise self.wrong("assay", "limits of quantification belong to an assay: name it")

    def text(self, name: str) -> str:
        return self.cells.get(name, "")

    def scale(self) -> Scale:
        for scale in get_args(Scale):
            if self.text("scale") == scale:
                return scale  # type: ignore[no-any-return]
        raise self.wrong("scale", "it is none of Qn, Ord, Nar")

    def mark(self) -> DecimalMark | None:
        if self.text("decimal") not in _MARKS:
            raise self.wrong("decimal", "it is neither point nor comma")
        return _MARKS[self.text("decimal")]

    def loinc(self) -> str:
        code = self.text("loinc")
        found = _LOINC.fullmatch(code)
        if found is None or _check_digit(found[1]) != int(found[2]):
            raise self.wrong("loinc", "it is no LOINC code, or its check digit is wrong")
        return code

    def number(self, name: str) -> Decimal | None:
        text = self.text(name)
        if not text:
            return None
        if not _NUMBER.fullmatch(text):
            raise self.wrong(name, "it is no number with a decimal point (0.05, 1.7E8)")
        return Decimal(text)

    def factor(self) -> Decimal:
        factor = self.number("factor")
        return Decimal(1) if factor is None else factor

    def date(self, name: str) -> dt.date | None:
        text = self.text(name)
        try:
            return dt.date.fromisoformat(text) if text else None
        except ValueError:
            raise self.wrong(name, "it is no date like 2026-01-31") from None

    def wrong(self, name: str, why: str) -> ConfigurationError:
        return ConfigurationError(f"{self.source}: {name} {self.text(name)!r}: {why}. {_HELP}")


def _check_digit(body: str) -> int:
    """Return LOINC's check digit (mod 10): https://loinc.org/kb/users-guide/loinc-term-basics/"""
    doubled = (int(digit) * (2 - position % 2) for position, digit in enumerate(reversed(body)))
    return (10 - sum(number // 10 + number % 10 for number in doubled) % 10) % 10


def _check_together(rows: list[LaboratoryTest]) -> None:
    """Refuse rows between which a result could not choose, and a laboratory with two decimal marks."""
    marks: dict[str, DecimalMark] = {}
    alike: dict[tuple[str, str, str, str], list[LaboratoryTest]] = {}
    for row in rows:
        if row.decimal_mark is not None and marks.setdefault(row.laboratory, row.decimal_mark) != row.decimal_mark:
            raise ConfigurationError(f"{row.source}: {row.laboratory} has two decimal marks. {_HELP}")
        names = [row.code] if row.code is not None else [f"label {label}" for label in row.labels]
        for name in names:
            for unit in row.units:
                alike.setdefault((row.laboratory, row.system, name, unit), []).append(row)
    for same in alike.values():
        for first, second in itertools.combinations(same, 2):
            if _overlap(first, second):
                raise ConfigurationError(
                    f"{second.source}: the same code and unit as {first.source} at the same time. "
                    f"Let one end (valid_until) before the other begins (valid_from). {_HELP}"
                )


def _overlap(first: LaboratoryTest, second: LaboratoryTest) -> bool:
    return (first.valid_from or dt.date.min) <= (second.valid_until or dt.date.max) and (
        second.valid_from or dt.date.min
    ) <= (first.valid_until or dt.date.max)


_HELP = "See docs/harmonisation.md."
