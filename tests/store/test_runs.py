"""Runs and their quarantine."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from fhirbridge.errors import Finding, StoreError
from fhirbridge.store import Store


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A store whose clock goes a minute further at each look."""
    times = iter(datetime(2026, 3, 1, 8, 0, tzinfo=UTC) + timedelta(minutes=number) for number in range(100))
    with Store.open(database_url, clock=lambda: next(times)) as opened:
        yield opened


def finding(record: str) -> Finding:
    return Finding(
        record=record,
        rule="date",
        message="2026-02-30 is no date",
        remedy="Correct it in the source.",
        field="visit_date",
        value="2026-02-30",
        file="laboratory.csv",
        line=7,
        column=3,
    )


def test_a_run_is_noted_when_it_begins_and_when_it_ends(store: Store) -> None:
    run = store.start_run("ingest")
    assert run.startswith("20260301T080000Z-")
    begun = store.last_run("ingest")
    assert (begun.id, begun.started, begun.ended, begun.outcome) == (run, "2026-03-01T08:00:00.000Z", None, None)
    store.finish_run(run, "done", {"read": 3, "by type": {"Patient": 3}})
    ended = store.last_run("ingest")
    assert (ended.ended, ended.outcome) == ("2026-03-01T08:01:00.000Z", "done")
    assert ended.counts == {"read": 3, "by type": {"Patient": 3}}


def test_the_last_run_is_that_of_the_command_and_outcome_asked_for(store: Store) -> None:
    good = store.start_run("push")
    store.finish_run(good, "done", {})
    bad = store.start_run("push")
    store.finish_run(bad, "failed", {})
    store.start_run("ingest")
    assert store.last_run("push").id == bad
    assert store.last_run("push", outcomes=["done"]).id == good
    assert store.last_run("verify") is None


def test_a_run_that_never_began_cannot_end(store: Store) -> None:
    with pytest.raises(StoreError, match="no run"):
        store.finish_run("20260301T080000Z-00000000", "done", {})


def test_findings_come_back_whole_and_in_order(store: Store) -> None:
    run, other = store.start_run("ingest"), store.start_run("ingest")
    assert store.quarantine(run, [finding("a"), finding("b")]) == 2
    assert store.quarantine(run, [Finding(record="c", rule="r", message="m", remedy="x")]) == 1
    store.quarantine(other, [finding("d")])
    expected = [finding("a"), finding("b"), Finding(record="c", rule="r", message="m", remedy="x")]
    assert list(store.findings(run)) == expected
    assert list(store.findings(run, page=1)) == expected
    assert store.quarantine(run, []) == 0


def test_nothing_is_set_aside_for_a_run_that_never_began(store: Store) -> None:
    with pytest.raises(StoreError):
        store.quarantine("20260301T080000Z-00000000", [finding("a")])
