"""First contact tells a FHIR R4 server from anything else, in one clear message each."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.errors import ConfigurationError, FatalHospitalError, TemporaryHospitalError
from fhirbridge.hospital.capabilities import Capabilities
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
    assert (found.software, found.transactions, found.resource("Patient")) == ("unnamed software", None, None)
    assert (found.batches, found.updates("Patient"), found.read_only("Patient")) == (None, None, False)
    assert found.searchable("Patient", "identifier") is None


def _stated(wire: Wire, **rest: Any) -> Capabilities:
    server = {"mode": "server", **rest}
    wire.network.get(f"{BASE}/metadata", json={**STATEMENT, "rest": [{"mode": "client"}, server]})
    return wire.client.capabilities()


@pytest.mark.parametrize(
    ("listed", "transactions", "batches"),
    [([], None, None), (["transaction"], True, False), (["batch", "history-system"], False, True)],
)
def test_how_entries_may_travel_is_read_from_the_interactions_of_the_system(
    wire: Wire, listed: list[str], transactions: bool | None, batches: bool | None
) -> None:
    found = _stated(wire, interaction=[{"code": code} for code in listed])
    assert (found.transactions, found.batches) == (transactions, batches)


@pytest.mark.parametrize(
    ("listed", "creates", "updates", "deletes", "read_only"),
    [
        (None, None, None, None, False),
        (["read", "search-type"], False, False, False, True),
        (["read", "create"], True, False, False, False),
        (["read", "update", "delete"], False, True, True, False),
    ],
)
def test_a_type_without_create_and_update_is_read_only_if_it_lists_anything(
    wire: Wire,
    listed: list[str] | None,
    creates: bool | None,
    updates: bool | None,
    deletes: bool | None,
    read_only: bool,
) -> None:
    codes = {} if listed is None else {"interaction": [{"code": code} for code in listed]}
    found = _stated(wire, resource=[{"type": "Patient", **codes}])
    assert (found.creates("Patient"), found.updates("Patient"), found.deletes("Patient")) == (creates, updates, deletes)
    assert found.read_only("Patient") is read_only


def test_conditional_writes_and_versions_are_read_per_type(wire: Wire) -> None:
    patient = {"conditionalCreate": True, "conditionalUpdate": False, "versioning": "versioned-update"}
    kinds = [{"type": "Patient", **patient}, {"type": "Observation", "versioning": "versioned"}]
    found = _stated(wire, resource=kinds)
    assert (found.conditional_create("Patient"), found.conditional_update("Patient")) == (True, False)
    assert (found.conditional_create("Observation"), found.conditional_update("Group")) == (None, None)
    assert [found.versioned_update(kind) for kind in ("Patient", "Observation", "Group")] == [True, False, False]


def test_a_search_parameter_is_known_from_the_type_or_from_all_types(wire: Wire) -> None:
    kinds = [{"type": "Patient", "searchParam": [{"name": "identifier"}]}, {"type": "Group"}]
    found = _stated(wire, resource=kinds, searchParam=[{"name": "_tag"}])
    assert [found.searchable("Patient", name) for name in ("identifier", "_tag", "_id", "name")] == [
        True,
        True,
        None,
        False,
    ]
    assert found.searchable("Group", "identifier") is None


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
