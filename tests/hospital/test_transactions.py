"""What a server says of a transaction is read entry by entry, and never taken on trust."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhirbridge import fhirjson
from fhirbridge.errors import FatalHospitalError, Resource, TemporaryHospitalError
from fhirbridge.hospital import (
    conditional_put_entry,
    create_entry,
    delete_entry,
    identifier_query,
    put_entry,
    transaction_bundle,
)

from .conftest import BASE, Wire

OBSERVATION = {"resourceType": "Observation", "id": "o1", "valueQuantity": {"value": Decimal("5.50")}}
BUNDLE = transaction_bundle([put_entry(OBSERVATION, base_url=BASE)])


def _answer(*responses: dict[str, Any], kind: str = "transaction-response") -> Resource:
    return {"resourceType": "Bundle", "type": kind, "entry": [{"response": response} for response in responses]}


def test_decimals_leave_with_their_digits_and_the_right_headers(wire: Wire) -> None:
    wire.network.post(BASE, json=_answer({"status": "201"}))
    wire.client.transaction(BUNDLE)
    request = wire.network.calls[0].request
    assert isinstance(request.body, bytes)
    assert b'"value":5.50' in request.body
    assert request.headers["Content-Type"] == request.headers["Accept"] == "application/fhir+json"
    assert request.headers["Prefer"] == "return=minimal"
    assert request.headers["User-Agent"].startswith("fhirbridge/")


@pytest.mark.parametrize("status", ["201", "201 Created", 201])
@pytest.mark.parametrize(
    ("location", "etag", "version"),
    [
        ("Observation/o1", None, None),
        ("Observation/o1/_history/3", None, "3"),
        ("http://hospital.test/fhir/Observation/o1/_history/3", 'W/"3"', "3"),
        ("/fhir/Observation/o1", 'W/"3"', "3"),
        ("Observation/o1/_history/3", '"4"', "4"),
        (None, 'W/"3"', "3"),
    ],
)
def test_status_location_and_etag_are_read_in_every_form(
    wire: Wire, status: str | int, location: str | None, etag: str | None, version: str | None
) -> None:
    said = {"status": status, "location": location, "etag": etag}
    wire.network.post(BASE, json=_answer({name: value for name, value in said.items() if value is not None}))
    [result] = wire.client.transaction(BUNDLE)
    assert (result.ok, result.status) == (True, 201)
    assert (result.type, result.id, result.version) == ("Observation", "o1", version)


def test_a_server_that_chose_its_own_id_is_believed(wire: Wire) -> None:
    entry = {
        "resource": {"resourceType": "Patient"},
        "request": {"method": "PUT", "url": "Patient?identifier=urn:study|S-001"},
    }
    wire.network.post(BASE, json=_answer({"status": "201 Created", "location": "Patient/42/_history/1"}))
    [result] = wire.client.transaction(transaction_bundle([entry]))
    assert (result.type, result.id, result.version) == ("Patient", "42", "1")


def test_an_entry_that_failed_inside_a_success_is_kept_with_its_outcome(wire: Wire) -> None:
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "conflict", "details": {"text": "too late"}}],
    }
    answers = _answer({"status": "200 OK"}, {"status": "409 Conflict", "outcome": outcome}, {"status": "503"})
    wire.network.post(BASE, json=answers)
    good, late, down = wire.client.transaction(transaction_bundle([put_entry(OBSERVATION, base_url=BASE)] * 3))
    assert good.ok
    assert good.failure() is None
    assert not late.ok
    failure = late.failure()
    assert isinstance(failure, FatalHospitalError)
    assert (failure.status, failure.outcome) == (409, outcome)
    assert str(failure) == "entry 1 (PUT Observation): 409 Conflict, conflict: too late"
    assert isinstance(down.failure(), TemporaryHospitalError)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (_answer(), "answered with 0 entries for 1"),
        (_answer({"status": "200"}, {"status": "200"}), "answered with 2 entries for 1"),
        (_answer({"location": "Observation/o1"}), "entry 0 was answered without a status"),
        (_answer({"status": "OK"}), "entry 0 was answered without a status"),
        (_answer({"status": "200"}, kind="batch-response"), "Bundle batch-response instead of a transaction-response"),
        ({"resourceType": "OperationOutcome"}, "by a OperationOutcome instead of a transaction-response"),
    ],
)
def test_an_answer_that_does_not_account_for_every_entry_is_fatal(wire: Wire, answer: Resource, said: str) -> None:
    wire.network.post(BASE, json=answer)
    with pytest.raises(FatalHospitalError, match=said):
        wire.client.transaction(BUNDLE)


def test_the_version_to_replace_travels_as_a_weak_etag() -> None:
    assert put_entry(OBSERVATION, base_url=BASE, if_match="7")["request"] == {
        "method": "PUT",
        "url": "Observation/o1",
        "ifMatch": 'W/"7"',
    }


def test_a_deletion_of_what_is_not_there_is_no_failure(wire: Wire) -> None:
    said = [{"status": "204"}, {"status": "404 Not Found"}, {"status": "410 Gone"}, {"status": "409 Conflict"}]
    wire.network.post(BASE, json=_answer(*said))
    results = wire.client.send([delete_entry("Patient", "p1")] * 4, "transaction")
    assert [(result.status, result.gone, result.ok) for result in results] == [
        (204, True, True),
        (404, True, True),
        (410, True, True),
        (409, False, False),
    ]
    assert [result.failure() is None for result in results] == [True, True, True, False]


def test_an_outcome_in_the_place_of_a_resource_is_no_resource(wire: Wire) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "information", "code": "informational"}]}
    answer = _answer({"status": "200 OK"})
    answer["entry"][0]["resource"] = outcome
    wire.network.post(BASE, json=answer)
    [result] = wire.client.send([delete_entry("Patient", "p1")], "transaction")
    assert (result.type, result.id, result.resource, result.outcome) == ("Patient", "p1", None, outcome)


def test_a_batch_is_sent_and_answered_as_one(wire: Wire) -> None:
    wire.network.post(BASE, json=_answer({"status": "201"}, {"status": "404"}, kind="batch-response"))
    entries = [put_entry(OBSERVATION, base_url=BASE), put_entry(OBSERVATION, base_url=BASE)]
    assert [result.status for result in wire.client.send(entries, "batch")] == [201, 404]
    assert fhirjson.loads(wire.network.calls[0].request.body)["type"] == "batch"


def test_entries_for_ids_of_the_servers_own_leave_ours_at_home() -> None:
    without = {"resourceType": "Observation", "valueQuantity": {"value": Decimal("5.50")}}
    assert create_entry(OBSERVATION, full_url="urn:uuid:1", if_none_exist="identifier=s%7Cv") == {
        "fullUrl": "urn:uuid:1",
        "resource": without,
        "request": {"method": "POST", "url": "Observation", "ifNoneExist": "identifier=s%7Cv"},
    }
    assert "ifNoneExist" not in create_entry(OBSERVATION, full_url="urn:uuid:1", if_none_exist=None)["request"]
    assert conditional_put_entry(OBSERVATION, "identifier=s%7Cv", full_url="urn:uuid:1") == {
        "fullUrl": "urn:uuid:1",
        "resource": without,
        "request": {"method": "PUT", "url": "Observation?identifier=s%7Cv"},
    }
    assert OBSERVATION["id"] == "o1"


def test_a_deletion_may_name_the_version_that_it_means() -> None:
    assert delete_entry("Patient", "p1") == {"request": {"method": "DELETE", "url": "Patient/p1"}}
    assert delete_entry("Patient", "p1", if_match="3")["request"]["ifMatch"] == 'W/"3"'


@pytest.mark.parametrize(
    ("identifier", "query"),
    [
        ({"system": "urn:a", "value": "S-001"}, "identifier=urn%3Aa%7CS-001"),
        ({"system": "urn:a", "value": "1,2|3$4\\5&é"}, "identifier=urn%3Aa%7C1%5C%2C2%5C%7C3%5C%244%5C%5C5%26%C3%A9"),
        ({"value": "S-001"}, "identifier=%7CS-001"),
    ],
)
def test_an_identifier_is_asked_for_with_everything_escaped(identifier: Resource, query: str) -> None:
    assert identifier_query(identifier) == query


def test_traffic_adds_up(wire: Wire) -> None:
    answer = fhirjson.dumps(_answer({"status": "200"}))
    wire.network.post(BASE, status=503)
    wire.network.post(BASE, body=answer, content_type="application/fhir+json")
    wire.client.transaction(BUNDLE)
    report = wire.client.traffic.report()
    assert (report.requests, report.retries, report.statuses) == (2, 1, {"200": 1, "503": 1})
    assert report.bytes_sent == 2 * len(fhirjson.dumps(BUNDLE))
    assert report.bytes_received == len(answer)
    assert 0 < report.p50 <= report.p95 <= report.p99
