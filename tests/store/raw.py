"""Databases looked at and made without the store: by plain SQL and by single migrations."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, make_url

import fhirbridge.store.migrations


@contextlib.contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Give a connection of our own, in a transaction."""
    engine = create_engine(make_url(url).set(drivername=url.split(":")[0].replace("postgresql", "postgresql+psycopg")))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def migrate(connection: Connection, revision: str) -> None:
    """Bring an empty database up to a revision and no further."""
    config = Config()
    config.set_main_option("script_location", str(Path(fhirbridge.store.migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


@contextlib.contextmanager
def statements() -> Iterator[list[tuple[str, object]]]:
    """Collect the SELECTs that are sent, with their parameters."""
    seen: list[tuple[str, object]] = []

    def note(_connection, _cursor, statement, parameters, *_: object) -> None:
        if statement.startswith("SELECT"):
            seen.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)
