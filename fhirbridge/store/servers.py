"""The hospitals' servers: their keys here, what they last said they can do, and how they last failed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypedDict

from sqlalchemy import BindParameter, ColumnElement, Connection, ScalarSelect, Table, and_, func, insert, select, update

from fhirbridge import fhirjson
from fhirbridge.errors import Resource
from fhirbridge.store.schema import resource, server


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """What is known of a server: its CapabilityStatement and when it was read, and failures in a row.

    ``open_until`` is the instant until which nothing is to be sent to it, None if it may be tried.
    """

    capabilities: Resource | None = None
    capabilities_at: str | None = None
    failures: int = 0
    open_until: str | None = None
    last_error: str | None = None


class ServerChanges(TypedDict, total=False):
    """What may be noted of a server: any of ServerState's fields."""

    capabilities: Resource | None
    capabilities_at: str | None
    failures: int
    open_until: str | None
    last_error: str | None


def known(base_url: str | BindParameter[str]) -> ScalarSelect[int]:
    """Return the key of a server as part of a query; null, which equals nothing, for one never written to."""
    return select(server.c.key).where(server.c.base_url == base_url).scalar_subquery()


def stands(table: Table, base_url: str | BindParameter[str]) -> ColumnElement[bool]:
    """Return the condition that a row of a table is what is known, at a server, of a row of ``resource``."""
    return and_(table.c.server == known(base_url), table.c.resource == resource.c.key)


def key(connection: Connection, base_url: str) -> int:
    """Return the key of a server, giving it one if it has none. For the writer alone."""
    found = connection.execute(select(server.c.key).where(server.c.base_url == base_url)).scalar()
    if found is not None:
        return int(found)
    made = (connection.execute(select(func.max(server.c.key))).scalar() or 0) + 1
    connection.execute(insert(server).values(key=made, base_url=base_url))
    return int(made)


def state(connection: Connection, base_url: str) -> ServerState:
    """Return what is known of a server; that of one never seen says nothing."""
    columns = [server.c[name] for name in ServerState.__dataclass_fields__]
    row = connection.execute(select(*columns).where(server.c.base_url == base_url)).mappings().first()
    if row is None:
        return ServerState()
    said = row["capabilities"]
    return ServerState(**{**row, "capabilities": None if said is None else _statement(said)})


@lru_cache(maxsize=4)
def _statement(said: str) -> Resource:
    """Return a CapabilityStatement, of which HAPI's takes longer to read than a push of one resource to send."""
    statement: Resource = fhirjson.loads(said)
    return statement


def note(connection: Connection, base_url: str, changes: ServerChanges) -> None:
    """Change what is known of a server; what is not named stays."""
    values: dict[str, Any] = dict(changes)
    if values.get("capabilities") is not None:
        values["capabilities"] = fhirjson.dumps(values["capabilities"]).decode()
    one = server.c.key == key(connection, base_url)
    if values:
        connection.execute(update(server).where(one).values(values))
