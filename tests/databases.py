"""Databases to test on: each test that asks for one runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.store.postgresql import PostgresqlMissing, running_postgresql


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    yield from _schema(request.getfixturevalue("postgresql_server"))


@pytest.fixture
def postgresql_schema(postgresql_server: str) -> Iterator[str]:
    """Give the URL of an empty PostgreSQL database; for tests marked ``postgresql``."""
    yield from _schema(postgresql_server)


def _schema(server: str) -> Iterator[str]:
    schema = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    yield f"{server}{'&' if '?' in server else '?'}options=-csearch_path%3D{schema}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Give the URL of a PostgreSQL server where schemas may be created: the one given, else one for the run."""
    given = os.environ.get("FHIRBRIDGE_TEST_POSTGRESQL")
    if given:
        yield given
        return
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(running_postgresql())
        except PostgresqlMissing as missing:
            if os.environ.get("FHIRBRIDGE_REQUIRE_POSTGRESQL") == "1":
                pytest.fail(str(missing))
            pytest.skip(str(missing))
        yield url
