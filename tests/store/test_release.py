"""Releases: what is let out, and kept up to date with the store whatever happens on the way."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from fhirbridge import fhirjson
from fhirbridge.errors import Expired, Resource, StoreError
from fhirbridge.search.extract import Indexer
from fhirbridge.store import Store
from fhirbridge.store.releases import Page, Refreshed, Released, digest
from tests.store.raw import connected
from tests.store.releasing import (
    AGREEMENT,
    ZONE,
    Clock,
    consent,
    everything,
    measured,
    names,
    observation,
    patient,
    position,
    put,
    read,
    searched,
    subject,
    view,
    world,
)

ID = AGREEMENT.id
REFRESHER = """
import json, sys
from fhirbridge.store import Store
from tests.store.releasing import ZONE, view

with Store.open(sys.argv[1]) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    done = store.releases.refresh(view(), ZONE)
    print(json.dumps({"busy": done.busy, "released": sum(one.released for one in done.counts.values())}))
"""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database_url: str, clock: Clock) -> Iterator[Store]:
    with Store.open(database_url, clock=clock) as opened:
        yield opened


def refresh(store: Store, **changed: object) -> Refreshed:
    return store.releases.refresh(view(**changed), ZONE)


def counts(done: Refreshed) -> dict[str, tuple[int, int, int, int]]:
    return {
        kind: (one.released, one.unchanged, one.deleted, one.hidden)
        for kind, one in done.counts.items()
        if one.looked_at
    }


def content(one: Released | None) -> Resource:
    assert one is not None
    assert one.body is not None
    loaded: Resource = fhirjson.loads(one.body)
    return loaded


def shown(id: str, kind: str = "Observation") -> str:
    """The id by which the registry knows a resource."""
    return view().names.id(kind, id)


def current(store: Store, id: str, version: int | None = None) -> Released | None:
    return store.releases.read(ID, "Observation", shown(id), version)


def history(store: Store, id: str | None = None, *, since: str | None = None, count: int = 100) -> Page:
    named = None if id is None else shown(id)
    return store.releases.history(ID, "Observation", named, since=since, at=position(store), after=None, count=count)


def test_what_is_released_is_what_the_view_lets_out_with_the_instant_of_the_release(store: Store) -> None:
    put(store, *subject("p1", 1))
    done = refresh(store)
    assert counts(done) == {"Consent": (1, 0, 0, 0), "Observation": (1, 0, 0, 0), "Patient": (1, 0, 0, 0)}
    one = current(store, "p1-o0")
    assert one is not None
    assert (one.version, one.last_updated) == (1, "2026-11-22T06:00:00.000Z")
    expected = view().release(observation("p1-o0", "p1", valueQuantity=measured("0.50")))
    assert expected is not None
    about = {"versionId": "1", "lastUpdated": "2026-11-22T06:00:00.000Z"}
    assert content(one) == expected | {"meta": about | expected["meta"]}
    assert b'"value":0.50' in (one.body or b"")


def test_nothing_is_done_again_where_nothing_has_changed(store: Store, clock: Clock) -> None:
    put(store, *subject("p1"))
    first = refresh(store)
    clock.go(hours=1)
    again = refresh(store)
    assert (again.position, counts(again)) == (first.position, {})
    put(store, *subject("p1"))
    assert refresh(store).position == first.position


def test_only_what_has_changed_gets_a_new_version(store: Store, clock: Clock) -> None:
    put(store, *subject("p1", 5))
    refresh(store)
    before = everything(store)
    clock.go(hours=1)
    put(store, observation("p1-o3", "p1", status="amended"))
    assert counts(refresh(store)) == {"Observation": (1, 0, 0, 0)}
    after = everything(store)
    changed = set(after) - set(before)
    assert [(one.id, one.version, one.last_updated) for one in changed] == [
        (shown("p1-o3"), 2, "2026-11-22T07:00:00.000Z")
    ]
    assert len(after) == len(before)
    assert content(current(store, "p1-o3", 1))["status"] == "final"
    assert [one.version for one in history(store, "p1-o3").matches] == [2, 1]


def test_what_changed_where_the_registry_cannot_see_it_is_no_new_version(store: Store) -> None:
    put(store, *subject("p1", 1))
    refresh(store)
    at = position(store)
    put(store, observation("p1-o0", "p1", valueQuantity=measured("0.50"), note=[{"text": "seen by Dr Li"}]))
    done = refresh(store)
    assert counts(done)["Observation"][0] == 1, "its label says now that something is hidden"
    put(store, observation("p1-o0", "p1", valueQuantity=measured("0.50"), note=[{"text": "seen by Dr Wu"}]))
    assert counts(refresh(store)) == {"Observation": (0, 1, 0, 0)}
    assert position(store) == at + 1


def test_who_withdraws_is_gone_at_once_and_everywhere(store: Store) -> None:
    put(store, *subject("p1", 3), *subject("p2", 2))
    refresh(store)
    at, query = position(store), read("Observation")
    whole = store.releases.search(ID, query, at=at, after=None, count=50).matches
    people = store.releases.search(ID, read("Patient"), at=at, after=None, count=50).matches
    put(store, consent("p1-c", "p1", "inactive"))
    left = {shown(f"p2-o{number}") for number in range(2)}
    assert {one.id for one in store.releases.search(ID, query, at=at, after=None, count=50).matches} == left
    assert store.releases.count(ID, query, at=at).resources == 2
    assert current(store, "p1-o0") is None
    assert current(store, "p1-o0", 1) is None
    assert {one.id for one in history(store).matches} == left
    assert history(store, "p1-o0").matches == []
    assert len(everything(store)) == 4
    assert everything(store, patients=[view().patient("p1")]) == []
    added = store.releases.included(ID, read("Observation?_include=Observation:subject"), whole, at=at, limit=50)
    assert {one.id for one in added} == {view().patient("p2")}
    added = store.releases.included(ID, read("Patient?_revinclude=Observation:subject"), people, at=at, limit=50)
    assert {one.id for one in added} == left
    assert searched(store, "Patient?_has:Observation:subject:status=final")[0].id == view().patient("p2")
    assert searched(store, "Observation?subject:Patient.gender=female&_sort=-date", count=1) != []
    assert len(searched(store, "Observation?subject:Patient.gender=female&_sort=-date", count=1)) == 2


def test_who_withdrew_is_erased_by_the_next_refresh_with_every_version(
    store: Store, clock: Clock, database_url: str
) -> None:
    put(store, *subject("p1", 1), *subject("p2", 1))
    refresh(store)
    put(store, observation("p1-o0", "p1", status="amended"))
    refresh(store)
    clock.go(minutes=5)
    put(store, consent("p1-c", "p1", "inactive"))
    assert counts(refresh(store)) == {
        "Consent": (0, 0, 1, 0), "Observation": (0, 0, 1, 0), "Patient": (0, 0, 1, 0)
    }  # fmt: skip
    stone = current(store, "p1-o0")
    assert stone is not None
    assert (stone.version, stone.body, stone.last_updated) == (3, None, "2026-11-22T06:05:00.000Z")
    assert [current(store, "p1-o0", number) for number in (1, 2)] == [None, None]
    assert history(store, "p1-o0").matches == [stone]
    with connected(database_url) as connection:
        for table in ("body", "posting", "date"):
            left = connection.execute(text(f"SELECT count(DISTINCT entry) FROM release_{table}")).scalar()
            assert left == 3, table
        terms = set(connection.execute(text("SELECT code FROM release_term")).scalars())
    assert shown("p1-o0") not in terms
    assert shown("p2-o0") in terms
    assert [one.type for one in everything(store, since=stone.last_updated)] == ["Patient", "Consent", "Observation"]
    assert counts(refresh(store)) == {}


def test_all_who_withdrew_are_erased_however_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhirbridge.store.release_erasing.PEOPLE", 1)
    put(store, *(one for number in range(3) for one in subject(f"p{number}", 1)))
    refresh(store)
    put(store, *(consent(f"p{number}-c", f"p{number}", "inactive") for number in range(3)))
    assert counts(refresh(store))["Patient"] == (0, 0, 3, 0)
    assert [current(store, f"p{number}-o0").body for number in range(3)] == [None] * 3  # type: ignore[union-attr]


def test_who_consents_again_is_released_again_as_a_further_version(store: Store) -> None:
    put(store, *subject("p1", 1))
    refresh(store)
    put(store, consent("p1-c", "p1", "inactive"))
    refresh(store)
    put(store, consent("p1-c", "p1"))
    assert current(store, "p1-o0").body is None  # type: ignore[union-attr]
    assert counts(refresh(store))["Observation"] == (1, 0, 0, 0)
    assert [(one.version, one.body is None) for one in history(store, "p1-o0").matches] == [(3, False), (2, True)]
    assert len(searched(store, "Observation?status=final")) == 1


def test_who_withdraws_and_consents_again_before_a_refresh_is_as_before(store: Store) -> None:
    put(store, *subject("p1", 1))
    refresh(store)
    before = everything(store)
    put(store, consent("p1-c", "p1", "inactive"))
    assert everything(store) == []
    put(store, consent("p1-c", "p1"))
    assert everything(store) == before


def test_nobody_is_released_of_whom_no_consent_is_known(store: Store) -> None:
    put(store, patient("p1"), observation("o1", "p1"))
    assert counts(refresh(store)) == {}
    assert everything(store) == []


def test_counts_that_are_remembered_know_of_a_withdrawal(store: Store) -> None:
    put(store, *subject("p1", 3), *subject("p2", 2))
    refresh(store)
    at, query = position(store), read("Observation?status=final")
    told = [store.releases.count(ID, query, at=at) for _ in range(2)]
    put(store, consent("p1-c", "p1", "inactive"))
    told.append(store.releases.count(ID, query, at=at))
    put(store, consent("p1-c", "p1"))
    told.append(store.releases.count(ID, query, at=at))
    assert [tuple(one) for one in told] == [(5, 2), (5, 2), (2, 1), (5, 2)]


def test_a_search_by_what_the_view_hides_finds_nothing(store: Store) -> None:
    told = observation(
        "o1", "p1", valueString="Mr Wang was ikteric", identifier=[{"system": "urn:mrn", "value": "4711"}]
    )
    put(store, patient("p1", name=[{"family": "Wang"}], birthDate="1971-03-14"), consent("c1", "p1"), told)
    refresh(store, texts=())
    found = ["Patient", "Patient?birthdate=1971", "Observation", "Observation?subject:Patient.birthdate=1971"]
    hidden = [
        "Patient?family=Wang", "Patient?birthdate=1971-03-14", "Patient?_id=p1", "Patient?birthdate:missing=true",
        "Observation?value-string:contains=ikteric", "Observation?identifier=4711", "Observation?subject=Patient/p1",
        "Observation?_id=o1", "Observation?patient.name=Wang", "Patient?_has:Observation:patient:identifier=4711",
    ]  # fmt: skip
    assert [asked for asked in found if not searched(store, asked)] == []
    assert [asked for asked in hidden if searched(store, asked)] == []


def test_two_registries_see_different_ids_in_different_orders(store: Store) -> None:
    put(store, *(one for number in range(12) for one in subject(f"p{number}", 1)))
    north, south = view(), view(id="south-1", registry="south")
    orders = []
    for one in (north, south):
        store.releases.refresh(one, ZONE)
        at = store.releases.position(one.agreement.id)
        assert at is not None
        people = {one.patient(f"p{number}"): number for number in range(12)}
        found = store.releases.search(one.agreement.id, read("Patient"), at=at.number, after=None, count=50).matches
        orders.append([people[patient.id] for patient in found])
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def test_changes_wait_until_they_are_due_and_withdrawals_do_not(store: Store, clock: Clock) -> None:
    put(store, *subject("p1", 1), *subject("p2", 1))
    assert refresh(store, release_every_days=7).due
    clock.go(days=3)
    put(store, *subject("p3", 1), observation("p1-o0", "p1", status="amended"), consent("p2-c", "p2", "inactive"))
    done = refresh(store, release_every_days=7)
    assert not done.due
    assert done.next_due == clock() + timedelta(days=4)
    assert {kind: one[2] for kind, one in counts(done).items()} == {"Consent": 1, "Observation": 1, "Patient": 1}
    assert content(current(store, "p1-o0"))["status"] == "final"
    clock.go(days=4)
    done = refresh(store, release_every_days=7)
    assert counts(done) == {"Consent": (1, 0, 0, 0), "Observation": (2, 0, 0, 0), "Patient": (1, 0, 0, 0)}


def test_a_release_on_which_nothing_was_due_is_one_all_the_same(store: Store, clock: Clock) -> None:
    put(store, *subject("p1", 1))
    refresh(store, release_every_days=7)
    clock.go(days=7)
    refresh(store, release_every_days=7)
    clock.go(days=1)
    put(store, *subject("p2", 1))
    assert not refresh(store, release_every_days=7).due, "or the day it came in would show"
    clock.go(days=6)
    assert counts(refresh(store, release_every_days=7))["Observation"] == (1, 0, 0, 0)


def test_other_rules_make_everything_anew_and_erase_what_the_old_ones_let_out(store: Store, clock: Clock) -> None:
    put(store, *subject("p1", 1), observation("p1-v", "p1", valueString="Wang is ikteric"))
    refresh(store)
    put(store, observation("p1-v", "p1", valueString="Wang is well"))
    refresh(store)
    before = position(store)
    done = refresh(store, texts=())
    assert done.whole
    assert counts(done)["Observation"] == (1, 1, 0, 0)
    assert b"Wang" not in b"".join(one.body or b"" for one in history(store).matches)
    assert current(store, "p1-v", 1) is None
    assert searched(store, "Observation?value-string=Wang") == []
    with pytest.raises(Expired):
        store.releases.search(ID, read("Observation"), at=before, after=None, count=5)


@pytest.mark.parametrize("steps", range(2, 14, 2))
def test_what_other_rules_hide_is_not_there_even_if_the_process_dies_before_it_is_erased(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr("fhirbridge.store.release_making.BATCH", 2)
    put(store, *subject("p1", 1), observation("p1-v", "p1", valueString="Wang is ikteric"))
    refresh(store)
    put(store, observation("p1-v", "p1", valueString="Wang is well"))
    refresh(store)
    hidden = view(texts=())
    with _Dying(store, after=steps), contextlib.suppress(StoreError):
        refresh(store, texts=())
    at = store.releases.position(ID)
    assert at is not None
    if at.digest == digest(hidden, ZONE):
        assert b"Wang" not in b"".join(one.body or b"" for one in history(store).matches)
        assert current(store, "p1-v", 1) is None
    clock.go(minutes=10)
    refresh(store, texts=())
    assert b"Wang" not in b"".join(one.body or b"" for one in [*history(store).matches, *everything(store)])
    with store._engine.connect() as connection:
        bodies = [bytes(body) for body in connection.execute(text("SELECT body FROM release_body")).scalars()]
    assert not any(b"Wang" in body for body in bodies)


def test_a_term_that_two_systems_have_is_found_in_both_after_other_rules(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhirbridge.store.release_making.BATCH", 1)
    snomed = {"coding": [{"system": "http://snomed.info/sct", "code": "42595-9"}]}
    put(store, *subject("p1", 1), observation("o2", "p1", code=snomed), *subject("p2", 1))
    refresh(store)
    refresh(store, partial_dates="hide")
    assert len(searched(store, "Observation?code=http://snomed.info/sct|42595-9")) == 1
    assert len(searched(store, "Observation?code=42595-9")) == 3


def test_what_was_searched_before_is_found_again_under_rules_that_change_no_byte(store: Store) -> None:
    put(store, *subject("p1", 1))
    refresh(store)
    at, found = position(store), searched(store, "Observation?code=42595-9")
    refresh(store, partial_dates="hide")
    assert position(store) == at
    assert searched(store, "Observation?code=42595-9") == found != []


def test_other_rules_do_not_wait_but_what_changed_does(store: Store, clock: Clock) -> None:
    put(store, *subject("p1", 1), observation("p1-v", "p1", valueString="Wang is ikteric"))
    refresh(store, release_every_days=7)
    clock.go(days=1)
    put(store, observation("p1-v", "p1", valueString="Wang is well", status="amended"), *subject("p2", 1))
    refresh(store, release_every_days=7, texts=())
    seen = content(current(store, "p1-v"))
    assert ("valueString" in seen, seen["status"]) == (False, "final")
    assert searched(store, "Patient")[0].id == view().patient("p1")
    clock.go(days=7)
    refresh(store, release_every_days=7, texts=())
    assert content(current(store, "p1-v"))["status"] == "amended"
    assert len(searched(store, "Patient")) == 2


def test_types_that_the_agreement_no_longer_names_are_erased(store: Store) -> None:
    put(store, *subject("p1", 2))
    refresh(store)
    done = refresh(store, types=("Patient", "Consent"))
    assert counts(done) == {"Consent": (0, 1, 0, 0), "Observation": (0, 0, 2, 0), "Patient": (0, 1, 0, 0)}
    assert current(store, "p1-o0").body is None  # type: ignore[union-attr]
    assert searched(store, "Observation") == []
    assert counts(refresh(store))["Observation"] == (2, 0, 0, 0)


def test_another_key_gives_everything_another_name_and_none_can_be_followed(store: Store) -> None:
    put(store, *subject("p1", 1))
    refresh(store)
    old = current(store, "p1-o0")
    other = view(key=bytes(range(32)))
    store.releases.refresh(other, ZONE)
    assert old is not None
    assert current(store, "p1-o0").body is None  # type: ignore[union-attr]
    assert [one.id for one in searched(store, "Observation")] == [other.names.id("Observation", "p1-o0")]
    assert everything(store, patients=[view().patient("p1")]) == []
    assert len(everything(store, patients=[other.patient("p1")])) == 3
    refresh(store)
    again = current(store, "p1-o0")
    assert again is not None
    assert (again.version, again.body is None) == (3, False)


def test_a_search_parameter_that_is_new_finds_what_was_released_before(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, *subject("p1", 1))
    with monkeypatch.context() as patched:
        patched.setattr("fhirbridge.store.release_state.PARAMETERS", ())
        patched.setattr("fhirbridge.store.release_refreshing.Indexer", lambda zone: _Blind(zone))
        refresh(store)
        assert searched(store, "Observation?status=final") == []
    before = everything(store)
    assert counts(refresh(store))["Observation"] == (0, 1, 0, 0)
    assert everything(store) == before
    assert len(searched(store, "Observation?status=final")) == 1


class _Blind(Indexer):
    """An indexer that knows no status."""

    def rows(self, resource: Resource):  # type: ignore[no-untyped-def]
        return super().rows({name: value for name, value in resource.items() if name != "status"})


def test_a_result_that_was_somebody_elses_goes_with_the_person(store: Store) -> None:
    put(store, *subject("p1", 0), *subject("p2", 0), observation("o1", "p1"))
    refresh(store)
    put(store, observation("o1", "p2"))
    refresh(store)
    put(store, consent("p1-c", "p1", "inactive"))
    assert [one.version for one in history(store, "o1").matches] == [2]
    refresh(store)
    assert [one.version for one in history(store, "o1").matches] == [2]
    assert current(store, "o1", 1) is None
    assert len(searched(store, "Observation?subject=Patient/" + view().patient("p2"))) == 1


@pytest.mark.parametrize("steps", range(1, 9))
def test_a_refresh_that_dies_anywhere_is_finished_by_the_next(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr("fhirbridge.store.release_making.BATCH", 3)
    put(store, *subject("p1", 4), *subject("p2", 4))
    refresh(store)
    before, at = everything(store), position(store)
    put(
        store,
        consent("p2-c", "p2", "inactive"),
        *(observation(f"p1-o{number}", "p1", status="amended") for number in range(4)),
    )
    put(store, *subject("p3", 4))
    clock.go(minutes=1)
    with _Dying(store, after=steps), pytest.raises(StoreError, match="died"):
        refresh(store)
    unpublished = position(store) == at
    if unpublished:
        assert set(everything(store)) == {one for one in before if not _is_of(one, "p2")}
    clock.go(minutes=10)
    put(store, observation("p1-o0", "p1", status="corrected"))
    refresh(store)
    statuses = [content(current(store, f"p1-o{number}"))["status"] for number in range(4)]
    assert statuses == ["corrected", "amended", "amended", "amended"]
    found = everything(store)
    assert len(found) == 12
    assert len({(one.type, one.id) for one in found}) == 12
    versions = [one.version for one in history(store, "p1-o1").matches]
    assert versions == [2, 1]
    instant = store.releases.position(ID).at  # type: ignore[union-attr]
    told = {one.last_updated for one in found}
    assert told == {before[0].last_updated, instant} or not unpublished, "what is published late says so"
    assert len(searched(store, "Observation?status=amended")) == 3
    assert counts(refresh(store)) == {}


def _is_of(one: Released, person: str) -> bool:
    return view().patient(person).encode() in (one.body or b"")


class _Dying:
    """Lets a refresh do so many steps, and no more."""

    def __init__(self, store: Store, *, after: int) -> None:
        self._engine, self._left = store.releases._engine, after

    def __enter__(self) -> None:
        from sqlalchemy import event

        event.listen(self._engine, "commit", self._count)

    def __exit__(self, *_: object) -> None:
        from sqlalchemy import event

        event.remove(self._engine, "commit", self._count)

    def _count(self, _connection: object) -> None:
        self._left -= 1
        if self._left < 0:
            raise StoreError("died")


def test_while_one_refreshes_another_is_told_so(store: Store) -> None:
    put(store, *subject("p1", 1))
    assert store.lease(f"release:{ID}", "another", 60)
    assert refresh(store).busy
    store.release("another")
    assert not refresh(store).busy


def test_of_processes_that_refresh_at_once_nothing_is_made_twice(store: Store, database_url: str) -> None:
    put(store, *world(1, people=4))
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", REFRESHER, database_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    told = [json.loads(racer.communicate()[0]) for racer in racers]
    refresh(store)
    found = everything(store)
    assert sum(one["released"] for one in told) == len(found) == len({(one.type, one.id) for one in found})
    assert {one.version for one in found} == {1}


def test_threads_may_ask_while_another_refreshes(store: Store) -> None:
    put(store, *subject("p1", 5))
    refresh(store)
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            for _ in range(10):
                assert len(searched(store, "Observation?status=final", count=2)) == 5
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(5):
        put(store, *subject(f"q{number}", 0))
        refresh(store)
    for thread in threads:
        thread.join()
    assert failed == []


def test_positions_are_kept_a_day_and_then_refused(store: Store, clock: Clock) -> None:
    put(store, *subject("p1", 1))
    refresh(store)
    old, query = position(store), read("Observation?status=final")
    clock.go(hours=2)
    put(store, observation("p1-o0", "p1", status="amended"))
    refresh(store)
    clock.go(hours=23)
    put(store, *subject("p2", 1))
    refresh(store)
    assert len(store.releases.search(ID, query, at=old, after=None, count=5).matches) == 1
    clock.go(hours=2)
    put(store, *subject("p3", 1))
    refresh(store)
    with pytest.raises(Expired, match="anew"):
        store.releases.search(ID, query, at=old, after=None, count=5)
    assert content(current(store, "p1-o0", 1))["status"] == "final"
    assert len(searched(store, "Observation?status=amended,final")) == 3


def test_a_history_is_paged_from_the_newest_on_and_since_an_instant(store: Store, clock: Clock) -> None:
    put(store, *subject("p1", 3))
    refresh(store)
    for status in ("amended", "corrected"):
        clock.go(minutes=1)
        put(store, observation("p1-o1", "p1", status=status))
        refresh(store)
    whole = history(store).matches
    assert [(one.version, one.last_updated[14:16]) for one in whole] == [
        (3, "02"), (2, "01"), (1, "00"), (1, "00"), (1, "00")
    ]  # fmt: skip
    found, after = [], None
    for _ in range(3):
        page = store.releases.history(ID, "Observation", None, since=None, at=position(store), after=after, count=2)
        found += page.matches
        after = page.after
    assert (found, after) == (whole, None)
    assert history(store, since="2026-11-22T06:01:00.000Z").matches == whole[:2]
    earlier = store.releases.history(ID, "Observation", None, since=None, at=position(store) - 1, after=None, count=9)
    assert earlier.matches == whole[1:]
    for mark in ("", "x", "1.", "99999999999999999999.a", "1.a b"):
        with pytest.raises(Expired):
            store.releases.history(ID, "Observation", None, since=None, at=position(store), after=mark, count=2)


def test_all_of_some_types_are_given_in_pages_by_person_query_and_instant(store: Store, clock: Clock) -> None:
    put(store, *subject("p1", 5), *subject("p2", 5))
    refresh(store)
    one = view().patient("p1")
    assert names(everything(store, page=3)) == names(everything(store))
    assert len(everything(store, page=3, patients=[one])) == 7
    assert everything(store, patients=["unknown"]) == []
    asked = {"Observation": [read("Observation?value-quantity=lt1"), read("Observation?value-quantity=gt3")]}
    assert len([found for found in everything(store, queries=asked) if found.type == "Observation"]) == 6
    clock.go(minutes=1)
    put(store, observation("p1-o1", "p1", status="amended"))
    refresh(store)
    assert names(everything(store, since="2026-11-22T06:00:30.000Z")) == [f"Observation/{shown('p1-o1')}"]


def test_a_withdrawal_ends_an_export_that_is_under_way(store: Store) -> None:
    put(store, *subject("p1", 6), *subject("p2", 6))
    refresh(store)
    under_way = store.releases.iterate(ID, ["Observation"], at=position(store), page=2)
    first = [next(under_way), next(under_way)]
    put(store, consent("p1-c", "p1", "inactive"))
    rest = list(under_way)
    assert not any(_is_of(one, "p1") for one in rest)
    assert sum(_is_of(one, "p2") for one in [*first, *rest]) == 6


def test_a_refresh_needs_no_more_memory_for_more_resources(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhirbridge.store.release_making.BATCH", 20)
    peaks = []
    for number, many in enumerate((40, 400)):
        put(store, *subject(f"p{number}", many))
        tracemalloc.start()
        refresh(store)
        for _ in store.releases.iterate(ID, ["Observation"], at=position(store), page=20):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]
