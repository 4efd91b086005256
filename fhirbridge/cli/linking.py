"""`fhirbridge linking`: which subject is which person at the hospital; for the role that may know it.

Whoever can read the linking key has that role. Without it the commands tell states and pseudonymous ids alone, and
hospital numbers are shown by one command only, which puts on record who asked for them and why.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from fhirbridge import sealing
from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, HospitalUrl, app, working
from fhirbridge.cli.decisions import By, user
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import EXIT_REFUSED, ConfigurationError, InputError
from fhirbridge.store.links import Event, Link
from fhirbridge.sync.leasing import Leases
from fhirbridge.sync.pull.linked import Linked, Mismatch, NoConsent, NotFound
from fhirbridge.sync.pull.linking import Resolved

linking = typer.Typer(help="Which subject is which person at the hospital.", no_args_is_help=True)
app.add_typer(linking, name="linking")

SubjectOrId = Annotated[
    str, typer.Argument(metavar="SUBJECT", help="Subject number, or the first letters of the pseudonymous id.")
]
Why = Annotated[str, typer.Option("--reason", help="Why; it stays on record.")]
_REMEDIES: dict[str, str] = {one.state: one.remedy for one in (NotFound, Mismatch, NoConsent)}
_SHORTEST = 8


@linking.command("key")
def key(file: Annotated[Path, typer.Argument(help="Where to write it; never overwritten.")]) -> None:
    """Make a linking key, readable by you alone. Keep a copy in safety, apart from the database and its backups."""
    with console.told():
        sealing.new_key(file)
        console.remark(f"wrote {file}. Name it in the setting linking_key; keep it apart from the database.")


@linking.command("import")
def import_log(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The enrolment log: a CSV file or an Excel workbook (.xlsx).")],
    system: Annotated[
        str | None, typer.Option(metavar="URI", help="System of the hospital numbers; wins over linking_system.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let rows change hospital numbers, birth dates and sexes linked before.")
    ] = False,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Seal and keep the enrolment log: columns subject, identifier, birth_date, sex and, if need be, system.

    A bad row is set aside and the rest goes on; exits 1 if there was one. Importing the same log twice changes nothing.
    Of whoever gets another number, what came until now reopens at the next pull.

    Example: fhirbridge linking import enrolment.csv --system urn:oid:1.2.36.146.595.217.0.1
    """
    with working(context, as_json, linking_system=system) as place, place.run("linking") as run:
        with _no_pull(place) if replace else nullcontext():
            report = place.linking().import_log(
                file, system=place.settings.linking_system, by=by or user(), replace=replace
            )
        run.end("refused" if report.refused else "done", report.counts)
        if as_json:
            console.emit({**report.counts, "findings": [console.as_dict(one) for one in report.findings]})
        else:
            console.table("Enrolment log", *report.counts, rows=[tuple(report.counts.values())])
            console.findings(report.findings)
        for note in report.notes:
            console.remark(note)
        if report.refused:
            raise typer.Exit(EXIT_REFUSED)


@linking.command("list")
def list_links(context: typer.Context, as_json: AsJson = False) -> None:
    """List how each subject stands: pseudonymous id, state and since when; subject numbers with the key only."""
    with working(context, as_json) as place:
        rows = [_standing(place, one) for one in _subjects(place)]
        if as_json:
            console.emit({"subjects": rows})
            return
        columns = ("subject", "number", "state", "since", "checked", "reason")
        console.table("Links", *columns, rows=[tuple(_shown(place, row).get(name) for name in columns) for row in rows])


@linking.command("show")
def show(
    context: typer.Context,
    subject: SubjectOrId,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Show hospital numbers, birth date and sex; it is put on record.")
    ] = False,
    reason: Why = "",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Show how one subject stands and what to do; with --reveal and --reason also who it is at the hospital.

    Example: fhirbridge linking show S017 --reveal --reason "birth date differs, compare with the paper log"
    """
    with working(context, as_json) as place:
        id = _id(place, subject)
        one = _subject(place, id)
        told = _standing(place, one) | {"remedy": _REMEDIES.get(one.state)}
        if reveal:
            [linked] = place.linking().subjects(id)
            # On record before it is shown: nobody sees it unrecorded, whatever happens then.
            event = Event(subject=id, by=by or user(), action="revealed", detail=_reason(reason, linked))
            place.store.links.note(place.study.id, event)
            told |= {"hospital": _revealed(linked)}
        if as_json:
            console.emit(told)
            return
        for name, value in _shown(place, told).items():
            if name != "hospital" and value is not None:
                console.say(f"{name}: {value}")
        for name, value in told.get("hospital", {}).items():
            console.say(f"{name}: {value if isinstance(value, str) or value is None else ', '.join(value)}")


@linking.command("check")
def check(context: typer.Context, hospital: HospitalUrl = None, as_json: AsJson = False) -> None:
    """Look for every consenting subject at the hospital, as a pull does first. Exits 1 if one cannot be linked."""
    with working(context, as_json, hospital=hospital) as place, place.run("linking") as run:
        links = place.linking(run.note)
        with place.hospital() as server:
            server.note = run.note
            found = links.resolve_all(links.subjects(), server, run.id)
        states = [one.stopped.state if one.stopped else "linked" for one in found]
        counts = {state: states.count(state) for state in ("linked", "not found", "mismatch", "ended")}
        stuck = counts["not found"] + counts["mismatch"]
        run.end("needs a person" if stuck else "done", {"subjects": len(found), **counts})
        _report(place, found, counts, as_json=as_json)
        if stuck:
            raise typer.Exit(EXIT_REFUSED)


@linking.command("history")
def history(
    context: typer.Context,
    subject: Annotated[
        str | None, typer.Argument(metavar="SUBJECT", help="Of one subject: its number or pseudonymous id.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what was ever done to links and who looked at one, the oldest first; nothing is ever deleted from it."""
    with working(context, as_json) as place:
        found = place.store.links.history(place.study.id, _past(place, subject) if subject else None)
        if as_json:
            names = ("number", "at", "subject", "action", "by", "detail")
            console.emit({"events": [{name: getattr(one, name) for name in names} for one in found]})
            return
        zone, now = place.study.schedule.zone, dt.datetime.now(dt.UTC)
        rows = [
            (console.moment(one.at, zone, now), one.subject[:_SHORTEST], one.action, one.by, one.detail)
            for one in found
        ]
        console.table("History of links", "at", "subject", "what", "by", "detail", rows=rows)


