"""`fhirbridge laboratories`: what laboratories' codes mean to the study, and which ones no file names yet."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fhirbridge import fhirjson
from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, app, working
from fhirbridge.cli.decisions import LISTED, Limit, say_rest
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import EXIT_REFUSED, InputError
from fhirbridge.sync.pull.incoming import read_back
from fhirbridge.sync.pull.meaning import mean
from fhirbridge.terminology.concept_maps import concept_map
from fhirbridge.terminology.harmonising import Harmonised, Reported
from fhirbridge.terminology.laboratories import ANY
from fhirbridge.terminology.worklist import worklist

PAGE = 500

laboratories = typer.Typer(help="What laboratories' codes mean, and which are not mapped yet.", no_args_is_help=True)
app.add_typer(laboratories, name="laboratories")


@laboratories.command("list")
def list_laboratories(context: typer.Context, as_json: AsJson = False) -> None:
    """List the laboratories that files name, with how many codes and analytes of the study each has."""
    with working(context, as_json) as place:
        known = place.laboratories
        shown = []
        for name in (*known.names(), ANY):
            rows = [row for row in known.rows if row.laboratory == name]
            codes = {(row.system, row.code) for row in rows}
            analytes = sorted({row.analyte for row in rows if row.analyte})
            files = Counter(row.source.split(":")[0] for row in rows)
            shown.append((name, len(rows), len(codes), ", ".join(analytes), ", ".join(files)))
        if as_json:
            names = ("laboratory", "rows", "codes", "analytes", "files")
            console.emit({"laboratories": [dict(zip(names, row, strict=True)) for row in shown]})
            return
        console.table("Laboratories", "laboratory", "rows", "codes", "analytes", "file", rows=shown)
        console.say("Next: fhirbridge laboratories worklist")


@laboratories.command("worklist")
def show_worklist(context: typer.Context, limit: Limit = LISTED, as_json: AsJson = False) -> None:
    """List the codes and units that no row names yet, with how often each came. Exits 1 while there are any.

    Write a row for each into the laboratory's CSV file (docs/harmonisation.md): the next pull maps what has come
    already. A test that the study does not collect gets a row without an analyte.
    """
    with working(context, as_json) as place:
        found = worklist(_unmapped(place))
        if as_json:
            console.emit({"worklist": [asdict(gap) | asdict(work) for gap, work in found.items()]})
        elif found:
            rows = [
                (gap.laboratory or "(none named)", gap.wanting, gap.code, gap.label, gap.unit, work.count,
                 "; ".join(work.examples))
                for gap, work in list(found.items())[:limit]
            ]  # fmt: skip
            console.table(
                "Not mapped yet", "laboratory", "wanting", "code", "label", "unit", "results", "examples", rows=rows
            )
            say_rest(len(found) - limit)
        else:
            console.say("Every code that came is mapped.")
        if found:
            raise typer.Exit(EXIT_REFUSED)


@laboratories.command("conceptmap")
def write_concept_map(
    context: typer.Context,
    laboratory: Annotated[str, typer.Argument(metavar="NAME", help="As `laboratories list` shows it.")],
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Else it is printed.")] = None,
    day: Annotated[
        dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The rows that hold on this day; else today.")
    ] = None,
) -> None:
    """Write a laboratory's codes as a FHIR R4 ConceptMap.

    Example: fhirbridge laboratories conceptmap "North Hospital" --output north-hospital.json
    """
    with working(context, as_json=output is None) as place:
        if laboratory not in place.laboratories.names():
            known = ", ".join(place.laboratories.names())
            raise InputError(f"no file names a laboratory {laboratory!r}. There are: {known}.")
        chosen = day.date() if day else place.today
        resource = concept_map(place.laboratories, laboratory, chosen)
        if output is None:
            console.emit(resource)
            return
        output.write_bytes(fhirjson.dumps(resource) + b"\n")
        console.say(f"{output}: {console.many(len(resource.get('group', [])), 'group')} of codes.")


def _unmapped(place: Workplace) -> Iterator[tuple[Reported, Harmonised]]:
    """Yield what waits for a row, read by the rows of today."""
    door, study = place.bound_store.candidates, place.pulled_study
    after = None
    while page := door.page(study.id, ("unmapped",), after=after, limit=PAGE):
        for candidate in page:
            known = door.get(candidate.key)
            if known is not None:
                meaning = mean(read_back(known[1].body), place.laboratories, study)
                yield meaning.reported, meaning.harmonised
        after = page[-1].changed, page[-1].key
