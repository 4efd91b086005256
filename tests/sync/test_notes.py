"""What push and reconcile tell while they work: events with ids and numbers, for the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fhirbridge.store import Store
from fhirbridge.sync.breaker import Rest
from fhirbridge.sync.reconcile import reconcile
from tests.sync.breakable_hospital import BASE
from tests.sync.pushing import pushed


@pytest.fixture
def server(breakable):
    breakable.says(versioning="versioned-update")
    return breakable


@pytest.fixture
def told():
    return {}


@pytest.fixture
def note(told):
    def keep(event, /, **facts) -> None:
        told[event] = facts

    return keep


def test_a_server_that_fails_and_comes_back_is_told_of_with_the_time_it_is_left_alone(
    store, put, make, server, told, note
) -> None:
    put(make.cohort(1))
    rest = Rest(after=1, first=600.0)
    with server.connected() as hospital:
        hospital.note = note
        server.fail_next = [503, 503]
        pushed(store, hospital, note=note, rest=rest)
        assert told["request_retried"] == {"method": "POST", "status": 503}
        assert told["compartment_failed"] == {"compartment": "", "status": 503, "temporary": True}
        assert datetime.fromisoformat(told["breaker_opened"]["until"]) > datetime.now(UTC) + timedelta(minutes=5)
        assert "breaker_closed" not in told
        pushed(store, hospital, note=note, rest=rest, impatient=True)
    assert "breaker_closed" in told


def test_a_server_that_is_not_there_at_first_contact_is_told_of(store, put, make, server, told, note) -> None:
    put(make.cohort(1))
    server.dies_after = 0
    server.statement = {"resourceType": "CapabilityStatement", "fhirVersion": "5.0.0"}
    with server.connected() as hospital:
        pushed(store, hospital, note=note, rest=Rest(after=1, first=600.0))
    assert list(told) == ["breaker_opened"]


def test_work_that_another_process_left_unfinished_is_told_of(store: Store, put, make, server, told, note) -> None:
    put(make.cohort(1))
    assert store.lease(f"{BASE} trial trial-p000", "another machine/1/1/aa", -1.0)
    with server.connected() as hospital:
        assert pushed(store, hospital, note=note).complete
    assert told == {"lease_taken": {"compartment": "trial-p000"}}


def test_drift_and_its_repair_are_told_in_numbers(store, put, make, server, told, note) -> None:
    put(make.cohort(1))
    with server.connected() as hospital:
        pushed(store, hospital)
        reconcile(store, hospital, "trial", run="reconcile-1", note=note)
        assert told == {}
        server.remove("Observation/trial-p000-0")
        reconcile(store, hospital, "trial", run="reconcile-2", repair=True, note=note)
    assert (told["drift_found"]["counts"]["missing"], told["drift_found"]["counts"]["stored"]) == (1, 4)
    assert told["drift_repaired"]["counts"] == {"missing": 1}
