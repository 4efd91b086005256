"""The command that holds the hospital's server against what it acknowledged, and repairs what drifted."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated

import typer

from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, HospitalUrl, app, working
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import EXIT_REFUSED, InputError
from fhirbridge.sync.reconcile import ReconcileReport
from fhirbridge.sync.reconcile import reconcile as reconcile_with

SHOWN = 20
COLUMNS = (
    *("stored", "same", "digits_lost", "drifted", "missing", "unread", "unseen", "pending", "none"),
    *("undeleted", "foreign", "duplicate", "orphan"),
)
ALWAYS = ("stored", "same")
REPAIRS = {
    "missing": "missing, to be made again",
    "undeleted": "undeleted, to be deleted again",
    "duplicate": "duplicates deleted",
    "duplicate refused": "duplicates that the server did not let us delete",
}
CLOCKS_DIFFER = timedelta(minutes=10)
"""How far before the last run a window begins: the server's clock is not ours."""


@app.command()
def reconcile(
    context: typer.Context,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything back and compare it; trust no version number.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="INSTANT|last", help="Look only at what the server wrote since then, or since the last run."
        ),
    ] = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Have missing resources made again by the next push; delete duplicates of ours."),
    ] = False,
    hospital: HospitalUrl = None,
    as_json: AsJson = False,
) -> None:
    """Find drift: what is missing, changed by others, doubled, foreign or orphaned at the hospital. Exits 1 if any.

    Versions are compared, and resources whose version moved are read and compared whole; --full reads everything.
    What others changed becomes a conflict (`fhirbridge conflicts list`), and nothing of theirs is overwritten. A
    server that drops trailing zeros (5.50 becomes 5.5) is told apart: the numbers are equal, digits are lost.

    Example, after the hospital restored a backup: fhirbridge reconcile --full --repair
    """
    with working(context, as_json, hospital=hospital) as place:
        report = run_reconcile(place, full=full, since=since, repair=repair, quiet=as_json)
        console.emit(report.as_dict()) if as_json else _show(report)
        if not report.in_step:
            raise typer.Exit(EXIT_REFUSED)


def run_reconcile(
    place: Workplace,
    *,
    full: bool = False,
    since: str | None = None,
    repair: bool = False,
    quiet: bool = False,
) -> ReconcileReport:
    """Reconcile the hospital of the workplace with its store, with a bar, and note the run."""
    store, start = place.bound_store, _since(place, since)
    with (
        place.run("reconcile") as run,
        place.hospital() as hospital,
        console.progress("reconcile", quiet=quiet) as advance,
    ):
        hospital.note = run.note
        report = reconcile_with(
            store,
            hospital,
            place.study.id,
            run=run.id,
            policy=place.settings.withdrawal,
            full=full,
            since=start,
            repair=repair,
            progress=advance,
            note=run.note,
        )
        run.end("done" if report.in_step else "needs a person", report.as_dict())
    return report


def _since(place: Workplace, since: str | None) -> str | None:
    """Return the instant from which on to look; "last" is when the last reconciliation began that came to its end."""
    if since is None:
        return None
    if since == "last":
        ended = [run for run in place.store.runs("reconcile") if run.outcome in ("done", "needs a person")]
        return (datetime.fromisoformat(ended[0].started) - CLOCKS_DIFFER).isoformat() if ended else None
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        raise InputError(
            f"--since {since!r} is no instant. Write it like 2026-03-01 or 2026-03-01T08:00:00Z."
        ) from None
    return since if moment.tzinfo else moment.astimezone().isoformat()


def _show(report: ReconcileReport) -> None:
    used = [name for name in COLUMNS if name in ALWAYS or getattr(report.total, name)]
    rows = [(kind, *(asdict(counts)[name] for name in used)) for kind, counts in report.by_type.items()]
    heads = (name.replace("_", " ") for name in used)
    title = f"Reconciled with {report.server}" + (f" since {report.since}" if report.since else "")
    console.table(title, "type", *heads, rows=rows, total=console.sums("all", rows))
    for found in report.discrepancies[:SHOWN]:
        paths = f" ({', '.join(found.paths)})" if found.paths else ""
        console.remark(f"{found.kind}: {found.type}/{found.id}{paths}")
    rest = len(report.discrepancies) + report.not_listed - SHOWN
    if rest > 0:
        console.remark(f"… and {rest:,} more; --json lists more of them")
        for path, count in report.drifted_paths.most_common(SHOWN):
            console.remark(f"drifted: {path} in {console.many(count, 'resource')}")
    if report.digits_lost_paths:
        paths = ", ".join(path for path, _ in report.digits_lost_paths.most_common(3))
        console.remark(f"The server drops digits of decimals ({paths}); the numbers are equal.")
    for kind, why in report.unreadable.items():
        console.remark(f"{kind} could not be read: {why}")
    _show_next(report)


def _show_next(report: ReconcileReport) -> None:
    for kind, count in report.repaired.items():
        console.remark(f"{REPAIRS[kind]}: {count:,}")
    if report.conflicts:
        console.remark("Changed by others. Next: fhirbridge conflicts list")
    if report.repaired["missing"] or report.repaired["undeleted"]:
        console.remark("Next: fhirbridge push")
    elif (report.total.missing or report.total.undeleted or report.total.duplicate) and not report.repaired:
        console.remark("To mend what is missing, undeleted or duplicate: fhirbridge reconcile --repair")
