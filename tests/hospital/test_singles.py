"""Entries sent one by one mean what they mean in a Bundle, and one that is refused does not stop the others."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.errors import FatalHospitalError, Resource, TemporaryHospitalError
from fhirbridge.hospital import Mode, conditional_put_entry, create_entry, delete_entry, put_entry

from .conftest import BASE, Wire

OUTCOME = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "invalid", "diagnostics": "no"}]}


def _patient(id: str = "p1") -> Resource:
    return {"resourceType": "Patient", "id": id}


def _put(id: str = "p1", if_match: str | None = None) -> Resource:
    return put_entry(_patient(id), base_url=BASE, if_match=if_match)


def test_each_entry_is_a_request_of_its_own_with_its_conditions_as_headers(wire: Wire) -> None:
    wire.network.put(f"{BASE}/Patient/p1", status=200, headers={"ETag": 'W/"4"'})
    wire.network.post(f"{BASE}/Patient", status=201, headers={"Location": f"{BASE}/Patient/77/_history/1"})
    wire.network.put(f"{BASE}/Patient?identifier=a%7Cb", status=201, headers={"Location": "Patient/78/_history/2"})
    wire.network.delete(f"{BASE}/Patient/p2", status=204)
    entries = [
        _put(if_match="3"),
        create_entry(_patient(), full_url="urn:uuid:1", if_none_exist="identifier=a%7Cb"),
        conditional_put_entry(_patient(), "identifier=a%7Cb", full_url="urn:uuid:2"),
        delete_entry("Patient", "p2", if_match="5"),
    ]
    results = wire.client.send(entries, "single")
    assert [(result.index, result.status, result.type, result.id, result.version) for result in results] == [
        (0, 200, "Patient", "p1", "4"),
        (1, 201, "Patient", "77", "1"),
        (2, 201, "Patient", "78", "2"),
        (3, 204, "Patient", "p2", None),
    ]
    update, create, _, delete = (call.request for call in wire.network.calls)
    assert (update.headers["If-Match"], create.headers["If-None-Exist"]) == ('W/"3"', "identifier=a%7Cb")
    assert delete.headers["If-Match"] == 'W/"5"'
    assert update.headers["Prefer"] == "return=minimal"
    assert (update.body, create.body, delete.body) == (
        b'{"resourceType":"Patient","id":"p1"}',
        b'{"resourceType":"Patient"}',
        None,
    )


@pytest.mark.parametrize("status", [400, 404, 409, 412, 422])
def test_a_refused_entry_is_told_with_its_outcome_and_the_others_are_sent(wire: Wire, status: int) -> None:
    wire.network.put(f"{BASE}/Patient/p1", status=status, json=OUTCOME)
    wire.network.put(f"{BASE}/Patient/p2", status=201)
    refused, taken = wire.client.send([_put("p1"), _put("p2")], "single")
    assert (refused.ok, refused.status, refused.outcome) == (False, status, OUTCOME)
    assert isinstance(refused.failure(), FatalHospitalError)
    assert (taken.ok, taken.id) == (True, "p2")


def test_a_server_in_trouble_ends_the_sending_and_says_when_to_come_back(wire: Wire) -> None:
    wire.network.put(f"{BASE}/Patient/p1", status=201)
    wire.network.put(f"{BASE}/Patient/p2", status=503, headers={"Retry-After": "3600"}, json=OUTCOME)
    results = wire.client.send([_put("p1"), _put("p2"), _put("p3"), _put("p4")], "single")
    assert [(result.status, result.tried) for result in results] == [
        (201, True),
        (503, True),
        (503, False),
        (503, False),
    ]
    failures = [result.failure() for result in results[1:]]
    assert all(isinstance(failure, TemporaryHospitalError) and failure.retry_after == 3600 for failure in failures)
    assert str(failures[1]).startswith("entry 2 (PUT Patient): not tried after 503 Service Unavailable")
    assert wire.calls == 2


def test_nobody_knocks_a_hundred_times_at_a_door_that_stays_shut(wire: Wire) -> None:
    wire.network.put(f"{BASE}/Patient/p1", status=401, json=OUTCOME)
    results = wire.client.send([_put("p1"), delete_entry("Patient", "p2")], "single")
    assert [(result.status, result.ok, result.gone) for result in results] == [(401, False, False)] * 2
    assert wire.calls == 1


def test_an_entry_in_trouble_is_tried_again_first(wire: Wire) -> None:
    wire.network.put(f"{BASE}/Patient/p1", status=500)
    wire.network.put(f"{BASE}/Patient/p1", status=201)
    [result] = wire.client.send([_put()], "single")
    assert (result.status, wire.calls) == (201, 2)


def test_a_plain_create_is_never_sent_twice(wire: Wire) -> None:
    wire.network.post(f"{BASE}/Patient", status=500)
    [result] = wire.client.send([create_entry(_patient(), full_url="urn:uuid:1", if_none_exist=None)], "single")
    assert (result.status, wire.calls) == (500, 1)


@pytest.mark.parametrize(
    "page", [{"body": "<html>log in</html>", "content_type": "text/html"}, {"body": "", "content_type": "text/html"}]
)
def test_a_page_that_is_no_fhir_acknowledges_nothing(wire: Wire, page: dict[str, Any]) -> None:
    wire.network.put(f"{BASE}/Patient/p1", **page)
    with pytest.raises(TemporaryHospitalError, match="PUT Patient: the answer is a web page"):
        wire.client.send([_put()], "single")
    assert wire.calls == 4


def test_a_page_not_found_is_no_proof_of_a_deletion(wire: Wire) -> None:
    wire.network.delete(f"{BASE}/Patient/p1", status=404, body="<html/>", content_type="text/html")
    with pytest.raises(FatalHospitalError, match="404 Not Found, no OperationOutcome but text/html"):
        wire.client.send([delete_entry("Patient", "p1")], "single")


def test_what_was_deleted_before_is_gone(wire: Wire) -> None:
    wire.network.delete(f"{BASE}/Patient/p1", status=410, json=OUTCOME)
    [result] = wire.client.send([delete_entry("Patient", "p1")], "single")
    assert (result.gone, result.status, result.failure()) == (True, 410, None)


def test_a_server_that_sends_the_resource_all_the_same_is_understood(wire: Wire) -> None:
    whole = {**_patient(), "meta": {"versionId": "6", "lastUpdated": "2026-01-01T00:00:00Z"}}
    wire.network.put(f"{BASE}/Patient/p1", json=whole)
    [result] = wire.client.send([_put()], "single")
    assert (result.version, result.last_modified, result.resource) == ("6", "2026-01-01T00:00:00Z", whole)


@pytest.mark.parametrize("mode", ["transaction", "batch", "single"])
def test_nothing_to_send_is_no_request(wire: Wire, mode: Mode) -> None:
    assert wire.client.send([], mode) == []
    assert wire.calls == 0


def test_no_answer_at_all_raises(wire: Wire) -> None:
    with pytest.raises(TemporaryHospitalError, match=r"PUT Patient: the connection to http://hospital\.test failed"):
        wire.client.send([_put()], "single")
    assert wire.calls == 4
