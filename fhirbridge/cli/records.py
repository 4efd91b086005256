"""Commands of the data manager: the data dictionary, loading records, what was refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, app, working
from fhirbridge.cli.loading import load_records
from fhirbridge.errors import EXIT_REFUSED, EXIT_UNUSABLE
from fhirbridge.records.dictionary import dictionary as dictionary_of

SHOWN = 20
"""Findings a command prints before it points to `fhirbridge quarantine`."""


@app.command()
def dictionary(context: typer.Context) -> None:
    """Print the data dictionary of the study's tables as Markdown: every column, its type and its rules."""
    with working(context) as place:
        sys.stdout.write(dictionary_of(place.study))


@app.command()
def ingest(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="A folder of CSV files, or one Excel workbook (.xlsx).")],
    move: Annotated[
        list[str] | None, typer.Option(metavar="SUBJECT", help="Accept that this subject's arm changed; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Load study records: read, map to FHIR, validate, store.

    A bad row is set aside with its file, line, column, value, rule and remedy, and the rest goes on; loading the
    same file twice changes nothing. The columns are those of `fhirbridge dictionary`.
    """
    with working(context, as_json) as place:
        loaded = load_records(place, source, today=place.today, moved=move or (), quiet=as_json)
        if as_json:
            console.emit(loaded.as_dict())
        else:
            _show(loaded.as_dict())
            console.findings(place.store.findings(loaded.run), limit=SHOWN)
        for why in loaded.unusable:
            console.err.print(f"error: {why}", highlight=False, markup=False, soft_wrap=True)
        if loaded.unusable:
            raise typer.Exit(EXIT_UNUSABLE)
        if loaded.refused:
            raise typer.Exit(EXIT_REFUSED)


def _show(report: dict[str, Any]) -> None:
    columns = ("rows", "accepted", "duplicate", "refused", "held")
    tables = [(table["table"], *(table[name] for name in columns)) for table in report["tables"]]
    console.table("Rows", "table", *columns, rows=tables, total=console.sums("all", tables))
    for table in report["tables"]:
        for note in table["notes"]:
            console.err.print(f"{table['table']}: {note}", highlight=False)
    fates = ("created", "updated", "unchanged")
    types = [(name, *(counts.get(fate, 0) for fate in fates)) for name, counts in report["ingested"]["by_type"].items()]
    console.table("Resources", "type", *fates, rows=types, total=console.sums("all", types))


@app.command()
def quarantine(
    context: typer.Context,
    run: Annotated[str | None, typer.Option(help="A run's id; without it the last one that loaded records.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what the last loading refused, and why: the data manager's worklist. Exits 1 while it is not empty."""
    with working(context, as_json) as place:
        last = None if run else place.store.last_run("ingest")
        chosen = run or (last.id if last else None)
        found = list(place.store.findings(chosen)) if chosen else []
        if as_json:
            console.emit({"run": chosen, "findings": [console.as_dict(finding) for finding in found]})
        else:
            console.findings(found)
        if found:
            raise typer.Exit(EXIT_REFUSED)
