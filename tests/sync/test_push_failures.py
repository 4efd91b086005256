"""Push and a server that refuses or fails: what is parked, what is held, what goes on, and when it is let alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fhirbridge import fhirjson
from fhirbridge.store import Delivered
from fhirbridge.sync.breaker import Breaker, Rest
from fhirbridge.sync.strategies import Limits
from tests.sync.breakable_hospital import BASE
from tests.sync.pushing import pushed


def test_a_refused_entry_is_parked_with_request_answer_and_remedy_and_the_rest_goes_on(
    store, put, make, breakable
) -> None:
    put(make.cohort(3))
    breakable.refuse_whole = {"Observation/trial-p001-0": 422}
    with breakable.connected() as hospital:
        report = pushed(store, hospital, connections=1)
    assert dict(report.fates) == {"created": 9, "parked": 1}
    parked = store.failure(BASE, "Observation", "trial-p001-0")
    assert (parked.parked, parked.status, parked.method) == (True, 422, "PUT")
    assert fhirjson.loads(parked.request)["resource"] == make.observation("trial-p001-0", "trial-p001")
    assert fhirjson.loads(parked.outcome)["issue"][0]["diagnostics"] == "the code is unknown"
    assert "Correct the record" in parked.remedy
    assert sorted(breakable.kept) == sorted(
        f"{resource['resourceType']}/{resource['id']}"
        for _, resource in make.cohort(3)
        if resource["id"] != "trial-p001-0"
    )


def test_a_parked_content_is_not_tried_again_but_a_corrected_one_is(store, put, make, breakable) -> None:
    put(make.cohort(1))
    breakable.refuse_whole = {"Observation/trial-p000-0": 422}
    with breakable.connected() as hospital:
        pushed(store, hospital)
        again = pushed(store, hospital)
        assert (again.requests, again.fates["parked"], again.complete, again.needs_a_person) == (0, 1, False, True)
        breakable.refuse_whole = {}
        put([(20, make.observation("trial-p000-0", "trial-p000", "7.25"))])
        corrected = pushed(store, hospital)
    assert corrected.complete
    assert corrected.fates["created"] == 1
    assert store.failure(BASE, "Observation", "trial-p000-0") is None


def test_what_refers_to_a_parked_resource_is_held_and_goes_once_that_is_let_through(
    store, put, make, breakable
) -> None:
    put(make.cohort(2))
    breakable.needs_targets = True
    breakable.refuse_whole = {"Patient/trial-p000": 422}
    with breakable.connected() as hospital:
        report = pushed(store, hospital, connections=1)
        assert dict(report.fates) == {"created": 4, "parked": 1, "held": 2}
        assert dict(pushed(store, hospital).fates) == {"unchanged": 4, "parked": 1, "held": 2}
        breakable.refuse_whole = {}
        assert store.unpark(BASE, [("Patient", "trial-p000")], "trial") == 1
        assert dict(pushed(store, hospital).fates) == {"unchanged": 4, "created": 3}


def test_several_at_fault_in_one_bundle_are_each_found(store, put, make, breakable) -> None:
    put(make.cohort(1, observations=20))
    wrong = {"Observation/trial-p000-3", "Observation/trial-p000-4", "Observation/trial-p000-19"}
    breakable.refuse_whole = dict.fromkeys(wrong, 400)
    with breakable.connected() as hospital:
        report = pushed(store, hospital)
    assert dict(report.fates) == {"created": 19, "parked": 3}
    assert {f"{failure.type}/{failure.id}" for failure in report.failures} == wrong


def test_entries_refused_by_a_server_that_keeps_the_others_are_seen(store, put, make, breakable) -> None:
    put(make.cohort(2))
    breakable.refuse = {"Observation/trial-p001-1": 422}
    with breakable.connected() as hospital:
        report = pushed(store, hospital, connections=1)
    assert dict(report.fates) == {"created": 6, "parked": 1}
    assert [len(bundle) for bundle in breakable.bundles] == [1, 3, 3]


def test_a_bundle_that_is_too_large_for_the_server_is_halved(store, put, make, breakable) -> None:
    put(make.cohort(1, observations=9))
    breakable.most_entries = 4
    with breakable.connected() as hospital:
        report = pushed(store, hospital)
    assert report.complete
    assert max(len(bundle) for bundle in breakable.bundles if all(url in breakable.kept for url in bundle)) <= 10


def test_nothing_is_sent_to_a_server_that_is_not_there(store, put, make, breakable) -> None:
    put(make.cohort(5))
    breakable.dies_after = 0
    with breakable.connected() as hospital:
        report = pushed(store, hospital)
    assert dict(report.fates) == {"not tried": 16}
    assert report.stopped
    assert not report.complete


def test_a_server_that_dies_is_let_alone_soon_and_the_rest_is_sent_later(store, put, make, breakable) -> None:
    put(make.cohort(40))
    breakable.dies_after = 10
    with breakable.connected() as hospital:
        report = pushed(store, hospital, connections=2)
        assert "gave up after failures in a row" in report.stopped
        assert report.sent == 1 + 9 * 3
        assert report.fates["parked"] == 0
        assert {failure.temporary for failure in report.failures} == {True}
        breakable.dies_after = None
        later = pushed(store, hospital)
    assert later.complete
    assert later.sent == 121 - report.sent


def test_an_open_breaker_costs_no_request_until_its_time_is_over(store, put, make, breakable) -> None:
    put(make.cohort(3))
    breakable.dies_after = 0
    rest = Rest(after=1, first=600.0)
    with breakable.connected() as hospital:
        pushed(store, hospital, rest=rest)
        breakable.dies_after = None
        resting = pushed(store, hospital, rest=rest)
        assert (resting.requests, resting.fates["not tried"]) == (0, 10)
        assert "is left alone until" in resting.stopped
        assert pushed(store, hospital, rest=rest, impatient=True).complete
        assert store.server_state(BASE).open_until is None


def test_the_breaker_doubles_its_pause_up_to_a_limit_and_heeds_retry_after(store) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    breaker = Breaker(store, BASE, Rest(after=2, first=10.0, longest=35.0), clock=lambda: now)
    pauses = []
    for _ in range(6):
        breaker.failed("no answer")
        pauses.append((breaker.open_until or now) - now)
    assert pauses == [timedelta(seconds=seconds) for seconds in (0, 10, 20, 35, 35, 35)]
    breaker.failed("too busy", asked_for=120.0)
    assert breaker.open_until == now + timedelta(seconds=120)
    breaker.worked()
    assert breaker.open_until is None
    assert store.server_state(BASE).failures == 0


def test_failures_between_successes_open_no_breaker(store, put, make, breakable) -> None:
    put(make.cohort(12))
    breakable.refuse_whole = {f"Patient/trial-p{number:03d}": 503 for number in (1, 2, 4, 5, 7, 8)}
    with breakable.connected(attempts=1) as hospital:
        report = pushed(store, hospital, connections=1)
    assert report.stopped is None
    assert dict(report.fates) == {"created": 1 + 6 * 3, "failed": 6 * 3}


def test_a_server_that_no_longer_lets_us_in_is_let_alone_and_nothing_is_parked(store, put, make, breakable) -> None:
    put(make.cohort(20))
    breakable.fail_next = [401] * 100
    with breakable.connected() as hospital:
        report = pushed(store, hospital, connections=1)
    assert len(report.failures) == 3
    assert "credentials" in report.failures[0].remedy
    assert not list(store.failures(BASE, "trial"))


def test_refused_subjects_open_no_breaker_however_many_they_are(store, put, make, breakable) -> None:
    put(make.cohort(20))
    breakable.refuse_whole = {f"Patient/trial-p{number:03d}": 422 for number in range(19)}
    with breakable.connected() as hospital:
        report = pushed(store, hospital, connections=1)
    assert (report.fates["parked"], report.stopped) == (19, None)


def test_a_resource_that_makes_the_server_fail_is_parked_after_so_many_runs_and_blocks_its_subject_no_longer(
    store, put, make, breakable
) -> None:
    put(make.cohort(2, observations=4))
    breakable.refuse_whole = {"Observation/trial-p000-1": 500}
    with breakable.connected(attempts=1) as hospital:
        first = pushed(store, hospital, connections=1, attempts=3)
        assert (first.fates["failed"], first.fates["parked"]) == (1, 0)
        assert store.failure(BASE, "Observation", "trial-p000-1").attempts == 1
        pushed(store, hospital, connections=1, attempts=3)
        third = pushed(store, hospital, connections=1, attempts=3)
    assert third.fates["parked"] == 1
    assert sorted(url for url in breakable.kept if "p000" in url) == [
        "Observation/trial-p000-0",
        "Observation/trial-p000-2",
        "Observation/trial-p000-3",
        "Patient/trial-p000",
    ]


def test_a_subject_that_somebody_else_writes_is_left_to_them(store, put, make, breakable) -> None:
    put(make.cohort(3))
    assert store.lease(f"{BASE} trial trial-p001", "another-machine:boot/1/1.00/x", 60.0)
    with breakable.connected() as hospital:
        report = pushed(store, hospital)
    assert dict(report.fates) == {"created": 7, "busy": 3}
    assert not any("p001" in url for url in breakable.kept)


def test_the_lease_of_a_dead_process_of_this_machine_is_taken_over_and_the_server_is_looked_at(
    store, put, make, breakable
) -> None:
    put(make.cohort(2))
    with breakable.connected() as hospital:
        pushed(store, hospital, limits=Limits(entries=1))
        put([(20, make.observation("trial-p001-9", "trial-p001"))])
        breakable.put(make.observation("trial-p001-9", "trial-p001"))
        dead = _dead_holder(store)
        assert store.lease(f"{BASE} trial trial-p001", dead, 3600.0)
        report = pushed(store, hospital)
    assert dict(report.fates) == {"unchanged": 7, "adopted": 1}
    assert breakable.versions["Observation/trial-p001-9"] == 1


def _dead_holder(store) -> str:
    from fhirbridge.sync.leasing import Leases

    alive = Leases(store).holder
    machine, _pid, _created, rest = alive.rsplit("/", 3)
    return f"{machine}/4194304/1.00/{rest}"


def test_a_resource_that_was_acknowledged_and_then_parked_holds_nobody(store, put, make, breakable) -> None:
    put(make.cohort(1))
    with breakable.connected() as hospital:
        pushed(store, hospital)
        breakable.refuse_whole = {"Patient/trial-p000": 422}
        put([(10, make.patient("trial-p000", active=True)), (20, make.observation("o-new", "trial-p000"))])
        report = pushed(store, hospital)
    assert dict(report.fates) == {"unchanged": 3, "parked": 1, "created": 1}


def test_delivered_is_noted_even_if_the_answer_names_no_version(store, put, make) -> None:
    put([(10, make.patient("p1"))])
    key = store.read("Patient", "p1").key
    hash = store.read("Patient", "p1").hash
    store.acknowledge(BASE, [Delivered(key=key, hash=hash, sent=hash, version=None)], run="r")
    assert store.backlog(BASE, "trial").pending == 0
