"""Writes rows as CSV, NDJSON, a JSON list or Parquet, to anything that takes bytes; nothing is kept but a batch."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from decimal import Decimal
from typing import IO, Literal, Protocol

from fhirbridge import fhirjson
from fhirbridge.views.columns import Field, Value
from fhirbridge.views.parquet import ParquetTable
from fhirbridge.views.view import Row, View

Format = Literal["csv", "json", "ndjson", "parquet"]

MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a text may begin with to be taken for a formula by a spreadsheet (OWASP, CSV injection)."""


class Table(Protocol):
    """Takes the rows of one view, in order; the stream stays open.

    ``close`` writes what is left; ``drop`` comes last in any case, and lets go of what a table that failed still holds.
    """

    def write(self, row: Row) -> None: ...

    def close(self) -> None: ...

    def drop(self) -> None: ...


def opened(view: View, format_: Format, stream: IO[bytes]) -> Table:
    """Begin a table in a stream. Raises ConfigurationError where Parquet is wanted and pyarrow is not there."""
    match format_:
        case "csv":
            return CsvTable(view.fields, stream)
        case "parquet":
            return ParquetTable(view.name, view.fields, stream)
        case _:
            return JsonTable(view.fields, stream, lines=format_ == "ndjson")


class _Encoded:
    """What the csv module writes to: text that goes on as UTF-8."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(text.encode())


class CsvTable:
    """CSV as RFC 4180 has it: UTF-8 without a mark, CRLF, a header; nothing at all for what is absent."""

    def __init__(self, fields: Sequence[Field], stream: IO[bytes]) -> None:
        self._writer = csv.writer(_Encoded(stream), lineterminator="\r\n")
        self._writer.writerow([field.name for field in fields])

    def write(self, row: Row) -> None:
        self._writer.writerow([cell(value) for value in row])

    def close(self) -> None:
        """Write nothing: every row is out already."""

    def drop(self) -> None:
        """Hold nothing."""


def cell(value: Value) -> str:
    """Return a value as a cell of CSV: numbers with their digits, a text that could be a formula made harmless."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | Decimal():
            return str(value)
        case str():
            return harmless(value)
        case _:
            return fhirjson.dumps(value).decode()


def harmless(text: str) -> str:
    """Return a text with an apostrophe before it where it could be a formula, or begins with one itself.

    So whoever reads it back takes one apostrophe off any cell that begins with one.
    """
    return f"'{text}" if text.startswith((*FORMULA, "'")) else text


class JsonTable:
    """One JSON object a row with every column in it, null for what is absent: in lines, or in a list."""

    def __init__(self, fields: Sequence[Field], stream: IO[bytes], *, lines: bool) -> None:
        self._names = [field.name for field in fields]
        self._stream, self._lines = stream, lines
        self._before = b"" if lines else b"["

    def write(self, row: Row) -> None:
        written = fhirjson.dumps(dict(zip(self._names, row, strict=True)))
        self._stream.write(written + b"\n" if self._lines else self._before + written)
        self._before = b",\n"

    def close(self) -> None:
        if not self._lines:
            self._stream.write(b"[]\n" if self._before == b"[" else b"]\n")

    def drop(self) -> None:
        """Hold nothing."""
