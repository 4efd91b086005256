"""The ids that resources have at servers which do not use ours."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from fhirbridge.store import servers
from fhirbridge.store.resources import named
from fhirbridge.store.schema import crosswalk
from fhirbridge.store.schema import resource as current
from fhirbridge.store.writes import batches, upsert


def ids(connection: Connection, base_url: str, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return, by our type and id, the server's ids of those of these resources for which it has another."""
    chosen = select(current.c.type, current.c.id, crosswalk.c.id.label("theirs")).where(
        servers.stands(crosswalk, base_url), crosswalk.c.id != current.c.id
    )
    rows = [row for some in batches(names) for row in connection.execute(chosen.where(named(some)))]
    return {(kind, ours): theirs for kind, ours, theirs in rows}


def note(connection: Connection, base_url: str, key: int, theirs: str) -> None:
    """Keep the server's id of a resource of ours that it has not acknowledged, because others changed it there."""
    row = {"server": servers.key(connection, base_url), "resource": key, "id": theirs, "owner": "us"}
    upsert(connection, crosswalk, [row])


def any_known(connection: Connection, base_url: str) -> bool:
    """Say whether any resource has an id of the server's own."""
    chosen = select(crosswalk.c.resource).where(crosswalk.c.server == servers.known(base_url)).limit(1)
    return connection.execute(chosen).first() is not None


def our_names(connection: Connection, base_url: str, type: str, server_ids: Sequence[str]) -> dict[str, str]:
    """Return our ids of resources of a type by the server's ids; those that are not ours are left out."""
    chosen = select(crosswalk.c.id, current.c.id.label("ours")).where(
        servers.stands(crosswalk, base_url), current.c.type == type
    )
    found = [connection.execute(chosen.where(crosswalk.c.id.in_(some))) for some in batches(server_ids)]
    return {theirs: ours for rows in found for theirs, ours in rows}
