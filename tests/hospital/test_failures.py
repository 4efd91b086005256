"""Every failure is temporary or fatal, tried again only if temporary, and told without data of patients."""

from __future__ import annotations

import ssl
import threading
from typing import Any

import pytest
import requests
import responses
import urllib3

from fhirbridge.errors import FatalHospitalError, HospitalError, TemporaryHospitalError
from fhirbridge.hospital import Hospital, Retries, client, failures, sleep_unless
from fhirbridge.hospital.retries import PauseEnded
from fhirbridge.hospital.transactions import put_entry, transaction_bundle

from .conftest import BASE, Wire

PATIENT = {"resourceType": "Patient", "id": "p1"}
OUTCOME = {
    "resourceType": "OperationOutcome",
    "issue": [
        {"severity": "warning", "code": "informational", "diagnostics": "a trifle"},
        {"severity": "error", "code": "invalid", "diagnostics": "Patient/p2 not found, see x?name=Li"},
    ],
}


def _subclasses(kind: type[Exception]) -> list[type[Exception]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _subclasses(child))]


@pytest.mark.parametrize("kind", _subclasses(requests.RequestException), ids=lambda kind: kind.__name__)
def test_everything_that_requests_raises_becomes_temporary_or_fatal(kind: type[requests.RequestException]) -> None:
    error: requests.RequestException
    if kind is requests.exceptions.JSONDecodeError:
        error = requests.exceptions.JSONDecodeError("said by http://h/Patient?name=Li", "doc", 0)
    else:
        error = kind("said by http://h/Patient?name=Li")
    failure = failures.from_exception(error, "search of Patient")
    assert isinstance(failure, TemporaryHospitalError | FatalHospitalError)
    assert str(failure).startswith("search of Patient: ")
    assert "Li" not in str(failure)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_tried_again_until_the_attempts_are_used_up(wire: Wire, status: int) -> None:
    wire.network.get(f"{BASE}/Patient/p1", status=status)
    with pytest.raises(TemporaryHospitalError) as caught:
        wire.client.read("Patient", "p1")
    assert caught.value.status == status
    assert wire.calls == 4
    assert wire.pauses == [0.5, 1.0, 2.0]


def test_the_answer_after_a_temporary_failure_is_the_answer(wire: Wire) -> None:
    wire.network.get(f"{BASE}/Patient/p1", status=503)
    wire.network.get(f"{BASE}/Patient/p1", json=PATIENT)
    assert wire.client.read("Patient", "p1") == PATIENT
    assert wire.client.traffic.report().retries == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 412, 413, 422, 501])
def test_a_refusal_is_fatal_at_once(wire: Wire, status: int) -> None:
    wire.network.get(f"{BASE}/Patient/p1", status=status, json=OUTCOME)
    with pytest.raises(FatalHospitalError) as caught:
        wire.client.read("Patient", "p1")
    assert caught.value.status == status
    assert wire.calls == 1
    assert caught.value.outcome == OUTCOME


def test_the_worst_issue_of_the_outcome_is_told_without_queries(wire: Wire) -> None:
    wire.network.get(f"{BASE}/Patient/p1", status=422, json=OUTCOME)
    with pytest.raises(FatalHospitalError) as caught:
        wire.client.read("Patient", "p1")
    text = str(caught.value)
    assert text.startswith("GET Patient: 422 Unprocessable")
    assert text.endswith("invalid: Patient/p2 not found, see x?… (and 1 more)")


def test_an_error_page_is_named_by_its_type_and_not_quoted(wire: Wire) -> None:
    wire.network.get(f"{BASE}/Patient/p1", status=403, body="<html>Mr Li</html>", content_type="text/html")
    with pytest.raises(FatalHospitalError) as caught:
        wire.client.read("Patient", "p1")
    assert str(caught.value) == "GET Patient: 403 Forbidden, no OperationOutcome but text/html"


@pytest.mark.parametrize(
    ("asked", "pause"),
    [("7", 7.0), ("Sun, 06 Nov 1994 08:49:46 GMT", 9.0), ("0", 0.5), ("soon", 0.5), ("Sun, 06 Nov 1994", 0.5)],
)
def test_retry_after_is_heeded_in_seconds_and_as_a_date(wire: Wire, asked: str, pause: float) -> None:
    headers = {"Retry-After": asked, "Date": "Sun, 06 Nov 1994 08:49:37 GMT"}
    wire.network.get(f"{BASE}/Patient/p1", status=429, headers=headers)
    wire.network.get(f"{BASE}/Patient/p1", json=PATIENT)
    wire.client.read("Patient", "p1")
    assert wire.pauses == [pause]


