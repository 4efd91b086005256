"""Push: what is sent, in which order, and what is made of every failure."""

from __future__ import annotations

import json
import signal
import threading

import pytest

from fhirbridge.errors import StoreError
from fhirbridge.sync.interruption import stop_on_signals
from fhirbridge.sync.strategies import Limits
from tests.sync.breakable_hospital import BASE
from tests.sync.pushing import pushed


def test_everything_is_sent_the_study_first_and_each_subject_in_rank_order(store, put, make, breakable) -> None:
    put(make.cohort(2))
    with breakable.connected() as hospital:
        report = pushed(store, hospital, connections=1)
    assert breakable.bundles == [
        ["ResearchStudy/trial"],
        ["Patient/trial-p000", "Observation/trial-p000-0", "Observation/trial-p000-1"],
        ["Patient/trial-p001", "Observation/trial-p001-0", "Observation/trial-p001-1"],
    ]
    assert (report.desired, report.sent, report.complete) == (7, 7, True)


def test_what_arrives_is_the_content_with_its_digits_and_no_version_of_ours(store, put, make, breakable) -> None:
    put(make.cohort(1))
    with breakable.connected() as hospital:
        pushed(store, hospital)
    arrived = breakable.kept["Observation/trial-p000-0"]
    assert arrived == make.observation("trial-p000-0", "trial-p000")
    assert str(arrived["valueQuantity"]["value"]) == "5.50"
    assert arrived["meta"] == make.meta()


def test_a_second_push_sends_nothing_and_asks_nothing(store, put, make, breakable) -> None:
    put(make.cohort(3))
    with breakable.connected() as hospital:
        pushed(store, hospital)
        again = pushed(store, hospital)
    assert (again.desired, again.fates["unchanged"], again.sent, again.requests) == (10, 10, 0, 0)
    assert again.complete


def test_a_change_costs_one_request_with_one_entry(store, put, make, breakable) -> None:
    breakable.says(versioning="versioned-update")
    put(make.cohort(5))
    with breakable.connected() as hospital:
        pushed(store, hospital)
        breakable.bundles.clear()
        put([(20, make.observation("trial-p003-1", "trial-p003", "6.10"))])
        report = pushed(store, hospital)
    assert breakable.bundles == [["Observation/trial-p003-1"]]
    assert dict(report.fates) == {"updated": 1, "unchanged": 15}
    assert (report.requests, dict(report.entry_statuses)) == (1, {"200": 1})


def test_a_subject_larger_than_a_bundle_goes_in_several_in_rank_order(store, put, make, breakable) -> None:
    put(make.cohort(1, observations=7))
    with breakable.connected() as hospital:
        pushed(store, hospital, limits=Limits(entries=3))
    assert [len(bundle) for bundle in breakable.bundles] == [1, 3, 3, 2]
    assert breakable.bundles[1][0] == "Patient/trial-p000"


def test_bundles_are_capped_by_bytes_and_an_oversized_resource_goes_alone(store, put, make, breakable) -> None:
    put([(10, make.patient("p1")), (20, make.observation("o1", "p1")), (30, make.observation("o2", "p1"))])
    with breakable.connected() as hospital:
        pushed(store, hospital, limits=Limits(size=600))
    assert breakable.bundles == [["Patient/p1"], ["Observation/o1"], ["Observation/o2"]]


def test_a_subject_is_never_on_two_connections_at_once(store, put, make, breakable) -> None:
    put(make.cohort(12, observations=5))
    with breakable.connected() as hospital:
        report = pushed(store, hospital, connections=4, limits=Limits(entries=2))
    order = [url for bundle in breakable.bundles for url in bundle]
    for number in range(12):
        name = f"trial-p{number:03d}"
        own = [url for url in order if name in url]
        assert own == [f"Patient/{name}", *(f"Observation/{name}-{of}" for of in range(5))]
    assert report.sent == 73


def test_a_temporary_failure_is_tried_again(store, put, make, breakable) -> None:
    put(make.cohort(2))
    breakable.fail_next = [503]
    with breakable.connected() as hospital:
        report = pushed(store, hospital)
    assert report.complete
    assert (report.retries, report.statuses["503"]) == (1, 1)


def test_ctrl_c_finishes_what_is_under_way_and_the_next_push_goes_on(store, put, make, breakable) -> None:
    put(make.cohort(30))

    def interrupt(done: int, _total: int) -> None:
        if done == 7:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            signalled.wait(0.5)

    signalled = threading.Event()
    with breakable.connected() as hospital:
        report = pushed(store, hospital, connections=1, progress=interrupt)
        assert report.interrupted
        not_tried = report.fates["not tried"]
        assert not_tried > 0
        assert report.sent == len(breakable.kept)
        assert store.backlog(BASE, "trial").pending == not_tried
        later = pushed(store, hospital)
    assert later.complete
    assert later.sent == not_tried


def test_a_second_ctrl_c_is_obeyed_at_once_and_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_push_may_run_in_another_thread(store, put, make, breakable) -> None:
    put(make.cohort(2))
    reports = []
    with breakable.connected() as hospital:
        thread = threading.Thread(target=lambda: reports.append(pushed(store, hospital)))
        thread.start()
        thread.join()
    assert reports[0].complete


def test_a_store_that_fails_ends_the_push_with_its_error(store, put, make, breakable, monkeypatch) -> None:
    put(make.cohort(3))

    def full(*_: object, **__: object) -> None:
        raise StoreError("the disk is full.")

    monkeypatch.setattr(store, "acknowledge", full)
    with breakable.connected() as hospital, pytest.raises(StoreError, match="disk is full"):
        pushed(store, hospital)


def test_progress_tells_what_is_done_of_how_many(store, put, make, breakable) -> None:
    put(make.cohort(3))
    seen: list[tuple[int, int]] = []
    with breakable.connected() as hospital:
        pushed(store, hospital, connections=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 10), (4, 10), (7, 10), (10, 10)]


def test_the_report_is_plain_json(store, put, make, breakable) -> None:
    put(make.cohort(2))
    breakable.refuse = {"Observation/trial-p001-0": 422}
    with breakable.connected() as hospital:
        told = json.loads(json.dumps(pushed(store, hospital).as_dict()))
    assert told["desired"] == sum(told["fates"].values()) == 7
    assert told["fates"] == {"created": 6, "parked": 1}
    assert told["by_type"]["Observation"] == {"created": 3, "parked": 1}
    assert told["balanced"] is True
    assert told["entry_statuses"] == {"201": 6}
    assert set(told["latencies"]) == {"p50", "p95", "p99"}
    assert told["bytes_sent"] > 0


def test_a_push_of_some_subjects_reads_and_counts_them_alone(store, put, make, breakable) -> None:
    put(make.cohort(4))
    with breakable.connected() as hospital:
        some = pushed(store, hospital, compartments=["trial-p001", "trial-p002"])
        assert (some.desired, dict(some.fates), some.complete) == (6, {"created": 6}, True)
        rest = pushed(store, hospital)
    assert dict(rest.fates) == {"unchanged": 6, "created": 7}
