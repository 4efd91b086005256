"""A store, resources to put into it, and a hospital that tests can break."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fhirbridge.errors import Resource
from fhirbridge.store import Store
from tests.store.conftest import make as make
from tests.store.conftest import store as store
from tests.sync.breakable_hospital import BreakableHospital


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def put(store: Store) -> Callable[[list[tuple[int, Resource]]], None]:
    def in_one_transaction(ranked: list[tuple[int, Resource]]) -> None:
        with store.transaction() as transaction:
            transaction.put(ranked, run="run-1")

    return in_one_transaction


@pytest.fixture
def breakable() -> BreakableHospital:
    return BreakableHospital()
