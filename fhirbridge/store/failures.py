"""What went wrong with single resources at a server; what is parked waits for somebody: the dead letters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, and_, case, select

from fhirbridge.store import servers
from fhirbridge.store.instants import Now
from fhirbridge.store.resources import named
from fhirbridge.store.schema import acknowledged, conflict, failure, settlement
from fhirbridge.store.schema import resource as current
from fhirbridge.store.writes import batches, remove, upsert


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The last failure of a resource at a server: what was asked, what was answered, and what to do.

    ``attempts`` counts those of the content with this ``hash``, from ``first`` to ``last``.
    """

    type: str
    id: str
    compartment: str
    hash: str
    attempts: int
    first: str
    last: str
    parked: bool
    status: int | None
    method: str
    url: str
    request: bytes
    outcome: bytes | None
    message: str
    remedy: str
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureNote:
    """What to note of a failure of the resource with this key, whose content had this hash."""

    key: int
    hash: str
    parked: bool
    status: int | None
    method: str
    url: str
    request: bytes
    outcome: bytes | None
    message: str
    remedy: str


def fail(connection: Connection, base_url: str, notes: Iterable[FailureNote], run: str, now: Now) -> None:
    """Note failures: of the content that failed before it is one attempt more, of another one the first."""
    last = {note.key: note for note in notes}
    if not last:
        return
    server, at = servers.key(connection, base_url), now()
    rows = [
        {
            "server": server,
            "resource": note.key,
            "hash": bytes.fromhex(note.hash),
            "attempts": 1,
            "first": at,
            "last": at,
            "run": run,
            **{name: getattr(note, name) for name in FailureNote.__dataclass_fields__ if name not in ("key", "hash")},
        }
        for note in last.values()
    ]
    upsert(connection, failure, rows, _again)


def _again(given: Any) -> dict[str, Any]:
    same = failure.c.hash == given.hash
    return {
        "attempts": case((same, failure.c.attempts + 1), else_=1),
        "first": case((same, failure.c.first), else_=given.first),
    }


def query(base_url: str) -> Select[Any]:
    """Return the query for a server's failures, with the keys of their resources."""
    columns = [failure.c[name] for name in Failure.__dataclass_fields__ if name not in ("type", "id", "compartment")]
    chosen = select(current.c.key, current.c.type, current.c.id, current.c.compartment, *columns)
    return chosen.select_from(failure.join(current, servers.stands(failure, base_url)))


def made(row: RowMapping) -> Failure:
    """Return the row of a ``query()`` as a Failure."""
    values = {name: row[name] for name in Failure.__dataclass_fields__}
    outcome = None if row["outcome"] is None else bytes(row["outcome"])
    return Failure(**values | {"hash": bytes(row["hash"]).hex(), "request": bytes(row["request"]), "outcome": outcome})


def one(connection: Connection, base_url: str, type: str, id: str) -> Failure | None:
    """Return the failure of a resource."""
    row = connection.execute(query(base_url).where(named([(type, id)]))).mappings().first()
    return None if row is None else made(row)


def unpark(connection: Connection, base_url: str, names: Sequence[tuple[str, str]] | None, study: str) -> int:
    """Forget the failures of these resources, or all that are parked, and return how many; they are tried again."""
    refused = failure.join(current, servers.stands(failure, base_url))
    chosen = select(failure.c.resource).select_from(refused).where(current.c.study == study)
    wanted = [failure.c.parked] if names is None else [named(some) for some in batches(names)]
    keys = {key for condition in wanted for key in connection.execute(chosen.where(condition)).scalars()}
    return remove(connection, failure, servers.known(base_url), keys)


def absent_names(connection: Connection, base_url: str, study: str) -> set[tuple[str, str]]:
    """Return type and id of what a server does not hold, and will not get before somebody acts.

    That is what was parked before it was ever taken, what others deleted there, and what was given up.
    """
    taken = servers.stands(acknowledged, base_url)
    parked_at = servers.stands(failure, base_url)
    disputed = servers.stands(conflict, base_url)
    decided = and_(servers.stands(settlement, base_url), settlement.c.path == "")
    name = select(current.c.type, current.c.id).where(current.c.study == study)
    parked = name.select_from(current.join(failure, parked_at).outerjoin(acknowledged, taken))
    parked = parked.where(failure.c.parked, failure.c.hash == current.c.hash, acknowledged.c.hash.is_(None))
    gone = name.select_from(current.join(conflict, disputed)).where(conflict.c.kind == "deleted")
    given_up = name.select_from(current.join(settlement, decided).join(acknowledged, taken))
    given_up = given_up.where(acknowledged.c.sent.is_(None), acknowledged.c.hash == current.c.hash)
    return {(row.type, row.id) for chosen in (parked, gone, given_up) for row in connection.execute(chosen)}
