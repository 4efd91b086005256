"""What a Bundle says a search found, and references between entries that have versions or UUIDs."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.errors import Resource
from fhirbridge.validation import Validator
from tests.validation.building import OBSERVATION, PATIENT

BASE = "http://trial.example.test/fhir/"
UUID = "9b2b7c52-61a5-4a9b-8f8e-1f8a3d8f5c11"
OUTCOME: Resource = {"resourceType": "OperationOutcome", "id": "o", "issue": [{"severity": "error", "code": "invalid"}]}


def entry(resource: Resource, mode: str | None = None, url: str | None = None) -> dict[str, Any]:
    place = url or f"{BASE}{resource['resourceType']}/{resource.get('id')}"
    return {"fullUrl": place, "resource": resource, **({"search": {"mode": mode}} if mode else {})}


def bundle(kind: str, *entries: dict[str, Any], **more: Any) -> Resource:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries), **more}


def rules(validator: Validator, resource: Resource) -> set[str]:
    return {issue.rule for issue in validator.issues(resource) if issue.severity == "error"}


@pytest.mark.parametrize(
    ("asked", "found", "mode", "fine"),
    [
        ("Patient?name=x", PATIENT, "match", True),
        ("Patient?name=x", OBSERVATION, "match", False),
        ("Patient?name=x", OBSERVATION, "include", True),
        ("Patient?name=x", OBSERVATION, None, True),
        ("?_type=Patient,Observation", {**OBSERVATION, "id": "b"}, "match", True),
        ("?_type=Patient,Device", {**OBSERVATION, "id": "b"}, "match", False),
        ("Patient?name=x", OUTCOME, "outcome", True),
        ("Patient?name=x", PATIENT, "outcome", False),
    ],
)
def test_a_match_is_of_the_type_searched_for_and_an_outcome_is_one(
    plain: Validator, asked: str, found: Resource, mode: str | None, fine: bool
) -> None:
    found = {"id": "b", **found}
    answer = bundle("searchset", entry(found, mode), link=[{"relation": "self", "url": BASE + asked}])
    assert ("search-result" not in rules(plain, answer)) is fine


def test_a_match_has_an_id(plain: Validator) -> None:
    nameless = {key: value for key, value in PATIENT.items() if key != "id"}
    assert "search-result" in rules(plain, bundle("searchset", entry(nameless, "match", "urn:uuid:" + UUID)))


def test_a_reference_to_a_version_means_the_entry_of_that_version(plain: Validator) -> None:
    told = [{**OBSERVATION, "id": "b", "meta": {"versionId": version}} for version in "12"]
    composition = {"resourceType": "Composition", "id": "c", "status": "final", "type": {"text": "x"}, "date": "2026"}
    for version, fine in (("1", True), ("2", True), ("3", False)):
        section = {"title": "x", "entry": [{"reference": f"Observation/b/_history/{version}"}]}
        first = {**composition, "title": "x", "author": [{"display": "x"}], "section": [section]}
        found = rules(plain, bundle("document", entry(first), *map(entry, told)))
        assert ("entry-missing" not in found) is fine


def test_a_uuid_says_what_kind_of_entry_is_meant(plain: Validator) -> None:
    for kind, fine in (("Organization", True), ("Practitioner", False)):
        patient = {**PATIENT, "generalPractitioner": [{"reference": f"{kind}/{UUID}"}]}
        organization = {"resourceType": "Organization", "name": "X"}
        entries = [entry(patient, url="urn:uuid:" + UUID[:-1] + "2"), entry(organization, url="urn:uuid:" + UUID)]
        assert ("reference-type" not in rules(plain, bundle("collection", *entries))) is fine
