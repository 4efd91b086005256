"""Edits of others that wait for a decision, and the decisions: which of their values stand instead of ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, Select, func, select

from fhirbridge.store import servers
from fhirbridge.store.acknowledgements import SEND_AGAIN
from fhirbridge.store.instants import Now
from fhirbridge.store.resources import named
from fhirbridge.store.schema import acknowledged, conflict, settlement
from fhirbridge.store.schema import resource as current
from fhirbridge.store.writes import batches, remove, upsert


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Somebody else edited or deleted a resource at a server after version ``base_version``, the last we know of."""

    type: str
    id: str
    compartment: str
    at: str
    run: str
    kind: Literal["edited", "deleted"]
    base_version: str | None
    their_version: str | None
    theirs: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictNote:
    """What to note of a conflict over the resource with this key; ``theirs`` is what the server has, as JSON."""

    key: int
    kind: Literal["edited", "deleted"]
    base_version: str | None
    their_version: str | None
    theirs: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A decision: at ``path`` their value stands as long as ours is the one it was then; as JSON, None if absent."""

    path: str
    ours: bytes | None
    theirs: bytes | None
    by: str
    at: str
    reason: str


def found(connection: Connection, base_url: str, notes: Iterable[ConflictNote], run: str, now: Now) -> None:
    """Note conflicts, each instead of an older one over the same resource."""
    last = {note.key: note for note in notes}
    if not last:
        return
    about = {"server": servers.key(connection, base_url), "at": now(), "run": run}
    rows = []
    for note in last.values():
        values = asdict(note)
        rows.append({"resource": values.pop("key"), **values, **about})
    upsert(connection, conflict, rows)


def query(base_url: str) -> Select[Any]:
    """Return the query for a server's conflicts, with the keys of their resources."""
    columns = [conflict.c[name] for name in Conflict.__dataclass_fields__ if name not in ("type", "id", "compartment")]
    chosen = select(current.c.key, current.c.type, current.c.id, current.c.compartment, *columns)
    return chosen.select_from(conflict.join(current, servers.stands(conflict, base_url)))


def count(connection: Connection, base_url: str, study: str) -> int:
    """Return how many resources of a study have a conflict at a server, whether we have something to send or not."""
    disputed = conflict.join(current, servers.stands(conflict, base_url))
    chosen = select(func.count()).select_from(disputed)
    return connection.execute(chosen.where(current.c.study == study)).scalar_one()


def made(row: RowMapping) -> Conflict:
    """Return the row of a ``query()`` as a Conflict."""
    values = {name: row[name] for name in Conflict.__dataclass_fields__}
    return Conflict(**values | {"theirs": None if row["theirs"] is None else bytes(row["theirs"])})


def one(connection: Connection, base_url: str, type: str, id: str) -> Conflict | None:
    """Return the conflict over a resource."""
    row = connection.execute(query(base_url).where(named([(type, id)]))).mappings().first()
    return None if row is None else made(row)


def drop(connection: Connection, base_url: str, key: int) -> None:
    """Forget the conflict over a resource."""
    remove(connection, conflict, servers.known(base_url), [key])


def settle(
    connection: Connection,
    base_url: str,
    key: int,
    decided: Sequence[Settled],
    version: str | None,
    run: str,
    now: Now,
) -> None:
    """Keep decisions, each instead of an older one of its path, and have the resource sent again over ``version``."""
    at_server = {"server": servers.key(connection, base_url), "resource": key}
    upsert(connection, settlement, [at_server | asdict(one) for one in {one.path: one for one in decided}.values()])
    upsert(connection, acknowledged, [at_server | {"hash": SEND_AGAIN, "version": version, "at": now(), "run": run}])
    remove(connection, conflict, at_server["server"], [key])


def settled(connection: Connection, base_url: str, keys: Sequence[int]) -> dict[int, list[Settled]]:
    """Return the decisions on these resources at a server, in the order of their paths."""
    columns = [settlement.c[name] for name in Settled.__dataclass_fields__]
    chosen = select(settlement.c.resource, *columns).where(settlement.c.server == servers.known(base_url))
    decided: dict[int, list[Settled]] = {}
    for some in batches(keys):
        rows = connection.execute(chosen.where(settlement.c.resource.in_(some)).order_by(settlement.c.path))
        for row in rows.mappings():
            values = {name: None if row[name] is None else bytes(row[name]) for name in ("ours", "theirs")}
            kept = Settled(**{name: row[name] for name in Settled.__dataclass_fields__} | values)
            decided.setdefault(row["resource"], []).append(kept)
    return decided
