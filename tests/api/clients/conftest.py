"""A service that clients which are not ours ask: a process of its own, with data, a correction, keys and tokens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.clients.live import Live, running


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The service with its one registered client, for the whole run; nobody changes its data after the start."""
    with running(tmp_path_factory.mktemp("live")) as service:
        yield service