def test_a_retry_after_beyond_the_longest_pause_is_left_to_the_caller(wire: Wire) -> None:
    wire.network.get(f"{BASE}/Patient/p1", status=503, headers={"Retry-After": "3600"})
    with pytest.raises(TemporaryHospitalError) as caught:
        wire.client.read("Patient", "p1")
    assert caught.value.retry_after == 3600.0
    assert wire.pauses == []


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        ('{"resourceType": "Pati', "application/fhir+json", "not complete JSON"),
        ("", "application/fhir+json", "not complete JSON"),
        ("<html>please log in</html>", "text/html", "a web page"),
        ("<Patient/>", "application/fhir+xml", "FHIR XML"),
        ("[]", "application/json", "no FHIR resource"),
        ("{}", "application/json", "no FHIR resource"),
    ],
)
def test_an_unreadable_success_is_tried_again(wire: Wire, body: str, content_type: str, said: str) -> None:
    wire.network.get(f"{BASE}/Patient/p1", body=body, content_type=content_type)
    with pytest.raises(TemporaryHospitalError, match=said):
        wire.client.read("Patient", "p1")
    assert wire.calls == 4


def test_a_redirection_is_not_followed(wire: Wire) -> None:
    elsewhere = "http://elsewhere.test/fhir/Patient/p1"
    wire.network.get(f"{BASE}/Patient/p1", status=302, headers={"Location": elsewhere})
    wire.network.get(elsewhere, json=PATIENT)
    with pytest.raises(FatalHospitalError, match="a redirection, which is not followed"):
        wire.client.read("Patient", "p1")
    assert wire.calls == 1


def test_a_plain_post_is_never_sent_twice(wire: Wire) -> None:
    wire.network.post(BASE, status=503)
    entry = {"resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}}
    with pytest.raises(TemporaryHospitalError):
        wire.client.transaction(transaction_bundle([put_entry(PATIENT, base_url=BASE), entry]))
    assert wire.calls == 1


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (ssl.SSLCertVerificationError("self-signed certificate"), FatalHospitalError),
        (ssl.SSLError("wrong version number"), FatalHospitalError),
        (ssl.SSLEOFError("unexpected end"), TemporaryHospitalError),
    ],
)
def test_a_certificate_not_trusted_is_fatal_and_a_cut_handshake_is_not(
    cause: ssl.SSLError, expected: type[HospitalError]
) -> None:
    error = requests.exceptions.SSLError(urllib3.exceptions.SSLError(cause))
    assert isinstance(failures.from_exception(error, "GET Patient"), expected)


def test_a_connection_failure_names_the_server_but_not_the_path(wire: Wire) -> None:
    def refuse(request: requests.PreparedRequest) -> Any:
        raise requests.ConnectionError(ConnectionRefusedError(111, "Connection refused"), request=request)

    wire.network.add_callback(responses.GET, f"{BASE}/Patient", refuse)
    with pytest.raises(TemporaryHospitalError) as caught:
        list(wire.client.search("Patient", {"name": "Li"}))
    expected = "search of Patient: the connection to http://hospital.test failed (Connection refused)."
    assert str(caught.value) == expected


def test_a_stop_during_a_pause_ends_the_call_with_its_last_failure(wire: Wire) -> None:
    stop = threading.Event()
    wire.network.get(f"{BASE}/Patient/p1", status=500)
    wire.network.get(f"{BASE}/Patient/p1", status=503)

    def interrupted(seconds: float) -> None:
        wire.pauses.append(seconds)
        if len(wire.pauses) == 2:
            stop.set()

    with (
        Hospital(BASE, retries=Retries(jitter=0.0), sleep=interrupted) as hospital,
        hospital.stopped_by(stop),
        pytest.raises(TemporaryHospitalError) as caught,
    ):
        hospital.read("Patient", "p1")
    assert caught.value.status == 503
    assert (wire.calls, wire.pauses) == (2, [0.5, 1.0])


def test_after_a_stop_nothing_is_paused_for_and_after_the_block_everything_is(wire: Wire) -> None:
    stop = threading.Event()
    stop.set()
    wire.network.get(f"{BASE}/Patient/p1", status=503)
    with wire.client.stopped_by(stop), pytest.raises(TemporaryHospitalError):
        wire.client.read("Patient", "p1")
    assert (wire.calls, wire.pauses) == (1, [])
    with pytest.raises(TemporaryHospitalError):
        wire.client.read("Patient", "p1")
    assert (wire.calls, wire.pauses) == (5, [0.5, 1.0, 2.0])


def test_a_real_pause_is_ended_by_the_event_and_not_by_the_clock() -> None:
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(PauseEnded):
        sleep_unless(stop)(3600.0)


def test_an_answer_without_end_is_given_up(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LARGEST_ANSWER", 1000)
    wire.network.get(f"{BASE}/Patient/p1", json={**PATIENT, "id": "p" * 1000})
    with pytest.raises(FatalHospitalError, match="larger than 1000 bytes"):
        wire.client.read("Patient", "p1")
    assert wire.calls == 1
