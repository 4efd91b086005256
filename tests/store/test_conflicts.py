"""Edits of others, and the decisions on them."""

from __future__ import annotations

import pytest

from fhirbridge.errors import StoreError
from fhirbridge.store import Conflict, Settled, Store
from tests.store.sending import HERE, dispute, of, park, pending, send_all, take

THEIRS = Settled(
    path="Patient.gender", ours=b'"male"', theirs=b'"female"', by="kim", at="2026-03-01T08:00:00.000Z", reason="asked"
)
ABSENT = Settled(path="Patient.active", ours=b"true", theirs=None, by="kim", at="2026-03-01T08:00:00.000Z", reason="")


def test_a_conflict_is_kept_with_what_the_server_has(put, store: Store, make) -> None:
    put((10, make.patient("p1")))
    dispute(store, of(store, "Patient", "p1"))
    found = store.conflict(HERE, "Patient", "p1")
    assert found == Conflict(
        type="Patient",
        id="p1",
        compartment="p1",
        at=found.at,
        run="push-1",
        kind="edited",
        base_version="1",
        their_version="2",
        theirs=b'{"active":true}',
    )
    assert list(store.conflicts(HERE, "trial")) == [found]
    assert store.conflict("http://there/fhir", "Patient", "p1") is None
    assert list(store.conflicts(HERE, "another")) == []


def test_a_conflict_waits_and_the_rest_goes_on(put, store: Store, make) -> None:
    put(*make.subject("p1"))
    dispute(store, of(store, "Patient", "p1"))
    backlog = store.backlog(HERE, "trial")
    assert (backlog.pending, backlog.conflicts, backlog.parked) == (3, 1, 0)
    assert send_all(store) == ["p1-0", "p1-1"]
    assert list(store.outstanding(HERE, "trial")) == []


def test_a_conflict_waits_whatever_we_have_meanwhile(put, store: Store, make) -> None:
    put((10, make.patient("p1", gender="male")))
    dispute(store, of(store, "Patient", "p1"))
    put((10, make.patient("p1", gender="female")))
    assert pending(store) == []
    assert store.backlog(HERE, "trial").conflicts == 1


def test_what_is_parked_and_in_conflict_counts_once(put, store: Store, make) -> None:
    put((10, make.patient("p1")))
    park(store, of(store, "Patient", "p1"))
    dispute(store, of(store, "Patient", "p1"))
    backlog = store.backlog(HERE, "trial")
    assert (backlog.pending, backlog.parked, backlog.conflicts) == (1, 0, 1)


def test_a_later_edit_takes_the_place_of_the_earlier(put, store: Store, make) -> None:
    put(*make.subject("p1", observations=4))
    for one in store.deliveries(HERE, "trial", "p1"):
        dispute(store, one)
    dispute(store, of(store, "Patient", "p1"), "deleted")
    assert [found.kind for found in store.conflicts(HERE, "trial", page=2)].count("edited") == 4
    assert store.conflict(HERE, "Patient", "p1").kind == "deleted"


def test_a_settled_conflict_is_sent_over_the_version_that_was_looked_at(put, store: Store, make) -> None:
    put((10, make.patient("p1", gender="male")))
    take(store, of(store, "Patient", "p1"), sent="ab" * 32)
    put((10, make.patient("p1", gender="other")))
    dispute(store, of(store, "Patient", "p1"))
    store.settle(HERE, of(store, "Patient", "p1").stored.key, [THEIRS, ABSENT], version="2", run="settle-1")
    assert store.conflict(HERE, "Patient", "p1") is None
    (again,) = pending(store)
    assert (again.acknowledged.hash, again.acknowledged.version, again.acknowledged.sent) == (None, "2", "ab" * 32)
    assert again.settled == (ABSENT, THEIRS)


def test_a_resource_never_acknowledged_is_settled_too(put, store: Store, make) -> None:
    put((10, make.patient("p1")))
    dispute(store, of(store, "Patient", "p1"))
    store.settle(HERE, of(store, "Patient", "p1").stored.key, [], version="2", run="settle-1")
    (again,) = pending(store)
    assert (again.acknowledged.hash, again.acknowledged.version, again.acknowledged.state) == (None, "2", "live")
    assert again.settled == ()


def test_a_decision_stays_until_one_on_the_same_path(put, store: Store, make) -> None:
    put((10, make.patient("p1")), (10, make.patient("p2")))
    key = of(store, "Patient", "p1").stored.key
    store.settle(HERE, key, [THEIRS, ABSENT], version="2", run="settle-1")
    other = Settled(path=THEIRS.path, ours=b'"male"', theirs=b'"other"', by="lee", at="2026-03-02", reason="")
    store.settle(HERE, key, [other], version=None, run="settle-2")
    send_all(store)
    assert of(store, "Patient", "p1").settled == (ABSENT, other)
    assert of(store, "Patient", "p2").settled == ()
    assert store.deliveries("http://there/fhir", "trial", "p1")[0].settled == ()


def test_a_conflict_that_is_none_is_dropped(put, store: Store, make) -> None:
    put((10, make.patient("p1")), (10, make.patient("p2")))
    dispute(store, of(store, "Patient", "p1"))
    dispute(store, of(store, "Patient", "p2"))
    store.drop_conflict(HERE, of(store, "Patient", "p1").stored.key)
    assert [found.id for found in store.conflicts(HERE, "trial")] == ["p2"]


def test_a_conflict_is_over_once_the_server_took_ours(put, store: Store, make) -> None:
    put((10, make.patient("p1")))
    dispute(store, of(store, "Patient", "p1"))
    take(store, of(store, "Patient", "p1"), version="3")
    assert list(store.conflicts(HERE, "trial")) == []


def test_settling_what_is_not_there_changes_nothing(put, store: Store, make) -> None:
    put((10, make.patient("p1")))
    key = of(store, "Patient", "p1").stored.key
    with pytest.raises(StoreError):
        store.settle(HERE, key + 100, [THEIRS], version="2", run="settle-1")
    assert of(store, "Patient", "p1").settled == ()
    assert of(store, "Patient", "p1").acknowledged is None
