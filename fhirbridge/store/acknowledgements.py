"""What each hospital's server last acknowledged: our content by its hash, what was sent for it, and its version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, select, update

from fhirbridge.errors import Resource
from fhirbridge.store import resources, servers
from fhirbridge.store.instants import Now
from fhirbridge.store.resources import Stored
from fhirbridge.store.schema import acknowledged, conflict, crosswalk, failure, version
from fhirbridge.store.schema import resource as current
from fhirbridge.store.writes import remove, upsert

Policy = Literal["stop", "retract", "delete"]
"""What becomes, at a hospital, of the resources of a person who withdrew."""

State = Literal["live", "retracted", "deleted"]
"""What a server holds of a resource: its content, a retraction of it, or nothing any more."""

SEND_AGAIN = b""
"""The hash of an acknowledgement that no longer counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """What a server acknowledged of a resource; ``hash`` is None where it must be sent again.

    ``hash`` is that of our content, ``sent`` that of what was put on the server for it, ``version`` the server's.
    """

    hash: str | None
    sent: str | None
    version: str | None
    state: State
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What to note once a server took a resource; ``server_id``, if given, is its id there, ``owner`` whose it is."""

    key: int
    hash: str
    sent: str | None
    version: str | None
    state: State = "live"
    server_id: str | None = None
    owner: Literal["us", "hospital"] = "us"


def acknowledge(connection: Connection, base_url: str, delivered: Iterable[Delivered], run: str, now: Now) -> None:
    """Note what a server took, of a resource the last one given; its failure and conflict are over."""
    taken = {one.key: one for one in delivered}
    if not taken:
        return
    server, at = servers.key(connection, base_url), now()
    upsert(connection, acknowledged, [_row(one, server, at, run) for one in taken.values()])
    upsert(
        connection,
        crosswalk,
        [
            {"server": server, "resource": one.key, "id": one.server_id, "owner": one.owner}
            for one in taken.values()
            if one.server_id is not None
        ],
    )
    remove(connection, failure, server, taken)
    remove(connection, conflict, server, taken)


def _row(one: Delivered, server: int, at: str, run: str) -> dict[str, Any]:
    return {
        "server": server,
        "resource": one.key,
        "hash": bytes.fromhex(one.hash),
        "sent": None if one.sent is None else bytes.fromhex(one.sent),
        "version": one.version,
        "state": one.state,
        "at": at,
        "run": run,
    }


def any_taken(connection: Connection, base_url: str, study: str) -> bool:
    """Say whether a server ever acknowledged a resource of a study."""
    taken = acknowledged.join(current, servers.stands(acknowledged, base_url))
    chosen = select(current.c.key).select_from(taken).where(current.c.study == study)
    return connection.execute(chosen.limit(1)).first() is not None


def resend(
    connection: Connection, base_url: str, keys: Iterable[int], versions: Mapping[int, str | None] | None
) -> None:
    """Have resources sent again, over these versions of the server's if given; one never acknowledged is left out."""
    at_server = acknowledged.c.server == servers.known(base_url)
    change, given = update(acknowledged).where(at_server, acknowledged.c.resource == bindparam("_key")), versions or {}
    plain, over = [], []
    for key in keys:
        if key in given:
            over.append({"_key": key, "_version": given[key]})
        else:
            plain.append({"_key": key})
    if plain:
        connection.execute(change.values(hash=SEND_AGAIN), plain)
    if over:
        connection.execute(change.values(hash=SEND_AGAIN, version=bindparam("_version")), over)


def forget(connection: Connection, base_url: str, keys: Iterable[int]) -> None:
    """Forget that a server ever took these resources, because it has them no more."""
    remove(connection, acknowledged, servers.known(base_url), keys)


def base(connection: Connection, base_url: str, key: int) -> Resource | None:
    """Return the content of ours that a server last acknowledged, None if it is to be sent again or was never."""
    chosen = select(acknowledged.c.hash).where(
        acknowledged.c.server == servers.known(base_url), acknowledged.c.resource == key
    )
    known = connection.execute(chosen).scalar()
    found = None if known is None else version_by_hash(connection, key, bytes(known).hex())
    return None if found is None else found.content()


def version_by_hash(connection: Connection, key: int, hash: str) -> Stored | None:
    """Return the newest version of a resource with this content."""
    chosen = resources.query(every_version=True).where(current.c.key == key, version.c.hash == bytes.fromhex(hash))
    row = connection.execute(chosen.order_by(version.c.version.desc()).limit(1)).mappings().first()
    return None if row is None else resources.stored(row)
