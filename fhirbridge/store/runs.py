"""Runs of commands and what each set aside, so that any result can be traced to the run that made it."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from fhirbridge import fhirjson
from fhirbridge.errors import Finding, StoreError
from fhirbridge.store.instants import Now
from fhirbridge.store.schema import quarantine, run


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a command; ``ended``, ``outcome`` and ``counts`` are None while it runs and after a kill."""

    id: str
    command: str
    started: str
    ended: str | None
    outcome: str | None
    counts: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """All runs of one command that ended alike, ``outcome`` None for those under way or killed.

    ``started`` and ``ended`` are the latest of them.
    """

    command: str
    outcome: str | None
    runs: int
    started: str
    ended: str | None


def start(connection: Connection, command: str, now: Now) -> str:
    """Note that a run began; return its id, which sorts by time and is readable: 20261122T144924Z-3fa9c1d2."""
    started = now()
    moment = started.replace("-", "").replace(":", "").split(".")[0].removesuffix("Z") + "Z"
    id = f"{moment}-{secrets.token_hex(4)}"
    connection.execute(insert(run).values(id=id, command=command, started=started))
    return id


def finish(connection: Connection, id: str, outcome: str, counts: dict[str, Any], now: Now) -> None:
    """Note how a run ended. Raises StoreError for a run that was never started."""
    ended = {"ended": now(), "outcome": outcome, "counts": fhirjson.dumps(counts).decode()}
    if connection.execute(update(run).where(run.c.id == id).values(ended)).rowcount != 1:
        raise StoreError(f"there is no run {id} to finish.")


def last(connection: Connection, command: str, outcomes: Collection[str]) -> Run | None:
    """Return the run of a command begun last, of those with one of these outcomes if any are given."""
    chosen = select(run).where(run.c.command == command).order_by(run.c.started.desc(), run.c.id.desc()).limit(1)
    if outcomes:
        chosen = chosen.where(run.c.outcome.in_(outcomes))
    row = connection.execute(chosen).mappings().first()
    return None if row is None else _run(row)


def newest(connection: Connection, command: str | None, limit: int) -> list[Run]:
    """Return the runs begun last, the newest first."""
    chosen = select(run).order_by(run.c.started.desc(), run.c.id.desc()).limit(limit)
    if command is not None:
        chosen = chosen.where(run.c.command == command)
    return [_run(row) for row in connection.execute(chosen).mappings()]


def _run(row: RowMapping) -> Run:
    return Run(**{**row, "counts": None if row["counts"] is None else fhirjson.loads(row["counts"])})


def tallies(connection: Connection) -> list[Tally]:
    """Count all runs there ever were, by command and outcome, in one query."""
    latest = (func.max(run.c.started).label("started"), func.max(run.c.ended).label("ended"))
    counted = select(run.c.command, run.c.outcome, func.count().label("runs"), *latest)
    rows = connection.execute(counted.group_by(run.c.command, run.c.outcome).order_by(run.c.command, run.c.outcome))
    return [Tally(**row) for row in rows.mappings()]


def set_aside(connection: Connection, id: str, found: Iterable[Finding]) -> int:
    """Keep what a run refused, after what it refused before; return how many."""
    before = connection.execute(select(func.max(quarantine.c.number)).where(quarantine.c.run == id)).scalar() or 0
    rows = [{"run": id, "number": number, **asdict(finding)} for number, finding in enumerate(found, before + 1)]
    if rows:
        connection.execute(insert(quarantine), rows)
    return len(rows)


def findings(connection: Connection, id: str, after: int, limit: int) -> list[tuple[int, Finding]]:
    """Return the next findings of a run with their numbers."""
    columns = [quarantine.c[field.name] for field in fields(Finding)]
    chosen = select(quarantine.c.number, *columns).where(quarantine.c.run == id, quarantine.c.number > after)
    rows = connection.execute(chosen.order_by(quarantine.c.number).limit(limit)).mappings()
    return [(row["number"], Finding(**{name: row[name] for name in row if name != "number"})) for row in rows]
