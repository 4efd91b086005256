"""One sheet of an Excel workbook as rows of cells: typed cells become the text a CSV file would hold."""

from __future__ import annotations

import datetime as dt
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import ParseError

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from fhirbridge.errors import InputError
from fhirbridge.records.columns import Table
from fhirbridge.records.headers import match
from fhirbridge.records.refusals import Problem
from fhirbridge.records.sheets import Row, Sheet, ragged

_FORMULA = Problem(
    "formula",
    None,
    "the row holds a formula or an error such as #N/A",
    "Copy the column and paste it as values, then mend what is in error.",
)


@contextmanager
def open_workbook(path: Path) -> Iterator[Any]:
    """Open a workbook for streaming. Raises InputError where it is none; closes it at the end."""
    try:
        with path.open("rb") as file:
            yield _book(path, file)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Check the path and its permissions.") from error


def _book(path: Path, file: IO[bytes]) -> Any:
    try:
        # Formulas are read as such, to be refused: their cached results may be missing or out of date.
        return openpyxl.load_workbook(file, read_only=True, data_only=False)
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, ParseError) as error:
        raise InputError(
            f"{path.name} is not an Excel workbook that can be read ({error}). Save it as .xlsx without a password."
        ) from error


@contextmanager
def open_sheet(book: Any, title: str, file: str, table: Table) -> Iterator[Sheet]:
    """Open one sheet of a table. Raises InputError where it cannot be used as a whole."""
    sheet = book[title]
    sheet.reset_dimensions()  # the size that a workbook claims for its sheets is often wrong
    with closing(sheet.iter_rows()) as cells:
        rows = enumerate(cells, 1)
        header = match(_names(rows, file), table, file)
        yield Sheet(file, header, _rows(rows, header.width))


def _names(rows: Iterator[tuple[int, Any]], file: str) -> list[str]:
    """Return the first row that is not empty, without the empty cells at its end."""
    for _, cells in rows:
        names = [_text(cell) or "" for cell in cells]
        while names and not names[-1]:
            names.pop()
        if names:
            return names
    raise InputError(f"{file} is empty: it has not even a header. Give the header, or leave the sheet out.")


def _rows(rows: Iterator[tuple[int, Any]], width: int) -> Iterator[tuple[Row, int]]:
    """Yield the rows below the header; empty rows are none, and cells that are missing at the end are empty."""
    for number, cells in rows:
        texts = [_text(cell) for cell in cells]
        while texts and texts[-1] == "":
            texts.pop()
        if not texts:
            continue
        problem = _FORMULA if None in texts else ragged(len(texts), width) if len(texts) > width else None
        row = [text or "" for text in texts]
        yield Row(number, row + [""] * (width - len(row)), problem), 0


def _text(cell: Any) -> str | None:
    """Return a cell's text, None for a formula or an error.

    A numeric cell has lost its trailing zeros to Excel: 5.50 must be a text cell to stay 5.50.
    """
    value = cell.value
    if value is None:
        return ""
    if cell.data_type in ("f", "e"):
        return None
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, dt.datetime):
        # Excel knows no dates, only times: midnight is taken as the day.
        midnight = value.time() == dt.time()
        return value.date().isoformat() if midnight else value.isoformat(timespec="seconds")
    return str(value)
