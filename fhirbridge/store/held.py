"""What a server should hold at this moment, going by what it acknowledged: ids and versions, without any body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, and_, func, or_, select

from fhirbridge.store import servers
from fhirbridge.store.schema import acknowledged, crosswalk
from fhirbridge.store.schema import resource as current
from fhirbridge.store.writes import batches


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A resource of ours that a server acknowledged: our id and its own, and the version it gave it.

    ``expected`` is False where it should not be there (any more): it was deleted, or was never to be there.
    ``current`` says that the server was last sent what the study says now.
    """

    key: int
    type: str
    id: str
    server_id: str
    compartment: str
    version: str | None
    expected: bool
    current: bool
    hospital_owned: bool


def query(base_url: str, study: str, type: str) -> Select[Any]:
    """Return the query for what a server acknowledged of a study's resources of a type."""
    taken, crossed = servers.stands(acknowledged, base_url), servers.stands(crosswalk, base_url)
    return (
        select(
            *(current.c[name] for name in ("key", "type", "id", "compartment")),
            func.coalesce(crosswalk.c.id, current.c.id).label("server_id"),
            crosswalk.c.owner,
            *(acknowledged.c[name] for name in ("hash", "sent", "version", "state")),
            (acknowledged.c.hash == current.c.hash).label("current"),
        )
        .select_from(current.join(acknowledged, taken).outerjoin(crosswalk, crossed))
        .where(current.c.study == study, current.c.type == type)
    )


def by_server_id(connection: Connection, base_url: str, study: str, type: str, ids: Sequence[str]) -> dict[str, Held]:
    """Return what is known of some of a server's resources, by its ids."""
    chosen = query(base_url, study, type)
    found: dict[str, Held] = {}
    for some in batches(ids):
        ours = or_(and_(crosswalk.c.id.is_(None), current.c.id.in_(some)), crosswalk.c.id.in_(some))
        for row in connection.execute(chosen.where(ours)).mappings():
            found[row["server_id"]] = made(row)
    return found


def made(row: RowMapping) -> Held:
    """Return the row of a ``query()`` as Held."""
    return Held(
        **{name: row[name] for name in ("key", "type", "id", "server_id", "compartment", "version")},
        expected=row["state"] != "deleted" and row["sent"] is not None,
        current=bool(row["current"]),
        hospital_owned=row["owner"] == "hospital",
    )
