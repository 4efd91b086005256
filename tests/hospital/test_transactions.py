"""What a server says of a transaction is read entry by entry, and never taken on trust."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhirbridge import fhirjson
from fhirbridge.errors import FatalHospitalError, Resource, TemporaryHospitalError
from fhirbridge.hospital import put_entry, transaction_bundle

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
