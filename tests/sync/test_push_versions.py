"""Push and versions: a foreign edit is never overwritten, and a lost answer is never taken for one."""

from __future__ import annotations

import pytest

from fhirbridge import fhirjson
from fhirbridge.sync.strategies import Limits
from tests.sync.breakable_hospital import BASE
from tests.sync.pushing import pushed

OBSERVATION = "Observation/trial-p000-0"


@pytest.fixture(params=["412", "409 like HAPI", "ignored", "not offered"])
def server(request, breakable):
    """A server that heeds If-Match, in its words, or does not."""
    breakable.stale = {"412": 412, "409 like HAPI": 409}.get(request.param)
    if request.param in ("412", "409 like HAPI"):
        breakable.says(versioning="versioned-update")
    if request.param == "ignored":
        breakable.says(versioning="versioned")
    return breakable


def test_a_foreign_edit_is_a_conflict_and_stays_as_it_is(store, put, make, server) -> None:
    put(make.cohort(2))
    with server.connected() as hospital:
        pushed(store, hospital)
        edited = make.observation("trial-p000-0", "trial-p000", "9.99")
        server.put(edited)
        put([(20, make.observation("trial-p000-0", "trial-p000", "6.10"))])
        put([(20, make.observation("trial-p000-1", "trial-p000", "6.20"))])
        report = pushed(store, hospital)
        assert dict(report.fates) == {"unchanged": 5, "updated": 1, "conflict": 1}
        assert report.needs_a_person
        again = pushed(store, hospital)
        assert (again.requests, again.fates["conflict"]) == (0, 1)
    assert server.kept[OBSERVATION] == edited
    conflict = store.conflict(BASE, "Observation", "trial-p000-0")
    assert (conflict.kind, conflict.base_version, conflict.their_version) == ("edited", "1", "2")
    assert fhirjson.loads(conflict.theirs)["valueQuantity"]["value"] == edited["valueQuantity"]["value"]


def test_a_version_that_moved_without_a_change_of_content_is_no_conflict(store, put, make, server) -> None:
    put(make.cohort(1))
    with server.connected() as hospital:
        pushed(store, hospital)
        server.put(make.observation("trial-p000-0", "trial-p000"))
        put([(20, make.observation("trial-p000-0", "trial-p000", "6.10"))])
        report = pushed(store, hospital)
    assert dict(report.fates) == {"unchanged": 3, "updated": 1}
    assert str(server.kept[OBSERVATION]["valueQuantity"]["value"]) == "6.10"


def test_a_resource_deleted_there_is_a_conflict_and_not_made_again(store, put, make, server) -> None:
    put(make.cohort(1))
    with server.connected() as hospital:
        pushed(store, hospital)
        server.remove(OBSERVATION)
        put([(20, make.observation("trial-p000-0", "trial-p000", "6.10"))])
        report = pushed(store, hospital)
    assert dict(report.fates) == {"unchanged": 3, "conflict": 1}
    assert store.conflict(BASE, "Observation", "trial-p000-0").kind == "deleted"
    assert OBSERVATION not in server.kept


def test_an_update_whose_answer_was_lost_is_found_there_and_not_repeated(store, put, make, server) -> None:
    put(make.cohort(1, observations=6))
    with server.connected(attempts=1) as hospital:
        pushed(store, hospital)
        put([(20, make.observation(f"trial-p000-{of}", "trial-p000", "6.10")) for of in range(6)])
        server.lose_next = 1
        lost = pushed(store, hospital)
        assert (lost.fates["failed"], lost.fates["conflict"]) == (6, 0)
        found = pushed(store, hospital)
    assert found.complete
    assert found.fates["adopted"] == 6
    assert {server.versions[f"Observation/trial-p000-{of}"] for of in range(6)} == {2}


def test_a_repeated_request_that_meets_our_own_write_is_no_conflict(store, put, make, breakable) -> None:
    breakable.says(versioning="versioned-update")
    put(make.cohort(1))
    with breakable.connected(attempts=3) as hospital:
        pushed(store, hospital)
        put([(20, make.observation("trial-p000-0", "trial-p000", "6.10"))])
        breakable.lose_next = 1
        report = pushed(store, hospital)
    assert dict(report.fates) == {"unchanged": 3, "adopted": 1}
    assert breakable.versions[OBSERVATION] == 2


def test_one_foreign_edit_in_a_large_transaction_costs_the_others_nothing(store, put, make, server) -> None:
    put(make.cohort(1, observations=30))
    with server.connected() as hospital:
        pushed(store, hospital)
        server.put(make.observation("trial-p000-17", "trial-p000", "9.99"))
        put([(20, make.observation(f"trial-p000-{of}", "trial-p000", "6.10")) for of in range(30)])
        report = pushed(store, hospital, limits=Limits(entries=50))
    assert dict(report.fates) == {"unchanged": 2, "updated": 29, "conflict": 1}


def test_a_first_push_to_a_server_that_holds_the_study_adopts_what_is_there(store, put, make, breakable) -> None:
    """The store was lost and made anew, or the last push died before it could note anything."""
    put(make.cohort(2))
    for _, resource in make.cohort(1):
        breakable.put(resource)
    breakable.put(make.observation("trial-p001-1", "trial-p001", "9.99"))
    with breakable.connected() as hospital:
        report = pushed(store, hospital)
    assert dict(report.fates) == {"adopted": 4, "created": 2, "conflict": 1}
    assert set(breakable.versions.values()) == {1}


def test_an_older_content_of_ours_is_updated_and_no_conflict(store, put, make, breakable) -> None:
    put(make.cohort(1))
    put([(20, make.observation("trial-p000-0", "trial-p000", "6.10"))])
    for _, resource in make.cohort(1):
        breakable.put(resource)
    with breakable.connected() as hospital:
        report = pushed(store, hospital)
    assert dict(report.fates) == {"adopted": 3, "updated": 1}
