"""Clients as the store keeps them: registries' systems, their public keys, and what keeps a proof from being reused.

Nothing here is secret: a client proves with a private key, which it alone has, who it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from fhirbridge.errors import Refused
from fhirbridge.store import database
from fhirbridge.store.instants import utc_now, written
from fhirbridge.store.schema import assertion, client, token_revocation


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One system of a registry; its public keys are ``jwks`` (JSON), or lie at ``jwks_uri``.

    ``scopes`` are separated by spaces; ``agreement`` is the id of the data-use agreement that it acts under.
    """

    id: str
    name: str
    agreement: str
    jwks: str | None
    jwks_uri: str | None
    scopes: str
    created: str
    by: str
    revoked: str | None = None
    revoked_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """Whose tokens count at one moment: ids of clients that are not revoked, and of tokens that are."""

    clients: frozenset[str]
    revoked_tokens: frozenset[str]


class Clients:
    """The clients of one database. Every method raises StoreError if that fails."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._clock = clock

    def add(
        self, id: str, name: str, *, agreement: str, scopes: str, by: str, jwks: str | None, jwks_uri: str | None
    ) -> Client:
        """Register a client. Raises Refused if one that is not revoked has this name, or any had this id."""
        with database.writing(self._engine) as connection:
            here = (client.c.id == id) | ((client.c.name == name) & client.c.revoked.is_(None))
            if (found := connection.execute(select(client.c.id).where(here)).scalar()) is not None:
                raise Refused(
                    f"client {name!r}: registered already, as {found}. Revoke that one first, or choose another name."
                )
            made = Client(
                id=id,
                name=name,
                agreement=agreement,
                jwks=jwks,
                jwks_uri=jwks_uri,
                scopes=scopes,
                created=self._instant(),
                by=by,
            )
            connection.execute(insert(client).values({name: getattr(made, name) for name in _FIELDS}))
        return made

    def get(self, id: str) -> Client | None:
        """Return a client, revoked or not."""
        return next(iter(self._clients(select(client).where(client.c.id == id))), None)

    def called(self, text: str) -> list[Client]:
        """Return those with this id or name, the one in force first, then the newest."""
        chosen = select(client).where((client.c.id == text) | (client.c.name == text))
        return self._clients(chosen.order_by(client.c.revoked.is_not(None), client.c.created.desc(), client.c.id))

    def all(self) -> list[Client]:
        """Return every client there ever was, in the order of their making."""
        return self._clients(select(client).order_by(client.c.created, client.c.id))

    def revoke(self, id: str, *, by: str) -> bool:
        """Take a client's access back for ever, its tokens included; say whether it had any."""
        here = update(client).where(client.c.id == id, client.c.revoked.is_(None))
        with database.writing(self._engine) as connection:
            return connection.execute(here.values(revoked=self._instant(), revoked_by=by)).rowcount == 1

    def revoke_token(self, token: str, *, expires: datetime, by: str) -> bool:
        """Take one access token back by its id; say whether it was not yet. ``expires`` is its end or later."""
        row = {"token": token, "expires": written(expires), "at": self._instant(), "by": by}
        with database.writing(self._engine) as connection:
            connection.execute(delete(token_revocation).where(token_revocation.c.expires < self._instant()))
            return _new(connection, token_revocation, row)

    def in_force(self) -> InForce:
        """Return which clients and tokens count now."""
        standing = select(client.c.id).where(client.c.revoked.is_(None))
        revoked = select(token_revocation.c.token).where(token_revocation.c.expires >= self._instant())
        with database.reading(self._engine) as connection:
            return InForce(
                clients=frozenset(connection.execute(standing).scalars()),
                revoked_tokens=frozenset(connection.execute(revoked).scalars()),
            )

    def use(self, client_id: str, jti: str, *, expires: datetime) -> bool:
        """Note that a client was let in by the statement with this id; say whether it was never before.

        Of several processes that are shown the same one, one alone is told True.
        """
        digest = hashlib.sha256(f"{client_id}\x1f{jti}".encode()).digest()
        with database.writing(self._engine) as connection:
            connection.execute(delete(assertion).where(assertion.c.expires < self._instant()))
            return _new(connection, assertion, {"digest": digest, "client": client_id, "expires": written(expires)})

    def _clients(self, chosen: Any) -> list[Client]:
        with database.reading(self._engine) as connection:
            return [Client(**row) for row in connection.execute(chosen).mappings()]

    def _instant(self) -> str:
        return written(self._clock())


_FIELDS = tuple(Client.__dataclass_fields__)


def _new(connection: Connection, table: Any, row: dict[str, Any]) -> bool:
    """Insert a row unless one with its key is there, and say whether there was none."""
    statement: Any = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)
    inserted = statement.values(row).on_conflict_do_nothing().returning(*table.primary_key)
    return connection.execute(inserted).first() is not None  # a count of rows is not told by every driver
