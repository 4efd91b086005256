"""What a profile asks for may not be loaded, or be one element of another profile."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.errors import Resource
from fhirbridge.validation import Validator
from tests.validation.building import PATIENT, SITE, by, concept, element, profile
from tests.validation.conftest import Judge

NONE = SITE + "StructureDefinition/none"
NAMED = {**PATIENT, "name": [{"family": "x"}]}


def found(judge: Judge, resource: Resource, *profiles: Resource, severity: str = "error") -> set[tuple[str, str]]:
    return {(issue.rule, issue.path) for issue in judge(resource, *profiles) if issue.severity == severity}


def test_a_datatype_whose_profile_is_not_loaded_is_refused(judge: Judge) -> None:
    asked = profile("asked", "Patient", element("Patient.name", type=[{"code": "HumanName", "profile": [NONE]}]))
    assert found(judge, NAMED, asked) == {("profile-unknown", "Patient.name[0]")}
    assert found(judge, PATIENT, asked) == set()


def test_a_slice_of_an_extension_that_is_not_loaded_is_told_by_its_url(judge: Judge) -> None:
    asked = profile(
        "extended",
        "Patient",
        element("Patient.extension", slicing=by("value", "url")),
        element("Patient.extension:a", min=1, max="1", type=[{"code": "Extension", "profile": [NONE]}]),
    )
    one = {"url": NONE, "valueString": "x"}
    other = {"url": NONE + "-other", "valueString": "x"}
    assert found(judge, {**PATIENT, "extension": [other, one]}, asked) == set()
    warned = found(judge, {**PATIENT, "extension": [other, one]}, asked, severity="warning")
    assert ("profile-unknown", "Patient.extension[1]") in warned
    assert {rule for rule, _ in found(judge, {**PATIENT, "extension": [other]}, asked)} == {"min"}
    assert {rule for rule, _ in found(judge, {**PATIENT, "extension": [one, one]}, asked)} == {"max"}


def pointing(*targets: str) -> Resource:
    asked = {"code": "Reference", "targetProfile": list(targets)}
    return profile("pointing", "Patient", element("Patient.managingOrganization", type=[asked]))


HELD = {
    **PATIENT,
    "contained": [{"resourceType": "Organization", "id": "o", "name": "x"}],
    "managingOrganization": {"reference": "#o"},
}


def test_a_target_at_hand_whose_profile_is_not_loaded_is_refused(judge: Judge) -> None:
    known = profile("known", "Organization")
    assert found(judge, HELD, pointing(NONE)) == {("profile-unknown", "Patient.managingOrganization")}
    away = {**PATIENT, "managingOrganization": {"reference": "Organization/o"}}
    assert found(judge, away, pointing(NONE)) == set()
    url = "http://hl7.org/fhir/StructureDefinition/Organization"
    assert found(judge, HELD, pointing(NONE, url)) == set()
    validator = Validator.load([known, pointing(NONE, known["url"])])
    assert validator.is_valid(HELD, [SITE + "StructureDefinition/pointing"])


LIBRARY = profile(
    "library",
    "Composition",
    element("Composition.section", slicing=by("pattern", "code")),
    element("Composition.section:red"),
    element("Composition.section:red.title", min=1),
    element("Composition.section:red.code", min=1, patternCodeableConcept=concept("red")),
    element("Composition.section:blue"),
    element("Composition.section:blue.code", min=1, patternCodeableConcept=concept("blue")),
)


def part(slice_name: str) -> dict[str, Any]:
    told = "http://hl7.org/fhir/StructureDefinition/elementdefinition-profile-element"
    beside = [{"extension": [{"url": told, "valueString": f"Composition.section:{slice_name}"}]}]
    return {"code": "BackboneElement", "profile": [LIBRARY["url"]], "_profile": beside}


REPORT = profile(
    "report",
    "Composition",
    element("Composition.section", slicing=by("pattern", "code", "closed")),
    element("Composition.section:one", min=1, type=[part("red")]),
    element("Composition.section:two", type=[part("blue")]),
)


@pytest.mark.parametrize(
    ("codes", "title", "expected"),
    [
        (["red"], "x", set()),
        (["red", "blue"], "x", set()),
        (["blue"], "x", {"min"}),
        (["red"], None, {"min"}),
        (["red", "warm"], "x", {"slice-closed"}),
    ],
)
def test_a_slice_may_be_a_slice_of_another_profile(codes: list[str], title: str | None, expected: set[str]) -> None:
    text = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}
    named = {"title": title} if title else {}
    document = {
        "resourceType": "Composition",
        "status": "final",
        "type": {"text": "x"},
        "date": "2026",
        "author": [{"display": "x"}],
        "title": "x",
        "section": [{**named, "code": concept(code), "text": text} for code in codes],
    }
    validator = Validator.load([LIBRARY, REPORT])
    issues = validator.issues(document, [REPORT["url"]])
    assert {issue.rule for issue in issues if issue.severity == "error"} == expected
    assert validator.is_valid(document, [REPORT["url"]]) == (not expected)
