"""The command that sends to the hospital's FHIR server what it should hold, and how a push is shown."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, get_args

import typer

from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, HospitalUrl, app, working
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import EXIT_INTERRUPTED, EXIT_REFUSED, EXIT_SERVER
from fhirbridge.sync.push import Chosen, PushReport
from fhirbridge.sync.push import push as push_to
from fhirbridge.sync.push_report import Fate

SHOWN = 20


@app.command()
def push(
    context: typer.Context,
    hospital: HospitalUrl = None,
    now: Annotated[
        bool, typer.Option("--now", help="Ask the server also while it is left alone after failures.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the hospital's server to what it should hold: plan and apply, subject by subject.

    Run it as often as you like: what is unchanged is not sent. An interrupted push goes on where it stopped. Exits 1
    if something needs a person (a conflict, a parked resource), 3 if the server failed.

    Example: fhirbridge push --hospital https://fhir.hospital.example/r4
    """
    with working(context, as_json, hospital=hospital) as place:
        report = run_push(place, quiet=as_json, impatient=now)
        open_conflicts = place.store.open_conflicts(report.server, report.study)
        if open_conflicts > report.fates["conflict"] and not as_json:
            console.remark(f"{console.many(open_conflicts, 'open conflict')}: fhirbridge conflicts list")
        ended(report, as_json, "Pushed to")


def run_push(
    place: Workplace,
    *,
    quiet: bool = False,
    impatient: bool = False,
    compartments: Sequence[str] | None = None,
    chosen: Chosen | None = None,
    stop: threading.Event | None = None,
    command: str = "push",
    left_out: Sequence[str] = (),
) -> PushReport:
    """Push the study of the workplace to its hospital, with a bar, and note the run.

    ``left_out`` is filled by ``chosen`` with what of a saved plan no longer held.
    """
    store = place.bound_store
    with (
        place.run(command) as run,
        place.hospital(ask_first=False) as hospital,
        console.progress(command, quiet=quiet) as advance,
    ):
        hospital.note = run.note
        report = push_to(
            store,
            hospital,
            place.study.id,
            run=run.id,
            options=replace(place.push_options, impatient=impatient),
            compartments=compartments,
            chosen=chosen,
            progress=advance,
            note=run.note,
            stop=stop,
        )
        run.end("needs a person" if left_out and report.complete else outcome_of(report), report.as_dict())
    return report


def outcome_of(report: PushReport) -> str:
    """Return how a push ended, in a word for the run's row."""
    if report.interrupted:
        return "interrupted"
    return "done" if report.complete else "needs a person" if report.needs_a_person else "incomplete"


def ended(report: PushReport, as_json: bool, did: str) -> None:
    """Show what a push did, and end with the exit code that says so."""
    console.emit(report.as_dict()) if as_json else show_push(report, did)
    if report.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if report.needs_a_person and not report.complete:
        raise typer.Exit(EXIT_REFUSED)
    if not report.complete:
        raise typer.Exit(EXIT_SERVER)


def show_push(report: PushReport, did: str) -> None:
    """Print what became of each resource, how fast it went, and what somebody should look at."""
    rows = [(fate, report.fates[fate]) for fate in get_args(Fate) if report.fates[fate]]
    console.table(f"{did} {report.server}", report.study, "resources", rows=rows, total=("all", report.desired))
    if report.bundles:
        times = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in report.latencies.items())
        console.say(
            f"{console.many(report.bundles, 'Bundle')} ({times}), {report.entries_per_second:,.0f} resources/s, "
            f"{report.bytes_sent / 1e3:,.0f} kB sent in {report.seconds:,.1f} s, "
            f"{console.many(report.retries, 'retry', 'retries')}"
        )
    for failure in report.failures[:SHOWN]:
        more = f" and {failure.resources - 1:,} more" if failure.resources > 1 else ""
        console.remark(f"not taken: {failure.type}/{failure.id}{more}: {failure.message} {failure.remedy}")
    if len(report.failures) > SHOWN:
        console.remark(f"… and {len(report.failures) - SHOWN:,} more")
    if report.fates["parked"]:
        console.remark("parked: `fhirbridge deadletters list` says what and why.")
    if report.fates["conflict"]:
        console.remark("changed by others: `fhirbridge conflicts list` says what.")
    if report.stopped:
        console.remark(f"stopped: {report.stopped}")
    if report.interrupted:
        console.remark("interrupted: run the same command again to go on")
