"""The enrolment log: which subject has which number at the hospital, from a CSV file or an Excel workbook.

No finding repeats a cell or names a subject: in a shifted row any of them may be a hospital number or a birth date.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import cast

from fhirbridge.errors import Finding, InputError
from fhirbridge.records.columns import Table, Values
from fhirbridge.records.csvfile import open_csv
from fhirbridge.records.headers import fold
from fhirbridge.records.refusals import Place, Problem, explain, findings
from fhirbridge.records.sheets import Row, Sheet
from fhirbridge.records.types import Sex
from fhirbridge.records.workbook import open_sheet, open_workbook

NAME = "enrolment log"
_SEXES = {"m": "male", "f": "female", "男": "male", "女": "female"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """One row: a subject's number at the hospital, and what confirms the person. Repr shows nothing of it."""

    line: int
    subject: str = field(repr=False)
    system: str = field(repr=False)
    identifier: str = field(repr=False)
    birth_date: str | None = field(repr=False)
    """``1970-05-03``, or as much of it as is known: ``1970-05``, ``1970``."""
    sex: Sex | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Log:
    """What was read: the file, remarks about its header, and for each row what it says or why it is refused."""

    file: str
    notes: tuple[str, ...]
    rows: tuple[Enrolled | list[Finding], ...]


def read(path: Path, *, system: str | None) -> Log:
    """Read an enrolment log; ``system`` is that of hospital numbers whose row names none.

    Raises InputError for a file that cannot be used as a whole: it is not there, no table, lacks a column.
    """
    table = _table()
    with _opened(path, table) as sheet:
        rows = tuple(_row(row, sheet, table, system) for row, _ in sheet.rows)
        return Log(sheet.file, sheet.header.notes, rows)


def refused(file: str, line: int, problem: Problem) -> Finding:
    """Return why a row is refused."""
    return findings(_table(), {}, {}, [problem], Place(file, line), {})[0]


def _table() -> Table:
    text = (files("fhirbridge.records") / "schemas" / "enrolment_log.json").read_text(encoding="utf-8")
    return Table(NAME, ("line",), json.loads(text))  # no column is the key: a row is named by its line alone


def _opened(path: Path, table: Table) -> AbstractContextManager[Sheet]:
    if path.is_dir():
        raise InputError(f"{path} is a folder. Give the enrolment log itself: a CSV file or an Excel workbook (.xlsx).")
    return _only_sheet(path, table) if path.suffix.lower() in (".xlsx", ".xlsm") else open_csv(path, table)


@contextmanager
def _only_sheet(path: Path, table: Table) -> Iterator[Sheet]:
    with open_workbook(path) as book:
        named = [title for title in book.sheetnames if fold(title).replace("_", " ") == NAME]
        chosen = book.sheetnames if len(book.sheetnames) == 1 else named
        if len(chosen) != 1:
            raise InputError(f"{path.name} has several sheets, and not one of them is named {NAME!r}. Name it so.")
        with open_sheet(book, chosen[0], f"{path.name}:{chosen[0]}", table) as sheet:
            yield sheet


def _row(row: Row, sheet: Sheet, table: Table, system: str | None) -> Enrolled | list[Finding]:
    at, place = sheet.header.at, Place(sheet.file, row.line)
    if row.problem is not None:
        return findings(table, {}, {}, [row.problem], place, at)
    cells = {name: row.cells[number - 1].strip() for name, number in at.items()}
    values: Values = {name: text for name, text in cells.items() if text}
    if "sex" in values:
        values["sex"] = _SEXES.get(values["sex"].casefold(), values["sex"].casefold())
    problems = [*explain(table, values, table.errors(values)), *_further(values, system)]
    if problems:
        return findings(table, {}, {}, problems, place, at)
    return Enrolled(
        line=row.line,
        subject=values["subject"],
        system=values.get("system") or str(system),
        identifier=values["identifier"],
        birth_date=values.get("birth_date"),
        sex=cast("Sex | None", values.get("sex")),
    )


def _further(values: Values, system: str | None) -> Iterator[Problem]:
    """Yield what a schema cannot say."""
    if "system" not in values and system is None:
        yield Problem(
            "required",
            "system",
            "the row names no system of the hospital number, and there is no default",
            "Give the column system, --system URI, or the setting linking_system.",
        )
    if "birth_date" not in values and values.get("sex") in (None, "unknown"):
        yield Problem(
            "unconfirmed",
            "birth_date",
            "neither birth date nor sex is given, so that nobody could confirm the hospital's Patient",
            "Give the birth date, the sex, or both.",
        )
    if len(day := values.get("birth_date", "")) == 10 and not _exists(day):
        yield Problem("format", "birth_date", "birth_date is not a date that exists", "Write YYYY-MM-DD.")


def _exists(day: str) -> bool:
    try:
        dt.date.fromisoformat(day)
    except ValueError:
        return day.count("-") != 2  # what is no date at all was refused by the schema
    return True
