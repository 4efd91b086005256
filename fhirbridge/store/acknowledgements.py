"""What each hospital's server last acknowledged, and so what is still to be sent to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Dialect, FromClause, RowMapping, Select, and_, case, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from fhirbridge.store import resources
from fhirbridge.store.resources import Stored
from fhirbridge.store.schema import acknowledged, server
from fhirbridge.store.schema import resource as current

_COMPARTMENTS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How many resources a study has, and how many of them a server has not acknowledged as they are now."""

    desired: int
    pending: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What is pending of one compartment, in rank order; it goes to a server as one unit, so references resolve."""

    compartment: str
    resources: tuple[Stored, ...]


def _joined(base_url: str) -> FromClause:
    key = select(server.c.key).where(server.c.base_url == base_url).scalar_subquery()
    return current.outerjoin(acknowledged, and_(acknowledged.c.server == key, acknowledged.c.resource == current.c.key))


_PENDING = acknowledged.c.hash.is_distinct_from(current.c.hash)


def backlog(connection: Connection, base_url: str, study: str) -> Backlog:
    """Return the counts, in one query that reads hashes and no body."""
    count = select(func.count(), func.sum(case((_PENDING, 1), else_=0))).select_from(_joined(base_url))
    desired, pending = connection.execute(count.where(current.c.study == study)).one()
    return Backlog(desired=desired, pending=int(pending or 0))


def groups(fetch: Callable[[Select[Any]], Sequence[RowMapping]], base_url: str, study: str) -> Iterator[Group]:
    """Yield what is pending, compartment by compartment, that of the whole study ('') first.

    The names of the compartments are read at once, their resources some compartments at a time; each comes once,
    also if its sending failed.
    """
    joined, column = _joined(base_url), current.c.compartment
    names = select(column).distinct().select_from(joined).where(current.c.study == study, _PENDING).order_by(column)
    found = [row["compartment"] for row in fetch(names)]
    pending = resources.query(joined).where(current.c.study == study, _PENDING)
    pending = pending.order_by(column, current.c.rank, current.c.key)
    for start in range(0, len(found), _COMPARTMENTS):
        rows = fetch(pending.where(column.in_(found[start : start + _COMPARTMENTS])))
        for name, members in itertools.groupby(map(resources.stored, rows), attrgetter("compartment")):
            yield Group(compartment=name, resources=tuple(members))


def acknowledge(
    connection: Connection, base_url: str, sent: Iterable[tuple[Stored, str | None]], run: str, now: str
) -> None:
    """Note that a server holds these contents, each with the version the server gave it if it told."""
    key = _server_key(connection, base_url)
    rows = [
        {"server": key, "resource": one.key, "hash": bytes.fromhex(one.hash), "version": given, "at": now, "run": run}
        for one, given in sent
    ]
    if rows:
        connection.execute(_upsert(connection.dialect), rows)


def _server_key(connection: Connection, base_url: str) -> int:
    found = connection.execute(select(server.c.key).where(server.c.base_url == base_url)).scalar()
    if found is not None:
        return int(found)
    key = (connection.execute(select(func.max(server.c.key))).scalar() or 0) + 1
    connection.execute(insert(server).values(key=key, base_url=base_url))
    return int(key)


def _upsert(dialect: Dialect) -> Any:
    statement: Any = (postgresql if dialect.name == "postgresql" else sqlite).insert(acknowledged)
    given = {name: statement.excluded[name] for name in ("hash", "version", "at", "run")}
    return statement.on_conflict_do_update(index_elements=["server", "resource"], set_=given)
