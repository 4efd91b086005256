"""`fhirbridge validate`: any FHIR JSON against the base definitions and the profiles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, app, working
from fhirbridge.errors import EXIT_REFUSED, EXIT_UNUSABLE
from fhirbridge.validation.report import FileOutcome, table, validate_paths

_SEVERITIES = ("fatal", "error", "warning", "information")


@app.command()
def validate(
    context: typer.Context,
    paths: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="JSON or NDJSON files, folders, globs; - is standard input.")
    ],
    profile: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="Validate against this profile too; may be repeated.")
    ] = None,
    warnings: Annotated[bool, typer.Option("--warnings", help="Show warnings in the table too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Most rows of the table.")] = 100,
    outcome: Annotated[bool, typer.Option("--outcome", help="Print one OperationOutcome with every issue.")] = False,
    as_json: AsJson = False,
) -> None:
    """Validate resources against their base type, every --profile, and the known profiles their meta.profile names.

    Bundle entries and contained resources are validated too. Exits 1 where an error was found, 2 where a file could
    not be used at all.
    """
    with working(context, as_json) as place:
        counts = {"resources": 0, "valid": 0, "invalid": 0, "unusable": 0, "warnings": 0}
        severities = _SEVERITIES if as_json or outcome else _SEVERITIES[: 3 if warnings else 2]
        kept: list[FileOutcome] = []
        with console.progress("validate", quiet=as_json or outcome) as advance:
            for one in validate_paths(place.validator, paths, profile or ()):
                counts["resources"] += 1
                counts["unusable" if one.error else "valid" if one.is_valid else "invalid"] += 1
                issues = one.outcome.get("issue", [])
                counts["warnings"] += sum(issue["severity"] == "warning" for issue in issues)
                shown = [issue for issue in issues if issue["severity"] in severities]
                if one.error or shown:
                    kept.append(replace(one, outcome={**one.outcome, "issue": shown}))
                advance(counts["resources"], None)
        if outcome:
            console.emit({"resourceType": "OperationOutcome", "issue": _issues(kept)})
        elif as_json:
            console.emit({**counts, "outcomes": [_as_dict(one) for one in kept]})
        else:
            if kept:
                console.out.print(table(kept, limit))
            console.table("Validated", *counts, rows=[tuple(counts.values())])
        if counts["unusable"]:
            raise typer.Exit(EXIT_UNUSABLE)
        if counts["invalid"]:
            raise typer.Exit(EXIT_REFUSED)


def _unusable(one: FileOutcome) -> dict[str, Any]:
    return {"severity": "fatal", "code": "structure", "details": {"text": str(one.error)}}


def _issues(outcomes: list[FileOutcome]) -> list[dict[str, Any]]:
    """Return every issue, the severe ones first, each saying in ``diagnostics`` where its resource stands."""
    found = [
        {**issue, "diagnostics": " ".join([one.place, issue.get("diagnostics", "")]).strip()}
        for one in outcomes
        for issue in ([_unusable(one)] if one.error else one.outcome["issue"])
    ]
    return sorted(found, key=lambda issue: _SEVERITIES.index(issue["severity"]))


def _as_dict(one: FileOutcome) -> dict[str, Any]:
    outcome = {"resourceType": "OperationOutcome", "issue": [_unusable(one)]} if one.error else one.outcome
    place: dict[str, Any] = {"file": one.file if one.file == "-" else Path(one.file).as_posix(), "line": one.line}
    return {**place, "resource": one.label, "valid": one.is_valid, "outcome": outcome}
