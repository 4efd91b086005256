"""The data dictionary: every table and column of the study's records as Markdown, from the schemas that check them."""

from __future__ import annotations

from typing import Any

from fhirbridge.records.columns import Column, Table, tables
from fhirbridge.study import Study


def dictionary(study: Study) -> str:
    """Return the data dictionary of a study's tables: one heading and one Markdown table for each."""
    parts = [f"# Data dictionary of {study.title}", *(_table(table) for table in tables(study).values())]
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    rows = [
        f"## {table.name}",
        f"{table.schema['description']} Key: {', '.join(f'`{name}`' for name in table.key)}.\n",
        "| column | what it holds | must be given | written as |",
        "| --- | --- | --- | --- |",
        *(_column(column) for column in table.columns.values()),
    ]
    return "\n".join(rows)


def _column(column: Column) -> str:
    note = " Never repeated in reports." if column.sensitive else ""
    told = f"**{column.schema['title']}.** {column.schema['description']}{note}"
    cells = (f"`{column.name}`", told, "yes" if column.required else "no", written(column.schema))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def written(schema: dict[str, Any]) -> str:
    """Return how a column's values are written, in words and examples."""
    if "enum" in schema:
        shown = ", ".join(f"`{value}`" for value in schema["enum"])
        return shown + (f"; empty means `{schema['default']}`" if "default" in schema else "")
    examples = ", ".join(f"`{_shown(value)}`" for value in schema["examples"])
    if schema["type"] == "boolean":
        default = f"; empty means `{_shown(schema['default'])}`" if "default" in schema else ""
        return f"`true` or `false` (also `yes`, `no`, `1`, `0`){default}"
    if schema["type"] == "integer":
        return f"whole number from {schema['minimum']} to {schema['maximum']}: {examples}"
    if schema.get("format") == "date":
        return f"date: {examples}"
    if schema.get("format") == "date-or-date-time":
        return f"date, or date and time: {examples}"
    return f"text: {examples}"


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
