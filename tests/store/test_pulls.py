"""Pulls in the store: how far they came, under what they asked, and what became of what they found."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fhirbridge.errors import StoreError
from fhirbridge.store import Pulled, Store
from tests.store.inbox import FEED, STUDY, arrive, item

MONDAY, TUESDAY = datetime(2026, 3, 2, 8, 30, tzinfo=UTC), datetime(2026, 3, 3, 8, 30, tzinfo=UTC)


def test_a_watermark_moves_forward_and_never_back(store: Store) -> None:
    assert store.pulls.watermark(STUDY, FEED, "p1", "results") is None
    store.pulls.advance(STUDY, FEED, {("p1", "results"): TUESDAY, ("p2", "results"): MONDAY}, "run-2")
    store.pulls.advance(STUDY, FEED, {("p1", "results"): MONDAY, ("p2", "results"): TUESDAY}, "run-1")
    assert store.pulls.watermarks(STUDY, FEED) == {("p1", "results"): TUESDAY, ("p2", "results"): TUESDAY}
    assert store.pulls.watermarks(STUDY, "another") == {}


def test_one_who_was_linked_anew_is_asked_everything_again(store: Store) -> None:
    store.pulls.advance(STUDY, FEED, {("p1", "results"): MONDAY, ("p2", "results"): MONDAY}, "run-1")
    assert store.pulls.rewind(STUDY, subject="p1") == 1
    assert store.pulls.watermarks(STUDY, FEED) == {("p2", "results"): MONDAY}


def test_the_context_of_a_pull_is_frozen(store: Store) -> None:
    run = store.start_run("pull")
    store.pulls.freeze(run, STUDY, b'{"queries":[]}')
    with pytest.raises(StoreError, match="is frozen already"):
        store.pulls.freeze(run, STUDY, b"{}")
    assert store.pulls.context(run) == b'{"queries":[]}'
    with pytest.raises(StoreError, match="there is no pull run-0"):
        store.pulls.context("run-0")


def test_pulls_are_listed_with_their_funnels_the_newest_first(store: Store) -> None:
    first, second, other = (store.start_run("pull") for _ in range(3))
    for run, study in ((first, STUDY), (second, STUDY), (other, "another")):
        store.pulls.freeze(run, study, b"{}")
    store.pulls.save_funnel(first, b'{"found":3}')
    store.finish_run(first, "done", {"found": 3})
    newest = store.pulls.newest(STUDY)
    assert {pull.run for pull in newest} == {first, second}
    assert [pull.started for pull in newest] == sorted((pull.started for pull in newest), reverse=True)
    found = store.pulls.get(first)
    assert found is not None
    assert (found.funnel, found.outcome, found.study) == (b'{"found":3}', "done", STUDY)
    assert len(store.pulls.newest(STUDY, limit=1)) == 1
    with pytest.raises(StoreError, match="there is no pull run-0"):
        store.pulls.save_funnel("run-0", b"{}")


def test_what_a_pull_found_is_kept_with_what_became_of_it(store: Store) -> None:
    run = store.start_run("pull")
    arrive(store, *(item(f"Observation/{number}") for number in range(3)))
    keys = [arrival.key for _, arrival, _ in store.candidates.of_subject(STUDY, "p1")]
    store.pulls.note(run, [Pulled(arrival=key, novelty="new", fate="waiting") for key in keys])
    store.pulls.note(run, [Pulled(arrival=keys[1], novelty="new", fate="accepted")])
    found = list(store.pulls.pulled(run, page=2))
    assert [(one.arrival, one.fate) for one, _ in found] == list(
        zip(keys, ("waiting", "accepted", "waiting"), strict=True)
    )
    assert [arrival.reference for _, arrival in found] == ["Observation/0", "Observation/1", "Observation/2"]
    assert list(store.pulls.pulled("run-0")) == []
