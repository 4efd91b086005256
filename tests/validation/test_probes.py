"""The recorded verdicts beside the project, and HL7's published examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhirbridge import fhirjson
from fhirbridge.validation import Validator, has_errors

SITE = "http://trial.example.test/fhir/StructureDefinition/"


@pytest.mark.shared
def test_every_recorded_verdict_is_ours_too(shared: Path, compiled: Path) -> None:
    known = fhirjson.loads((shared / "validation" / "probes.json").read_bytes())
    validator = Validator.load(known["sds"] + known["terminology"], cache=compiled)
    differing = []
    for probe in known["probes"]:
        profiles = [SITE + probe["profile"]]
        valid = not has_errors(validator.validate(probe["resource"], profiles))
        assert validator.is_valid(probe["resource"], profiles) == valid
        if valid != probe["valid"]:
            differing.append(probe["id"])
    assert differing == []
    assert len(known["probes"]) == 73


@pytest.mark.shared
def test_hl7_s_examples_are_valid(shared: Path, plain: Validator) -> None:
    files = sorted((shared / "data" / "3_fhir" / "hl7_r4_examples").glob("*.json"))
    assert files
    for file in files:
        resource = fhirjson.loads(file.read_bytes())
        errors = [i for i in plain.issues(resource) if i.severity == "error"]
        assert errors == [], file.name
        assert plain.is_valid(resource)


@pytest.mark.shared
def test_synthea_s_bundles_are_valid(shared: Path, plain: Validator) -> None:
    for file in sorted((shared / "data" / "3_fhir" / "synthea").glob("*.json")):
        issues = plain.issues(fhirjson.loads(file.read_bytes()))
        assert [i for i in issues if i.severity == "error"] == [], file.name
