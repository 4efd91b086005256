"""`fhirbridge status`: how things stand, read from the store; the hospital's server is asked nothing."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

import typer

from fhirbridge.automation.jobs import JOBS, PART
from fhirbridge.automation.schedule import next_times
from fhirbridge.automation.standing import STUCK, CommandStanding, Standing
from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, HospitalUrl, app, working
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import EXIT_REFUSED
from fhirbridge.store import WORKLIST, Backlog
from fhirbridge.store.decisions import INBOX

WATCHED = ("ingest", "pull", "push", "reconcile")
"""The commands whose failure somebody should see to."""


@app.command()
def status(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 1 if something needs a person or a command failed: for monitoring.")
    ] = False,
    hospital: HospitalUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show what is stored, what waits for the hospital, how each command last ended, and when it is next due.

    The store is read and the hospital's server is asked nothing. Exits 0 whatever it shows, unless --check is given:

        fhirbridge status --check || mail -s "fhirbridge needs somebody" engineer@hospital.example
    """
    with working(context, as_json, hospital=hospital) as place:
        standing, resources, due = place.lookout.standing(), place.store.counts(place.study.id), _due(place)
        last_error = place.store.server_state(place.server).last_error if place.server else None
        unlinked = place.store.links.states(place.study.id)
        attention = needs(standing, last_error, unlinked.get("mismatch", 0) + unlinked.get("not found", 0))
        stands = place.store.candidates.counts(place.study.id)
        waiting = sum(count for (state, _), count in stands.items() if state in INBOX)
        unmapped = sum(count for (state, _), count in stands.items() if state in WORKLIST)
        if as_json:
            times = {kind: at.isoformat() if at else None for kind, at in due.items()}
            told = {"resources": resources, "next": times, "last_error": last_error, "attention": attention}
            told |= {"inbox": waiting, "unmapped": unmapped}
            console.emit({**standing.as_dict(), "server": place.server, **told})
        else:
            _show(place, standing, resources, due)
            if waiting:
                console.say(f"In the inbox, for a yes or no: {console.many(waiting, 'result')}. fhirbridge inbox list")
            if unmapped:
                many = console.many(unmapped, "result")
                console.say(f"With a code or unit that no file names: {many}. fhirbridge laboratories worklist")
            for line in attention:
                console.say(f"Needs somebody: {line}")
        if check and attention:
            raise typer.Exit(EXIT_REFUSED)


def needs(standing: Standing, last_error: str | None, unlinked: int = 0) -> list[str]:
    """Say in words what a person should see to, and with which command; [] if nothing."""
    found: list[str] = []
    if standing.open_until is not None:
        found.append(f"the hospital's server failed {console.many(standing.failures, 'time')} in a row: {last_error}")
    if standing.conflicts:
        found.append(f"{console.many(standing.conflicts, 'open conflict')}: fhirbridge conflicts list")
    if standing.backlog and standing.backlog.parked:
        found.append(f"{console.many(standing.backlog.parked, 'dead letter')}: fhirbridge deadletters list")
    if unlinked:
        found.append(
            f"{console.many(unlinked, 'subject')} not found or confirmed at the hospital: fhirbridge linking list"
        )
    for one in standing.commands:
        if one.command in WATCHED and one.failing:
            found.append(f"{one.command} did not do all it should since it last ended well: fhirbridge {one.command}")
        if one.command == "reconcile" and one.last and one.last.outcome in STUCK:
            found.append("the last reconciliation found the server to differ: fhirbridge reconcile looks again")
    return found


def _due(place: Workplace) -> dict[str, dt.datetime | None]:
    """Return when each kind of job is next due; None for one that is off, or that lacks the setting it needs."""
    times = next_times(place.settings, place.study.schedule.zone, now=dt.datetime.now(dt.UTC))
    return {job.kind: times[job.kind] if getattr(place.settings, job.needs) is not None else None for job in JOBS}


def _show(place: Workplace, standing: Standing, resources: dict[str, int], due: dict[str, dt.datetime | None]) -> None:
    rows = list(resources.items())
    console.table(f"{place.study.id}: stored", "type", "resources", rows=rows, total=console.sums("all", rows))
    if standing.backlog is None:
        console.say("No hospital is set: `hospital` in the settings, or --hospital URL.")
    else:
        rows = _waiting(standing.backlog)
        console.table(f"Hospital: {place.server}", "how they stand", "resources", rows=rows[:-1], total=rows[-1])
        _show_server(place, standing, standing.backlog)
    zone = place.study.schedule.zone
    commands = [_command(place, standing, one) for one in standing.commands if one.command != PART]
    if commands:
        console.table(
            f"Last runs ({zone} time)", "command", "began", "outcome", "last good", "last failed", rows=commands
        )
    on = [f"{kind} {console.moment(at, zone, standing.at)}" for kind, at in due.items() if at is not None]
    if on:
        console.say(f"Next, while `fhirbridge run` or a worker is up: {', '.join(on)}.")


def _waiting(backlog: Backlog) -> list[tuple[Any, ...]]:
    waiting = backlog.pending - backlog.parked - backlog.conflicts
    return [
        ("in step", backlog.desired - backlog.pending - backlog.withheld),
        ("waiting to be sent, or held", waiting),
        ("dead letters", backlog.parked),
        ("kept back by a conflict", backlog.conflicts),
        ("withheld after withdrawal", backlog.withheld),
        ("all", backlog.desired),
    ]


def _show_server(place: Workplace, standing: Standing, backlog: Backlog) -> None:
    zone = place.study.schedule.zone
    if backlog.oldest is not None:
        age = _age(standing.oldest_seconds)
        console.say(f"The oldest has waited for {age}, since {console.moment(backlog.oldest, zone, standing.at)}.")
    if standing.open_until is not None:
        until = console.moment(standing.open_until, zone, standing.at)
        console.say(f"The server failed and is left alone until {until}; `fhirbridge push --now` asks all the same.")


def _command(place: Workplace, standing: Standing, one: CommandStanding) -> tuple[Any, ...]:
    def at(instant: str | None) -> str | None:
        return None if instant is None else console.moment(instant, place.study.schedule.zone, standing.at)

    last = one.last
    outcome = None if last is None else last.outcome or "not ended"
    return one.command, at(last.started if last else None), outcome, at(one.last_good), at(one.last_failed)


def _age(seconds: float) -> str:
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return console.many(int(seconds // size), name)
    return "less than a minute"
