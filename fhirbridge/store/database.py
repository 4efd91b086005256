"""Opening the database that a URL names: SQLite in WAL mode or PostgreSQL, brought up to the newest migration."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, inspect, make_url, select, text
from sqlalchemy.exc import ArgumentError, DisconnectionError, NoSuchModuleError, SQLAlchemyError

from fhirbridge.errors import StoreError
from fhirbridge.store import schema

P = ParamSpec("P")
T = TypeVar("T")

BUSY_SECONDS = 60
"""How long a writer waits for another one before it gives up."""

IDLE_SECONDS = 1.0
"""After how long without use a connection to PostgreSQL is tried before it is used."""

_WRITER_LOCK = 0x66686972
"""The advisory lock by which PostgreSQL has one writer at a time, as SQLite has by itself."""

_UNBEGUN = {"unbegun": True}
"""The option of a connection to SQLite for which nothing is begun."""

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",  # readers go on while one writes
    "PRAGMA synchronous=FULL",  # what was reported as stored survives a power cut
    "PRAGMA foreign_keys=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-8192",  # KiB: the rest is in the cache of the system, which takes it back when it must
    "PRAGMA wal_autocheckpoint=10000",  # pages: ids are random, so what many transactions touch is written home once
)


def opened(url: str) -> Engine:
    """Return an engine on the database, created and migrated as needed. Raises StoreError, never with a password."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        _create_privately(parsed)
    engine = _engine(parsed)
    try:
        _migrate(engine, described(parsed))
    except SQLAlchemyError as error:
        engine.dispose()
        raise StoreError(f"cannot open {described(parsed)}: {_reason(error, parsed)}.") from None
    except StoreError:
        engine.dispose()
        raise
    return engine


@contextlib.contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a connection that sees one state of the database. Raises StoreError for what the database refuses."""
    with _translated(engine), engine.connect() as connection:
        yield connection


@contextlib.contextmanager
def looking(engine: Engine) -> Iterator[Connection]:
    """Give a connection as ``reading`` does, but without a transaction, whose begin and end take longer than a look.

    Each statement sees the state of its moment: for who asks but one, or of a state that stays.
    """
    unbegun: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"} if engine.dialect.name == "postgresql" else _UNBEGUN
    with _translated(engine), engine.connect() as connection:
        yield connection.execution_options(**unbegun)


@contextlib.contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Give the connection of the only writer, in a transaction committed at the end. Raises StoreError."""
    with _translated(engine), engine.execution_options(writes=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_WRITER_LOCK)))
        yield connection


def read(engine: Engine, do: Callable[Concatenate[Connection, P], T], *args: P.args, **named: P.kwargs) -> T:
    """Return what a function returns that is given a connection as ``reading`` gives it."""
    with reading(engine) as connection:
        return do(connection, *args, **named)


def look(engine: Engine, do: Callable[Concatenate[Connection, P], T], *args: P.args, **named: P.kwargs) -> T:
    """Return what a function returns that is given a connection as ``looking`` gives it."""
    with looking(engine) as connection:
        return do(connection, *args, **named)


def write(engine: Engine, do: Callable[Concatenate[Connection, P], T], *args: P.args, **named: P.kwargs) -> T:
    """Return what a function returns that is given the writer's connection, as ``writing`` gives it."""
    with writing(engine) as connection:
        return do(connection, *args, **named)


def described(url: URL) -> str:
    """Return a database's name for messages: no user, no password."""
    if url.get_backend_name() == "sqlite":
        return f"the SQLite file {url.database}"
    return f"the PostgreSQL database {url.database or '(default)'} at {url.host or 'the local socket'}"


@contextlib.contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(f"{described(engine.url)}: {_reason(error, engine.url)}.") from None


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url.replace("postgres://", "postgresql://", 1) if url.startswith("postgres://") else url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        backend = ""
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed.set(drivername="sqlite")
    raise StoreError("the store's URL must be like sqlite:///path/to/file.db or postgresql://user@host/database.")


def _create_privately(url: URL) -> None:
    """Create the file (and its folder) readable by its owner alone; SQLite gives -wal and -shm the same mode."""
    path = Path(str(url.database))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"cannot open {described(url)}: {error.strerror}. Give a path that can be written.") from None


def _engine(url: URL) -> Engine:
    sqlite = url.get_backend_name() == "sqlite"
    waiting: dict[str, Any] = {"timeout": BUSY_SECONDS} if sqlite else {"connect_timeout": 10}
    try:
        engine = create_engine(url, connect_args=waiting, hide_parameters=True, pool_size=8, max_overflow=24)
    except ImportError:
        raise StoreError("PostgreSQL needs psycopg: pip install 'fhirbridge[postgresql]'.") from None
    if sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "connect", _prepare_postgresql)
        event.listen(engine, "checkin", _left)
        event.listen(engine, "checkout", partial(_taken_up, engine))
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions behind our back
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at once where we shall write: a lock taken later could find what was read outdated."""
    options = connection.get_execution_options()
    if "unbegun" not in options:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes", False) else "BEGIN")


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{BUSY_SECONDS}s'")
    connection.commit()


def _left(_connection: Any, record: Any) -> None:
    record.info["left"] = time.monotonic()


def _taken_up(engine: Engine, connection: Any, record: Any, _proxy: Any) -> None:
    """Have a connection that nobody used for a while made anew if the server does not answer by it any more."""
    if time.monotonic() - record.info.get("left", math.inf) < IDLE_SECONDS:
        return  # to ask each time would take as long as most of what is asked
    try:
        engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error as error:
        raise DisconnectionError from error


def _migrate(engine: Engine, name: str) -> None:
    with engine.connect() as connection:
        if _revision(connection) == schema.REVISION:
            return
    with writing(engine) as connection:
        revision = _revision(connection)  # again: another process may have migrated while we waited for the lock
        if revision == schema.REVISION:
            return
        if revision is not None and revision > schema.REVISION:
            raise StoreError(
                f"{name} was written by a newer fhirbridge (schema {revision}, known here up to {schema.REVISION}). "
                "Update fhirbridge; an older one would not know what to keep."
            )
        _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    from alembic import command  # a quarter of a second, and rarely needed
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(schema.REVISION_TABLE):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {schema.REVISION_TABLE}")).scalar()  # noqa: S608
    return None if found is None else str(found)


def _reason(error: SQLAlchemyError, url: URL) -> str:
    """Return the driver's words in one line, without the password should they repeat it."""
    said = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    line = said.splitlines()[0].rstrip(".")
    return line.replace(url.password, "***") if url.password else line
