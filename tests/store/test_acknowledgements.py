"""What a server acknowledged, and what is still to be sent to it."""

from __future__ import annotations

from pathlib import Path

from fhirbridge.store import Backlog, Store
from tests.store.raw import connected, statements
from tests.store.sending import HERE, of, pending, send_all, take

THERE = "http://there/fhir"


def test_everything_is_pending_for_a_server_never_seen(put, store: Store, make) -> None:
    put(*make.subject("p1"), (5, make.study_resource()))
    oldest = store.read("Patient", "p1").last_updated
    assert store.backlog(HERE, "trial") == Backlog(desired=4, pending=4, oldest=oldest)


def test_pending_comes_by_compartment_in_rank_order_the_whole_study_first(put, store: Store, make) -> None:
    put(*make.subject("p2"), *make.subject("p1"), (5, make.study_resource()))
    assert list(store.outstanding(HERE, "trial")) == ["", "p1", "p2"]
    assert [one.stored.id for one in pending(store)] == ["trial", "p1", "p1-0", "p1-1", "p2", "p2-0", "p2-1"]


def test_a_new_delivery_says_that_nothing_is_known(put, store: Store, make) -> None:
    put((1, make.patient("p1")))
    new = of(store, "Patient", "p1")
    assert (new.wanted, new.pending, new.acknowledged, new.server_id) == ("live", True, None, None)
    assert (new.hospital_owned, new.parked, new.conflict, new.attempts, new.settled) == (False, False, False, 0, ())
    assert new.stored == store.read("Patient", "p1")


def test_what_was_acknowledged_is_no_longer_pending(put, store: Store, make) -> None:
    put(*make.subject("p1"))
    assert len(send_all(store)) == 3
    assert store.backlog(HERE, "trial") == Backlog(desired=3, pending=0)
    assert pending(store) == []
    assert store.deliveries(HERE, "trial", "p1") == []


def test_a_delivery_says_what_was_acknowledged(put, store: Store, make) -> None:
    put((1, make.patient("p1")))
    take(store, of(store, "Patient", "p1"), version="7", sent="ab" * 32)
    known = of(store, "Patient", "p1")
    said = known.acknowledged
    assert (said.hash, said.sent, said.version, said.state) == (known.stored.hash, "ab" * 32, "7", "live")
    assert not known.pending


def test_everything_of_a_compartment_can_be_asked_for(put, store: Store, make) -> None:
    put(*make.subject("p1"), *make.subject("p2"))
    send_all(store)
    every = store.deliveries(HERE, "trial", "p1", every=True)
    assert [(one.stored.id, one.pending) for one in every] == [("p1", False), ("p1-0", False), ("p1-1", False)]


def test_deliveries_are_found_by_name_across_types(put, store: Store, make) -> None:
    put(*make.subject("p1", observations=600), (1, make.patient("p1-0")))
    names = [("Observation", f"p1-{number}") for number in range(600)] + [("Patient", "p1"), ("Patient", "nobody")]
    found = store.deliveries_of(HERE, names)
    assert len(found) == 601
    assert [one.stored.rank for one in found] == sorted(one.stored.rank for one in found)
    assert ("Patient", "p1-0") not in {(one.stored.type, one.stored.id) for one in found}
    assert store.deliveries_of(HERE, []) == []


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
    sent = of(store, "Patient", "p1")
    put((10, make.patient("p1", gender="female")))
    take(store, sent)
    assert store.backlog(HERE, "trial").pending == 1


def test_each_server_is_kept_apart(put, store: Store, make) -> None:
    put((10, make.patient("p1")))
    send_all(store)
    assert store.backlog(THERE, "trial").pending == 1
    send_all(store, server=THERE)
    assert store.backlog(THERE, "trial").pending == 0


def test_each_study_is_kept_apart(put, store: Store, make) -> None:
    put((10, make.patient("p1")), (10, {"resourceType": "Patient", "id": "q1", "meta": make.meta("another")}))
    assert store.backlog(HERE, "trial").desired == 1
    send_all(store)
    assert list(store.outstanding(HERE, "another")) == ["q1"]
    assert (store.acknowledged_any(HERE, "trial"), store.acknowledged_any(HERE, "another")) == (True, False)


