"""Bindings beyond the usual: maximum value sets, additional bindings; and smaller rules of profiles."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.errors import Resource
from tests.validation.building import CODES, OBSERVATION, PATIENT, SITE, by, concept, element, profile
from tests.validation.conftest import Judge, errors

WARM = SITE + "ValueSet/warm"
ABSENT = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
ALL: Resource = {
    "resourceType": "ValueSet",
    "url": SITE + "ValueSet/all",
    "status": "active",
    "compose": {"include": [{"system": CODES}]},
}
MAXIMUM = {"url": "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet", "valueCanonical": WARM}


def _additional(purpose: str, *more: dict[str, Any]) -> dict[str, Any]:
    parts = [{"url": "purpose", "valueCode": purpose}, {"url": "valueSet", "valueCanonical": WARM}, *more]
    return {"url": "http://hl7.org/fhir/tools/StructureDefinition/additional-binding", "extension": parts}


def _bound(strength: str, extension: dict[str, Any]) -> Resource:
    binding = {"strength": strength, "valueSet": ALL["url"], "extension": [extension]}
    return profile("limited", "Observation", element("Observation.method", binding=binding))


@pytest.mark.parametrize(
    ("extension", "code", "fine"),
    [
        (MAXIMUM, "red", True),
        (MAXIMUM, "blue", False),
        (_additional("required"), "blue", False),
        (_additional("maximum"), "blue", False),
        (_additional("preferred"), "blue", True),
        (_additional("required", {"url": "usage"}), "blue", True),
    ],
)
def test_no_code_leaves_what_a_binding_sets_as_its_limit(
    judge: Judge, extension: dict[str, Any], code: str, fine: bool
) -> None:
    found = errors(judge({**OBSERVATION, "method": concept(code)}, _bound("preferred", extension), also=(ALL,)))
    assert found == (set() if fine else {("binding", "Observation.method")})


@pytest.mark.parametrize(("strength", "fine"), [("preferred", True), ("extensible", False)])
def test_text_alone_is_no_way_around_the_limit_of_an_extensible_binding(
    judge: Judge, strength: str, fine: bool
) -> None:
    issues = judge({**OBSERVATION, "method": {"text": "by eye"}}, _bound(strength, MAXIMUM), also=(ALL,))
    assert bool(errors(issues)) != fine


def test_a_limit_counts_even_where_the_binding_itself_is_too_weak(judge: Judge) -> None:
    binding = {"strength": "example", "valueSet": ALL["url"], "extension": [_additional("required")]}
    weaker = profile("weaker", "Observation", element("Observation.interpretation", binding=binding))
    found = errors(judge({**OBSERVATION, "interpretation": [concept("blue")]}, weaker, also=(ALL,)))
    assert found == {("binding", "Observation.interpretation[0]")}


def test_a_string_may_be_too_short(judge: Judge) -> None:
    shortest = {"url": "http://hl7.org/fhir/StructureDefinition/minLength", "valueInteger": 5}
    long = profile("long", "Patient", element("Patient.name.family", extension=[shortest]))
    assert errors(judge({**PATIENT, "name": [{"family": "Wang"}]}, long)) == {("min-length", "Patient.name[0].family")}
    assert not errors(judge({**PATIENT, "name": [{"family": "Zhang"}]}, long))


def test_an_item_is_in_one_slice_at_most(judge: Judge) -> None:
    sliced = profile(
        "two",
        "Observation",
        element("Observation.category", slicing=by("pattern", "$this")),
        element("Observation.category:a", patternCodeableConcept={"coding": [{"code": "red"}]}),
        element("Observation.category:b", patternCodeableConcept={"coding": [{"system": CODES}]}),
    )
    assert not errors(judge({**OBSERVATION, "category": [concept("blue")]}, sliced))
    both = errors(judge({**OBSERVATION, "category": [concept("red")]}, sliced))
    assert both == {("slice-ambiguous", "Observation.category[0]")}


def test_a_resource_with_a_choice_of_profiles_needs_to_conform_to_one(judge: Judge) -> None:
    named = profile("named", "Patient", element("Patient.name", min=1))
    active = profile("active", "Patient", element("Patient.active", min=1))
    type_ = [{"code": "Patient", "profile": [named["url"], active["url"]]}]
    holder = profile("holder", "Parameters", element("Parameters.parameter.resource", type=type_))
    for inner, wrong in ((PATIENT, True), ({**PATIENT, "active": True}, False)):
        parameters = {"resourceType": "Parameters", "parameter": [{"name": "p", "resource": inner}]}
        found = {rule for rule, _ in errors(judge(parameters, holder, also=(named, active)))}
        assert found == ({"type-profile"} if wrong else set())


def test_a_differential_may_repeat_the_type_of_a_url_or_an_id(judge: Judge) -> None:
    typed = profile("typed", "Extension", element("Extension.url", fixedUri=SITE + "StructureDefinition/typed",
                                                  type=[{"code": "uri"}]))  # fmt: skip
    extension = {"url": typed["url"], "valueString": "x"}
    assert not errors(judge({**PATIENT, "extension": [extension]}, also=(typed,)))


@pytest.mark.parametrize(
    ("coding", "fine"),
    [
        ({"system": CODES}, False),
        ({"system": CODES, "display": "Red"}, False),
        ({"system": SITE + "CodeSystem/unknown"}, True),
        ({"system": CODES, "_code": {"extension": [ABSENT]}}, True),
        ({"display": "Red"}, True),
    ],
)
def test_a_concept_names_no_loaded_code_system_without_a_code(judge: Judge, coding: dict[str, Any], fine: bool) -> None:
    found = errors(judge({**OBSERVATION, "method": {"coding": [concept("red")["coding"][0], coding]}}))
    assert found == (set() if fine else {("code-unknown", "Observation.method.coding[1]")})


@pytest.mark.parametrize(("ext", "fine"), [({"id": "a"}, True), ({"extension": [ABSENT]}, False)])
def test_a_fixed_value_has_no_extension(judge: Judge, ext: dict[str, Any], fine: bool) -> None:
    fixed = profile("fixed", "Observation", element("Observation.status", fixedCode="final"))
    found = errors(judge({**OBSERVATION, "status": "final", "_status": ext}, fixed))
    assert found == (set() if fine else {("fixed", "Observation.status")})
    alone = {key: value for key, value in OBSERVATION.items() if key != "status"}
    assert ("fixed", "Observation.status") in errors(judge({**alone, "_status": {"extension": [ABSENT]}}, fixed))
