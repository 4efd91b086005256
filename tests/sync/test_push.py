"""Push: what is sent, in which order, and what is made of every failure."""

from __future__ import annotations

import json
import signal
import threading

import pytest

from fhirbridge.errors import StoreError
from fhirbridge.store import Store
from fhirbridge.sync.interruption import stop_on_signals
from fhirbridge.sync.push import push
from tests.sync.breakable_hospital import BASE


def pushed(store: Store, hospital, **options):
    report = push(store, hospital, "trial", run="push-1", **options)
    assert report.balanced
    return report


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
    assert (again.desired, again.unchanged, again.sent, again.requests) == (10, 10, 0, 0)
    assert again.complete


def test_a_change_costs_one_transaction_of_one_entry(store, put, make, breakable) -> None:
    put(make.cohort(5))
    with breakable.connected() as hospital:
        pushed(store, hospital)
        breakable.bundles.clear()
        put([(20, make.observation("trial-p003-1", "trial-p003", "6.10"))])
        report = pushed(store, hospital)
    assert breakable.bundles == [["Observation/trial-p003-1"]]
    assert (report.sent, report.unchanged, dict(report.entry_statuses)) == (1, 15, {"200": 1})


def test_a_subject_larger_than_a_bundle_goes_in_several_in_rank_order(store, put, make, breakable) -> None:
    put(make.cohort(1, observations=7))
    with breakable.connected() as hospital:
        pushed(store, hospital, bundle_size=3)
    assert [len(bundle) for bundle in breakable.bundles] == [1, 3, 3, 2]
    assert breakable.bundles[1][0] == "Patient/trial-p000"


def test_bundles_are_capped_by_bytes_and_an_oversized_resource_goes_alone(store, put, make, breakable) -> None:
    put([(10, make.patient("p1")), (20, make.observation("o1", "p1")), (30, make.observation("o2", "p1"))])
    with breakable.connected() as hospital:
        pushed(store, hospital, bundle_bytes=600)
    assert breakable.bundles == [["Patient/p1"], ["Observation/o1"], ["Observation/o2"]]


def test_a_subject_is_never_on_two_connections_at_once(store, put, make, breakable) -> None:
    put(make.cohort(12, observations=5))
    with breakable.connected() as hospital:
        report = pushed(store, hospital, connections=4, bundle_size=2)
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
    assert (report.retries, report.statuses) == (1, {"200": 4, "503": 1})


def test_an_entry_refused_in_a_bundle_is_parked_and_the_others_are_acknowledged(store, put, make, breakable) -> None:
    put(make.cohort(3))
    breakable.refuse = {"Observation/trial-p001-0": 422}
    with breakable.connected() as hospital:
        report = pushed(store, hospital, connections=1)
        assert (report.sent, report.failed, report.not_tried) == (9, 1, 0)
        [failure] = report.failures
        assert (failure.compartment, failure.resource) == ("trial-p001", "Observation/trial-p001-0")
        assert (failure.status, failure.temporary, failure.resources) == (422, False, 1)
        assert "the code is unknown" in failure.message
        assert "Correct the record" in failure.remedy
        breakable.refuse, breakable.bundles = {}, []
        assert pushed(store, hospital).complete
    assert breakable.bundles == [["Observation/trial-p001-0"]]


def test_a_refused_bundle_parks_its_subject_and_the_others_go_on(store, put, make, breakable) -> None:
    put(make.cohort(3, observations=3))
    breakable.refuse_whole = {"Observation/trial-p000-0": 400}
    with breakable.connected() as hospital:
        report = pushed(store, hospital, connections=1, bundle_size=2)
    assert (report.sent, report.failed, report.not_tried) == (9, 2, 2)
    assert report.failures[0].compartment == "trial-p000"
    assert report.failures[0].resource is None
    assert not any("trial-p000" in url for url in breakable.kept)


def test_subjects_are_not_tried_if_the_study_they_refer_to_was_refused(store, put, make, breakable) -> None:
    put(make.cohort(3))
    breakable.refuse_whole = {"ResearchStudy/trial": 403}
    with breakable.connected() as hospital:
        report = pushed(store, hospital)
    assert (report.sent, report.failed, report.not_tried) == (0, 1, 9)
    assert "study's own resources" in report.stopped
    assert breakable.bundles == [["ResearchStudy/trial"]]


def test_nothing_is_tried_on_a_server_that_is_not_there(store, put, make, breakable) -> None:
    put(make.cohort(5))
    breakable.dies_after = 0
    with breakable.connected() as hospital:
        report = pushed(store, hospital)
    assert (report.sent, report.failed, report.not_tried) == (0, 0, 16)
    assert report.stopped
    assert not report.complete


def test_a_server_that_dies_is_given_up_soon_and_the_rest_is_sent_later(store, put, make, breakable) -> None:
    put(make.cohort(40))
    breakable.dies_after = 10
    with breakable.connected() as hospital:
        report = pushed(store, hospital, connections=2)
        assert "gave up after 3 failures in a row" in report.stopped
        assert report.sent == 1 + 9 * 3
        assert report.requests <= 1 + 10 + 2 * 4
        assert {failure.temporary for failure in report.failures} == {True}
        breakable.dies_after = None
        later = pushed(store, hospital)
    assert later.complete
    assert (later.unchanged, later.sent) == (report.sent, 121 - report.sent)


def test_failures_between_successes_end_no_push(store, put, make, breakable) -> None:
    put(make.cohort(12))
    breakable.refuse_whole = {f"Patient/trial-p{number:03d}": 503 for number in (1, 2, 4, 5, 7, 8)}
    with breakable.connected(attempts=1) as hospital:
        report = pushed(store, hospital, connections=1)
    assert report.stopped is None
    assert (report.sent, report.failed) == (1 + 6 * 3, 6 * 3)


def test_a_server_that_no_longer_lets_us_in_is_given_up_too(store, put, make, breakable) -> None:
    put(make.cohort(20))
    breakable.fail_next = [401] * 100
    put_before = make.study_resource()
    with breakable.connected() as hospital:
        store.acknowledge(BASE, [(store.read("ResearchStudy", put_before["id"]), "1")], run="push-0")
        report = pushed(store, hospital, connections=1)
    assert len(report.failures) == 3
    assert "credentials" in report.failures[0].remedy


def test_refused_subjects_end_no_push_however_many_they_are(store, put, make, breakable) -> None:
    put(make.cohort(20))
    breakable.refuse_whole = {f"Patient/trial-p{number:03d}": 422 for number in range(19)}
    with breakable.connected() as hospital:
        report = pushed(store, hospital, connections=1)
    assert (report.sent, len(report.failures), report.stopped) == (4, 19, None)


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
        assert report.not_tried > 0
        assert report.sent == len(breakable.kept)
        assert store.backlog(BASE, "trial").pending == report.not_tried
        later = pushed(store, hospital)
    assert later.complete
    assert later.sent == report.not_tried


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
    assert told["desired"] == told["sent"] + told["unchanged"] + told["failed"] + told["not_tried"]
    assert told["balanced"] is True
    assert told["entry_statuses"] == {"201": 6}
    assert set(told["latencies"]) == {"p50", "p95", "p99"}
    assert told["bytes_sent"] > 0
