"""A service with a door for registries, and one registry that is registered."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhirbridge.store import Store
from tests.api.registering import Clock, Service


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store: copying one is far faster than making one."""
    file = tmp_path_factory.mktemp("empty") / "store.db"
    Store.open(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def service(tmp_path: Path, empty_database: Path, clock: Clock) -> Iterator[Service]:
    """The API on an empty SQLite store; client c1 acts under agreement A1, and may read all that it lets out."""
    shutil.copy(empty_database, tmp_path / "registry.db")
    with Store.open(f"sqlite:///{tmp_path / 'registry.db'}", clock=clock.now) as store:
        made = Service(store, tmp_path, clock)
        made.register()
        yield made
