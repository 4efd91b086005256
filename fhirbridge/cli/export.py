"""`fhirbridge export`: the study's data as tables for analysts, made by SQL-on-FHIR views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, app, working
from fhirbridge.cli.console import Advance
from fhirbridge.cli.workplace import PROFILES, Workplace
from fhirbridge.errors import Refused, Resource
from fhirbridge.views import exporting, library
from fhirbridge.views.exporting import Written
from fhirbridge.views.view import View

VIEWS = PROFILES / "views"


class Format(StrEnum):
    """What the files are to be."""

    csv = "csv"
    parquet = "parquet"
    ndjson = "ndjson"


@dataclass(frozen=True, slots=True)
class Exported:
    """One export: its tables, and whom it left out."""

    tables: list[Written]
    format: Format
    withdrawn_left_out: int

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        tables = [asdict(table) | {"path": str(table.path)} for table in self.tables]
        return {"format": self.format.value, "withdrawn_left_out": self.withdrawn_left_out, "tables": tables}


@app.command()
def export(
    context: typer.Context,
    format_: Annotated[Format, typer.Option("--format", help="What the files are to be.")] = Format.csv,
    view: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|FILE", help="A shipped view, or a ViewDefinition's file; may be repeated."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the files go; made if need be.")
    ] = Path("export"),
    include_withdrawn: Annotated[
        bool, typer.Option("--include-withdrawn", help="Subjects who withdrew consent too: for the site's own use.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the study's data as tables, one file a view: subjects, laboratory, imaging, lesions, recurrence.

    For use at the site: the data are pseudonymous, but as they are. A file of the same name is replaced, and none
    changes before all are complete, so an export that was cut short is simply made again.

    Example: fhirbridge export --format parquet --view laboratory --view my_view.json
    """
    with working(context, as_json) as place:
        exported = run_export(place, format_, view or (), output, include_withdrawn=include_withdrawn, quiet=as_json)
        if as_json:
            console.emit({"study": place.study.id, **exported.as_dict()})
        else:
            _show(place, exported)


def run_export(
    place: Workplace,
    format_: Format,
    wanted: Sequence[str],
    folder: Path,
    *,
    include_withdrawn: bool = False,
    quiet: bool = False,
) -> Exported:
    """Export the study's data, and keep a note of the run. Raises ViewError, InputError, Refused."""
    store, study = place.bound_store, place.study.id
    views = library.chosen(wanted, VIEWS, place.validator.model)
    with place.run("export") as run, console.progress("export", quiet=quiet) as advance:
        withdrawn = set() if include_withdrawn else store.withdrawn(study)

        def still_consented() -> None:
            if not include_withdrawn and store.withdrawn(study) - withdrawn:
                raise Refused("a subject withdrew consent while this was written, so nothing was. Export again.")

        resources = _resources(place, views, withdrawn, advance)
        tables = exporting.export(resources, views, folder, format_.value, ready=still_consented)
        run.end("done", {"rows": {table.view: table.rows for table in tables}, "withdrawn_left_out": len(withdrawn)})
    return Exported(tables, format_, len(withdrawn))


def _resources(place: Workplace, views: Sequence[View], withdrawn: set[str], advance: Advance) -> Iterator[Resource]:
    """Yield what the views are about, but nothing of those who withdrew."""
    types = sorted({view.resource for view in views})
    counts = place.store.counts(place.study.id)
    total = sum(counts.get(kind, 0) for kind in types)
    for done, stored in enumerate(place.store.iterate(place.study.id, types=types), 1):
        if stored.compartment not in withdrawn:
            yield stored.resource()
        if done % 200 == 0:
            advance(done, total)
    advance(total, total)


def _show(place: Workplace, exported: Exported) -> None:
    rows: list[tuple[Any, ...]] = [
        (table.view, table.resources, table.rows, table.bytes, table.path.name) for table in exported.tables
    ]
    total = ("all", *(sum(row[n] for row in rows) for n in (1, 2, 3)), "")
    folder = exported.tables[0].path.parent
    console.table(
        f"{place.study.id}: exported to {folder}", "view", "resources", "rows", "bytes", "file", rows=rows, total=total
    )
    if exported.withdrawn_left_out:
        left_out = console.many(exported.withdrawn_left_out, "subject")
        console.say(
            f"Left out, as consent is withdrawn: {left_out}. --include-withdrawn has them, for the site's own use."
        )
