"""`fhirbridge conflicts`: what others changed at the hospital, and whose version stands."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from fhirbridge import fhirjson
from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, HospitalUrl, app, working
from fhirbridge.cli.decisions import LISTED, By, Limit, Reason, TypeAndId, named, say_rest, server_of, user
from fhirbridge.cli.short_names import resolved, shortened
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import EXIT_REFUSED, InputError
from fhirbridge.store import Conflict
from fhirbridge.sync.differences import ABSENT
from fhirbridge.sync.settling import Dispute, Side, decided, dispute, settle

conflicts = typer.Typer(help="What others changed at the hospital, and whose version stands.", no_args_is_help=True)
app.add_typer(conflicts, name="conflicts")


@conflicts.command("list")
def list_conflicts(
    context: typer.Context, hospital: HospitalUrl = None, limit: Limit = LISTED, as_json: AsJson = False
) -> None:
    """List the resources that somebody else changed at the hospital. Exits 1 while there are any."""
    with working(context, as_json, hospital=hospital) as place:
        found = list(place.store.conflicts(server_of(place), place.study.id))
        if as_json:
            console.emit({"conflicts": [_conflict(one) for one in found]})
        elif found:
            short, zone, now = shortened(map(named, found)), place.study.schedule.zone, dt.datetime.now(dt.UTC)
            rows = [
                (short[named(one)], one.kind, one.base_version, one.their_version, console.moment(one.at, zone, now))
                for one in found[:limit]
            ]
            columns = ("resource", "what", "we sent", "theirs", "found")
            console.table(f"Conflicts at {place.server}, with the versions", *columns, rows=rows)
            say_rest(len(found) - limit)
            console.say(f"Next: fhirbridge conflicts show {rows[0][0]}")
        else:
            console.say("No conflicts.")
        if found:
            raise typer.Exit(EXIT_REFUSED)


@conflicts.command("show")
def show_conflict(
    context: typer.Context, resource: TypeAndId, hospital: HospitalUrl = None, as_json: AsJson = False
) -> None:
    """Show one conflict field by field: what we last sent, what the study says now, what the hospital holds.

    Example: fhirbridge conflicts show Observation/5vsa2udk
    """
    with working(context, as_json, hospital=hospital) as place:
        found = _dispute(place, resource)
        if as_json:
            console.emit(_as_dict(found))
            return
        name = "/".join(named(found.conflict))
        settling = f"fhirbridge conflicts settle {resource}"
        if found.conflict.kind == "deleted":
            console.say(f"{name} was deleted at the hospital.")
            console.say(f"Next: {settling} --ours (made anew) or --theirs (stays away)")
            return
        rows = [(one.path, *map(_value, (one.base, one.ours, one.theirs))) for one in found.fields]
        console.table(name, "field", "last sent", "ours", "theirs", rows=rows)
        single = f" or --field '{found.fields[0].path}=theirs' for each field" if len(found.fields) > 1 else ""
        console.say(f"Next: {settling} --ours or --theirs{single}")


@conflicts.command("settle")
def settle_conflict(
    context: typer.Context,
    resource: TypeAndId,
    ours: Annotated[bool, typer.Option("--ours", help="The study's version stands; the next push sends it.")] = False,
    theirs: Annotated[bool, typer.Option("--theirs", help="The hospital's version stands there.")] = False,
    field: Annotated[
        list[str] | None, typer.Option("--field", metavar="PATH=SIDE", help="One field's side: ours or theirs.")
    ] = None,
    reason: Reason = "",
    by: By = None,
    hospital: HospitalUrl = None,
    as_json: AsJson = False,
) -> None:
    """Decide a conflict: for the study's version, for the hospital's, or field by field.

    The study's own data is never changed by this: a decision for the hospital's version holds at that server, until
    the study itself changes the field. Fields that are not named take the side of --ours or --theirs, if one is given.

    Example: fhirbridge conflicts settle Observation/5vsa2udk --ours --field 'note[0].text=theirs' --reason "their note"
    """
    with working(context, as_json, hospital=hospital) as place:
        found = _dispute(place, resource)
        choice = _choice(found, ours=ours, theirs=theirs, fields=field or [])
        decided(found, choice)  # what cannot be decided so is no failed run
        kind, id = named(found.conflict)
        with place.run("settle") as run:
            settle(place.store, server_of(place), found, choice, by=by or user(), reason=reason, run=run.id)
            run.note("conflict_settled", type=kind, id=id, kind=choice if isinstance(choice, str) else "by field")
            run.end("done", {"settled": 1})
        if as_json:
            console.emit({"settled": f"{kind}/{id}"})
        else:
            console.say(f"Settled: {kind}/{id}. Next: fhirbridge push")


def _dispute(place: Workplace, text: str) -> Dispute:
    server = server_of(place)
    names = [named(one) for one in place.store.conflicts(server, place.study.id)]
    name = resolved(text, names, what="open conflict", listing="fhirbridge conflicts list")
    return dispute(place.bound_store, server, name, place.settings.withdrawal)


def _choice(found: Dispute, *, ours: bool, theirs: bool, fields: Iterable[str]) -> Side | dict[str, Side]:
    if ours and theirs:
        raise InputError("give --ours or --theirs, not both; --field decides single fields.")
    rest: Side | None = "ours" if ours else "theirs" if theirs else None
    if not fields:
        if rest is None:
            raise InputError("say whose version stands: --ours, --theirs, or --field PATH=ours|theirs for each field.")
        return rest
    chosen: dict[str, Side] = {one.path: rest for one in found.fields} if rest else {}
    for text in fields:
        path, _, side = text.rpartition("=")
        if side not in ("ours", "theirs") or not path:
            raise InputError(f"--field {text!r} is not PATH=ours or PATH=theirs.")
        chosen[path] = "ours" if side == "ours" else "theirs"
    return chosen


def _conflict(one: Conflict) -> dict[str, Any]:
    shown = {"resource": f"{one.type}/{one.id}", "kind": one.kind, "found": one.at}
    return shown | {"our_version": one.base_version, "their_version": one.their_version}


def _as_dict(found: Dispute) -> dict[str, Any]:
    def said(**values: Any) -> dict[str, Any]:
        return {name: value for name, value in values.items() if value is not ABSENT}

    fields = [said(path=one.path, base=one.base, ours=one.ours, theirs=one.theirs) for one in found.fields]
    return _conflict(found.conflict) | {"fields": fields}


def _value(value: Any) -> str:
    return "(nothing)" if value is ABSENT else fhirjson.dumps(value).decode()
