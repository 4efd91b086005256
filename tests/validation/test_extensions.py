"""Extensions: where one may stand, which parts it has, how its URL is written."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.errors import Resource
from tests.validation.building import OBSERVATION, PATIENT, SITE, element, profile
from tests.validation.conftest import Judge, errors

URL = SITE + "StructureDefinition/"


def _defined(name: str, *contexts: tuple[str, str], **more: Any) -> Resource:
    context = [{"type": kind, "expression": expression} for kind, expression in contexts]
    return profile(name, "Extension", element("Extension.url", fixedUri=URL + name), context=context, **more)


def _used(name: str, **more: Any) -> dict[str, Any]:
    return {"url": URL + name, **(more or {"valueString": "x"})}


PARTS = profile(
    "parts",
    "Extension",
    element("Extension.extension:a", min=1, max="1"),
    element("Extension.extension:a.url", fixedUri="a"),
    element("Extension.url", fixedUri=URL + "parts"),
    element("Extension.value[x]", max="0"),
    context=[{"type": "element", "expression": "Element"}],
)
CONTACT = {"contact": [{"name": {"family": "x", "extension": [_used("e")]}}]}
ITEM = {"linkId": "2", "type": "string", "extension": [_used("e")]}
QUESTIONS: Resource = {
    "resourceType": "Questionnaire",
    "status": "draft",
    "item": [{"linkId": "1", "type": "group", "item": [ITEM]}],
}


@pytest.mark.parametrize(
    ("context", "resource", "fine"),
    [
        (("element", "Element"), {**PATIENT, "extension": [_used("e")]}, True),
        (("element", "Patient"), {**PATIENT, "extension": [_used("e")]}, True),
        (("element", "Observation"), {**PATIENT, "extension": [_used("e")]}, False),
        (("element", "Questionnaire.item"), QUESTIONS, True),
        (("fhirpath", "Patient.contact.name"), {**PATIENT, **CONTACT}, True),
        (("fhirpath", "Patient.contact.name"), {**PATIENT, "extension": [_used("e")]}, False),
        (("fhirpath", "Patient.contact.where("), {**PATIENT, **CONTACT}, False),
        (("extension", URL + "outer"), {**PATIENT, "extension": [_used("outer", extension=[_used("e")])]}, True),
        (("extension", URL + "outer"), {**PATIENT, "extension": [_used("e")]}, False),
    ],
)
def test_an_extension_stands_where_its_context_allows(
    judge: Judge, context: tuple[str, str], resource: Resource, fine: bool
) -> None:
    outer = _defined("outer", ("element", "Element"))
    found = {rule for rule, _ in errors(judge(resource, also=(_defined("e", context), outer)))}
    assert found == (set() if fine else {"extension-context"})


@pytest.mark.parametrize(("gender", "fine"), [("male", True), ("female", False)])
def test_a_context_invariant_is_about_what_carries_the_extension(judge: Judge, gender: str, fine: bool) -> None:
    defined = _defined(
        "e", ("element", "HumanName"), contextInvariant=["family.exists() and %resource.gender = 'male'"]
    )
    resource = {**PATIENT, "gender": gender, "name": [{"family": "x", "extension": [_used("e")]}]}
    assert bool(errors(judge(resource, also=(defined,)))) != fine


def test_a_complex_extension_has_no_parts_but_its_own(judge: Judge) -> None:
    part = {"url": "a", "valueString": "x"}
    for parts, rule in (([part], None), ([part, {"url": "b", "valueString": "x"}], "extension-url")):
        found = errors(judge({**PATIENT, "extension": [_used("parts", extension=parts)]}, also=(PARTS,)))
        assert {r for r, _ in found} == ({rule} if rule else set())


def test_an_extension_is_named_without_a_version(judge: Judge) -> None:
    used = {"url": URL + "e|1.0.0", "valueString": "x"}
    found = errors(judge({**PATIENT, "extension": [used]}, also=(_defined("e", ("element", "Element")),)))
    assert ("extension-url", "Patient.extension[0].url") in found


def test_r4_may_use_its_own_extensions_as_it_does(judge: Judge) -> None:
    version = {"url": "http://hl7.org/fhir/StructureDefinition/structuredefinition-normative-version"}
    code_system = {"resourceType": "CodeSystem", "status": "draft", "content": "not-present"}
    assert not errors(judge({**code_system, "extension": [{**version, "valueCode": "4.0.0"}]}))
    assert errors(judge({**OBSERVATION, "code": {"text": "x", "extension": [{**version, "valueCode": "4.0.0"}]}}))


@pytest.mark.parametrize("rest", [{"valueString": "x"}, {"extension": [{"url": "a", "valueString": "x"}]}])
def test_an_extension_cannot_stand_for_the_url_of_another(judge: Judge, rest: dict[str, Any]) -> None:
    unnamed = {"_url": {"extension": [{"url": URL + "why", "valueString": "x"}]}, **rest}
    assert errors(judge({**PATIENT, "extension": [unnamed]})) == {("extension-url", "Patient.extension[0].url")}
