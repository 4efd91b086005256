"""`fhirbridge deadletters`: what the hospital refused, and what becomes of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from fhirbridge import fhirjson
from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, HospitalUrl, app, working
from fhirbridge.cli.decisions import LISTED, By, Limit, Reason, TypeAndId, named, say_rest, server_of, user
from fhirbridge.cli.short_names import resolved, shortened
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import EXIT_REFUSED, InputError
from fhirbridge.store import Failure
from fhirbridge.sync.naming import Name
from fhirbridge.sync.settling import give_up

deadletters = typer.Typer(help="What the hospital refused, and what becomes of it.", no_args_is_help=True)
app.add_typer(deadletters, name="deadletters")


@deadletters.command("list")
def list_dead_letters(
    context: typer.Context, hospital: HospitalUrl = None, limit: Limit = LISTED, as_json: AsJson = False
) -> None:
    """List what the hospital refused and is not tried again. Exits 1 while there is anything."""
    with working(context, as_json, hospital=hospital) as place:
        found = _dead_letters(place)
        if as_json:
            console.emit({"deadletters": [_brief(one) for one in found]})
        elif found:
            short, zone, now = shortened(map(named, found)), place.study.schedule.zone, dt.datetime.now(dt.UTC)
            console.say(f"Refused by {place.server}:")
            for one in found[:limit]:
                status = f"{one.status}, " if one.status else ""
                times = f"{console.many(one.attempts, 'attempt')}, last {console.moment(one.last, zone, now)}"
                console.say(f"{short[named(one)]}  {status}{times}")
                console.say(f"    {one.message}")
            say_rest(len(found) - limit)
            console.say(f"Next: fhirbridge deadletters show {short[named(found[0])]}")
        else:
            console.say("No dead letters.")
        if found:
            raise typer.Exit(EXIT_REFUSED)


@deadletters.command("show")
def show_dead_letter(
    context: typer.Context, resource: TypeAndId, hospital: HospitalUrl = None, as_json: AsJson = False
) -> None:
    """Show one refused resource: the request as it was sent, the server's OperationOutcome, and the remedy.

    Example: fhirbridge deadletters show Observation/5vsa2udk
    """
    with working(context, as_json, hospital=hospital) as place:
        found = _dead_letter(place, resource)
        request = fhirjson.loads(found.request)
        outcome = None if found.outcome is None else fhirjson.loads(found.outcome)
        if as_json:
            console.emit(_brief(found) | {"request": request, "outcome": outcome})
            return
        console.say(f"{'/'.join(named(found))}: {found.message}")
        console.say(f"Remedy: {found.remedy}")
        console.say(f"{console.many(found.attempts, 'attempt')}, first {found.first}, last {found.last}")
        console.say(f"Request: {found.method} {found.url}\n{fhirjson.pretty(request)}")
        if outcome is not None:
            console.say(f"Answer: {found.status or ''}\n{fhirjson.pretty(outcome)}")
        console.say(f"Next: once it is mended, fhirbridge deadletters retry {resource}; to give it up, drop {resource}")


@deadletters.command("retry")
def retry_dead_letters(
    context: typer.Context,
    resource: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TYPE/ID]...", help="Some by name; the first letters of an id are enough."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    hospital: HospitalUrl = None,
    as_json: AsJson = False,
) -> None:
    """Have the next push try refused resources again: some by name, or all.

    Example, once the server's rule was mended: fhirbridge deadletters retry --all
    """
    with working(context, as_json, hospital=hospital) as place:
        if bool(resource) == every:
            raise InputError("name the resources as TYPE/ID, or give --all. `fhirbridge deadletters list` names them.")
        found = _dead_letters(place)
        names = None if every else list(dict.fromkeys(_resolved(found, one) for one in resource or ()))
        count = 0
        if found:
            with place.run("retry") as run:
                count = place.bound_store.unpark(server_of(place), names, place.study.id)
                for kind, id in names or ():
                    run.note("resource_retried", type=kind, id=id)
                if names is None:
                    run.note("resource_retried", resources=count)
                run.end("done", {"retried": count})
        if as_json:
            console.emit({"retried": count})
        elif count:
            console.say(f"The next push tries {console.many(count, 'resource')} again. Next: fhirbridge push")
        else:
            console.say("No dead letters.")


@deadletters.command("drop")
def drop_dead_letter(
    context: typer.Context,
    resource: TypeAndId,
    reason: Reason = "",
    by: By = None,
    hospital: HospitalUrl = None,
    as_json: AsJson = False,
) -> None:
    """Decide that the hospital shall not hold a refused resource as it is now. The study keeps it.

    Once the study changes it, it is tried again.

    Example: fhirbridge deadletters drop Observation/5vsa2udk --reason "they take no lesions"
    """
    with working(context, as_json, hospital=hospital) as place:
        server = server_of(place)
        kind, id = named(_dead_letter(place, resource))
        with place.run("drop") as run:
            delivery = place.bound_store.deliveries_of(server, [(kind, id)], place.settings.withdrawal)[0]
            give_up(place.store, server, delivery, by=by or user(), reason=reason, run=run.id)
            run.note("resource_dropped", type=kind, id=id)
            run.end("done", {"dropped": 1})
        if as_json:
            console.emit({"dropped": f"{kind}/{id}"})
        else:
            console.say(f"Dropped: {kind}/{id} is not sent unless the study changes it.")


def _dead_letters(place: Workplace) -> list[Failure]:
    return list(place.store.failures(server_of(place), place.study.id, parked=True))


def _dead_letter(place: Workplace, text: str) -> Failure:
    found = _dead_letters(place)
    name = _resolved(found, text)
    return next(one for one in found if named(one) == name)


def _resolved(found: Sequence[Failure], text: str) -> Name:
    names = [named(one) for one in found]
    return resolved(text, names, what="dead letter", listing="fhirbridge deadletters list")


def _brief(one: Failure) -> dict[str, Any]:
    names = ("status", "attempts", "first", "last", "message", "remedy", "run")
    return {"resource": f"{one.type}/{one.id}", **{name: getattr(one, name) for name in names}}
