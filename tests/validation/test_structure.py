"""What R4 itself says of a resource's JSON: one table, each row breaks one rule."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest

from fhirbridge import fhirjson
from fhirbridge.validation import Validator
from tests.validation.building import OBSERVATION, PATIENT, concept

GONE = object()

BROKEN: list[tuple[str, dict[str, Any], str, str]] = [
    ("a required element is missing", {"status": GONE}, "min", "Observation.status"),
    ("an element R4 has not", {"colour": "red"}, "unknown-element", "Observation.colour"),
    ("an element R4 has not, inside a type", {"subject": {"ref": "x"}}, "unknown-element", "Observation.subject.ref"),
    (
        "resourceType inside a type",
        {"code": {"resourceType": "Patient"}},
        "unknown-element",
        "Observation.code.resourceType",
    ),
    ("two types of one choice", {"valueString": "x"}, "choice-type", "Observation.value"),
    (
        "a type that the choice has not",
        {"valueQuantity": GONE, "valueMoney": {}},
        "choice-type",
        "Observation.valueMoney",
    ),
    ("an array where one value stands", {"status": ["final"]}, "array", "Observation.status"),
    ("one value where an array stands", {"category": {"text": "x"}}, "array", "Observation.category"),
    ("an empty array", {"note": []}, "array", "Observation.note"),
    ("an empty object", {"method": {}}, "ele-1", "Observation.method"),
    ("a null", {"method": None}, "null", "Observation.method"),
    ("a null in an array", {"note": [None]}, "null", "Observation.note[0]"),
    ("a string for an object", {"method": "x"}, "object", "Observation.method"),
    (
        "a day that does not exist",
        {"effectiveDateTime": "2026-02-30"},
        "type-dateTime",
        "Observation.effectiveDateTime",
    ),
    ("the 29th in no leap year", {"effectiveDateTime": "2026-02-29"}, "type-dateTime", "Observation.effectiveDateTime"),
    (
        "a time without a zone",
        {"effectiveDateTime": "2026-01-31T08:30:00"},
        "type-dateTime",
        "Observation.effectiveDateTime",
    ),
    ("an instant without a time", {"issued": "2026-01-31"}, "type-instant", "Observation.issued"),
    ("an id with an underscore", {"id": "a_b"}, "type-id", "Observation.id"),
    ("an id of 65 characters", {"id": "a" * 65}, "type-id", "Observation.id"),
    ("a code with two spaces", {"language": "de  CH"}, "type-code", "Observation.language"),
    ("a URI with a space", {"implicitRules": "http://a b"}, "type-uri", "Observation.implicitRules"),
    ("half an OID", {"implicitRules": "urn:oid:x"}, "type-uri", "Observation.implicitRules"),
    ("an empty string", {"note": [{"text": ""}]}, "type-markdown", "Observation.note[0].text"),
    ("a number as text", {"valueQuantity": {"value": "5"}}, "type-decimal", "Observation.valueQuantity.value"),
    ("text as a number", {"note": [{"text": 5}]}, "type-markdown", "Observation.note[0].text"),
    (
        "a fraction for an integer",
        {"valueQuantity": GONE, "valueInteger": Decimal("5.0")},
        "type-integer",
        "Observation.valueInteger",
    ),
    ("a Boolean as text", {"valueQuantity": GONE, "valueBoolean": "true"}, "type-boolean", "Observation.valueBoolean"),
    ("a code that the binding has not", {"status": "done"}, "binding", "Observation.status"),
    (
        "a reference to a wrong type",
        {"subject": {"reference": "Medication/1"}},
        "reference-target",
        "Observation.subject",
    ),
    (
        "an absolute one to a wrong type",
        {"subject": {"reference": "https://h.org/fhir/Medication/1"}},
        "reference-target",
        "Observation.subject",
    ),
    ("a stated type that is wrong", {"subject": {"type": "Medication"}}, "reference-target", "Observation.subject"),
    (
        "stated and literal types differ",
        {"subject": {"type": "Group", "reference": "Patient/1"}},
        "reference-type",
        "Observation.subject.type",
    ),
    ("a stated type that is none", {"focus": [{"type": "final"}]}, "reference-type", "Observation.focus[0].type"),
    ("a fragment that nothing answers to", {"subject": {"reference": "#a"}}, "ref-1", "Observation.subject"),
    ("a value and a reason for none", {"dataAbsentReason": {"text": "x"}}, "obs-6", "Observation"),
    (
        "a unit code without a system",
        {"valueQuantity": {"value": 1, "code": "mg"}},
        "qty-3",
        "Observation.valueQuantity",
    ),
    (
        "a period that runs backwards",
        {"effectiveDateTime": GONE, "effectivePeriod": {"start": "2026", "end": "2025"}},
        "per-1",
        "Observation.effectivePeriod",
    ),
    (
        "a range upside down",
        {"valueQuantity": GONE, "valueRange": {"low": {"value": 2}, "high": {"value": 1}}},
        "rng-2",
        "Observation.valueRange",
    ),
    (
        "a reference range of nothing",
        {"referenceRange": [{"type": {"text": "x"}}]},
        "obs-3",
        "Observation.referenceRange[0]",
    ),
    (
        "an extension with neither value nor extensions",
        {"extension": [{"url": "http://a.org/x"}]},
        "ext-1",
        "Observation.extension[0]",
    ),
    ("an extension without URL", {"extension": [{"valueString": "x"}]}, "min", "Observation.extension[0].url"),
    (
        "a relative extension URL",
        {"extension": [{"url": "x", "valueString": "x"}]},
        "extension-url",
        "Observation.extension[0].url",
    ),
    (
        "a script in the narrative",
        {"text": {"status": "generated", "div": "<div><script>x</script></div>"}},
        "txt-1",
        "Observation.text.div",
    ),
    (
        "an open tag in the narrative",
        {"text": {"status": "generated", "div": "<div><p>x</div>"}},
        "txt-1",
        "Observation.text.div",
    ),
    (
        "contained and never referred to",
        {"contained": [{"resourceType": "Patient", "id": "a"}]},
        "dom-3",
        "Observation",
    ),
    (
        "a component with the main code beside a value",
        {"component": [{"code": concept("red"), "valueInteger": 1}]},
        "obs-7",
        "Observation",
    ),
]


def changed(resource: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy with properties set, or removed where the value is GONE."""
    return {k: v for k, v in {**copy.deepcopy(resource), **changes}.items() if v is not GONE}


