"""Commands about studies: what the study file says, and registry records as FHIR."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from fhirbridge import fhirjson
from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, app, working
from fhirbridge.cli.importing import Imported, import_records, into_file, into_store
from fhirbridge.cli.workplace import Run
from fhirbridge.errors import EXIT_REFUSED, Finding

study = typer.Typer(no_args_is_help=True, help="Studies: the study file, and records of trial registries.")
app.add_typer(study, name="study")

FEW = 10
"""Up to so many records, each one's report is printed; beyond, only the totals (and --report FILE for the rest)."""


@study.command("show")
def show(context: typer.Context) -> None:
    """Print the study of the settings: identifiers, arms, visits with their windows, analytes with their limits."""
    with working(context) as place:
        trial = place.study
        console.out.print(f"{trial.title}\n{', '.join(one.value for one in trial.identifiers)}", highlight=False)
        console.table("Arms", "name", "title", rows=[(arm.name, arm.title) for arm in trial.arms])
        days = trial.schedule
        visits = [
            (
                visit.name,
                visit.week,
                -(days.before_days if visit.before_days is None else visit.before_days),
                days.after_days if visit.after_days is None else visit.after_days,
            )
            for visit in days.visits
        ]
        console.table(f"Visits ({days.time_zone})", "name", "week", "from day", "to day", rows=visits)
        analytes = [
            (one.name, one.loinc, one.unit or "", assay.name, str(assay.lloq), f"{assay.uloq:f}" if assay.uloq else "")
            for one in trial.analytes
            for assay in one.assays
        ]
        console.table("Analytes", "name", "LOINC", "unit", "assay", "LLOQ", "ULOQ", rows=analytes)


@study.command("import")
def import_(
    context: typer.Context,
    sources: Annotated[
        list[Path], typer.Argument(help="Records of ClinicalTrials.gov API v2: JSON, NDJSON, .gz of these, folders.")
    ],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the resources there as NDJSON instead of storing them.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write each record's report there as NDJSON.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn registry records into ResearchStudy resources with their organisations, sites, people and eligibility.

    Nothing is lost silently: what FHIR R4 cannot hold is in published extensions, or listed in the record's report.
    A bad record is reported and the next goes on; thousands are read one by one.
    """
    with working(context, as_json) as place:
        imported, few = Imported(), list[dict[str, Any] | Finding]()
        with ExitStack() as stack:
            run: Run | None = None
            if output:
                keep = stack.enter_context(into_file(output))
            else:
                run = stack.enter_context(place.run("study import"))
                keep = into_store(place, run.id)
            lines = stack.enter_context(report.open("wb")) if report else None
            advance = stack.enter_context(console.progress("import", quiet=as_json))
            for one in import_records(place, sources, keep, imported):
                if lines:
                    lines.write(fhirjson.dumps(console.as_dict(one) if isinstance(one, Finding) else one) + b"\n")
                if run and isinstance(one, Finding):
                    place.store.quarantine(run.id, [one])
                if as_json or isinstance(one, Finding) or imported.records <= FEW:
                    few.append(one)
                advance(imported.records, None)
            if run:
                run.end("refused" if imported.refused else "done", imported.as_dict())
        _show(imported, few, as_json)
        if imported.refused:
            raise typer.Exit(EXIT_REFUSED)


def _show(imported: Imported, few: list[dict[str, Any] | Finding], as_json: bool) -> None:
    refused = [one for one in few if isinstance(one, Finding)]
    records = [one for one in few if not isinstance(one, Finding)]
    if as_json:
        findings = [console.as_dict(finding) for finding in refused]
        console.emit({**imported.as_dict(), "reports": records, "findings": findings})
        return
    if imported.records <= FEW:
        for one in records:
            rows = [(left["path"], left["value"], left["why"]) for left in one["unrepresented"]]
            title = f"{one['record']} ({one['status']}): what FHIR does not carry"
            console.table(title, "path", "value", "why", rows=rows)
    else:
        console.table("What FHIR does not carry", "why", "values", rows=imported.left_out.most_common())
    console.findings(refused, limit=FEW)
    counts = (imported.records, imported.imported, imported.refused, sum(imported.resources.values()))
    console.table("Imported", "records", "imported", "refused", "resources", rows=[counts])
