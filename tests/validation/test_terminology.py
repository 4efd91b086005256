"""Value sets expanded offline: in, out, or not to be told."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.errors import Resource
from fhirbridge.validation import Validator
from fhirbridge.validation.terminology import Expansion
from tests.validation.building import CODES, COLOURS, SITE, WARM

FAR = "https://example.org/not-loaded"


def value_set(name: str, *include: dict[str, Any], exclude: list[dict[str, Any]] | None = None) -> Resource:
    compose = {"include": list(include), **({"exclude": exclude} if exclude else {})}
    return {"resourceType": "ValueSet", "url": SITE + "ValueSet/" + name, "status": "active", "compose": compose}


def expanded(*sets: Resource) -> Expansion:
    found = Validator.load([COLOURS, WARM, *sets]).terminology.expansion(sets[0]["url"])
    assert found is not None
    return found


def told(*sets: Resource) -> dict[str, bool | None]:
    expansion = expanded(*sets)
    return {code: expansion.has(CODES, code) for code in ("warm", "red", "orange", "cold", "blue", "none")}


@pytest.mark.parametrize(
    ("clause", "codes"),
    [
        ({"system": CODES}, {"warm", "red", "orange", "cold", "blue"}),
        ({"system": CODES, "concept": [{"code": "red"}]}, {"red"}),
        (
            {"system": CODES, "filter": [{"property": "concept", "op": "is-a", "value": "warm"}]},
            {"warm", "red", "orange"},
        ),
        (
            {"system": CODES, "filter": [{"property": "concept", "op": "descendent-of", "value": "warm"}]},
            {"red", "orange"},
        ),
        ({"system": CODES, "filter": [{"property": "concept", "op": "is-not-a", "value": "warm"}]}, {"cold", "blue"}),
        ({"system": CODES, "filter": [{"property": "code", "op": "regex", "value": ".*d"}]}, {"red", "cold"}),
        ({"valueSet": [WARM["url"]]}, {"red", "orange"}),
        ({"system": CODES, "concept": [{"code": "red"}, {"code": "blue"}], "valueSet": [WARM["url"]]}, {"red"}),
    ],
)
def test_what_a_clause_includes(clause: dict[str, Any], codes: set[str]) -> None:
    assert {code for code, inside in told(value_set("x", clause)).items() if inside} == codes


def test_exclusions_count() -> None:
    found = told(value_set("x", {"system": CODES}, exclude=[{"valueSet": [WARM["url"]]}]))
    assert (found["red"], found["blue"]) == (False, True)


def test_a_system_that_is_not_loaded_cannot_be_told() -> None:
    expansion = expanded(value_set("x", {"system": FAR}))
    assert expansion.has(FAR, "any") is None
    assert expansion.has(CODES, "red") is False
    assert expansion.has(None, "any") is None


def test_codes_with_a_shape_are_at_least_shaped() -> None:
    expansion = expanded(value_set("x", {"system": "urn:ietf:bcp:13"}))
    assert expansion.has(None, "text/plain") is None
    assert expansion.has(None, "plain") is False


def test_a_value_set_that_includes_itself_ends() -> None:
    assert expanded(value_set("x", {"valueSet": [SITE + "ValueSet/x"]}, {"system": CODES})).has(CODES, "red")


def test_a_filter_we_cannot_evaluate_leaves_the_system_open() -> None:
    clause = {"system": CODES, "filter": [{"property": "concept", "op": "generalizes", "value": "red"}]}
    assert set(told(value_set("x", clause)).values()) == {None}


def test_nearly_every_required_binding_of_r4_can_be_expanded(plain: Validator) -> None:
    urls = [
        "observation-status",
        "administrative-gender",
        "research-study-status",
        "consent-state-codes",
        "bundle-type",
    ]
    for url in urls:
        expansion = plain.terminology.expansion(f"http://hl7.org/fhir/ValueSet/{url}|4.0.1")
        assert expansion is not None
        assert not expansion.unknown
        assert not expansion.open
