"""How a row's problems become findings: who, where, what stood there (unless it is sensitive), and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema

from fhirbridge.errors import Finding
from fhirbridge.records.columns import UNKNOWN_NAME, Table, Values

_LONGEST_QUOTE = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one row: ``rule`` is a stable key, ``field`` the column at fault where there is one."""

    rule: str
    field: str | None
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands: a file (``book.xlsx:laboratory`` for a sheet) and a line, the header's being 1."""

    file: str
    line: int


def findings(
    table: Table, row: Values, cells: dict[str, str], problems: Iterable[Problem], place: Place, at: dict[str, int]
) -> list[Finding]:
    """Return a row's problems as findings; ``cells`` hold its text, ``at`` the number of each column from 1."""
    label = table.label(row, place.line)
    return [
        Finding(
            record=label,
            rule=problem.rule,
            message=problem.message,
            remedy=problem.remedy,
            field=problem.field,
            value=quoted(table, problem.field, cells),
            file=place.file,
            line=place.line,
            column=at.get(problem.field) if problem.field else None,
        )
        for problem in problems
    ]


def quoted(table: Table, field: str | None, cells: dict[str, str]) -> str | None:
    """Return what a field holds as a report may repeat it: shortened, and None where it is sensitive."""
    column = table.columns.get(field) if field else None
    text = cells.get(field) if field else None
    if text is None or column is None or column.sensitive:
        return None
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…"


def explain(table: Table, row: Values, errors: Sequence[jsonschema.ValidationError]) -> list[Problem]:
    """Return what the schema refused in plain words: at most one problem for each field, none quoting a value."""
    missing = [name for name, column in table.columns.items() if column.required and name not in row]
    problems = [Problem("required", name, f"{name} is empty", _fill(table, name)) for name in missing]
    # A date such as 2026-02-30 fails its format only, 30.2.2026 format and pattern; the first says it best.
    seen: set[str] = set()
    for error in sorted(errors, key=lambda error: error.validator == "pattern"):
        if not error.absolute_path:
            continue
        name = str(error.absolute_path[0])
        if name not in seen:
            seen.add(name)
            problems.append(_problem(name, table.columns[name].schema, str(error.validator), row[name]))
    return problems


def _fill(table: Table, name: str) -> str:
    schema = table.columns[name].schema
    return f"Give {schema['title'][0].lower() + schema['title'][1:]}: {_how(schema)}."


def _problem(name: str, schema: dict[str, Any], keyword: str, value: object) -> Problem:
    how = _how(schema)
    if keyword == "enum":
        rule = UNKNOWN_NAME.get(schema.get("x-study", ""), "enum")
        what = f"is none of the study's {schema['x-study']}" if "x-study" in schema else "is not in the list"
        return Problem(rule, name, f"{name} {what}", f"Use {how}{_nearest(str(value), schema['enum'])}.")
    if keyword in ("minimum", "maximum"):
        limits = f"from {schema['minimum']} to {schema['maximum']}"
        return Problem("range", name, f"{name} is out of range", f"Give a whole number {limits}.")
    if keyword == "maxLength":
        return Problem("length", name, f"{name} is longer than {schema['maxLength']} characters", "Shorten it.")
    if keyword == "type":
        kind = "a whole number" if schema["type"] == "integer" else "true or false"
        return Problem("type", name, f"{name} is not {kind}", f"Give {how}.")
    if "format" in schema:
        return Problem("format", name, f"{name} is not a date that exists, from 1900 to 2099", f"Write {how}.")
    return Problem("pattern", name, f"{name} has characters that do not belong there", f"Write it as in {how}.")


def _how(schema: dict[str, Any]) -> str:
    """Return how a value is written, to stand after "Use", "Give" or "Write"."""
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    if schema["type"] == "boolean":
        return "true or false"
    kind = {"date": "YYYY-MM-DD", "date-or-date-time": "YYYY-MM-DD or YYYY-MM-DDThh:mm"}.get(schema.get("format", ""))
    example = f"for example {schema['examples'][0]}"
    return f"{kind}, {example}" if kind else example


def _nearest(value: str, known: Sequence[str]) -> str:
    folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(value.casefold()[:64], folded, n=1, cutoff=0.6)
    return f" (did you mean {folded[near[0]]!r}?)" if near else ""
