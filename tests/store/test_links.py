"""Links in the store, on either database: what changes one and what tells of it are one transaction."""

from __future__ import annotations

import pytest

from fhirbridge.errors import StoreError
from fhirbridge.store import Store
from fhirbridge.store.links import Event, Sealed, Standing

IMPORTED = Event(subject="p1", by="ann", action="imported", detail="line 2")


def kept(store: Store, subject: str = "p1", lookup: str = "digest-1") -> int:
    event = Event(subject=subject, by="ann", action="imported")
    store.links.keep("trial", [Sealed(subject=subject, lookup=lookup, sealed=b"sealed")], [event])
    return next(one.key for one in store.links.all("trial", subject) if one.lookup == lookup)


def test_a_link_is_found_by_its_digest_and_belongs_to_its_study(store: Store) -> None:
    kept(store)
    [found] = store.links.found("trial", ["digest-0", "digest-1"])
    assert (found.subject, found.sealed, found.state, found.checked) == ("p1", b"sealed", "imported", None)
    assert store.links.found("another", ["digest-1"]) == []


def test_one_hospital_number_is_never_kept_for_two_subjects(store: Store) -> None:
    kept(store)
    with pytest.raises(StoreError):
        kept(store, "p2")
    assert [one.subject for one in store.links.all("trial")] == ["p1"]
    assert len(store.links.history("trial")) == 1


def test_two_subjects_may_swap_their_numbers_in_one_step(store: Store) -> None:
    one, two = kept(store), kept(store, "p2", "digest-2")
    swapped = [
        Sealed(subject="p1", lookup="digest-2", sealed=b"a", key=one),
        Sealed(subject="p2", lookup="digest-1", sealed=b"b", key=two),
    ]
    store.links.keep("trial", swapped, [])
    assert [(link.subject, link.lookup) for link in store.links.all("trial")] == [
        ("p1", "digest-2"),
        ("p2", "digest-1"),
    ]


def test_a_state_that_stays_keeps_its_since_and_a_changed_one_is_on_record(store: Store) -> None:
    key = kept(store)
    event = Event(subject="p1", by="fhirbridge run-1", action="linked")
    linked = Standing(subject="p1", state="linked", reason=None, events=(event,), sealed=((key, b"sealed anew"),))
    store.links.stand("trial", [linked])
    [first] = store.links.all("trial")
    store.links.stand("trial", [Standing(subject="p1", state="linked", reason=None)])
    [second] = store.links.all("trial")
    assert (first.state, first.sealed, second.sealed) == ("linked", b"sealed anew", b"sealed anew")
    assert second.since == first.since
    assert second.checked is not None
    assert [one.action for one in store.links.history("trial", "p1")] == ["imported", "linked"]
    assert store.links.states("trial") == {"linked": 1}


def test_what_is_forgotten_is_gone_and_its_history_stays(store: Store) -> None:
    kept(store)
    kept(store, "p1", "digest-2")
    event = Event(subject="p1", by="ann", action="forgotten", detail="asked to")
    assert store.links.forget("trial", event) == 2
    assert store.links.all("trial") == []
    assert [one.action for one in store.links.history("trial", "p1")] == ["imported", "imported", "forgotten"]
    assert store.links.forget("trial", event) == 0
    assert len(store.links.history("trial")) == 3


def test_the_history_is_in_the_order_of_what_happened_and_names_who(store: Store) -> None:
    kept(store)
    store.links.note("trial", Event(subject="p1", by="bob", action="revealed", detail="compare with paper"))
    first, second = store.links.history("trial")
    assert (first.number, second.number) == (1, 2)
    assert (second.by, second.detail, second.subject) == ("bob", "compare with paper", "p1")
