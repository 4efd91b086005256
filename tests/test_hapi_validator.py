"""HL7's validator judges what we hand it: one OperationOutcome a resource, in order, with our definitions known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.hapi

PROFILE: dict[str, Any] = {
    "resourceType": "StructureDefinition",
    "url": "https://example.org/StructureDefinition/named",
    "name": "Named",
    "status": "draft",
    "kind": "resource",
    "abstract": False,
    "type": "Patient",
    "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
    "derivation": "constraint",
    "differential": {"element": [{"id": "Patient.name", "path": "Patient.name", "min": 1}]},
}


def _errors(outcome: dict[str, Any]) -> list[str]:
    return [issue["diagnostics"] for issue in outcome["issue"] if issue["severity"] in ("error", "fatal")]


def test_each_resource_gets_its_outcome_against_base_or_profile(hapi_validator: Any, tmp_path: Path) -> None:
    definition = tmp_path / "named.json"
    definition.write_text(json.dumps(PROFILE))
    nameless = {"resourceType": "Patient", "id": "p"}
    named = {**nameless, "name": [{"family": "李"}]}
    wrong = {**nameless, "gender": "f"}
    pairs = [(None, nameless), (PROFILE["url"], nameless), (PROFILE["url"], named), (None, wrong)]
    plain, missing, complete, coded = map(_errors, hapi_validator([definition], pairs))
    assert plain == complete == []
    assert "Patient.name: minimum required = 1, but only found 0" in missing[0]
    assert "administrative-gender#f" in coded[0]
