"""What every source hands on: a table's header, and its rows as cells with the line they stand on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from fhirbridge.records.headers import Header
from fhirbridge.records.refusals import Problem


class Row(NamedTuple):
    """One row as it stands: its line, its cells in the file's order, and why it cannot be read where it cannot."""

    line: int
    cells: list[str]
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """One open table: what its file and header say, and its rows, each with the bytes of the source done by then."""

    file: str
    header: Header
    rows: Iterator[tuple[Row, int]]
    encoding: str | None = None
    delimiter: str | None = None


def ragged(found: int, width: int) -> Problem:
    """Return the problem of a row that has more or fewer cells than the header."""
    return Problem(
        "cells",
        None,
        f"the row has {found} cells, the header {width}",
        "Give one cell for each column; put text that holds the delimiter into double quotes.",
    )
