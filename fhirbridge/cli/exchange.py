"""Commands of the integration engineer: send to the hospital's FHIR server, and prove that it arrived."""

from __future__ import annotations

from dataclasses import asdict

import typer

from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, HospitalUrl, app, working
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import EXIT_INTERRUPTED, EXIT_REFUSED, EXIT_SERVER
from fhirbridge.sync.push import PushReport
from fhirbridge.sync.push import push as push_to
from fhirbridge.sync.verify import VerifyReport
from fhirbridge.sync.verify import verify as verify_at

SHOWN = 20


@app.command()
def push(context: typer.Context, hospital: HospitalUrl = None, as_json: AsJson = False) -> None:
    """Send what differs from what the hospital last acknowledged, as transactions in dependency order.

    Run it as often as you like: what is unchanged is not sent. An interrupted push goes on where it stopped.
    """
    with working(context, as_json, hospital=hospital) as place:
        report = run_push(place, quiet=as_json)
        console.emit(report.as_dict()) if as_json else _show_push(report)
        if report.interrupted:
            raise typer.Exit(EXIT_INTERRUPTED)
        if not report.complete:
            raise typer.Exit(EXIT_SERVER)


@app.command()
def verify(context: typer.Context, hospital: HospitalUrl = None, as_json: AsJson = False) -> None:
    """Read everything back from the hospital by search and compare it with the store. Exits 1 on a difference.

    A server that drops trailing zeros (5.50 becomes 5.5) is told apart: the numbers are equal, digits are lost.
    """
    with working(context, as_json, hospital=hospital) as place:
        report = run_verify(place, quiet=as_json)
        console.emit(report.as_dict()) if as_json else _show_verify(report)
        if not report.agrees:
            raise typer.Exit(EXIT_REFUSED)


def run_push(place: Workplace, *, quiet: bool = False) -> PushReport:
    """Push the study of the workplace to its hospital, with a bar, and note the run."""
    store = place.bound_store
    with (
        place.run("push") as run,
        place.hospital() as hospital,
        console.progress("push", quiet=quiet) as advance,
    ):
        report = push_to(
            store,
            hospital,
            place.study.id,
            run=run.id,
            connections=place.settings.hospital_connections,
            bundle_size=place.settings.hospital_bundle_entries,
            progress=advance,
        )
        run.end("done" if report.complete else "incomplete", report.as_dict())
    return report


def run_verify(place: Workplace, *, quiet: bool = False) -> VerifyReport:
    """Compare the hospital of the workplace with its store, with a bar."""
    with place.hospital() as hospital, console.progress("read back, compare", quiet=quiet) as advance:
        return verify_at(place.bound_store, hospital, place.study.id, progress=advance)


def _show_push(report: PushReport) -> None:
    columns = ("desired", "sent", "unchanged", "failed", "not tried")
    row = (report.study, report.desired, report.sent, report.unchanged, report.failed, report.not_tried)
    console.table(f"Pushed to {report.server}", "study", *columns, rows=[row])
    if report.bundles:
        times = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in report.latencies.items())
        console.out.print(
            f"{report.bundles:,} transactions, {report.entries_per_second:,.0f} resources/s, {times}, "
            f"{report.retries:,} retries, {report.bytes_sent / 1e6:,.1f} MB sent in {report.seconds:,.1f} s",
            highlight=False,
        )
    for failure in report.failures[:SHOWN]:
        what = failure.resource or f"{failure.resources} resources"
        console.err.print(f"not taken: {what}: {failure.message} {failure.remedy}", highlight=False, markup=False)
    if report.stopped:
        console.err.print(f"stopped: {report.stopped}", highlight=False, markup=False)
    if report.interrupted:
        console.err.print("interrupted: run the same command again to go on", highlight=False)


def _show_verify(report: VerifyReport) -> None:
    columns = ("expected", "same", "digits_lost", "different", "missing", "unread", "extra", "duplicates")
    rows = [(kind, *asdict(counts).values()) for kind, counts in report.by_type.items()]
    heads = (column.replace("_", " ") for column in columns)
    console.table(f"Read back from {report.server}", "type", *heads, rows=rows, total=console.sums("all", rows))
    for path, count in report.different_paths.most_common(SHOWN):
        console.err.print(f"different: {path} in {count:,} resources", highlight=False, markup=False)
    if report.digits_lost_paths:
        paths = ", ".join(path for path, _ in report.digits_lost_paths.most_common(3))
        console.err.print(f"The server drops digits of decimals ({paths}); the numbers are equal.", highlight=False)
    for finding in report.findings[:SHOWN]:
        console.err.print(f"{finding.kind}: {finding.type}/{finding.id}", highlight=False, markup=False)
    for kind, why in report.unreadable.items():
        console.err.print(f"{kind} could not be read: {why}", highlight=False, markup=False)
