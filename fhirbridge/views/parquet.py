"""Writes rows as Parquet, with pyarrow, which the extra `parquet` installs.

Decimals are decimal128(38, 15): exact, where a float would not be, and numbers to every reader. Zeros that end a number
(5.50) are not kept; CSV and NDJSON keep them. Dates stay texts, for FHIR's may lack their day, month or hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any

from fhirbridge import fhirjson
from fhirbridge.errors import ConfigurationError
from fhirbridge.views.columns import Field, Value
from fhirbridge.views.faults import ViewError

if TYPE_CHECKING:
    from fhirbridge.views.view import Row

DIGITS, PLACES = 38, 15
"""Digits of a decimal, and how many of them stand behind the point."""
_BATCH = 10_000


class ParquetTable:
    """A row group every 10,000 rows, so that memory stays flat. Raises ConfigurationError without pyarrow."""

    def __init__(self, view: str, fields: Sequence[Field], stream: IO[bytes]) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise ConfigurationError(
                "Parquet needs pyarrow, which is not installed here: pip install 'fhirbridge[parquet]', "
                "or choose csv or ndjson."
            ) from None
        self._arrow: Any = pyarrow
        self._view, self._fields = view, fields
        self._schema = pyarrow.schema([self._field(field) for field in fields])
        self._writer = pyarrow.parquet.ParquetWriter(stream, self._schema)
        self._waiting: list[Row] = []

    def write(self, row: Row) -> None:
        self._waiting.append(row)
        if len(self._waiting) == _BATCH:
            self._write()

    def close(self) -> None:
        if self._waiting:
            self._write()
        self._writer.close()

    def drop(self) -> None:
        """Close the writer while its stream is still open: it would do so when it is collected."""
        self._writer.close()

    def _write(self) -> None:
        columns = [
            self._column(field, [_worth(row[number], field) for row in self._waiting])
            for number, field in enumerate(self._fields)
        ]
        self._writer.write_table(self._arrow.table(columns, schema=self._schema))
        self._waiting.clear()

    def _column(self, field: Field, values: list[Value]) -> Any:
        try:
            return self._arrow.array(values, type=self._schema.field(field.name).type)
        except (self._arrow.ArrowException, OverflowError) as error:
            raise ViewError(
                self._view,
                f"column {field.name}",
                "value-type",
                f"a value does not fit into Parquet's {self._schema.field(field.name).type}. Round it in the view, or "
                "choose csv or ndjson, which keep every digit",
            ) from error

    def _field(self, field: Field) -> Any:
        arrow = self._arrow
        made = {"boolean": arrow.bool_(), "integer": arrow.int64(), "decimal": arrow.decimal128(DIGITS, PLACES)}
        kind = made.get(field.family, arrow.string())
        about = {"description": field.description} if field.description else None
        return arrow.field(field.name, arrow.list_(kind) if field.collection else kind, metadata=about)


def _worth(value: Value, field: Field) -> Value:
    """Return a value as its column takes it: decimals as Decimal, what is no text as JSON."""
    if isinstance(value, list) and field.collection:
        return [_worth(one, field) for one in value]
    if value is None or field.family in ("boolean", "integer", "text"):
        return value
    if field.family == "decimal":
        return Decimal(value)
    return value if isinstance(value, str) else fhirjson.dumps(value).decode()
