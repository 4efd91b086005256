"""The FHIR package in profiles/: complete, in order, and accepting and refusing what its examples say."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fhirbridge import fhirjson
from fhirbridge.elements import CANONICAL
from fhirbridge.errors import Resource
from fhirbridge.validation import Validator, has_errors
from mappings import MAPPINGS
from mappings.meta import profile
from tests.mappings.cases import GOLDEN_FILES, STUDY, golden_resource

PACKAGE = Path(__file__).parent.parent.parent / "profiles"
EXAMPLES = PACKAGE / "examples"
VALID = sorted((EXAMPLES / "valid").glob("*.json"))
BROKEN_RULE: dict[str, str] = json.loads((EXAMPLES / "invalid" / "index.json").read_text())
BASE = "http://hl7.org/fhir/StructureDefinition/"


def definitions(kind: str) -> list[Resource]:
    return [fhirjson.loads(path.read_bytes()) for path in sorted(PACKAGE.glob(f"{kind}-*.json"))]


@cache
def validator() -> Validator:
    return Validator.load([PACKAGE])


def errors(resource: Resource) -> dict[str, str]:
    """Return the rules the resource breaks, each with one place where it does."""
    return {found.rule: found.path for found in validator().issues(resource) if found.severity in ("error", "fatal")}


def ours(resource: Resource) -> set[str]:
    """Return which of this package's profiles the resource names."""
    return {url for url in resource["meta"]["profile"] if url.startswith(CANONICAL)}


def test_the_package_says_what_it_is() -> None:
    manifest = json.loads((PACKAGE / "package.json").read_text())
    assert manifest["fhirVersions"] == ["4.0.1"]
    assert manifest["dependencies"] == {"hl7.fhir.r4.core": "4.0.1"}
    assert manifest["canonical"] == CANONICAL


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*-*.json")), ids=lambda path: path.stem)
def test_a_definition_is_named_as_its_file_and_carries_the_package_version(path: Path) -> None:
    found = fhirjson.loads(path.read_bytes())
    assert path.stem == f"{found['resourceType']}-{found['id']}"
    published = "hl7.org/fhir" in found["url"]
    assert published or found["url"] == f"{CANONICAL}/{found['resourceType']}/{found['id']}"
    assert found["version"] == json.loads((PACKAGE / "package.json").read_text())["version"]
    assert "snapshot" not in found


@pytest.mark.parametrize("found", definitions("StructureDefinition"), ids=lambda found: found["id"])
def test_every_profile_has_a_snapshot(found: Resource) -> None:
    elements = validator().snapshot(found["url"])["snapshot"]["element"]
    assert elements[0]["path"] == found["type"]
    assert [text for text in validator().problems if found["id"] in text] == []


@pytest.mark.parametrize("found", definitions("StructureDefinition"), ids=lambda found: found["id"])
def test_a_differential_follows_the_order_of_its_type(found: Resource) -> None:
    """HAPI drops, without a word, what stands out of order."""
    snapshot = validator().snapshot(found["url"])["snapshot"]["element"]
    order = {element["id"]: index for index, element in enumerate(snapshot)}
    places = [order[element["id"]] for element in found["differential"]["element"]]
    assert places == sorted(places)


@pytest.mark.parametrize("found", definitions("StructureDefinition"), ids=lambda found: found["id"])
def test_invariants_have_keys_of_their_own_and_say_what_they_mean(found: Resource) -> None:
    for element in found["differential"]["element"]:
        for invariant in element.get("constraint", []):
            assert KEYS.count(invariant["key"]) == 1
            assert invariant["human"]


def keys(kind: str) -> list[str]:
    elements = [element for found in definitions(kind) for element in found["differential"]["element"]]
    return [invariant["key"] for element in elements for invariant in element.get("constraint", [])]


KEYS = keys("StructureDefinition")


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_example_is_valid(path: Path) -> None:
    resource = fhirjson.loads(path.read_bytes())
    assert ours(resource)
    assert errors(resource) == {}


@pytest.mark.parametrize("file", BROKEN_RULE)
def test_an_invalid_example_breaks_the_rule_it_is_there_for(file: str) -> None:
    resource = fhirjson.loads((EXAMPLES / "invalid" / file).read_bytes())
    assert ours(resource)
    assert BROKEN_RULE[file] in errors(resource)


def test_every_invalid_example_is_in_the_index() -> None:
    assert {path.name for path in (EXAMPLES / "invalid").glob("*.json")} - {"index.json"} == set(BROKEN_RULE)


def test_every_invariant_of_a_profile_is_broken_by_some_example() -> None:
    warnings = {"lirads-2"}
    assert set(KEYS) - warnings - set(BROKEN_RULE.values()) == set()


@pytest.mark.parametrize("file", GOLDEN_FILES)
def test_every_golden_resource_is_valid(file: str) -> None:
    outcome = validator().validate(golden_resource(file), profiles=[profile(GOLDEN_FILES[file][1])])
    assert not has_errors(outcome), outcome


def test_every_mapping_and_every_analyte_promises_a_profile_that_exists() -> None:
    here = {found["url"] for found in definitions("StructureDefinition")}
    promised = {mapping.profile for mapping in MAPPINGS}
    for analyte in STUDY.analytes:
        promised.add(profile(analyte.profile))
        if analyte.log10:
            promised.add(profile(analyte.log10.profile))
    assert promised <= here


def test_a_treated_lesion_with_a_diagnostic_category_is_a_warning_not_an_error() -> None:
    resource = fhirjson.loads((EXAMPLES / "valid" / "lirads-lesion.json").read_bytes())
    treated: Any = next(part for part in resource["component"] if part["code"]["coding"][0]["code"] == "treated")
    treated["valueBoolean"] = True
    found = {issue.rule: issue.severity for issue in validator().issues(resource)}
    assert found["lirads-2"] == "warning"
    assert errors(resource) == {}


@pytest.mark.parametrize(
    ("example", "target"),
    [
        ("hbv-dna", "Organization/1"),
        ("hbv-dna", "Procedure/1"),
        ("hbv-dna", "Medication/1"),
        ("hbv-dna", "Substance/1"),
        ("mri-report", "Organization/1"),
        ("lirads-lesion", "Practitioner/1"),
    ],
)
def test_a_subject_that_only_r4b_allows_is_refused(example: str, target: str) -> None:
    resource = fhirjson.loads((EXAMPLES / "valid" / f"{example}.json").read_bytes())
    resource["subject"] = {"reference": target}
    assert "reference-target" in errors(resource)
