"""Slices that leave a discriminator open, choices whose types share rules, and quantities in other units."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.errors import ProfileError, Resource
from tests.validation.building import OBSERVATION, UCUM, by, concept, element, profile
from tests.validation.conftest import Judge

RANGES = profile(
    "ranges",
    "Observation",
    element(
        "Observation.referenceRange",
        slicing={**by("pattern", "type"), "discriminator": [
            {"type": "pattern", "path": "type"}, {"type": "pattern", "path": "appliesTo"}]},
    ),
    element("Observation.referenceRange:a", max="1"),
    element("Observation.referenceRange:a.type", min=1, patternCodeableConcept=concept("a")),
    element("Observation.referenceRange:a.appliesTo", min=1, patternCodeableConcept=concept("red")),
    element("Observation.referenceRange:b", min=1, max="1"),
    element("Observation.referenceRange:b.type", min=1, patternCodeableConcept=concept("blue")),
)  # fmt: skip


def rules(judge: Judge, resource: Resource, *profiles: Resource) -> set[str]:
    return {issue.rule for issue in judge(resource, *profiles) if issue.severity == "error"}


def a_range(code: str, **more: Any) -> dict[str, Any]:
    return {"text": "x", "type": concept(code), **more}


def test_a_slice_may_say_nothing_at_one_of_several_discriminators(judge: Judge) -> None:
    there = {**OBSERVATION, "referenceRange": [a_range("blue")]}
    assert rules(judge, there, RANGES) == set()
    assert rules(judge, {**there, "referenceRange": [a_range("warm")]}, RANGES) == {"min"}
    both = {**there, "referenceRange": [a_range("blue"), *[a_range("a", appliesTo=[concept("red")])] * 2]}
    assert rules(judge, both, RANGES) == {"max"}


def test_a_slice_that_says_nothing_at_all_is_its_author_s_mistake(judge: Judge) -> None:
    blank = profile(
        "blank",
        "Observation",
        element("Observation.referenceRange", slicing=by("pattern", "type")),
        element("Observation.referenceRange:a", max="1"),
    )
    with pytest.raises(ProfileError, match="nothing at its discriminator type"):
        judge({**OBSERVATION, "referenceRange": [a_range("a")]}, blank)


def test_rules_for_every_type_of_a_choice_leave_each_type_its_own_parts(judge: Judge) -> None:
    bare = profile("bare", "Observation", element("Observation.effective[x].extension", max="0"))
    timed = {**OBSERVATION, "effectivePeriod": {"start": "2026"}}
    timed.pop("effectiveDateTime", None)
    assert rules(judge, timed, bare) == set()
    assert "unknown-element" in rules(judge, {**timed, "effectivePeriod": {"begin": "2026"}}, bare)
    extended = {"start": "2026", "extension": [{"url": "http://a.org/x", "valueString": "x"}]}
    assert "max" in rules(judge, {**timed, "effectivePeriod": extended}, bare)


@pytest.mark.parametrize(
    ("value", "unit", "broken"),
    [
        (2, "kg", set()),
        (2000, "g", set()),
        (12, "kg", {"max-value"}),
        (12000, "g", {"max-value"}),
        (500, "g", {"min-value"}),
        (5, "m", set()),
    ],
)
def test_a_quantity_s_limits_hold_in_other_units(judge: Judge, value: int, unit: str, broken: set[str]) -> None:
    limits = {f"{end}ValueQuantity": {"value": number, "system": UCUM, "code": "kg"}
              for end, number in (("min", 1), ("max", 10))}  # fmt: skip
    weighed = profile("weighed", "Observation", element("Observation.value[x]", type=[{"code": "Quantity"}], **limits))
    quantity = {"value": value, "system": UCUM, "code": unit}
    measured = {**{k: v for k, v in OBSERVATION.items() if not k.startswith("value")}, "valueQuantity": quantity}
    assert rules(judge, measured, weighed) == broken


def test_an_extension_may_be_meant_for_what_every_resource_has(judge: Judge) -> None:
    context = [{"type": "element", "expression": "DomainResource.text"}]
    note = profile("note", "Extension", element("Extension.value[x]", type=[{"code": "boolean"}]), context=context)
    div = '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'
    text = {"status": "generated", "div": div, "extension": [{"url": note["url"], "valueBoolean": True}]}
    found = {issue.rule for issue in judge({**OBSERVATION, "text": text}, also=(note,)) if issue.severity == "error"}
    assert found == set()
    code = {**OBSERVATION["code"], "extension": text["extension"]}
    found = {issue.rule for issue in judge({**OBSERVATION, "code": code}, also=(note,)) if issue.severity == "error"}
    assert found == {"extension-context"}
