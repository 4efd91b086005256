"""A client whose sleeps are written down instead of slept, for the tests at wire level."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import responses

from fhirbridge.hospital import Hospital, Retries

BASE = "http://hospital.test/fhir"


class Wire:
    """A client, the pauses it made, and the mocked network it talks to."""

    def __init__(self, network: responses.RequestsMock) -> None:
        self.pauses: list[float] = []
        self.network = network
        self.client = Hospital(BASE, retries=Retries(attempts=4, jitter=0.0), sleep=self.pauses.append)

    @property
    def calls(self) -> int:
        return len(self.network.calls)


@pytest.fixture
def wire() -> Iterator[Wire]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as network:
        wire = Wire(network)
        with wire.client:
            yield wire
