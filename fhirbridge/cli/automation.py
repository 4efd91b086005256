"""Commands that do things without being asked each time: on schedule in one process, or as workers of a queue."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from fhirbridge.automation import logs
from fhirbridge.automation.jobs import JOBS, Outcome, Work
from fhirbridge.automation.schedule import Planned, checked, next_times, planned, run_due, run_until_stopped
from fhirbridge.automation.stopping import stopping
from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, app, working
from fhirbridge.cli.exchange import run_push
from fhirbridge.cli.listen import listening
from fhirbridge.cli.loading import load_records
from fhirbridge.cli.pull import run_pull
from fhirbridge.cli.reconciling import run_reconcile
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import EXIT_INTERRUPTED, EXIT_REFUSED, EXIT_SERVER, ConfigurationError

KINDS = tuple(job.kind for job in JOBS)


@app.command()
def run(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Do what is due, then end: for cron and timers.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Print what is done when, and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Do everything on schedule, in one process, until Ctrl-C or SIGTERM: load the inbox, pull, push, reconcile.

    Where hl7_port is set it takes HL7 v2 results too, as `fhirbridge listen` does.

    The first signal lets what is under way finish; a second one ends the process at once.
    """
    with working(context, as_json, service=not listed) as place:
        plan = planned(place.settings, place.study.schedule.zone)
        if listed:
            _list(place, plan, as_json)
            return
        checked(plan, place.settings)
        with _serving(place) as work:
            if not once:
                with listening(place) if place.settings.hl7_port is not None else nullcontext():
                    run_until_stopped(work, plan)
                return
            done = run_due(work, plan)
        if as_json:
            console.emit({job.kind: {"result": out.result, "counts": dict(out.counts)} for job, out in done})
        worst = max((outcome.exit_code for _, outcome in done), default=0)
        if worst:
            raise typer.Exit(worst)


@app.command()
def worker(
    context: typer.Context,
    queue: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help=f"Only these jobs ({', '.join(KINDS)}); repeatable.")
    ] = None,
    setup: Annotated[
        bool, typer.Option("--setup", help="Make the queue's tables or bring them up to date, and end.")
    ] = False,
) -> None:
    """Take jobs from the queue in PostgreSQL, beside any number of other workers on any machine.

    Needs a PostgreSQL store; with SQLite use `fhirbridge run`. The first Ctrl-C or SIGTERM lets what is under way
    finish; a second one ends the process at once, and another worker does its jobs.
    """
    with working(context, service=True) as place:
        try:
            from fhirbridge.automation import queue_tables
            from fhirbridge.automation.worker import work_until_stopped
        except ImportError:
            raise ConfigurationError("the queue needs Procrastinate: pip install 'fhirbridge[postgresql]'.") from None
        unknown = sorted(set(queue or ()) - set(KINDS))
        if unknown:
            raise ConfigurationError(f"there are no jobs of kind {unknown[0]!r}. There are: {', '.join(KINDS)}.")
        if setup:
            for migration in queue_tables.upgrade(queue_tables.conninfo(place.settings.database)):
                console.err.print(f"applied {migration}", highlight=False)
            return
        queue_tables.conninfo(place.settings.database)  # say at once if it is the wrong database
        plan = checked(planned(place.settings, place.study.schedule.zone), place.settings)
        with _serving(place) as work:
            work_until_stopped(work, plan, kinds=queue or KINDS)


@contextmanager
def _serving(place: Workplace) -> Iterator[Work]:
    """Give the work of a service: its parts opened before its threads use them, its metrics served, signals obeyed."""
    store, study, note = place.bound_store, place.study, logs.noting()
    _ = place.notifier, place.metrics
    with ExitStack() as held:
        if place.metrics is not None and place.settings.metrics_port is not None:
            from fhirbridge.automation.metrics import served  # a tenth of a second, rarely needed

            port = served(place.metrics, place.settings.metrics_port, place.settings.metrics_address)
            note("metrics_served", port=held.enter_context(port))
        stop = held.enter_context(stopping(note))
        yield Work(
            settings=place.settings,
            store=store,
            study=study.id,
            zone=study.schedule.zone,
            server=place.server,
            push=partial(_push, place, stop),
            pull=partial(_pull, place, stop),
            reconcile=partial(_reconcile, place),
            load=partial(_load, place),
            release=partial(_release, place),
            run=place.run,
            note=note,
            clock=_now,
            stop=stop,
        )


def _push(
    place: Workplace, stop: threading.Event, compartments: Sequence[str] | None = None, *, command: str = "push"
) -> Outcome:
    report = run_push(place, quiet=True, compartments=compartments, stop=stop, command=command)
    counts = report.as_dict()
    if report.interrupted:
        return Outcome(result="interrupted", counts=counts, exit_code=EXIT_INTERRUPTED)
    complete = report.complete if compartments is None else not (report.stopped or report.failures)
    if complete:
        return Outcome(counts=counts)
    if report.needs_a_person:
        return Outcome(result="needs a person", counts=counts, exit_code=EXIT_REFUSED)
    return Outcome(result="incomplete", counts=counts, exit_code=EXIT_SERVER)


def _pull(place: Workplace, stop: threading.Event) -> Outcome:
    report = run_pull(place, quiet=True, stop=stop)
    counts = report.as_dict()
    if report.interrupted:
        return Outcome(result="interrupted", counts=counts, exit_code=EXIT_INTERRUPTED)
    if not report.complete:
        return Outcome(result="incomplete", counts=counts, exit_code=EXIT_SERVER)
    if report.needs_a_person:
        return Outcome(result="needs a person", counts=counts, exit_code=EXIT_REFUSED)
    return Outcome(counts=counts)


def _reconcile(place: Workplace) -> Outcome:
    report = run_reconcile(place, quiet=True)
    counts = report.as_dict()
    if report.in_step:
        return Outcome(counts=counts)
    return Outcome(result="needs a person", counts=counts, exit_code=EXIT_REFUSED)


def _release(place: Workplace) -> Outcome:
    from fhirbridge.cli.releasing import run_release  # the door's libraries, which other jobs need not load

    return run_release(place)[1]


def _load(place: Workplace, source: Path) -> Any:
    return load_records(place, source, today=place.today, quiet=True)


def _list(place: Workplace, plan: list[Planned], as_json: bool) -> None:
    times = next_times(place.settings, place.study.schedule.zone, now=_now())
    expressions = {one.job.kind: one.cron.expression for one in plan}
    if as_json:
        console.emit({"next": {kind: at.isoformat() if at else None for kind, at in times.items()}})
        return
    rows = []
    for job in JOBS:
        last, at = place.store.last_run(job.kind), times[job.kind]
        shown = f"{at:%Y-%m-%d %H:%M %Z}" if at else "-"
        rows.append((job.kind, expressions.get(job.kind, "off"), shown, last.started if last else "-", job.does))
    console.table(f"Schedule of {place.study.id}", "job", "when", "next", "last began", "what it does", rows=rows)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
