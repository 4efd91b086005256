"""Searches in a release: they find what the book says, on either database, and page without a gap."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhirbridge import fhirjson
from fhirbridge.errors import Expired
from fhirbridge.release.cells import Count
from fhirbridge.search.matching import Indexed, included, matching
from fhirbridge.search.refused import SearchError
from fhirbridge.search.table import CATALOGUE
from fhirbridge.store import Store, release_filters, release_prepared
from fhirbridge.store.release_index import axis, micros, place
from tests.store.questions import Questions
from tests.store.releasing import (
    AGREEMENT,
    ZONE,
    by_the_book,
    everything,
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

seeds = st.integers(0, 2**32)


@pytest.fixture
def released(store: Store) -> Store:
    put(store, *world(1))
    store.releases.refresh(view(), ZONE)
    return store


@pytest.fixture
def index(released: Store) -> Indexed:
    found = by_the_book(everything(released))
    assert len({id for kind, id in found if kind == "Patient"}) > 3
    return found


def keys(asked: str, index: Indexed) -> list[str]:
    return [id for _, id in matching(read(asked), index)]


def agrees(store: Store, index: Indexed, seed: int) -> None:
    asked = Questions(index, seed).search()
    expected = keys(asked, index)
    assert [one.id for one in searched(store, asked)] == expected, asked
    assert [one.id for one in searched(store, asked, count=3)] == expected, asked
    told = store.releases.count(AGREEMENT.id, read(asked), at=position(store))
    assert told.resources == len(expected), asked


@settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
@given(seed=seeds)
def test_a_search_finds_what_the_book_says_in_its_order(released: Store, index: Indexed, seed: int) -> None:
    agrees(released, index, seed)


@settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
@given(seed=seeds)
def test_a_search_in_a_great_release_does_too(
    released: Store, index: Indexed, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_prepared, "FEW", 3)  # how it is found depends on how much there is
    monkeypatch.setattr(release_filters, "MANY", 2)
    agrees(released, index, seed)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(seed=seeds)
def test_includes_add_what_the_book_says(released: Store, index: Indexed, seed: int) -> None:
    asked = Questions(index, seed).including()
    query, at = read(asked), position(released)
    page = released.releases.search(AGREEMENT.id, query, at=at, after=None, count=5).matches
    added = released.releases.included(AGREEMENT.id, query, page, at=at, limit=10_000)
    expected = included(query, [(one.type, one.id) for one in page], index)
    assert len(added) == len(expected), asked
    assert {(one.type, one.id) for one in added} == set(expected), asked


def test_no_two_search_parameters_share_an_axis() -> None:
    known = [(type_, one.code) for type_ in CATALOGUE.types for one in CATALOGUE.of(type_)]
    known += [(type_, f"{one.code}:identifier") for type_ in CATALOGUE.types for one in CATALOGUE.references(type_)]
    axes = [axis(*one, index) for one in known for index in ("", "text")]
    assert len(set(axes)) == len(axes)


@given(
    st.text(st.sampled_from("-.059AZaz"), min_size=1, max_size=14), st.text(st.sampled_from("-.059AZaz"), min_size=1)
)
def test_the_place_of_an_id_sorts_as_the_id_does(one: str, other: str) -> None:
    assert place(one) <= place(other) or one > other


def test_moments_keep_their_microseconds() -> None:
    assert micros("2026-11-22T14:49:24.000001") - micros("2026-11-22T14:49:23.999999") == 2


def test_a_count_tells_how_many_people_it_rests_on(store: Store) -> None:
    put(store, *subject("p1", 3), *subject("p2", 4), *world(1)[:4])
    store.releases.refresh(view(), ZONE)
    at = position(store)
    assert store.releases.count(AGREEMENT.id, read("Observation?status=final"), at=at) == Count(7, 2)
    assert store.releases.count(AGREEMENT.id, read("Observation?status=amended"), at=at) == Count(0, 0)
    assert store.releases.count(AGREEMENT.id, read("Organization"), at=at) == Count(2, None)


def test_more_includes_than_the_limit_are_refused(store: Store) -> None:
    put(store, *subject("p1", 9))
    store.releases.refresh(view(), ZONE)
    query, at = read("Patient?_revinclude=Observation:subject"), position(store)
    page = store.releases.search(AGREEMENT.id, query, at=at, after=None, count=5).matches
    assert len(store.releases.included(AGREEMENT.id, query, page, at=at, limit=9)) == 9
    with pytest.raises(SearchError, match="more than 8"):
        store.releases.included(AGREEMENT.id, query, page, at=at, limit=8)


def test_pages_fit_together_while_everything_changes(store: Store) -> None:
    put(store, *subject("p1", 30))
    store.releases.refresh(view(), ZONE)
    before, query = position(store), read("Observation?status=final&_sort=-value-quantity")
    whole = searched(store, "Observation?status=final&_sort=-value-quantity")
    seen, after = [], None
    for turn in range(5):
        page = store.releases.search(AGREEMENT.id, query, at=before, after=after, count=6)
        seen += page.matches
        after = page.after
        changed = [observation(f"p1-o{number}", "p1", status="amended") for number in range(turn * 6, turn * 6 + 6)]
        put(store, *changed, observation(f"p1-new{turn}", "p1"))
        store.releases.refresh(view(), ZONE)
    assert after is None
    assert seen == whole
    assert position(store) == before + 5
    assert len(searched(store, "Observation?status=final")) == 5


def test_what_goes_on_is_sorted_by_when_it_began(store: Store) -> None:
    spans = {"o1": {"start": "2026-01-01"}, "o2": {"start": "2026-03-01"}, "o3": {"start": "2026-02-01", "end": "2027"}}
    on_day = observation("o4", "p1", effectiveDateTime="2026-02-15")
    put(store, *subject("p1", 0), on_day, *(observation(id, "p1", effectivePeriod=span) for id, span in spans.items()))
    store.releases.refresh(view(), ZONE)
    began = [one.id for one in searched(store, "Observation?_sort=date")]
    assert [one.id for one in searched(store, "Observation?_sort=-date", count=2)] == began[::-1]
    dated = [fhirjson.loads(one.body or b"") for one in searched(store, "Observation?_sort=date")]
    assert [("effectivePeriod" in one) and "end" in one["effectivePeriod"] for one in dated] == [
        False,
        True,
        False,
        False,
    ]
    assert "effectiveDateTime" in dated[2]


def test_a_position_that_was_never_there_is_refused(released: Store) -> None:
    for at in (0, position(released) + 1):
        with pytest.raises(Expired):
            released.releases.search(AGREEMENT.id, read("Patient"), at=at, after=None, count=5)


def test_of_an_agreement_that_was_never_released_nothing_is_found(store: Store) -> None:
    put(store, patient("p1"))
    assert store.releases.position(AGREEMENT.id) is None
    assert store.releases.read(AGREEMENT.id, "Patient", "p1") is None
    with pytest.raises(Expired):
        store.releases.count(AGREEMENT.id, read("Patient"), at=1)
