"""Definitions (profiles, code systems, searches) are checked as resources too."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.errors import Resource
from tests.validation.building import by, element, profile
from tests.validation.conftest import Judge

HL7 = "http://hl7.org/fhir/StructureDefinition/"


def rules(judge: Judge, resource: Resource) -> set[str]:
    return {issue.rule for issue in judge(resource) if issue.severity == "error"}


def typed(code: str, **more: Any) -> list[dict[str, Any]]:
    return [{"code": code, **more}]


@pytest.mark.parametrize(
    ("path", "changes", "broken"),
    [
        ("value[x]", {"type": typed("Quantity", profile=[HL7 + "SimpleQuantity"])}, set()),
        ("value[x]", {"type": typed("Quantity", profile=[HL7 + "HumanName"])}, {"sdf-type"}),
        ("value[x]", {"type": typed("Quantity", profile=["http://unknown.example.test"])}, set()),
        ("subject", {"type": typed("Reference", targetProfile=[HL7 + "Patient"])}, set()),
        ("subject", {"type": typed("Reference", targetProfile=[HL7 + "bodyweight"])}, {"sdf-type"}),
        ("subject", {"type": typed("Reference", targetProfile=["http://unknown.example.test"])}, set()),
        ("hasMember", {"type": typed("Reference", targetProfile=[HL7 + "bodyweight"])}, set()),
        ("status", {"fixedCode": "final"}, set()),
        ("status", {"fixedString": "final"}, {"sdf-value"}),
        ("value[x]", {"patternQuantity": {"unit": "x"}}, set()),
        ("code", {"patternCoding": {"code": "x"}}, {"sdf-value"}),
    ],
)
def test_a_profile_agrees_with_the_types_of_its_base(
    judge: Judge, path: str, changes: dict[str, Any], broken: set[str]
) -> None:
    assert rules(judge, profile("p", "Observation", element(f"Observation.{path}", **changes))) == broken


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({}, set()),
        ({"kind": "complex-type"}, {"sdf-kind"}),
        ({"context": [{"type": "element", "expression": "Patient"}]}, {"sdf-context"}),
        ({"kind": "logical", "type": "Trial", "derivation": "specialization"}, {"sdf-kind"}),
    ],
)
def test_a_profile_is_of_the_kind_of_its_base(judge: Judge, changes: dict[str, Any], broken: set[str]) -> None:
    assert broken <= rules(judge, profile("p", "Patient", element("Patient.name", min=1), **changes))
    assert broken or not rules(judge, profile("p", "Patient", element("Patient.name", min=1)))


@pytest.mark.parametrize(
    ("place", "fine"),
    [
        ("Patient", True),
        ("Patient.contact", True),
        ("Observation.value[x]", True),
        ("Observation.valueQuantity", True),
        ("HumanName.family", True),
        ("Patient.contact.name.family", True),
        ("Element", True),
        ("https://trial.example.test/fhir/StructureDefinition/p#Patient.name", True),
        ("Pateint", False),
        ("Patient.contct", False),
    ],
)
def test_an_extension_s_context_is_an_element_that_is_there(judge: Judge, place: str, fine: bool) -> None:
    context = {"context": [{"type": "element", "expression": place}]}
    own = profile("e", "Extension", **context)
    own = profile("e", "Extension", element("Extension.url", fixedUri=own["url"]), **context)
    assert rules(judge, own) == (set() if fine else {"sdf-context"})


def test_an_extension_s_url_is_that_of_its_definition(judge: Judge) -> None:
    context = {"context": [{"type": "element", "expression": "Patient"}]}
    foreign = profile("e", "Extension", element("Extension.url", fixedUri="http://other.example.test"), **context)
    assert rules(judge, foreign) == {"sdf-extension"}


CODES: Resource = {"resourceType": "CodeSystem", "url": "http://trial.example.test/cs", "status": "active"}
SEARCH: Resource = {
    "resourceType": "SearchParameter",
    "url": "http://trial.example.test/sp",
    "name": "S",
    "status": "active",
    "description": "x",
    "code": "s",
    "base": ["Patient", "Person"],
    "type": "string",
}


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"content": "complete", "concept": [{"code": "a"}]}, set()),
        ({"content": "supplement", "supplements": "http://trial.example.test/other"}, set()),
        ({"content": "supplement"}, {"csd-supplement"}),
        ({"content": "complete", "supplements": "http://trial.example.test/other"}, {"csd-supplement"}),
        ({"content": "not-present"}, set()),
        ({"content": "not-present", "concept": [{"code": "a"}]}, {"csd-absent"}),
    ],
)
def test_a_code_system_holds_what_its_content_says(judge: Judge, changes: dict[str, Any], broken: set[str]) -> None:
    assert rules(judge, {**CODES, **changes}) == broken


PARTS = [{"definition": "http://trial.example.test/sp", "expression": "name"}] * 2


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"expression": "Patient.name | Person.name"}, set()),
        ({"expression": "name.family"}, set()),
        ({"expression": "Patient.nme"}, {"spd-base"}),
        ({"expression": "Observation.code"}, {"spd-base"}),
        ({"expression": "Patient.name("}, {"spd-expression", "spd-base"}),
        ({"type": "composite", "expression": "Patient", "component": PARTS}, set()),
        ({"type": "composite", "expression": "Patient", "component": PARTS[:1]}, {"spd-composite"}),
    ],
)
def test_a_search_finds_something_in_its_base(judge: Judge, changes: dict[str, Any], broken: set[str]) -> None:
    assert rules(judge, {**SEARCH, **changes}) == broken


def test_a_slice_s_maximum_beyond_the_list_s_is_noted_and_the_list_s_counts(judge: Judge) -> None:
    own = profile(
        "p",
        "Patient",
        element("Patient.name", slicing=by("value", "use"), max="1"),
        element("Patient.name:usual", max="3"),
        element("Patient.name:usual.use", min=1, fixedCode="usual"),
    )
    patient: Resource = {"resourceType": "Patient", "name": [{"use": "usual", "family": "X"}]}
    assert not {issue.rule for issue in judge(patient, own) if issue.severity == "error"}
    twice = {**patient, "name": patient["name"] * 2}
    assert "max" in {issue.rule for issue in judge(twice, own) if issue.severity == "error"}