def test_the_oldest_change_that_can_be_sent_is_told(put, store: Store, make) -> None:
    put((10, make.patient("p1")))
    put((10, make.patient("p2")))
    oldest = store.read("Patient", "p1").last_updated
    assert store.backlog(HERE, "trial").oldest == oldest
    take(store, of(store, "Patient", "p1"))
    assert store.backlog(HERE, "trial").oldest == store.read("Patient", "p2").last_updated


def test_what_must_be_sent_again_is_pending_over_the_version_that_is_there(put, store: Store, make) -> None:
    put(*make.subject("p1"))
    send_all(store)
    keys = {one.stored.id: one.stored.key for one in store.deliveries(HERE, "trial", "p1", every=True)}
    store.resend(HERE, iter([keys["p1"], keys["p1-0"]]), version={keys["p1"]: "9"})
    again = {one.stored.id: one.acknowledged for one in pending(store)}
    assert {id: (said.hash, said.version) for id, said in again.items()} == {"p1": (None, "9"), "p1-0": (None, "1")}


def test_what_was_never_acknowledged_is_not_made_so_by_sending_it_again(put, store: Store, make) -> None:
    put((10, make.patient("p1")))
    store.resend(HERE, [of(store, "Patient", "p1").stored.key], version={of(store, "Patient", "p1").stored.key: "1"})
    assert of(store, "Patient", "p1").acknowledged is None


def test_what_a_server_lost_is_forgotten(put, store: Store, make) -> None:
    put(*make.subject("p1"))
    send_all(store)
    store.forget(HERE, [of(store, "Patient", "p1").stored.key])
    assert [(one.stored.id, one.acknowledged) for one in pending(store)] == [("p1", None)]


def test_the_content_last_acknowledged_outlives_later_versions(put, store: Store, make) -> None:
    put((10, make.patient("p1", gender="male")))
    key = of(store, "Patient", "p1").stored.key
    assert store.base(HERE, key) is None
    send_all(store)
    put((10, make.patient("p1", gender="female")))
    put((10, make.patient("p1", gender="other")))
    assert store.base(HERE, key) == make.patient("p1", gender="male")
    assert store.base(THERE, key) is None
    store.resend(HERE, [key])
    assert store.base(HERE, key) is None


def test_a_version_is_found_by_its_content(put, store: Store, make) -> None:
    for gender in ("male", "female", "male", "other"):
        put((10, make.patient("p1", gender=gender)))
    first = store.vread("Patient", "p1", 1)
    assert store.version_by_hash(first.key, first.hash).version == 3
    assert store.version_by_hash(first.key, "00" * 32) is None


def test_of_two_acknowledgements_of_one_resource_the_later_counts(put, store: Store, make) -> None:
    put((10, make.patient("p1")))
    one = of(store, "Patient", "p1")
    take(store, one, one, version="2")
    assert of(store, "Patient", "p1").acknowledged.version == "2"


def test_finding_nothing_to_do_takes_one_query_and_reads_no_body(put, store: Store, make) -> None:
    for number in range(50):
        put(*make.subject(f"p{number:03d}"))
    send_all(store)
    for ask in (lambda: store.backlog(HERE, "trial"), lambda: list(store.outstanding(HERE, "trial"))):
        with statements() as seen:
            ask()
        assert len(seen) == 1
        assert "body" not in seen[0][0]
        assert "version" not in seen[0][0].split("FROM")[1]


def test_sqlite_finds_all_it_needs_by_keys(tmp_path: Path, make) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with Store.open(url) as store:
        with store.transaction() as transaction:
            transaction.put([*make.subject("p1"), (5, make.study_resource())], run="run-1")
        send_all(store)
        with statements() as seen:
            for policy in ("stop", "retract", "delete"):
                store.backlog(HERE, "trial", policy)
                list(store.outstanding(HERE, "trial", policy))
    with connected(url) as connection:
        plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}", given).all() for asked, given in seen]
    steps = [row[-1] for plan in plans for row in plan]
    assert len(plans) == 6
    assert [step for step in steps if "SCAN" in step or "CORRELATED" in step] == []
    assert any(step.startswith("SEARCH acknowledged USING PRIMARY KEY (server=? AND resource=?)") for step in steps)
