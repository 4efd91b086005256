"""The queue's tables, which are Procrastinate's, beside those of the store: made once, brought up to date on demand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from procrastinate.schema import SchemaManager
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Literal
from sqlalchemy import make_url

from fhirbridge.errors import ConfigurationError, StoreError

_MAKERS = 0x66687174
"""The advisory lock under which tables are made: workers may all be started at once."""

_OURS = "queue of fhirbridge, as of "
"""Before the name of the newest migration, in the comment on the table of jobs."""


def conninfo(database: str) -> str:
    """Return how psycopg connects to the store's database. Raises ConfigurationError where that is not PostgreSQL."""
    url = make_url(database.replace("postgres://", "postgresql://", 1))
    if url.get_backend_name() != "postgresql":
        raise ConfigurationError(
            "`fhirbridge worker` shares its work through PostgreSQL, and `database` is not one. Use `fhirbridge run`, "
            "which does everything in one process, or set `database` to postgresql://user@host/name."
        )
    given = {"host": url.host, "port": url.port, "user": url.username, "password": url.password, "dbname": url.database}
    further = {name: value if isinstance(value, str) else value[-1] for name, value in url.query.items()}
    return make_conninfo("", **{name: value for name, value in given.items() if value is not None} | further)


def prepare(info: str) -> None:
    """Make the tables if they are not there. Raises StoreError if that fails or they are of another version."""
    with _connected(info) as connection:
        if _is_there(connection):
            found = _migration(connection)
        else:
            connection.execute(SchemaManager.get_schema())
            found = _remember(connection, _migrations()[-1].name)
    if found != _migrations()[-1].name:
        raise StoreError(
            "the queue's tables were made by another version of Procrastinate than the one installed. Stop all workers "
            "and run `fhirbridge worker --setup`; or, if they are newer, update fhirbridge here."
        )


def upgrade(info: str) -> list[str]:
    """Make the tables or bring them up to date, and return the names of the migrations that were applied.

    No worker may run meanwhile. Raises StoreError if it fails; what was applied by then stays.
    """
    applied: list[str] = []
    names = [migration.name for migration in _migrations()]
    while True:
        with _connected(info) as connection:  # each in a transaction of its own: some use what the one before made
            if not _is_there(connection):
                connection.execute(SchemaManager.get_schema())
                _remember(connection, names[-1])
                return applied
            found = _migration(connection)
            left = [one for one in _migrations() if one.name > found] if found in names else []
            if not left:
                return applied
            connection.execute(left[0].read_bytes())
            applied.append(_remember(connection, left[0].name))


@contextmanager
def _connected(info: str) -> Iterator[psycopg.Connection[Any]]:
    try:
        with psycopg.connect(info, connect_timeout=10) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MAKERS])
            yield connection
    except psycopg.Error as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise StoreError(f"the queue's tables cannot be made or read: {said[0]}.") from None


def _is_there(connection: psycopg.Connection[Any]) -> bool:
    found = connection.execute("SELECT to_regclass('procrastinate_jobs')").fetchone()
    return found is not None and found[0] is not None


def _migration(connection: psycopg.Connection[Any]) -> str:
    """Return the newest migration applied, '' for tables that somebody else made."""
    found = connection.execute("SELECT obj_description('procrastinate_jobs'::regclass)").fetchone()
    comment = str(found[0]) if found and found[0] else ""
    return comment.removeprefix(_OURS) if comment.startswith(_OURS) else ""


def _remember(connection: psycopg.Connection[Any], migration: str) -> str:
    connection.execute(SQL("COMMENT ON TABLE procrastinate_jobs IS {}").format(Literal(_OURS + migration)))
    return migration


def _migrations() -> list[Path]:
    """Return Procrastinate's migrations in their order, which is that of their names."""
    return sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
