"""What a server acknowledged, and what is still to be sent to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sqlalchemy import Engine, event

from fhirbridge.store import Backlog, Store

HERE = "http://here/fhir"


@contextlib.contextmanager
def statements() -> Iterator[list[str]]:
    """Collect the SELECTs that are sent."""
    seen: list[str] = []

    def note(_connection, _cursor, statement, *_: object) -> None:
        if statement.startswith("SELECT"):
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def send_all(store: Store, server: str = HERE) -> list[str]:
    sent = []
    for group in store.pending(server, "trial"):
        store.acknowledge(server, [(found, "1") for found in group.resources], run="push-1")
        sent += [found.id for found in group.resources]
    return sent


def test_everything_is_pending_for_a_server_never_seen(put, store: Store, make) -> None:
    put(*make.subject("p1"), (5, make.study_resource()))
    assert store.backlog(HERE, "trial") == Backlog(desired=4, pending=4)


def test_pending_comes_by_compartment_in_rank_order_the_whole_study_first(put, store: Store, make) -> None:
    put(*make.subject("p2"), *make.subject("p1"), (5, make.study_resource()))
    groups = [(group.compartment, [found.id for found in group.resources]) for group in store.pending(HERE, "trial")]
    assert groups == [("", ["trial"]), ("p1", ["p1", "p1-0", "p1-1"]), ("p2", ["p2", "p2-0", "p2-1"])]


def test_many_compartments_come_each_once_whole(put, store: Store, make) -> None:
    for number in range(100):
        put(*make.subject(f"p{number:03d}"))
    groups = list(store.pending(HERE, "trial"))
    assert [group.compartment for group in groups] == [f"p{number:03d}" for number in range(100)]
    assert {len(group.resources) for group in groups} == {3}


def test_what_was_acknowledged_is_no_longer_pending(put, store: Store, make) -> None:
    put(*make.subject("p1"))
    assert len(send_all(store)) == 3
    assert store.backlog(HERE, "trial") == Backlog(desired=3, pending=0)
    assert list(store.pending(HERE, "trial")) == []


def test_only_what_changed_is_pending_again(put, store: Store, make) -> None:
    put(*make.subject("p1"), *make.subject("p2"))
    send_all(store)
    put((20, make.observation("p2-1", "p2", "7.00")))
    assert send_all(store) == ["p2-1"]


def test_a_change_taken_back_before_it_was_sent_is_not_pending(put, store: Store, make) -> None:
    put((10, make.patient("p1", gender="male")))
    send_all(store)
    put((10, make.patient("p1", gender="female")))
    put((10, make.patient("p1", gender="male")))
    assert store.backlog(HERE, "trial").pending == 0


def test_a_version_overtaken_while_it_was_sent_stays_pending(put, store: Store, make) -> None:
    put((10, make.patient("p1", gender="male")))
    group = next(store.pending(HERE, "trial"))
    put((10, make.patient("p1", gender="female")))
    store.acknowledge(HERE, [(found, "1") for found in group.resources], run="push-1")
    assert store.backlog(HERE, "trial").pending == 1


def test_each_server_is_kept_apart(put, store: Store, make) -> None:
    put((10, make.patient("p1")))
    send_all(store)
    assert store.backlog("http://there/fhir", "trial").pending == 1
    send_all(store, "http://there/fhir")
    assert store.backlog("http://there/fhir", "trial").pending == 0


def test_a_group_that_was_not_acknowledged_does_not_come_twice_in_one_go(put, store: Store, make) -> None:
    for number in range(40):
        put(*make.subject(f"p{number:03d}", observations=0))
    assert len(list(store.pending(HERE, "trial"))) == 40


def test_finding_nothing_to_do_takes_one_query_and_reads_no_body(put, store: Store, make) -> None:
    for number in range(50):
        put(*make.subject(f"p{number:03d}"))
    send_all(store)
    with statements() as seen:
        assert store.backlog(HERE, "trial").pending == 0
    assert len(seen) == 1
    assert "body" not in seen[0]
    assert "version" not in seen[0].split("FROM")[1]
