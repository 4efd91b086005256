"""A registry at work: a store with a small cohort, released under two agreements, and a client of each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fhirbridge.store import Store
from tests.api.registering import Clock
from tests.api.registry.exporting import at_rest
from tests.api.registry.serving import Registry, load
from tests.databases import postgresql_schema as postgresql_schema
from tests.databases import postgresql_server as postgresql_server

Serve = Callable[..., Registry]


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with eight subjects, released under both agreements: copying it is far faster than making it."""
    folder = tmp_path_factory.mktemp("registry")
    with Store.open(f"sqlite:///{folder / 'store.db'}", clock=Clock().now) as store:
        load(store)
        Registry(store, folder, Clock()).refresh()
    return folder / "store.db"


@pytest.fixture
def on_postgresql(postgresql_schema: str, tmp_path: Path, clock: Clock) -> Iterator[Registry]:
    """The same service on PostgreSQL."""
    with Store.open(postgresql_schema, clock=clock.now) as store:
        load(store)
        made = Registry(store, tmp_path, clock)
        made.refresh()
        yield made
        at_rest()
        made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def serve(loaded: Path, tmp_path: Path, clock: Clock) -> Iterator[Serve]:
    """Serve the cohort with other settings or agreements: ``serve(api_cors_origins=("*",))``."""
    opened: list[Registry] = []

    def served(**given: object) -> Registry:
        if opened:
            made = Registry(opened[0].store, tmp_path, clock, **given)
        else:
            shutil.copy(loaded, tmp_path / "store.db")
            store = Store.open(f"sqlite:///{tmp_path / 'store.db'}", clock=clock.now)
            made = Registry(store, tmp_path, clock, **given)
        opened.append(made)
        return made

    yield served
    at_rest()
    for one in opened:
        one.close()


@pytest.fixture
def registry(serve: Serve) -> Registry:
    """The service, with client c1 under agreement north-2026 and c2 under south-2026, both for everything there is."""
    return serve()