@linking.command("reseal")
def reseal(context: typer.Context, by: By = None, as_json: AsJson = False) -> None:
    """Seal with the newest key (the first line of the key file) what an older one sealed."""
    with working(context, as_json) as place:
        count = place.linking().reseal(by or user())
        if as_json:
            console.emit({"resealed": count})
        else:
            console.say(f"Sealed anew: {console.many(count, 'link')}.")


@linking.command("forget")
def forget(
    context: typer.Context, subject: SubjectOrId, reason: Why = "", by: By = None, as_json: AsJson = False
) -> None:
    """Delete what is known of a subject at the hospital; nothing is asked for it any more. Its history stays."""
    with working(context, as_json) as place:
        [linked] = place.linking().subjects(_id(place, subject))
        event = Event(subject=linked.subject, by=by or user(), action="forgotten", detail=_reason(reason, linked))
        count = place.store.links.forget(place.study.id, event)
        if as_json:
            console.emit({"forgotten": event.subject, "links": count})
        else:
            console.say(f"Forgotten: {event.subject} ({console.many(count, 'link')}).")


@contextmanager
def _no_pull(place: Workplace) -> Iterator[None]:
    """Keep pulls away while the block runs: one would take results by the numbers that are replaced."""
    with Leases(place.bound_store) as leases:
        if leases.take(f"pull:{place.study.id}") is None:
            raise ConfigurationError("a pull of this study is under way. Wait until it has ended, then import again.")
        yield


def _subjects(place: Workplace) -> Sequence[Linked | Link]:
    """Return one thing a subject: opened with the key, else as much as can be read without it."""
    if place.settings.linking_key is not None:
        return place.linking().subjects()
    by_subject: dict[str, Link] = {}
    for link in place.store.links.all(place.study.id):
        if link.state == "imported" or link.subject not in by_subject:
            by_subject[link.subject] = link
    return list(by_subject.values())


def _subject(place: Workplace, id: str) -> Linked | Link:
    return next(one for one in _subjects(place) if one.subject == id)


def _standing(place: Workplace, one: Linked | Link) -> dict[str, Any]:
    number = {"number": one.number} if isinstance(one, Linked) else {}
    consent = place.store.consented(place.study.id, one.subject)
    said = {True: "active", False: "withdrawn", None: "unknown"}[consent]
    seen = {"state": one.state, "reason": one.reason, "since": one.since, "checked": one.checked}
    return {"subject": one.subject, **number, **seen, "consent": said}


def _shown(place: Workplace, row: dict[str, Any]) -> dict[str, Any]:
    zone, now = place.study.schedule.zone, dt.datetime.now(dt.UTC)
    moments = {name: console.moment(row[name], zone, now) for name in ("since", "checked") if row[name]}
    return row | {"subject": row["subject"][:_SHORTEST]} | moments


def _reason(text: str, one: Linked) -> str:
    """Return a reason as it goes on record, where everybody may read it. Raises InputError where it tells too much."""
    if not text.strip():
        raise InputError("give --reason TEXT: who did this and why stays on record.")
    known = {one.number, one.birth_date, *(each.value for each in one.identifiers)}
    if any(word and word in text for word in known):
        raise InputError("--reason stays readable on record: leave subject number, hospital number and birth date out.")
    return text.strip()


def _revealed(one: Linked) -> dict[str, Any]:
    return {
        "identifiers": [f"{each.system}|{each.value}" for each in one.identifiers],
        "birth_date": one.birth_date,
        "sex": one.sex,
        "patients": sorted(f"{server}/Patient/{id}" for server, ids in one.found.items() for id in ids),
    }


def _report(place: Workplace, found: Sequence[Resolved], counts: dict[str, int], *, as_json: bool) -> None:
    stopped = [one.stopped for one in found if one.stopped is not None]
    if as_json:
        told = [
            {"subject": one.subject, "state": one.state, "reason": one.reason, "remedy": one.remedy} for one in stopped
        ]
        console.emit({"subjects": len(found), **counts, "stopped": told})
        return
    console.table(f"Subjects at {place.server}", *counts, rows=[tuple(counts.values())])
    for one in stopped:
        console.say(str(one))


def _id(place: Workplace, text: str) -> str:
    """Return the id of our Patient that a subject number or the beginning of the id means, of those linked."""
    return _among(place, text, {link.subject for link in place.store.links.all(place.study.id)})


def _past(place: Workplace, text: str) -> str:
    """Return the same of all that ever were linked."""
    return _among(place, text, {event.subject for event in place.store.links.history(place.study.id)})


def _among(place: Workplace, text: str, ids: set[str]) -> str:
    if (id := place.identity.id("Patient", text)) in ids:
        return id
    fitting = [id for id in ids if len(text) >= _SHORTEST and id.startswith(text)]
    if len(fitting) != 1:
        raise InputError("no such subject is linked. `fhirbridge linking list` shows those that are.")
    return fitting[0]
