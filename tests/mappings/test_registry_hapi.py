"""HL7's own validator and HAPI's server accept what registry records become."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from fhirbridge import fhirjson
from fhirbridge.errors import Resource
from fhirbridge.records import ctgov
from fhirbridge.records.ctgov_record import RegistryRecord, parse
from mappings.registry_record import bundle
from tests.conftest import HapiValidator
from tests.mappings.registry_cases import NAMES, ROOT, raw

PACKAGE = sorted((ROOT / "profiles").glob("*-*.json"))


def invented() -> list[Resource]:
    return [resource for name in NAMES for resource in bundle(parse(raw(name))).resources]


def real(shared: Path) -> list[Resource]:
    records = [found for found in ctgov.read(shared / "data" / "1_ctgov") if isinstance(found, RegistryRecord)]
    return [resource for record in records for resource in bundle(record).resources]


def complaints(validator: HapiValidator, resources: list[Resource]) -> list[str]:
    outcomes = validator(PACKAGE, [(None, resource) for resource in resources])
    return [
        f"{resource['resourceType']}/{resource['id']}: {issue['diagnostics']}"
        for resource, outcome in zip(resources, outcomes, strict=True)
        for issue in outcome["issue"]
        if issue["severity"] in ("error", "fatal")
    ]


def refusals(server: str, resources: list[Resource]) -> list[str]:
    """Put the resources in one transaction; return what the server says against it."""
    entries = [
        {"resource": resource, "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}}
        for resource in resources
    ]
    answer = requests.post(
        server,
        data=fhirjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}),
        headers={"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"},
        timeout=120,
    )
    if not answer.ok:
        return [answer.text]
    statuses = [entry["response"]["status"] for entry in fhirjson.loads(answer.content)["entry"]]
    return [status for status in statuses if not status.startswith("20")]


@pytest.mark.hapi
def test_hl7_validator_accepts_what_invented_records_become(hapi_validator: HapiValidator) -> None:
    assert complaints(hapi_validator, invented()) == []


@pytest.mark.hapi
@pytest.mark.shared
def test_hl7_validator_accepts_what_real_records_become(hapi_validator: HapiValidator, shared: Path) -> None:
    assert complaints(hapi_validator, real(shared)) == []


@pytest.mark.hapi
def test_a_hapi_server_stores_what_invented_records_become(hapi: str) -> None:
    assert refusals(hapi, invented()) == []


@pytest.mark.hapi
@pytest.mark.shared
def test_a_hapi_server_stores_what_real_records_become(hapi: str, shared: Path) -> None:
    assert refusals(hapi, real(shared)) == []
