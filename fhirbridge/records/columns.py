"""The tables of study records and their columns, as the JSON Schemas beside this file define them for a study."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

import jsonschema
import jsonschema_rs

from fhirbridge.study import Study

TABLES = ("subjects", "laboratory", "imaging", "lesions")
"""Tables in reading order: each depends only on those before it, but that an exam waits for its lesions."""

UNKNOWN_NAME = {
    "arms": "unknown-arm",
    "visits": "unknown-visit",
    "analytes": "unknown-analyte",
    "sites": "unknown-site",
}
"""The rule that is broken by a name the study lacks, by the column's ``x-study``."""

Values = dict[str, Any]
"""A row by field name, without its empty cells: text as it stood, integers and booleans as such."""

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _moment(value: object) -> bool:
    """Tell whether text is a date that exists, alone or with a time."""
    if not isinstance(value, str):
        return True
    try:
        dt.datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _date(value: object) -> bool:
    """Tell whether text is a date that exists: 2026-02-30 is none."""
    return not isinstance(value, str) or (len(value) == 10 and _moment(value))


@dataclass(frozen=True)
class Column:
    """One column: its name, its part of the schema, and whether it must be there."""

    name: str
    schema: dict[str, Any]
    required: bool

    @property
    def sensitive(self) -> bool:
        """Whether its values must never be repeated in a report."""
        return bool(self.schema.get("x-sensitive"))


@dataclass(frozen=True)
class Table:
    """One table: ``key`` identifies a row, ``schema`` is JSON Schema 2020-12 with the study's names filled in."""

    name: str
    key: tuple[str, ...]
    schema: dict[str, Any]

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The columns by name, in the order of the schema."""
        required = self.schema["required"]
        return {name: Column(name, part, name in required) for name, part in self.schema["properties"].items()}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The names of the columns; staged cells lie in this order."""
        return tuple(self.columns)

    @cached_property
    def _typed(self) -> tuple[tuple[str, bool], ...]:
        """The columns that are more than text, and whether each is a boolean."""
        typed = {name: part["type"] for name, part in self.schema["properties"].items() if part["type"] != "string"}
        return tuple((name, kind == "boolean") for name, kind in typed.items())

    @cached_property
    def _quick(self) -> jsonschema_rs.Draft202012Validator:
        formats = {"date": _date, "date-or-date-time": _moment}
        return jsonschema_rs.Draft202012Validator(self.schema, formats=formats, validate_formats=True)

    @cached_property
    def _thorough(self) -> jsonschema.Draft202012Validator:
        checker = jsonschema.FormatChecker(formats=())
        checker.checks("date")(_date)
        checker.checks("date-or-date-time")(_moment)
        return jsonschema.Draft202012Validator(self.schema, format_checker=checker)

    def values(self, cells: list[str | None]) -> Values:
        """Return a row's cells, given in the order of the columns, as what the schema is checked against."""
        row: Values = {name: cell for name, cell in zip(self.order, cells, strict=True) if cell is not None}
        for name, boolean in self._typed:
            text = row.get(name)
            if text is None:
                continue
            if boolean:
                row[name] = _BOOLEANS.get(text.lower(), text)
            elif text.lstrip("+-").isascii() and text.lstrip("+-").isdigit() and len(text) <= 18:
                row[name] = int(text)
        return row

    def errors(self, row: Values) -> list[jsonschema.ValidationError]:
        """Return what the schema refuses in a row.

        The compiled validator says yes in microseconds; only a no is taken to the slow one, which can explain it.
        A test holds the two to the same answers.
        """
        return [] if self._quick.is_valid(row) else list(self._thorough.iter_errors(row))

    def label(self, row: Values, line: int) -> str:
        """Return how a report names a row: ``laboratory R-17``, or its line where its key is not all there."""
        key = [row.get(part) for part in self.key]
        return f"{self.name} {'/'.join(map(str, key))}" if all(key) else f"{self.name} line {line}"


def tables(study: Study) -> dict[str, Table]:
    """Return every table by name, each ``x-study`` keyword resolved to an enumeration of the study's names."""
    names = {
        "arms": [arm.name for arm in study.arms],
        "visits": [*(visit.name for visit in study.schedule.visits), study.schedule.unscheduled],
        "analytes": [analyte.name for analyte in study.analytes],
        "sites": [site.name for site in study.sites],
    }
    found = {}
    for name in TABLES:
        schema = json.loads((files("fhirbridge.records") / "schemas" / f"{name}.json").read_text(encoding="utf-8"))
        for part in schema["properties"].values():
            if "x-study" in part:
                part["enum"] = names[part["x-study"]]
        found[name] = Table(name, tuple(schema["x-key"]), schema)
    return found
