"""Stores to test: each test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fhirbridge.errors import Resource
from fhirbridge.store import Store
from tests.databases import database_url as database_url
from tests.databases import postgresql_schema as postgresql_schema
from tests.databases import postgresql_server as postgresql_server
from tests.store.making import Make


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with Store.open(database_url) as opened:
        yield opened


@pytest.fixture
def make() -> Make:
    return Make()


@pytest.fixture
def put(store: Store) -> Callable[..., list[str]]:
    """Put resources in a transaction of their own."""

    def in_one_transaction(*ranked: tuple[int, Resource]) -> list[str]:
        with store.transaction() as transaction:
            return list(transaction.put(ranked, run="run-1"))

    return in_one_transaction
