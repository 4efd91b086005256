"""Leases: one holder at a time, across threads and processes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from fhirbridge.store import Store

RACER = """
import json, sys
from fhirbridge.store import Store

with Store.open(sys.argv[1]) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps([name for name in map(str, range(40)) if store.lease(name, sys.argv[2], 600)]))
"""


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def go(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database_url: str, clock: Clock) -> Iterator[Store]:
    with Store.open(database_url, clock=clock) as opened:
        yield opened


def test_a_free_lease_is_taken_and_then_nobody_elses(store: Store) -> None:
    assert store.holder_of("p1") is None
    assert store.lease("p1", "one", 60)
    assert not store.lease("p1", "two", 60)
    assert store.lease("p2", "two", 60)
    assert store.holder_of("p1") == ("one", "2026-03-01T08:01:00.000Z")


def test_taking_ones_own_lease_again_prolongs_it(store: Store, clock: Clock) -> None:
    store.lease("p1", "one", 60)
    clock.go(30)
    assert store.lease("p1", "one", 60)
    assert store.holder_of("p1") == ("one", "2026-03-01T08:01:30.000Z")


def test_a_lease_that_ran_out_is_taken_over_and_its_holder_is_told(store: Store, clock: Clock) -> None:
    store.lease("p1", "one", 60)
    store.lease("p2", "one", 60)
    clock.go(59.999)
    assert not store.lease("p1", "two", 60)
    clock.go(0.001)
    assert store.lease("p1", "two", 60)
    assert store.renew("one", 60) == 1
    assert not store.lease("p1", "one", 60)


def test_renewing_keeps_a_lease(store: Store, clock: Clock) -> None:
    store.lease("p1", "one", 60)
    for _ in range(10):
        clock.go(50)
        assert store.renew("one", 60) == 1
        assert not store.lease("p1", "two", 60)
    assert store.renew("two", 60) == 0


def test_a_lease_that_ran_out_and_that_nobody_took_can_be_renewed(store: Store, clock: Clock) -> None:
    store.lease("p1", "one", 60)
    clock.go(3600)
    assert store.renew("one", 60) == 1
    assert not store.lease("p1", "two", 60)


def test_leases_are_given_back_each_or_all(store: Store) -> None:
    for name in ("p1", "p2", "p3"):
        store.lease(name, "one", 60)
    store.lease("p4", "two", 60)
    store.release("one", ["p1", "p4"])
    assert (store.holder_of("p1"), store.holder_of("p4")[0]) == (None, "two")
    store.release("one")
    assert [store.holder_of(name) is None for name in ("p2", "p3", "p4")] == [True, True, False]


def test_a_lease_is_stolen_only_from_the_one_named(store: Store, clock: Clock) -> None:
    store.lease("p1", "dead", 600)
    clock.go(1)
    assert store.steal("p1", "one", "dead", 60)
    assert not store.steal("p1", "two", "dead", 60)
    assert not store.steal("p9", "two", "dead", 60)
    assert store.holder_of("p1") == ("one", "2026-03-01T08:01:01.000Z")
    assert store.renew("dead", 60) == 0


def test_of_threads_that_race_for_a_lease_one_gets_it(store: Store) -> None:
    won: list[tuple[str, str]] = []
    start = threading.Barrier(6)

    def race(holder: str) -> None:
        start.wait()
        won.extend((name, holder) for name in map(str, range(20)) if store.lease(name, holder, 60))

    threads = [threading.Thread(target=race, args=(f"thread {number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for name, _ in won) == sorted(map(str, range(20)))
    assert {name: store.holder_of(name)[0] for name, _ in won} == dict(won)


def test_of_threads_that_race_to_steal_a_lease_one_gets_it(store: Store) -> None:
    won: list[str] = []
    start = threading.Barrier(6)
    store.lease("p1", "dead", 60)

    def race(holder: str) -> None:
        start.wait()
        if store.steal("p1", holder, "dead", 60):
            won.append(holder)

    threads = [threading.Thread(target=race, args=(f"thread {number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [store.holder_of("p1")[0]]


def test_of_processes_that_race_for_a_lease_one_gets_it(database_url: str) -> None:
    Store.open(database_url).close()
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, database_url, f"process {number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [json.loads(racer.communicate()[0]) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert sorted(name for names in won for name in names) == sorted(map(str, range(40)))
