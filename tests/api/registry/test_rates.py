"""How much one client may ask: requests in a minute, costly ones at a time, and knocking without a token."""

from __future__ import annotations

import pytest
from werkzeug.exceptions import TooManyRequests

from fhirbridge.api.registry.rates import MOST_CLIENTS, REFUSALS, Rates


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


def refused(rates: Rates, client: str) -> int:
    """Return after how many seconds a client that is refused may come again."""
    with pytest.raises(TooManyRequests) as raised:
        rates.admit(client)
    headers = dict(raised.value.get_headers())
    return int(headers["Retry-After"])


def test_a_client_that_asks_more_than_its_share_is_told_when_to_come_again(clock: Clock) -> None:
    rates = Rates(clock, per_minute=6, costly=1)
    for _ in range(6):
        rates.admit("c1")
    assert refused(rates, "c1") == 10
    clock.at += 9
    assert refused(rates, "c1") == 1
    clock.at += 1
    rates.admit("c1")
    assert refused(rates, "c1") == 10


def test_one_client_that_asks_too_much_takes_nothing_from_another(clock: Clock) -> None:
    rates = Rates(clock, per_minute=1, costly=1)
    rates.admit("c1")
    refused(rates, "c1")
    rates.admit("c2")


def test_a_client_that_was_silent_saves_up_no_more_than_a_minutes_share(clock: Clock) -> None:
    rates = Rates(clock, per_minute=2, costly=1)
    rates.admit("c1")
    clock.at += 3600
    rates.admit("c1")
    rates.admit("c1")
    refused(rates, "c1")


def test_a_limit_of_none_admits_everything(clock: Clock) -> None:
    rates = Rates(clock, per_minute=0, costly=1)
    for _ in range(1000):
        rates.admit("c1")


def test_costly_requests_of_a_client_wait_for_each_other_and_not_for_others(clock: Clock) -> None:
    rates = Rates(clock, per_minute=0, costly=2)
    with rates.costly("c1"), rates.costly("c1"):
        with pytest.raises(TooManyRequests), rates.costly("c1"):
            pass
        with rates.costly("c2"):
            pass
    with rates.costly("c1"), rates.costly("c1"):
        pass


def test_a_costly_request_that_fails_gives_its_place_back(clock: Clock) -> None:
    rates = Rates(clock, per_minute=0, costly=1)
    with pytest.raises(ValueError, match="broken"), rates.costly("c1"):
        raise ValueError("broken")
    with rates.costly("c1"):
        pass


def test_an_address_that_knocks_without_a_token_is_left_standing_for_a_while(clock: Clock) -> None:
    rates = Rates(clock, per_minute=0, costly=1)
    for _ in range(REFUSALS):
        rates.knock("192.0.2.1")
        rates.refused("192.0.2.1")
    with pytest.raises(TooManyRequests):
        rates.knock("192.0.2.1")
    rates.knock("192.0.2.2")
    clock.at += 60
    rates.knock("192.0.2.1")


def test_made_up_clients_do_not_fill_the_memory(clock: Clock) -> None:
    rates = Rates(clock, per_minute=1, costly=1)
    for number in range(MOST_CLIENTS + 5):
        rates.admit(f"c{number}")
    rates.admit("c0")  # forgotten, hence as if new
    refused(rates, f"c{MOST_CLIENTS + 4}")
