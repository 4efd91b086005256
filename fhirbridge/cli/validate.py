"""`fhirbridge validate`: any FHIR JSON against the base definitions and the profiles."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, app, working
from fhirbridge.cli.destination import destination
from fhirbridge.cli.verdicts import Verdicts
from fhirbridge.errors import EXIT_REFUSED, EXIT_UNUSABLE
from fhirbridge.validation.accepted import Accepted
from fhirbridge.validation.mustsupport import MustSupport
from fhirbridge.validation.outcome import SEVERITIES
from fhirbridge.validation.parallel import validate_paths
from fhirbridge.validation.report import Asked


class Format(StrEnum):
    """What to write."""

    table = "table"
    json = "json"
    outcome = "outcome"
    junit = "junit"
    sarif = "sarif"


@app.command()
def validate(
    context: typer.Context,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="JSON or NDJSON files, .gz of them, .tgz packages, folders, globs; - is standard input.",
        ),
    ],
    profile: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="Validate against this profile too; may be repeated.")
    ] = None,
    package: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="FHIR package beside the shipped one; wins over the settings' profiles."),
    ] = None,
    accepted: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Findings that are accepted for a time (TOML or JSON).")
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.table,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to this file, when all is done.")
    ] = None,
    warnings: Annotated[bool, typer.Option("--warnings", help="Show warnings in the table too.")] = False,
    errors_only: Annotated[
        bool, typer.Option("--errors-only", help="Do not look for warnings: much faster where most is valid.")
    ] = False,
    group: Annotated[
        bool, typer.Option("--group", help="Table, outcome: one line for the same finding at many places.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Table, outcome: most findings listed (table: 100 if not given).")
    ] = None,
    must_support: Annotated[
        bool,
        typer.Option("--must-support", help="List mustSupport elements that no resource had (table, json, outcome)."),
    ] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, max=256, help="Processes; each takes a second to start.")
    ] = 1,
    outcome: Annotated[bool, typer.Option("--outcome", help="The same as --format outcome.")] = False,
    as_json: AsJson = False,
) -> None:
    """Validate resources against their base type, every --profile, and the known profiles their meta.profile names.

    Bundle entries and contained resources are validated too. Exits 1 where an error was found, 2 where a file could
    not be used at all.
    """
    chosen = _chosen(format_, outcome, as_json)
    with working(context, as_json, profiles=package or None, accepted=accepted) as place:
        listed = place.settings.accepted
        asked = Asked(
            profiles=profile or (),
            accepted=Accepted.load(listed) if listed else Accepted(),
            must_support=MustSupport(place.validator) if must_support else None,
            errors_only=errors_only,
        )
        verdicts = Verdicts(
            chosen,
            SEVERITIES if chosen != Format.table else SEVERITIES[: 3 if warnings else 2],
            group,
            limit or (100 if chosen == Format.table else None),
            asked.must_support,
            notes=lambda: [] if errors_only else [*asked.accepted.notes(), *place.validator.problems],
        )
        quiet = chosen != Format.table and output is None
        with console.progress("validate", quiet=quiet, in_bytes=True) as advance:
            outcomes = validate_paths(place.validator, paths, asked, advance, jobs=jobs)
            with destination(output) as stream:
                verdicts.write(outcomes, stream)
        for note in verdicts.notes():
            console.err.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
        if output is not None:
            console.err.print(f"{verdicts.summary()}: {output}", markup=False, highlight=False, soft_wrap=True)
    if verdicts.counts["unusable"]:
        raise typer.Exit(EXIT_UNUSABLE)
    if verdicts.counts["invalid"]:
        raise typer.Exit(EXIT_REFUSED)


def _chosen(format_: Format, outcome: bool, as_json: bool) -> Format:
    asked = {*([Format.json] if as_json else ()), *([Format.outcome] if outcome else ())}
    if len(asked) > 1 or (asked and format_ not in {Format.table, *asked}):
        raise typer.BadParameter("choose one of --format, --json and --outcome.")
    return asked.pop() if asked else format_
