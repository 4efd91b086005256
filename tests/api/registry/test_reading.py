"""Reading: the current version, an older one, the history; what is not there, and what one has already."""

from __future__ import annotations

import msgspec
import pytest

from fhirbridge import fhirjson
from fhirbridge.search.table import SERVED
from tests.api.registering import BASE
from tests.api.registry.conftest import Serve
from tests.api.registry.serving import AGREEMENT, IDENTITY, Registry, refusal, validator
from tests.mappings.cases import HBSAG, STUDY, SUBJECT, resources


def test_what_is_answered_is_what_was_released_with_version_and_instant(registry: Registry) -> None:
    one = registry.one("Observation")
    answer = registry.ask(f"Observation/{one['id']}")
    assert fhirjson.loads(answer.data) == one
    assert answer.content_type == "application/fhir+json"
    assert one["meta"]["versionId"] == "1"
    assert one["meta"]["lastUpdated"] == "2026-03-01T12:00:00.000Z"
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.headers["Last-Modified"] == "Sun, 01 Mar 2026 12:00:00 GMT"


@pytest.mark.parametrize("type", [one for one in SERVED if one != "Provenance"])
def test_a_resource_of_every_type_can_be_read_and_follows_its_profile(registry: Registry, type: str) -> None:
    one = registry.get(f"{type}/{registry.one(type)['id']}")
    assert [issue for issue in validator().validate(one)["issue"] if issue["severity"] in ("error", "fatal")] == []


def test_decimals_keep_their_digits_in_every_form(registry: Registry) -> None:
    for record in (SUBJECT, HBSAG):
        with registry.store.transaction() as transaction:
            transaction.put(resources(record, STUDY, IDENTITY), run="change")
    registry.clock.turn(1)
    registry.refresh()
    [one] = registry.get("Observation?value-quantity=5.50&code=63557-3")["entry"]
    path = f"Observation/{one['resource']['id']}"
    for asked in (path, f"{path}?_summary=true", f"{path}?_elements=value", f"{path}/_history"):
        assert b'"value":5.50,' in registry.ask(asked).data
    assert b'"value": 5.50,' in registry.ask(f"{path}?_pretty=true").data
    assert b'<value value="5.50"/>' in registry.ask(f"{path}?_format=xml").data


@pytest.mark.parametrize(
    "path",
    [
        "Patient/nobody",
        "Patient/" + "a" * 64,
        "Patient/" + "a" * 65,
        "Patient/..%2f..%2fetc",
        "Patient/a%00b",
        "Patient/%ff%fe",
        "Patient/x'%20OR%20'1'='1",
        "Patient/nobody/_history",
        "Patient/nobody/_history/1",
    ],
)
def test_what_is_not_there_is_not_found(registry: Registry, path: str) -> None:
    assert refusal(registry.ask(path)) == (404, "not-found")


@pytest.mark.parametrize("number", ["0", "2", "99", "-1", "x", "1" * 30, "%20", "1.0", "١"])
def test_a_version_that_is_not_there_is_not_found(registry: Registry, number: str) -> None:
    assert refusal(registry.ask(f"Patient/{registry.one('Patient')['id']}/_history/{number}"))[0] == 404


def test_anothers_ids_and_made_up_ones_are_answered_alike(registry: Registry) -> None:
    theirs = registry.one("Patient", client="c2")["id"]
    made_up = "a" * len(theirs)
    for path in ("Patient/{}", "Patient/{}/_history", "Patient/{}/_history/1"):
        one, other = registry.ask(path.format(theirs)), registry.ask(path.format(made_up))
        assert (one.status_code, one.data) == (other.status_code, other.data) == (404, other.data)
    both = [registry.get(f"Patient?_id={id}") for id in (theirs, made_up)]
    assert [one["total"] for one in both] == [0, 0]
    assert registry.get(f"Patient/{theirs}", client="c2")["id"] == theirs


def test_types_that_nobody_is_served_are_not_found_and_types_of_others_forbidden(serve: Serve) -> None:
    registry = serve(agreements=(msgspec.structs.replace(AGREEMENT, types=("Patient",)),))
    for path in ("Medication/1", "Medication", "Medication/_history", "patient/1", "Medication/1/_history/1"):
        assert refusal(registry.ask(path))[0] == 404
    for path in ("Observation/1", "Observation", "Observation/_history", "Observation/1/_history",
                 "Observation/1/_history/1"):  # fmt: skip
        assert refusal(registry.ask(path)) == (403, "forbidden")


@pytest.mark.parametrize("tag", ['W/"1"', '"1"', "1", '"7", W/"1"', "*"])
def test_who_has_the_version_already_is_sent_nothing(registry: Registry, tag: str) -> None:
    one = registry.one("Patient")
    answer = registry.ask(f"Patient/{one['id']}", headers={"If-None-Match": tag})
    assert (answer.status_code, answer.data) == (304, b"")
    assert answer.headers["ETag"] == 'W/"1"'
    assert "Content-Type" not in answer.headers


