"""First contact tells a FHIR R4 server from anything else, in one clear message each."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.errors import ConfigurationError, FatalHospitalError, TemporaryHospitalError
from fhirbridge.hospital.client import Hospital, normalised

from .conftest import BASE, Wire

STATEMENT: dict[str, Any] = {
    "resourceType": "CapabilityStatement",
    "fhirVersion": "4.0.1",
    "software": {"name": "Acme FHIR", "version": "7"},
    "rest": [
        {
            "mode": "server",
            "resource": [
                {"type": "Patient", "updateCreate": True},
                {"type": "Observation", "updateCreate": False},
                {"type": "Group"},
            ],
            "interaction": [{"code": "transaction"}],
        }
    ],
}


def test_an_r4_server_says_what_it_can_do(wire: Wire) -> None:
    wire.network.get(f"{BASE}/metadata", json=STATEMENT, content_type="application/fhir+json;charset=UTF-8")
    found = wire.client.capabilities()
    assert (found.software, found.fhir_version, found.transactions) == ("Acme FHIR 7", "4.0.1", True)
    assert found.creates_by_update("Patient") is True
    assert found.creates_by_update("Observation") is False
    assert found.creates_by_update("Group") is None
    assert found.creates_by_update("ResearchStudy") is None


def test_a_statement_without_details_claims_nothing(wire: Wire) -> None:
    wire.network.get(f"{BASE}/metadata", json={"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})
    found = wire.client.capabilities()
    assert (found.software, found.transactions, found.resource("Patient")) == ("unnamed software", False, None)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"body": "<html/>", "content_type": "text/html"}, "a web page, not FHIR JSON. Is this the base URL"),
        ({"body": "<CapabilityStatement/>", "content_type": "application/fhir+xml"}, "FHIR XML"),
        ({"json": {"status": "ok"}}, "JSON, but no FHIR resource"),
        ({"body": '{"resourceType"', "content_type": "application/json"}, "not complete JSON"),
        ({"json": {"resourceType": "Patient"}}, "is a Patient and no CapabilityStatement"),
        ({"json": {**STATEMENT, "fhirVersion": "5.0.0"}}, "speaks FHIR 5.0.0; fhirbridge needs R4"),
        ({"json": {**STATEMENT, "fhirVersion": "4.3.0"}}, "speaks FHIR 4.3.0; fhirbridge needs R4"),
        ({"json": {**STATEMENT, "fhirVersion": "3.0.2"}}, "speaks FHIR 3.0.2; fhirbridge needs R4"),
        ({"json": {"resourceType": "CapabilityStatement"}}, "of no stated version"),
        ({"json": {"resourceType": "Conformance", "fhirVersion": "1.0.2"}}, "DSTU2"),
        ({"status": 404, "body": "no such page", "content_type": "text/plain"}, "404 Not Found"),
    ],
)
def test_what_is_no_r4_server_is_refused_at_once(wire: Wire, answer: dict[str, Any], said: str) -> None:
    wire.network.get(f"{BASE}/metadata", **answer)
    with pytest.raises(FatalHospitalError, match=said):
        wire.client.capabilities()
    assert wire.calls == 1


def test_first_contact_gives_up_sooner_than_a_running_job(wire: Wire) -> None:
    wire.network.get(f"{BASE}/metadata", status=503)
    with pytest.raises(TemporaryHospitalError):
        wire.client.capabilities()
    assert wire.calls == 3


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "hospital.test/fhir",
        "ftp://hospital.test",
        "https://",
        "https://u:p@hospital.test",
        "https://hospital.test/?a=b",
    ],
)
def test_a_base_url_that_is_none_is_a_configuration_error(base_url: str) -> None:
    with pytest.raises(ConfigurationError, match="base URL"):
        Hospital(base_url)


def test_spellings_of_one_base_url_are_one_server() -> None:
    assert normalised(" HTTPS://Hospital.Test:8443/FHIR/ ") == "https://hospital.test:8443/FHIR"
