"""The fast path and the walker agree on resources broken at random: what the one accepts the other never refuses."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhirbridge.errors import Resource
from fhirbridge.validation import Validator
from tests.validation.building import COLOURS, OBSERVATION, PATIENT, UCUM, UNLISTED, WARM, concept
from tests.validation.differential import PROFILES, own_cases
from tests.validation.test_profiles import ARM, ARMED, PARTS, RESLICED, RIGHT, A, B, number

QUESTIONNAIRE: Resource = {
    "resourceType": "Questionnaire",
    "status": "active",
    "item": [{"linkId": "1", "type": "group", "item": [{"linkId": "2", "type": "display", "text": "x"}]}],
}
CONSENT: Resource = {
    "resourceType": "Consent",
    "status": "active",
    "scope": {"text": "x"},
    "category": [{"text": "x"}],
    "patient": {"reference": "Patient/p-1"},
    "policyRule": {"text": "x"},
    "provision": {"period": {"start": "2026-01-01", "end": "2027"}},
}
GROUP: Resource = {
    "resourceType": "Group",
    "type": "person",
    "actual": False,
    "characteristic": [
        {"code": {"text": "x"}, "exclude": False, "valueRange": {"low": {"value": 1, "system": UCUM, "code": "a"}}}
    ],
}
START: list[tuple[Resource, list[str]]] = [
    (OBSERVATION, []),
    (PATIENT, []),
    (QUESTIONNAIRE, []),
    (CONSENT, []),
    (GROUP, []),
    ({**OBSERVATION, "component": [A, B]}, [PARTS["url"]]),
    ({**OBSERVATION, "extension": [RIGHT]}, [ARMED["url"]]),
    ({**PATIENT, "identifier": [number("1"), number("2", use="old")]}, [RESLICED["url"]]),
]
VALUES: list[Any] = [
    "",
    " ",
    "x",
    "a b",
    "é\u00a0",
    "\x0b",
    "a\n",
    "2020",
    "2020-01-01",
    "2020-02-30",
    "2026-01-02T03:04:05Z",
    "Patient/1",
    "Group/1",
    "#x",
    "#",
    "urn:oid:1.2",
    "urn:uuid:00000000-0000-0000-0000-000000000000",
    "http://a.org/y",
    "final",
    "mg",
    UCUM,
    0,
    1,
    -1,
    2**31,
    Decimal("5.0"),
    Decimal("5.50"),
    True,
    None,
    [],
    {},
    ["x"],
    {"url": "http://a.org/e", "valueString": "x"},
    [{"url": "http://a.org/e", "valueString": "x"}],
    [RIGHT],
    {"start": "2021", "end": "2020"},
    {"text": "x"},
    concept("red"),
    concept("blue"),
    {"value": 1, "code": "mg"},
    {"reference": "Patient/1", "type": "Patient"},
    {"resourceType": "Patient"},
    [{"text": "x"}, {"text": "x"}],
]
KEYS = [
    "extension",
    "modifierExtension",
    "id",
    "text",
    "valueString",
    "valueQuantity",
    "valueCodeableConcept",
    "effectivePeriod",
    "period",
    "start",
    "end",
    "code",
    "system",
    "value",
    "foo",
    "contained",
    "dataAbsentReason",
    "component",
    "note",
    "display",
    "type",
    "identifier",
    "reference",
    "_status",
    "_value",
    "low",
    "high",
    "name",
    "item",
    "enableWhen",
    "initial",
    "meta",
    "language",
    "member",
    "provision",
]


@pytest.fixture(scope="module")
def validator(compiled: Any) -> Validator:
    return Validator.load([COLOURS, WARM, UNLISTED, ARM, ARMED, PARTS, RESLICED], cache=compiled)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


@st.composite
def broken(draw: st.DrawFn) -> tuple[Resource, list[str]]:
    """A valid resource with one to three changes: dropped, doubled, replaced, renamed, wrapped or added."""
    resource, profiles = draw(st.sampled_from(START))
    resource = copy.deepcopy(resource)
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(
            st.sampled_from([p for p in places(resource) if p[1] != "resourceType"] or [(resource, "id")])
        )
        change = draw(st.sampled_from(["drop", "double", "replace", "replace", "add", "add", "rename", "wrap"]))
        value = copy.deepcopy(draw(st.sampled_from(VALUES)))
        if change == "drop":
            holder.pop(key, None) if isinstance(holder, dict) else holder.pop(key)
        elif change == "double" and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif change == "rename" and isinstance(holder, dict) and key in holder:
            holder[draw(st.sampled_from(KEYS))] = holder.pop(key)
        elif change == "wrap":
            holder[key] = [holder.get(key) if isinstance(holder, dict) else holder[key]]
        elif change == "add" and isinstance(holder, dict) and isinstance(holder.get(key), dict):
            holder[key][draw(st.sampled_from(KEYS))] = value
        elif change == "add":
            resource[draw(st.sampled_from(KEYS))] = value
        else:
            holder[key] = value
    return resource, profiles


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(broken())
def test_the_fast_path_never_accepts_what_the_walker_refuses(
    validator: Validator, case: tuple[Resource, list[str]]
) -> None:
    resource, profiles = case
    errors = [issue for issue in validator.issues(resource, profiles) if issue.severity == "error"]
    if validator._surely_valid(resource, profiles):
        assert errors == []
    assert validator.is_valid(resource, profiles) == (not errors)


@pytest.mark.parametrize("number_", range(len(START) - 1))
def test_what_is_valid_is_accepted_without_the_walker(validator: Validator, number_: int) -> None:
    resource, profiles = START[number_]
    assert validator._surely_valid(resource, profiles)
    assert validator.is_valid(resource, profiles)


def test_reslices_are_left_to_the_walker(validator: Validator) -> None:
    resource, profiles = START[-1]
    assert not validator._surely_valid(resource, profiles)
    assert validator.is_valid(resource, profiles)


def test_of_the_mutated_examples_the_fast_path_accepts_only_what_the_walker_accepts(compiled: Any) -> None:
    validator = Validator.load([PROFILES], cache=compiled)
    cases = {name: case.resource for name, case in own_cases().items()}
    accepted = {name: case for name, case in cases.items() if validator._surely_valid(case, [])}
    refused = [name for name, case in accepted.items() if any(i.severity == "error" for i in validator.issues(case))]
    assert refused == []
    assert len(accepted) > 100