@pytest.mark.parametrize("tag", ['W/"2"', "11", '"01"', "x"])
def test_who_has_another_version_is_sent_this_one(registry: Registry, tag: str) -> None:
    one = registry.one("Patient")
    assert registry.ask(f"Patient/{one['id']}", headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize(
    ("since", "status"),
    [
        ("Sun, 01 Mar 2026 12:00:00 GMT", 304),
        ("Sun, 01 Mar 2026 12:00:01 GMT", 304),
        ("Sun, 01 Mar 2026 11:59:59 GMT", 200),
        ("yesterday", 200),
    ],
)
def test_what_has_not_changed_since_is_not_sent_again(registry: Registry, since: str, status: int) -> None:
    one = registry.one("Patient")
    headers = {"If-Modified-Since": since}
    assert registry.ask(f"Patient/{one['id']}", headers=headers).status_code == status
    headers["If-None-Match"] = 'W/"9"'  # which counts before the date
    assert registry.ask(f"Patient/{one['id']}", headers=headers).status_code == 200


def changed(registry: Registry) -> str:
    """Change a Patient of the store, and return the id under which registry c1 knows it."""
    id = registry.one("Patient")["id"]
    stored = next(
        one.content()
        for one in registry.store.iterate(STUDY.id, types=["Patient"])
        if registry.upkeep.view(AGREEMENT).patient(one.id) == id
    )
    registry.put({**stored, "gender": "other"})
    return id


def test_an_older_version_stays_to_be_read_as_it_was(registry: Registry) -> None:
    before = registry.one("Patient")
    id = changed(registry)
    now = registry.get(f"Patient/{id}")
    assert (now["gender"], now["meta"]["versionId"]) == ("other", "2")
    answer = registry.ask(f"Patient/{id}/_history/1")
    assert fhirjson.loads(answer.data) == before
    assert answer.headers["ETag"] == 'W/"1"'
    assert registry.get(f"Patient/{id}/_history/2") == now
    assert registry.ask(f"Patient/{id}", headers={"If-None-Match": 'W/"1"'}).status_code == 200


def test_a_history_holds_every_version_the_newest_first_and_is_valid(registry: Registry) -> None:
    id = changed(registry)
    history = registry.get(f"Patient/{id}/_history")
    assert history["type"] == "history"
    assert [one["resource"]["meta"]["versionId"] for one in history["entry"]] == ["2", "1"]
    assert [one["request"]["method"] for one in history["entry"]] == ["PUT", "PUT"]
    assert [one["response"]["status"] for one in history["entry"]] == ["200 OK", "201 Created"]
    assert [one["response"]["etag"] for one in history["entry"]] == ['W/"2"', 'W/"1"']
    assert {one["fullUrl"] for one in history["entry"]} == {f"{BASE}/Patient/{id}"}
    assert [one for one in validator().validate(history)["issue"] if one["severity"] in ("error", "fatal")] == []


def test_the_history_of_a_type_goes_on_over_pages(registry: Registry) -> None:
    id = changed(registry)
    path, found = "Patient/_history?_count=2", []
    while path:
        page = registry.get(path)
        assert len(page["entry"]) <= 2
        found += [(one["resource"]["id"], one["resource"]["meta"]["versionId"]) for one in page["entry"]]
        path = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
    assert found[0] == (id, "2")
    assert len(found) == len(set(found)) == registry.get("Patient?_summary=count")["total"] + 1


def test_a_history_since_an_instant_has_nothing_older(registry: Registry) -> None:
    id = changed(registry)
    for since in ("2026-03-01T12:00:01Z", "2026-03-01T13:00:01+01:00", "2026-03-01T13:00:01%2B01:00"):
        entries = registry.get(f"Patient/_history?_since={since}")["entry"]
        assert [one["resource"]["id"] for one in entries] == [id]
    assert "entry" not in registry.get("Patient/_history?_since=2026-03-02")
    assert "entry" not in registry.get(f"Patient/{id}/_history?_since=2026-03-02")
    for wrong in ("x", "2026-99", "2026-99-99", "2026", "2026-03-01T12", "2026-03-01T25:00:00Z", "9" * 30):
        assert refusal(registry.ask(f"Patient/_history?_since={wrong}")) == (400, "value")
    assert refusal(registry.ask("Patient/_history?_count=x")) == (400, "value")


def test_a_withdrawal_takes_everything_of_the_person_away_at_once(registry: Registry) -> None:
    person = registry.one("Patient")["id"]
    others = registry.get("Patient?_summary=count")["total"] - 1
    consent = next(
        one.content()
        for one in registry.store.iterate(STUDY.id, types=["Consent"])
        if registry.upkeep.view(AGREEMENT).patient(one.compartment.removeprefix("Patient/")) == person
    )
    observation = registry.get(f"Observation?patient={person}")["entry"][0]["resource"]["id"]
    with registry.store.transaction() as transaction:
        transaction.put([(20, {**consent, "status": "inactive"})], run="change")
    for path in (f"Patient/{person}", f"Patient/{person}/_history/1", f"Observation/{observation}"):
        assert registry.ask(path).status_code == 404
    assert registry.get(f"Observation?patient={person}")["total"] == 0
    assert registry.get("Patient?_summary=count")["total"] == others
    assert person not in registry.ask("Patient/_history").text
