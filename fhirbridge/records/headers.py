"""A table's header line matched to its columns: order free, case free, unknown names reported with the nearest one."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from fhirbridge.errors import InputError
from fhirbridge.records.columns import Table


@dataclass(frozen=True, slots=True)
class Header:
    """What a header line says: ``width`` in cells, ``at`` the number of each known column from 1."""

    width: int
    at: dict[str, int]
    unknown: tuple[str, ...]
    notes: tuple[str, ...]
    """What a person should know about the unknown columns, one sentence each."""


def fold(name: str) -> str:
    """Return a column, file or sheet name as it is compared."""
    return name.strip().casefold()


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the known name most like this one, None where none is alike."""
    return next(iter(difflib.get_close_matches(fold(name)[:64], known, n=1, cutoff=0.6)), None)


def match(cells: Sequence[str], table: Table, file: str) -> Header:
    """Match a header line. Raises InputError for a name given twice and for a required column that is missing."""
    at: dict[str, int] = {}
    unknown: list[str] = []
    for number, cell in enumerate(cells, 1):
        name = fold(cell)
        if name not in table.columns:
            unknown.append(cell.strip())
        elif name in at:
            raise InputError(
                f"{file}: column {name!r} stands twice in the header (columns {at[name]} and {number}). Remove one."
            )
        else:
            at[name] = number
    missing = [name for name, column in table.columns.items() if column.required and name not in at]
    if missing:
        raise InputError(f"{file}: {_missing(missing[0], unknown)} Nothing was read from it.")
    free = [name for name in table.columns if name not in at]
    return Header(len(cells), at, tuple(unknown), tuple(_unknown(name, cells, free) for name in unknown))


def _missing(name: str, unknown: Sequence[str]) -> str:
    folded = {fold(found): found for found in unknown if found}
    near = nearest(name, list(folded))
    hint = f"rename {folded[near]!r} to {name!r} if that is it." if near else f"add {name!r} to the header."
    return f"the required column {name!r} is missing; {hint}"


def _unknown(name: str, cells: Sequence[str], free: Sequence[str]) -> str:
    if not name:
        return f"column {[cell.strip() for cell in cells].index('') + 1} has no name and is not read."
    near = nearest(name, free)
    return f"column {name!r} is unknown and is not read{f'; did you mean {near!r}?' if near else '.'}"
