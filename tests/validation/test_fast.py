"""The fast path decides by itself what is usual, leaves the rest to the walker, and never accepts too much."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from fhirbridge.errors import Resource
from fhirbridge.validation import Validator
from fhirbridge.validation.fhirpath.logic import Logic
from tests.validation.building import OBSERVATION, PATIENT

CORE = "http://hl7.org/fhir/StructureDefinition/"
BIRTH_PLACE = {"url": CORE + "patient-birthPlace", "valueAddress": {"city": "Shanghai"}}
ABSENT = {"url": CORE + "data-absent-reason", "valueCode": "unknown"}
HIDDEN = {"url": CORE + "questionnaire-hidden", "valueBoolean": True}
UNKNOWN = {"url": "https://a.org/x"}


def agreed(validator: Validator, resource: Resource) -> bool:
    """Whether the fast path accepts, after making sure that it accepts nothing that the walker refuses."""
    errors = [issue for issue in validator.issues(resource) if issue.severity == "error"]
    accepted = validator._surely_valid(resource, [])
    assert not (accepted and errors), errors
    assert validator.is_valid(resource) == (not errors)
    return accepted


def test_a_known_extension_that_no_slice_binds_needs_no_walker(plain: Validator) -> None:
    assert agreed(plain, {**PATIENT, "extension": [BIRTH_PLACE]})
    assert agreed(plain, {**OBSERVATION, "code": {"text": "x", "extension": [ABSENT]}})
    assert agreed(plain, {**OBSERVATION, "_status": {"extension": [ABSENT]}})


@pytest.mark.parametrize(
    "wrong",
    [
        {**OBSERVATION, "extension": [BIRTH_PLACE]},
        {**PATIENT, "extension": [{**BIRTH_PLACE, "valueAddress": {"use": "nowhere"}}]},
        {**PATIENT, "extension": [{"url": BIRTH_PLACE["url"], "valueString": "x"}]},
        {**PATIENT, "modifierExtension": [BIRTH_PLACE]},
        {**PATIENT, "extension": [{"url": "patient-birthPlace", "valueString": "x"}]},
        {**PATIENT, "extension": [{"url": CORE + "Patient", "valueString": "x"}]},
    ],
)
def test_a_known_extension_is_not_accepted_where_or_as_it_may_not_be(plain: Validator, wrong: Resource) -> None:
    assert not agreed(plain, wrong)
    assert not plain.is_valid(wrong)


@pytest.mark.parametrize("reference", ["#", "#x", "# x", ""])
def test_a_reference_to_nothing_contained_is_not_accepted_where_any_resource_may_be_meant(
    plain: Validator, reference: str
) -> None:
    context = {"related": [{"reference": reference}]}
    content = [{"attachment": {"url": "https://a.org/x"}}]
    document = {"resourceType": "DocumentReference", "status": "current", "content": content, "context": context}
    assert not agreed(plain, document)
    assert not agreed(plain, {**OBSERVATION, "extension": [{**UNKNOWN, "valueReference": {"reference": reference}}]})


def test_a_context_is_not_taken_for_granted_behind_a_content_reference(plain: Validator) -> None:
    item: dict[str, Any] = {"linkId": "1", "type": "string", "text": "x", "extension": [HIDDEN]}
    group = {"linkId": "0", "type": "group", "text": "y"}
    questionnaire = {"resourceType": "Questionnaire", "status": "active"}
    agreed(plain, {**questionnaire, "item": [item]})
    agreed(plain, {**questionnaire, "item": [{**group, "item": [item]}]})


@pytest.mark.parametrize(
    ("value", "fine"),
    [
        ({"valueTiming": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}}, True),
        ({"valueTiming": {"repeat": {"frequency": 1, "period": -1, "periodUnit": "d"}}}, False),
        ({"valueDosage": {"text": "twice"}}, True),
        ({"valueDosage": {"txt": "twice"}}, False),
        ({"valueAge": {"value": 3, "system": "http://unitsofmeasure.org", "code": "a"}}, True),
        ({"valueAge": {"value": 3, "code": "a"}}, False),
        ({"valueMeta": {"tag": [{"code": "x"}]}}, True),
        ({"valueContactDetail": {"telecom": [{"value": "1"}]}}, False),
        ({"valueUuid": "urn:uuid:x"}, False),
        ({"valueString": "x", "valueCode": "x"}, False),
        ({"id": "a", "valueString": "x", "valueCode": "x"}, False),
    ],
)
def test_an_extension_may_have_any_datatype(plain: Validator, value: dict[str, Any], fine: bool) -> None:
    resource = {**OBSERVATION, "extension": [{**UNKNOWN, **value}]}
    assert agreed(plain, resource) == fine
    assert plain.is_valid(resource) == fine


def test_elements_with_an_id_are_left_to_the_walker(plain: Validator) -> None:
    resource = {**OBSERVATION, "extension": [{**UNKNOWN, "id": "a", "valueString": "x"}]}
    assert not agreed(plain, resource)
    assert plain.is_valid(resource)


@pytest.mark.parametrize("depth", [10, 120])
def test_what_is_nested_too_deep_is_left_to_the_walker(plain: Validator, depth: int) -> None:
    item: dict[str, Any] = {"linkId": "0", "type": "string", "text": "x"}
    for number in range(depth):
        item = {"linkId": str(number + 1), "type": "group", "text": "x", "item": [item]}
    questionnaire = {"resourceType": "Questionnaire", "status": "active", "item": [item]}
    assert agreed(plain, questionnaire) == (depth == 10)
    extension: dict[str, Any] = {**UNKNOWN, "valueString": "x"}
    for _ in range(depth):
        extension = {**UNKNOWN, "extension": [extension]}
    agreed(plain, {**OBSERVATION, "extension": [extension]})


@pytest.mark.parametrize("text", ["ab1", "ab1\n", "AB1", "", "ab1ab1"])
def test_a_regular_expression_said_as_schema_accepts_no_more_than_the_invariant(plain: Validator, text: str) -> None:
    import re

    import jsonschema_rs

    shape = plain.snapshots.type_tree("string")
    assert shape is not None
    told = Logic(plain.model).as_schema("matches('^[a-z]{2}[0-9]$')", shape)
    assert told is not None
    assert not jsonschema_rs.is_valid(told, text) or re.search("^[a-z]{2}[0-9]$", text)


@pytest.mark.parametrize("expression", ["matches('^a|b$')", "matches('a')", "matches('^\\\\d$')", "matches('^a**$')"])
def test_a_regular_expression_that_dialects_read_differently_is_not_said_as_schema(
    plain: Validator, expression: str
) -> None:
    shape = plain.snapshots.type_tree("string")
    assert shape is not None
    assert Logic(plain.model).as_schema(expression, shape) is None


def test_the_fast_path_leaves_the_resource_as_it_was(plain: Validator) -> None:
    resource = {**PATIENT, "extension": [BIRTH_PLACE]}
    before = copy.deepcopy(resource)
    plain.is_valid(resource)
    assert resource == before


def test_two_validators_can_share_a_cache(compiled: Path, plain: Validator) -> None:
    resource = {**OBSERVATION, "extension": [{**UNKNOWN, "valueTiming": {"event": ["2026-01-01"]}}]}
    assert plain.is_valid(resource)
    assert Validator.load([], cache=compiled).is_valid(resource)


def test_names_that_only_data_invent_are_not_remembered(plain: Validator) -> None:
    def resource(number: int) -> Resource:
        coding = {"system": f"https://a.org/{number}", "code": "x"}
        extension = {"url": f"https://a.org/{number}", "valueString": "x"}
        meta = {"profile": [f"https://a.org/{number}"]}
        return {**OBSERVATION, "meta": meta, "code": {"coding": [coding]}, "extension": [extension]}

    def held() -> int:
        inside = [plain.definitions, plain.terminology, plain.snapshots, plain.fast, plain.model]
        return sum(len(found) for one in inside for found in vars(one).values() if isinstance(found, dict))

    plain.is_valid(resource(0))
    before = held()
    for number in range(1, 50):
        plain.is_valid(resource(number))
    assert held() == before
