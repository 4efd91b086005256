"""Failures of single resources, and the dead letters among them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from fhirbridge.store import Failure, Settled, Store
from tests.store.sending import HERE, LETTER, dispute, of, park, pending, send_all, take


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A store whose clock goes a minute further at each look."""
    times = iter(datetime(2026, 3, 1, 8, 0, tzinfo=UTC) + timedelta(minutes=number) for number in range(1000))
    with Store.open(database_url, clock=lambda: next(times)) as opened:
        yield opened


def test_a_failure_is_kept_with_all_that_helps_to_repair_it(put, store: Store, make) -> None:
    put(*make.subject("p1"))
    one = of(store, "Observation", "p1-0")
    park(store, one)
    found = store.failure(HERE, "Observation", "p1-0")
    assert found == Failure(
        type="Observation",
        id="p1-0",
        compartment="p1",
        hash=one.stored.hash,
        attempts=1,
        first="2026-03-01T08:01:00.000Z",
        last="2026-03-01T08:01:00.000Z",
        parked=True,
        status=422,
        method="PUT",
        url=LETTER.url,
        request=LETTER.request,
        outcome=LETTER.outcome,
        message=LETTER.message,
        remedy=LETTER.remedy,
        run="push-1",
    )
    assert list(store.failures(HERE, "trial")) == [found]
    assert store.failure(HERE, "Patient", "p1") is None
    assert list(store.failures("http://there/fhir", "trial")) == []


def test_failing_again_is_another_attempt_since_the_first(put, store: Store, make) -> None:
    put((10, make.patient("p1")))
    for status in (503, 503, None):
        park(store, of(store, "Patient", "p1"), parked=False, status=status, outcome=None)
    found = store.failure(HERE, "Patient", "p1")
    assert (found.attempts, found.status, found.outcome) == (3, None, None)
    assert (found.first, found.last) == ("2026-03-01T08:01:00.000Z", "2026-03-01T08:03:00.000Z")
    assert of(store, "Patient", "p1").attempts == 3


def test_another_content_begins_to_count_anew(put, store: Store, make) -> None:
    put((10, make.patient("p1", gender="male")))
    for _ in range(3):
        park(store, of(store, "Patient", "p1"), parked=False)
    put((10, make.patient("p1", gender="female")))
    assert of(store, "Patient", "p1").attempts == 0
    park(store, of(store, "Patient", "p1"), parked=False)
    found = store.failure(HERE, "Patient", "p1")
    assert (found.attempts, found.first) == (1, found.last)


def test_what_is_parked_waits_and_the_rest_goes_on(put, store: Store, make) -> None:
    put(*make.subject("p1"), *make.subject("p2", observations=0))
    park(store, of(store, "Patient", "p2"))
    backlog = store.backlog(HERE, "trial")
    assert (backlog.pending, backlog.parked, backlog.conflicts) == (4, 1, 0)
    assert list(store.outstanding(HERE, "trial")) == ["p1"]
    assert list(store.outstanding(HERE, "trial", blocked=True)) == ["p1", "p2"]
    assert [(one.stored.id, one.parked, one.pending) for one in store.deliveries(HERE, "trial", "p2")] == [
        ("p2", True, True)
    ]
    send_all(store)
    assert store.backlog(HERE, "trial").oldest is None


def test_what_failed_for_a_while_is_not_parked(put, store: Store, make) -> None:
    put((10, make.patient("p1")))
    park(store, of(store, "Patient", "p1"), parked=False)
    assert store.backlog(HERE, "trial").parked == 0
    assert [one.stored.id for one in pending(store)] == ["p1"]
    assert list(store.failures(HERE, "trial", parked=True)) == []
    assert len(list(store.failures(HERE, "trial", parked=False))) == 1


def test_a_corrected_content_is_tried_although_the_old_one_is_parked(put, store: Store, make) -> None:
    put((10, make.patient("p1", gender="male")))
    park(store, of(store, "Patient", "p1"))
    assert pending(store) == []
    put((10, make.patient("p1", gender="female")))
    assert [(one.stored.id, one.parked) for one in pending(store)] == [("p1", False)]


def test_what_a_server_took_has_not_failed_any_more(put, store: Store, make) -> None:
    put(*make.subject("p1"))
    for one in store.deliveries(HERE, "trial", "p1"):
        park(store, one)
    take(store, of(store, "Patient", "p1"))
    assert [found.id for found in store.failures(HERE, "trial")] == ["p1-0", "p1-1"]
    assert store.backlog(HERE, "trial").parked == 2


def test_failures_come_page_by_page(put, store: Store, make) -> None:
    put(*make.subject("p1", observations=7))
    for one in store.deliveries(HERE, "trial", "p1"):
        park(store, one)
    assert len({found.id for found in store.failures(HERE, "trial", page=3)}) == 8
    assert list(store.failures(HERE, "another")) == []


def test_parked_ones_are_tried_again_when_somebody_says_so(put, store: Store, make) -> None:
    put(*make.subject("p1"), *make.subject("p2"))
    for one in pending(store):
        park(store, one, parked=one.stored.id != "p2")
    assert store.unpark(HERE, [("Patient", "p1"), ("Patient", "nobody")], "trial") == 1
    assert [one.stored.id for one in pending(store) if not one.parked] == ["p1", "p2"]
    assert store.unpark(HERE, None, "another") == 0
    assert store.unpark(HERE, None, "trial") == 4
    assert [found.id for found in store.failures(HERE, "trial")] == ["p2"]
    assert store.unpark("http://there/fhir", None, "trial") == 0


def test_what_a_server_lacks_until_somebody_acts_is_known_by_name(put, store: Store, make) -> None:
    put(*make.subject("p1", observations=4))
    send = store.deliveries(HERE, "trial", "p1")
    take(store, *(one for one in send if one.stored.id in ("p1", "p1-1", "p1-2")))
    park(store, of(store, "Observation", "p1-0"))
    park(store, of(store, "Observation", "p1-3"), parked=False)
    put((20, make.observation("p1-1", "p1", "9.00")))
    park(store, of(store, "Observation", "p1-1"))
    dispute(store, of(store, "Observation", "p1-2"), "deleted")
    dispute(store, of(store, "Patient", "p1"))
    assert store.absent_names(HERE, "trial") == {("Observation", "p1-0"), ("Observation", "p1-2")}
    assert store.absent_names(HERE, "another") == set()


def test_what_was_given_up_after_others_deleted_it_is_lacking_until_it_changes(put, store: Store, make) -> None:
    put((10, make.patient("p1", gender="male")))
    given_up = Settled(path="", ours=None, theirs=None, by="kim", at="2026-03-01T08:00:00.000Z", reason="")
    store.settle(HERE, of(store, "Patient", "p1").stored.key, [given_up], version="2", run="settle-1")
    assert store.absent_names(HERE, "trial") == set()
    take(store, of(store, "Patient", "p1"), sent=None)
    assert store.absent_names(HERE, "trial") == {("Patient", "p1")}
    put((10, make.patient("p1", gender="female")))
    assert store.absent_names(HERE, "trial") == set()