@pytest.mark.parametrize(("changes", "rule", "path"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_what_r4_forbids_is_named_with_rule_and_place(
    plain: Validator, changes: dict[str, Any], rule: str, path: str
) -> None:
    resource = changed(OBSERVATION, changes)
    found = {(issue.rule, issue.path) for issue in plain.issues(resource) if issue.severity == "error"}
    assert (rule, path) in found
    assert not plain.is_valid(resource)


FINE: list[tuple[str, dict[str, Any]]] = [
    ("as it is", {}),
    ("a year", {"effectiveDateTime": "2026"}),
    ("a leap day", {"effectiveDateTime": "2024-02-29"}),
    ("digits that count", {"valueQuantity": {"value": Decimal("5.50")}}),
    ("an extension nobody knows", {"extension": [{"url": "http://a.org/x", "valueString": "x"}]}),
    ("an extension on a primitive", {"_status": {"extension": [{"url": "http://a.org/x", "valueString": "x"}]}}),
    (
        "a primitive that has only an extension",
        {"effectiveDateTime": GONE, "_effectiveDateTime": {"extension": [{"url": "http://a.org/x", "valueCode": "x"}]}},
    ),
    (
        "a fragment that is answered",
        {"subject": {"reference": "#a"}, "contained": [{"resourceType": "Patient", "id": "a"}]},
    ),
    ("a reference by UUID", {"subject": {"reference": "urn:uuid:00000000-0000-4000-8000-000000000000"}}),
    ("an absolute reference with a version", {"subject": {"reference": "https://h.org/fhir/Patient/1/_history/2"}}),
    (
        "a narrative",
        {"text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>a &amp; b</p></div>'}},
    ),
    (
        "nulls where the sibling speaks",
        {
            "note": [{"text": "x"}],
            "interpretation": [concept("H", "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation")],
        },
    ),
]


@pytest.mark.parametrize("changes", [row[1] for row in FINE], ids=[row[0] for row in FINE])
def test_what_r4_allows_passes(plain: Validator, changes: dict[str, Any]) -> None:
    resource = changed(OBSERVATION, changes)
    assert [i for i in plain.issues(resource) if i.severity == "error"] == []
    assert plain.is_valid(resource)


def test_an_unknown_modifier_extension_is_a_warning(plain: Validator) -> None:
    resource = {**OBSERVATION, "modifierExtension": [{"url": "http://a.org/x", "valueString": "x"}]}
    found = {(issue.rule, issue.severity) for issue in plain.issues(resource)}
    assert ("extension-unknown", "warning") in found
    assert plain.is_valid(resource)


def test_a_plain_observation_needs_no_walker(plain: Validator) -> None:
    assert plain._surely_valid(OBSERVATION, [])


def test_names_that_almost_fit_are_offered(plain: Validator) -> None:
    (issue,) = [i for i in plain.issues({**PATIENT, "birthdate": "2000"}) if i.severity == "error"]
    assert issue.remedy == "Did you mean birthDate?"


@pytest.mark.parametrize(
    ("kind", "remedy"), [("Observaton", "Did you mean Observation?"), ("Quantity", ""), ("zzz", "")]
)
def test_what_is_no_resource_type_is_said(plain: Validator, kind: str, remedy: str) -> None:
    (issue,) = plain.issues({"resourceType": kind})
    assert (issue.rule, issue.severity) == ("resource-type", "error")
    assert issue.remedy.startswith(remedy)


@pytest.mark.parametrize("junk", [None, 5, "x", [], {}, {"resourceType": 5}, {"resourceType": None}])
def test_what_is_no_resource_at_all_is_an_error_not_a_crash(plain: Validator, junk: Any) -> None:
    assert [issue.rule for issue in plain.issues(junk)] == ["resource-type"]
    assert not plain.is_valid(junk)


def test_deep_nesting_ends_in_an_issue(plain: Validator) -> None:
    deep: dict[str, Any] = {"url": "http://a.org/x", "valueString": "x"}
    for _ in range(400):
        deep = {"url": "http://a.org/x", "extension": [deep]}
    issues = plain.issues({**PATIENT, "extension": [deep]})
    assert "depth" in {issue.rule for issue in issues}


def test_a_resource_is_not_changed_by_being_validated(plain: Validator) -> None:
    before = fhirjson.canonical(OBSERVATION)
    plain.validate(OBSERVATION)
    assert fhirjson.canonical(OBSERVATION) == before


def test_an_array_of_primitives_pairs_with_its_extensions(plain: Validator) -> None:
    told = {"extension": [{"url": "http://a.org/x", "valueString": "x"}]}
    fine = {**PATIENT, "name": [{"given": ["A", None], "_given": [None, told]}]}
    assert plain.is_valid(fine)
    assert not plain.is_valid({**PATIENT, "name": [{"given": ["A", None], "_given": [told, None]}]})
