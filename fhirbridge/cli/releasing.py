"""Brings the releases of data-use agreements up to date, for `fhirbridge registry release` and the job of that name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhirbridge.automation.jobs import Outcome
from fhirbridge.cli import console
from fhirbridge.cli.registries import agreements_of
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import EXIT_REFUSED, FhirbridgeError, InputError
from fhirbridge.release.agreement import Agreement
from fhirbridge.store.instants import utc_now
from fhirbridge.store.releases import Refreshed

Done = Mapping[str, Refreshed | FhirbridgeError]
"""What became of the release of each agreement."""


def release(place: Workplace, ids: Sequence[str] = ()) -> Done:
    """Bring the releases of these agreements up to date, or of all that are in force.

    One that fails does not keep back the others. Raises InputError for an agreement that is not there.
    """
    known = agreements_of(place).all()
    if unknown := sorted(set(ids) - set(known)):
        raise InputError(f"there is no agreement {unknown[0]!r}. There is: {', '.join(sorted(known)) or 'none'}.")
    chosen = [known[id] for id in dict.fromkeys(ids)] or [one for one in known.values() if one.holds(utc_now())]
    return {agreement.id: _refreshed(place, agreement) for agreement in chosen}


def _refreshed(place: Workplace, agreement: Agreement) -> Refreshed | FhirbridgeError:
    try:
        view = place.release_view(agreement)
        return place.bound_store.releases.refresh(view, place.study.schedule.zone)
    except FhirbridgeError as error:
        return error


def run_release(place: Workplace, ids: Sequence[str] = ()) -> tuple[Done, Outcome]:
    """Bring releases up to date as a run that is noted; return what became of each, and of the whole."""
    with place.run("release") as run:
        done = release(place, ids)
        outcome = ended(done)
        run.end(outcome.result, dict(outcome.counts))
    return done, outcome


def ended(done: Done) -> Outcome:
    """Say how it went with all releases together."""
    errors = [one for one in done.values() if isinstance(one, FhirbridgeError)]
    looked = [tally for one in done.values() if isinstance(one, Refreshed) for tally in one.counts.values()]
    counts = {
        "agreements": len(done),
        "released": sum(one.released for one in looked),
        "unchanged": sum(one.unchanged for one in looked),
        "deleted": sum(one.deleted for one in looked),
        "hidden": sum(one.hidden for one in looked),
        "failed": len(errors),
    }
    if errors:
        return Outcome(result="failed", counts=counts, exit_code=errors[0].exit_code or EXIT_REFUSED)
    return Outcome(counts=counts)


def told(done: Done) -> dict[str, Any]:
    """Say the same as JSON can hold it."""
    return {"agreements": [_told(id, one) for id, one in done.items()]}


def _told(id: str, one: Refreshed | FhirbridgeError) -> dict[str, Any]:
    if isinstance(one, FhirbridgeError):
        return {"agreement": id, "error": str(one)}
    at = one.position
    return {
        "agreement": id,
        "position": at.number if at else None,
        "at": at.at if at else None,
        "whole": one.whole,
        "busy": one.busy,
        "due": one.due,
        "next_due": one.next_due.isoformat() if one.next_due else None,
        "counts": {
            kind: {"released": n.released, "unchanged": n.unchanged, "deleted": n.deleted, "hidden": n.hidden}
            for kind, n in one.counts.items()
        },
    }


def show(done: Done) -> None:
    """Print a table of the counts, and what else is to be known."""
    rows = [
        (id, kind, one.released, one.unchanged, one.deleted, one.hidden)
        for id, found in done.items()
        if isinstance(found, Refreshed)
        for kind, one in found.counts.items()
    ]
    if rows:
        heads = "agreement", "type", "released", "unchanged", "deleted", "hidden"
        console.table("Releases: what was looked at", *heads, rows=rows)
    for id, found in done.items():
        console.say(f"{id}: {_said(found)}")


def _said(one: Refreshed | FhirbridgeError) -> str:
    if isinstance(one, FhirbridgeError):
        return f"failed: {one}"
    if one.busy:
        return "another process is bringing it up to date."
    stands = f"at position {one.position.number} of {one.position.at}" if one.position else "not released yet"
    waits = f"; further changes are let out from {one.next_due:%Y-%m-%d %H:%M} UTC on" if one.next_due else ""
    return f"up to date, {stands}{waits}."
