"""Pages of searches that were asked before: answered from memory, and never with what has changed since."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.registry.conftest import Serve
from tests.api.registry.exporting import withdraw
from tests.api.registry.serving import Registry
from tests.api.registry.watching import statements

QUERIES = (
    "Observation?_count=20",
    "Observation?code=http://loinc.org|42595-9&_include=Observation:patient",
    "Patient?_revinclude=Observation:patient&_count=3",
    "Observation?patient.gender=male&_sort=-date&_count=9",
)


def told(bundle: Any) -> Any:
    """What a Bundle says, but for its own id and the moment at which it was made."""
    return {name: value for name, value in bundle.items() if name not in ("id", "meta")}


@pytest.mark.parametrize("query", QUERIES)
def test_the_same_question_of_the_same_state_is_answered_alike_by_one_statement(registry: Registry, query: str) -> None:
    first = registry.get(query)
    with statements(registry.store) as seen:
        again = registry.get(query)
    assert told(again) == told(first)
    assert again["id"] != first["id"]
    assert len([one for one in seen if one.startswith("SELECT")]) == 1, seen
    asked, asked_again = registry.recorded[-2:]
    assert asked_again.people == asked.people
    assert asked_again.records == asked.records == len(first["entry"])


@pytest.mark.parametrize("query", QUERIES)
def test_who_withdraws_is_on_no_remembered_page(registry: Registry, query: str) -> None:
    registry.get(query)
    assert told(registry.get(query)) == told(registry.get(query))
    gone = min(registry.recorded[-1].people)
    withdraw(registry, gone)
    for path in (query, *QUERIES):
        assert gone not in str(registry.get(path)), path
        assert gone not in registry.recorded[-1].people
    assert registry.get("Patient?_count=50")["total"] == 7


@pytest.mark.parametrize("query", QUERIES)
def test_what_changed_is_on_the_next_page_that_is_asked_for(registry: Registry, query: str) -> None:
    registry.get(query)
    stored = [one.content() for one in registry.store.iterate("nct07120750", types=["Observation"])]
    registry.put(*({**one, "status": "amended"} for one in stored))
    entries = [one["resource"] for one in registry.get(query)["entry"]]
    said = {one["status"] for one in entries if one["resourceType"] == "Observation"}
    assert said == {"amended"}


def test_one_registry_is_never_answered_with_what_another_was(registry: Registry) -> None:
    north, south = registry.get("Patient"), registry.get("Patient", client="c2")
    ids = [{one["resource"]["id"] for one in each["entry"]} for each in (north, south)]
    assert not ids[0] & ids[1]
    assert told(registry.get("Patient")) == told(north)


def test_a_narrower_token_is_not_answered_with_what_a_wider_one_was(registry: Registry) -> None:
    query = "Observation?_include=Observation:patient&_count=5"
    wide, narrow = registry.get(query), registry.get(query, scope="system/Observation.rs")
    types = [{one["resource"]["resourceType"] for one in each["entry"]} for each in (wide, narrow)]
    assert types == [{"Observation", "Patient"}, {"Observation"}]


@pytest.mark.parametrize(
    "other",
    ["_count=4", "_count=5&_summary=true", "_count=5&_elements=status", "_count=5&_sort=-_id", "_count=5&_total=none"],
)
def test_another_form_of_an_answer_is_another_question(serve: Serve, other: str) -> None:
    known, fresh = serve(), serve(api_remembered_mib=0)
    known.get("Observation?_count=5")
    assert told(known.get(f"Observation?{other}")) == told(fresh.get(f"Observation?{other}"))


def test_later_pages_of_an_earlier_state_are_looked_up_each_time(registry: Registry) -> None:
    first = registry.get("Observation?_count=30")
    link = next(one["url"] for one in first["link"] if one["relation"] == "next")
    registry.get(link)
    gone = registry.get(link)["entry"][0]["resource"]["subject"]["reference"].removeprefix("Patient/")
    patient = next(one.content() for one in registry.store.iterate("nct07120750", types=["Patient"]))
    registry.put({**patient, "gender": "other"})  # the state of the link is no longer the present one
    assert gone in str(registry.get(link))
    with statements(registry.store) as seen:
        registry.get(link)
    assert len([one for one in seen if one.startswith("SELECT")]) > 1


def test_nothing_is_remembered_where_it_is_not_wanted(serve: Serve) -> None:
    registry = serve(api_remembered_mib=0)
    registry.get(QUERIES[0])
    with statements(registry.store) as seen:
        registry.get(QUERIES[0])
    assert len([one for one in seen if one.startswith("SELECT")]) > 1


def test_long_questions_take_room_although_nothing_is_found(serve: Serve) -> None:
    registry = serve(api_remembered_mib=1)
    registry.get("Observation?_count=1")
    for number in range(30):
        codes = ",".join(f"none-{number}-{each}" for each in range(200))
        registry.get(f"Observation?code={codes}")
    with statements(registry.store) as seen:
        registry.get("Observation?_count=1")
    assert len([one for one in seen if one.startswith("SELECT")]) > 1, "it was not pushed out"
