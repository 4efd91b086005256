"""What a profile can say: each row is one small profile, a resource it accepts and one it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.errors import Resource
from tests.validation.building import (
    CODES,
    LOINC,
    OBSERVATION,
    PATIENT,
    SITE,
    UCUM,
    UNLISTED,
    WARM,
    by,
    concept,
    element,
    profile,
)
from tests.validation.conftest import Judge, errors

E = element
O = OBSERVATION  # noqa: E741
P = PATIENT
QUANTITY = {"value": 5, "unit": "mg", "system": UCUM, "code": "mg"}
PARTS = profile(
    "parts",
    "Observation",
    E("Observation.component", slicing=by("pattern", "code", "closed")),
    E("Observation.component:a", min=1, max="1"),
    E("Observation.component:a.code", patternCodeableConcept=concept("a")),
    E("Observation.component:a.value[x]", min=1, type=[{"code": "Quantity"}]),
    E("Observation.component:b", max="1"),
    E("Observation.component:b.code", patternCodeableConcept=concept("blue")),
)
A = {"code": concept("a"), "valueQuantity": QUANTITY}
B = {"code": concept("blue"), "valueString": "x"}
PHONES = [
    {"system": "phone", "value": "1"},
    {"system": "phone", "value": "2", "period": {"start": "2020", "end": "2021"}},
]
NUMBERED = {"discriminator": [{"type": "value", "path": "system"}], "ordered": False, "rules": "open"}
RESLICED = profile(
    "resliced",
    "Patient",
    E("Patient.identifier", slicing=NUMBERED),
    E("Patient.identifier:ours", max="3"),
    E("Patient.identifier:ours.system", min=1, fixedUri=SITE + "number"),
    E("Patient.identifier:ours", slicing=by("value", "use")),
    {"id": "Patient.identifier:ours/old", "path": "Patient.identifier", "sliceName": "ours/old", "max": "1"},
    {"id": "Patient.identifier:ours/old.use", "path": "Patient.identifier.use", "min": 1, "fixedCode": "old"},
)


def number(value: str, **more: Any) -> dict[str, Any]:
    return {"system": SITE + "number", "value": value, **more}


def entry(system: str) -> dict[str, Any]:
    return {"system": SITE + system, "value": "1"}


TWO = (
    E("Patient.identifier:a"),
    E("Patient.identifier:a.system", min=1, fixedUri=SITE + "a"),
    E("Patient.identifier:b"),
    E("Patient.identifier:b.system", min=1, fixedUri=SITE + "b"),
)

ROWS: list[tuple[str, Resource, dict[str, Any], dict[str, Any], str, str]] = [
    (
        "min",
        profile("p", "Observation", E("Observation.note", min=1)),
        {**O, "note": [{"text": "x"}]},
        O,
        "min",
        "Observation.note",
    ),
    (
        "max",
        profile("p", "Observation", E("Observation.note", max="1")),
        O,
        {**O, "note": [{"text": "x"}, {"text": "y"}]},
        "max",
        "Observation.note",
    ),
    (
        "max 0",
        profile("p", "Patient", E("Patient.name", max="0")),
        P,
        {**P, "name": [{"text": "x"}]},
        "max",
        "Patient.name",
    ),
    (
        "max 0 on a choice",
        profile("p", "Patient", E("Patient.deceased[x]", max="0")),
        P,
        {**P, "deceasedBoolean": True},
        "max",
        "Patient.deceased[x]",
    ),
    (
        "fixed code",
        profile("p", "Observation", E("Observation.status", fixedCode="final")),
        O,
        {**O, "status": "amended"},
        "fixed",
        "Observation.status",
    ),
    (
        "fixed concept is exact",
        profile("p", "Observation", E("Observation.code", fixedCodeableConcept=concept("red"))),
        O,
        {**O, "code": {**concept("red"), "text": "x"}},
        "fixed",
        "Observation.code",
    ),
    (
        "pattern",
        profile("p", "Observation", E("Observation.code", patternCodeableConcept=concept("red"))),
        {**O, "code": {"coding": [{"system": LOINC, "code": "1-8"}, *concept("red")["coding"]], "text": "x"}},
        {**O, "code": concept("blue")},
        "pattern",
        "Observation.code",
    ),
    (
        "a choice kept to one type",
        profile("p", "Observation", E("Observation.value[x]", type=[{"code": "Quantity"}])),
        O,
        {**O, "valueQuantity": None, "valueString": "x"},
        "choice-type",
        "Observation.valueString",
    ),
    (
        "a choice by its typed name",
        profile(
            "p",
            "Observation",
            E("Observation.valueQuantity", path="Observation.valueQuantity"),
            E("Observation.valueQuantity.code", min=1, fixedCode="mg"),
        ),
        O,
        {**O, "valueQuantity": {**QUANTITY, "code": "kg"}},
        "fixed",
        "Observation.valueQuantity.code",
    ),
    (
        "type slices",
        profile(
            "p",
            "Observation",
            E("Observation.value[x]", slicing=by("type", "$this", "closed")),
            E("Observation.value[x]:valueQuantity", type=[{"code": "Quantity"}]),
            E("Observation.value[x]:valueQuantity.system", min=1),
        ),
        O,
        {**O, "valueQuantity": {"value": 1}},
        "min",
        "Observation.valueQuantity.system",
    ),
    (
        "min value",
        profile(
            "p",
            "Observation",
            E("Observation.value[x]:valueQuantity"),
            E("Observation.value[x]:valueQuantity.value", minValueDecimal=0),
        ),
        O,
        {**O, "valueQuantity": {**QUANTITY, "value": -1}},
        "min-value",
        "Observation.valueQuantity.value",
    ),
    (
        "max value of a date",
        profile("p", "Patient", E("Patient.birthDate", maxValueDate="2010-01-01")),
        {**P, "birthDate": "2009"},
        {**P, "birthDate": "2011-05-05"},
        "max-value",
        "Patient.birthDate",
    ),
    (
        "max length",
        profile("p", "Observation", E("Observation.note.text", maxLength=3)),
        {**O, "note": [{"text": "abc"}]},
        {**O, "note": [{"text": "abcd"}]},
        "max-length",
        "Observation.note[0].text",
    ),
    (
        "a required binding with a filter",
        profile("p", "Observation", E("Observation.code", binding={"strength": "required", "valueSet": WARM["url"]})),
        O,
        {**O, "code": concept("blue")},
        "binding",
        "Observation.code",
    ),
    (
        "a required binding and no coding",
        profile("p", "Observation", E("Observation.code", binding={"strength": "required", "valueSet": WARM["url"]})),
        O,
        {**O, "code": {"text": "red"}},
        "binding",
        "Observation.code",
    ),
    (
        "a required binding out of reach keeps its system",
        profile(
            "p", "Observation", E("Observation.code", binding={"strength": "required", "valueSet": UNLISTED["url"]})
        ),
        {**O, "code": concept("any", "https://example.org/not-loaded")},
        O,
        "binding",
        "Observation.code",
    ),
    (
        "an invariant",
        profile(
            "p",
            "Observation",
            E(
                "Observation",
                constraint=[
                    {
                        "key": "x-1",
                        "severity": "error",
                        "human": "x",
                        "expression": "subject.exists() and value.ofType(Quantity).value > 1",
                    }
                ],
            ),
        ),
        O,
        {**O, "valueQuantity": {**QUANTITY, "value": 1}},
        "x-1",
        "Observation",
    ),
    (
        "an invariant that is empty fails",
        profile(
            "p",
            "Patient",
            E(
                "Patient",
                constraint=[{"key": "x-1", "severity": "error", "human": "x", "expression": "birthDate > @1900-01-01"}],
            ),
        ),
        {**P, "birthDate": "2000-01-01"},
        P,
        "x-1",
        "Patient",
    ),
    (
        "an invariant deep inside",
        profile(
            "p",
            "Patient",
            E(
                "Patient.identifier.value",
                constraint=[{"key": "x-2", "severity": "error", "human": "x", "expression": "matches('^[0-9]{4}$')"}],
            ),
        ),
        P,
        {**P, "identifier": [number("12")]},
        "x-2",
        "Patient.identifier[0].value",
    ),
    (
        "an invariant that needs the resource",
        profile(
            "p",
            "Patient",
            E(
                "Patient.identifier",
                constraint=[
                    {"key": "x-3", "severity": "error", "human": "x", "expression": "%resource.gender = 'female'"}
                ],
            ),
        ),
        P,
        {**P, "gender": "male"},
        "x-3",
        "Patient.identifier[0]",
    ),
    (
        "a reference's target",
        profile(
            "p",
            "Observation",
            E(
                "Observation.subject",
                type=[{"code": "Reference", "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Patient"]}],
            ),
        ),
        O,
        {**O, "subject": {"reference": "Group/1"}},
        "reference-target",
        "Observation.subject",
    ),
    ("slices by pattern", PARTS, {**O, "component": [A, B]}, {**O, "component": [B]}, "min", "Observation.component"),
    (
        "a slice's own child",
        PARTS,
        {**O, "component": [A]},
        {**O, "component": [{**A, "valueQuantity": None, "valueString": "x"}]},
        "choice-type",
        "Observation.component[0].valueString",
    ),
    ("a slice twice", PARTS, {**O, "component": [A]}, {**O, "component": [A, A]}, "max", "Observation.component"),
    (
        "closed slices",
        PARTS,
        {**O, "component": [A]},
        {**O, "component": [A, {"code": concept("orange")}]},
        "slice-closed",
        "Observation.component[1]",
    ),
    ("a slice missing with its element", PARTS, {**O, "component": [A]}, O, "min", "Observation.component"),
    (
        "slices by existence",
        profile(
            "p",
            "Patient",
            E("Patient.telecom", slicing=by("exists", "period")),
            E("Patient.telecom:now", max="1"),
            E("Patient.telecom:now.period", max="0"),
            E("Patient.telecom:then"),
            E("Patient.telecom:then.period", min=1),
            E("Patient.telecom:then.period.end", min=1),
        ),
        {**P, "telecom": PHONES},
        {**P, "telecom": [PHONES[0], {**PHONES[1], "period": {"start": "2020"}}]},
        "min",
        "Patient.telecom[1].period.end",
    ),
    (
        "ordered slices",
        profile("p", "Patient", E("Patient.identifier", slicing=by("value", "system", ordered=True)), *TWO),
        {**P, "identifier": [entry("a"), entry("b")]},
        {**P, "identifier": [entry("b"), entry("a")]},
        "slice-order",
        "Patient.identifier[1]",
    ),
    (
        "open at the end",
        profile("p", "Patient", E("Patient.identifier", slicing=by("value", "system", "openAtEnd")), *TWO),
        {**P, "identifier": [entry("a"), entry("z")]},
        {**P, "identifier": [entry("z"), entry("a")]},
        "slice-open-at-end",
        "Patient.identifier[1]",
    ),
    (
        "a reslice",
        RESLICED,
        {**P, "identifier": [number("1"), number("2", use="old")]},
        {**P, "identifier": [number("1", use="old"), number("2", use="old")]},
        "max",
        "Patient.identifier",
    ),
    (
        "a discriminator that must be absent",
        profile(
            "p",
            "Patient",
            E("Patient.identifier", slicing=by("value", "use")),
            E("Patient.identifier:plain", max="1"),
            E("Patient.identifier:plain.use", max="0"),
        ),
        {**P, "identifier": [number("1"), number("2", use="old")]},
        {**P, "identifier": [number("1"), number("2")]},
        "max",
        "Patient.identifier",
    ),
    (
        "a discriminator behind a binding",
        profile(
            "p",
            "Observation",
            E("Observation.category", slicing=by("value", "$this")),
            E("Observation.category:warm", min=1, binding={"strength": "required", "valueSet": WARM["url"]}),
        ),
        {**O, "category": [concept("red"), concept("blue")]},
        {**O, "category": [concept("blue")]},
        "min",
        "Observation.category",
    ),
    (
        "a content reference unfolded",
        profile("p", "Observation", E("Observation.component.referenceRange.text", max="0")),
        {**O, "component": [{**B, "referenceRange": [{"low": {"value": 1}}]}]},
        {**O, "component": [{**B, "referenceRange": [{"text": "x"}]}]},
        "max",
        "Observation.component[0].referenceRange[0].text",
    ),
    (
        "a type unfolded",
        profile("p", "Observation", E("Observation.code.coding.system", min=1)),
        O,
        {**O, "code": {"coding": [{"code": "red"}]}},
        "min",
        "Observation.code.coding[0].system",
    ),
]


def clean(resource: dict[str, Any]) -> dict[str, Any]:
    """Rows set a property to None to take it away."""
    if isinstance(resource, list):
        return [clean(item) for item in resource]
    return {k: clean(v) for k, v in resource.items() if v is not None} if isinstance(resource, dict) else resource


@pytest.mark.parametrize(
    ("rules", "good", "bad", "rule", "path"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_a_profile_is_enforced(
    judge: Judge, rules: Resource, good: dict[str, Any], bad: dict[str, Any], rule: str, path: str
) -> None:
    assert errors(judge(clean(good), rules)) == set()
    assert (rule, path) in errors(judge(clean(bad), rules))


def test_weak_bindings_warn(judge: Judge) -> None:
    for strength in ("extensible", "preferred"):
        rules = profile(
            "p", "Observation", E("Observation.code", binding={"strength": strength, "valueSet": WARM["url"]})
        )
        issues = judge({**O, "code": concept("blue")}, rules)
        assert ("binding", "warning") in {(i.rule, i.severity) for i in issues if i.path == "Observation.code"}
        assert errors(issues) == set()


ARM = profile(
    "arm",
    "Extension",
    E("Extension.url", fixedUri=SITE + "StructureDefinition/arm"),
    E("Extension.value[x]", min=1, type=[{"code": "code"}]),
    context=[{"type": "element", "expression": "Observation"}],
)
ARMED = profile(
    "armed",
    "Observation",
    E("Observation.extension:arm", min=1, max="1", type=[{"code": "Extension", "profile": [ARM["url"]]}]),
)
RIGHT = {"url": ARM["url"], "valueCode": "a"}


def test_an_extension_is_checked_wherever_it_stands(judge: Judge) -> None:
    assert errors(judge({**O, "extension": [RIGHT]}, also=(ARM,))) == set()
    wrong = {**RIGHT, "valueCode": None, "valueString": "a"}
    assert ("choice-type", "Observation.extension[0].valueString") in errors(
        judge(clean({**O, "extension": [wrong]}), also=(ARM,))
    )
    assert ("extension-context", "Patient.extension[0]") in errors(judge({**P, "extension": [RIGHT]}, also=(ARM,)))
    deeper = {**O, "code": {**O["code"], "extension": [RIGHT]}}
    assert ("extension-context", "Observation.code.extension[0]") in errors(judge(deeper, also=(ARM,)))


def test_an_extension_slice_counts(judge: Judge) -> None:
    assert errors(judge({**O, "extension": [RIGHT]}, ARMED, also=(ARM,))) == set()
    assert ("min", "Observation.extension") in errors(judge(O, ARMED, also=(ARM,)))
    assert ("max", "Observation.extension") in errors(judge({**O, "extension": [RIGHT, RIGHT]}, ARMED, also=(ARM,)))


def test_an_extension_slice_stays_on_the_fast_path(judge: Judge, compiled: Any) -> None:
    from fhirbridge.validation import Validator

    validator = Validator.load([ARM, ARMED], cache=compiled)
    assert validator._surely_valid({**O, "extension": [RIGHT]}, [ARMED["url"]])


MAIN = profile("main", "Observation", E("Observation.code", patternCodeableConcept=concept("red")))
REPORT = profile(
    "report",
    "DiagnosticReport",
    E("DiagnosticReport.result", slicing=by("profile", "resolve()", "closed"), min=1),
    E("DiagnosticReport.result:main", min=1, max="1", type=[{"code": "Reference", "targetProfile": [MAIN["url"]]}]),
)
LINKED = profile(
    "linked",
    "DiagnosticReport",
    E("DiagnosticReport.result", type=[{"code": "Reference", "targetProfile": [MAIN["url"]]}]),
)


def report(code: str) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "code": {"text": "x"},
        "result": [{"reference": "#o-1"}],
        "contained": [{**O, "code": concept(code)}],
    }


def test_slices_by_profile_follow_references(judge: Judge) -> None:
    assert errors(judge(report("red"), REPORT, MAIN)) - {("profile-type", "DiagnosticReport")} == set()
    assert ("slice-closed", "DiagnosticReport.result[0]") in errors(judge(report("blue"), REPORT, also=(MAIN,)))


def test_a_target_at_hand_must_conform(judge: Judge) -> None:
    assert errors(judge(report("red"), LINKED, also=(MAIN,))) == set()
    assert ("reference-profile", "DiagnosticReport.result[0]") in errors(judge(report("blue"), LINKED, also=(MAIN,)))


def bundle(*resources: dict[str, Any], type_: str = "collection") -> dict[str, Any]:
    return {
        "resourceType": "Bundle",
        "type": type_,
        "entry": [{"fullUrl": f"https://h.org/fhir/{r['resourceType']}/{r['id']}", "resource": r} for r in resources],
    }


def test_bundle_entries_are_checked_each(judge: Judge) -> None:
    assert errors(judge(bundle(O, P))) == set()
    assert ("binding", "Bundle.entry[0].resource.status") in errors(judge(bundle({**O, "status": "done"}, P)))
    tagged = {**O, "meta": {"profile": [MAIN["url"]]}, "code": concept("blue")}
    assert ("pattern", "Bundle.entry[0].resource.code") in errors(judge(bundle(tagged), also=(MAIN,)))


def test_references_inside_a_bundle_are_followed(judge: Judge) -> None:
    made_up = {**O, "subject": {"reference": "urn:uuid:00000000-0000-4000-8000-000000000001"}}
    box = bundle(made_up, {"resourceType": "Medication", "id": "m"})
    box["entry"][1]["fullUrl"] = "urn:uuid:00000000-0000-4000-8000-000000000001"
    assert ("reference-target", "Bundle.entry[0].resource.subject") in errors(judge(box))


def test_the_rules_of_a_transaction(judge: Judge) -> None:
    box = bundle(P, type_="transaction")
    assert ("bdl-3", "Bundle") in errors(judge(box))
    box["entry"][0]["request"] = {"method": "PUT", "url": "Patient/p-1"}
    assert errors(judge(box)) == set()


def test_a_code_system_s_case_is_minded(judge: Judge) -> None:
    rules = profile(
        "p", "Observation", E("Observation.code", binding={"strength": "required", "valueSet": WARM["url"]})
    )
    assert ("binding", "Observation.code") in errors(judge({**O, "code": concept("RED", CODES)}, rules))
