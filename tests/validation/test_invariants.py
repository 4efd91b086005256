"""Every invariant of the types we ship and of R4's datatypes: one instance that breaks it and one that does not.

Each is asked three ways that must agree: the walker with its hot Python rules, the walker on FHIRPath alone, and the
fast path.
"""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.errors import Resource
from fhirbridge.validation import Validator, invariants, stated
from fhirbridge.validation.invariants import HOT
from fhirbridge.validation.mended import MENDED
from tests.validation.building import LOINC, UCUM, concept

SHIPPED = [
    "Observation", "Patient", "ResearchStudy", "ResearchSubject", "DiagnosticReport", "BodyStructure", "Consent",
    "Group", "Organization", "Location", "Bundle", "Provenance", "ImagingStudy", "Specimen", "Condition",
    "AdverseEvent", "MedicationStatement",
]  # fmt: skip
HERE = "https://example.org/fhir/"
CONDITION_STATUS = "http://terminology.hl7.org/CodeSystem/condition-"
KG = {"value": 2, "unit": "kg", "system": UCUM, "code": "kg"}


def datatype(name: str, /, **content: Any) -> Resource:
    """A resource that holds one value of a datatype."""
    extension = {"url": HERE + "any", "value" + name: content}
    return {"resourceType": "Basic", "code": {"text": "any"}, "extension": [extension]}


def observation(**more: Any) -> Resource:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "weight"}, **more}


def condition(**more: Any) -> Resource:
    found = {"clinicalStatus": concept("active", CONDITION_STATUS + "clinical"), **more}
    return {
        "resourceType": "Condition",
        "subject": {"reference": "Patient/p"},
        **{key: value for key, value in found.items() if value is not None},
    }


def consent(**more: Any) -> Resource:
    found: dict[str, Any] = {
        "status": "active",
        "scope": concept("research", "http://terminology.hl7.org/CodeSystem/consentscope"),
        "category": [{"text": "research"}],
        "policyRule": {"text": "opt-in"},
        "patient": {"reference": "Patient/p"},
        **more,
    }
    return {"resourceType": "Consent", **{key: value for key, value in found.items() if value is not None}}


def bundle(type_: str, *entries: dict[str, Any], **more: Any) -> Resource:
    return {"resourceType": "Bundle", "type": type_, **({"entry": list(entries)} if entries else {}), **more}


def entry(resource: Resource, **more: Any) -> dict[str, Any]:
    return {"fullUrl": "urn:uuid:0f1a7b1e-7d0e-4c6b-9d3e-2f6a1b7c8d90", "resource": resource, **more}


def document(**more: Any) -> Resource:
    first = {
        "resourceType": "Composition",
        "status": "final",
        "type": {"text": "report"},
        "date": "2026-01-31",
        "author": [{"display": "somebody"}],
        "title": "Report",
    }
    found: dict[str, Any] = {
        "identifier": {"system": HERE, "value": "1"},
        "timestamp": "2026-01-31T08:00:00Z",
        "entry": [entry(first)],
        **more,
    }
    return {"resourceType": "Bundle", "type": "document", **{k: v for k, v in found.items() if v is not None}}


def definition(**rules: Any) -> Resource:
    """A logical model with one element that has these rules."""
    path = rules.pop("path", "Thing.part")
    return {
        "resourceType": "StructureDefinition",
        "url": HERE + "StructureDefinition/Thing",
        "name": "Thing",
        "status": "draft",
        "kind": "logical",
        "abstract": False,
        "type": "Thing",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Element",
        "derivation": "specialization",
        "differential": {"element": [{"id": "Thing", "path": "Thing"}, {"id": "Thing.part", "path": path, **rules}]},
    }


def timing(**repeat: Any) -> Resource:
    return datatype("Timing", repeat=repeat)


def asking(*conditions: dict[str, Any], enableBehavior: str | None = "all") -> Resource:  # noqa: N803  (FHIR's name)
    item: dict[str, Any] = {"linkId": "a", "type": "string", "enableWhen": list(conditions)}
    if enableBehavior:
        item["enableBehavior"] = enableBehavior
    return {
        "resourceType": "Questionnaire",
        "name": "Any",
        "status": "draft",
        "item": [item, {"linkId": "b", "type": "string"}],
    }


def risk(**prediction: Any) -> Resource:
    return {
        "resourceType": "RiskAssessment",
        "status": "final",
        "subject": {"reference": "Patient/p"},
        "prediction": [prediction],
    }


def contained(inner: Resource, **more: Any) -> Resource:
    return observation(contained=[inner], subject={"reference": "#p"}, **more)


PATIENT: Resource = {"resourceType": "Patient", "id": "p"}
MESSAGE = {
    "resourceType": "MessageHeader",
    "eventUri": HERE + "event",
    "source": {"endpoint": "https://example.org/here"},
}
ASKS = {"question": "b", "operator": "=", "answerString": "a"}
MEMBER = {"entity": {"reference": "Patient/p"}}
SEARCH = {"mode": "match"}
ASKED = {"method": "GET", "url": "Patient/p"}
EXTENSION = {"url": HERE + "any", "valueString": "a"}
NO_VALUE = {"extension": [EXTENSION]}
GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"

CASES: dict[str, tuple[Resource, Resource]] = {
    "age-1": (datatype("Age", value=-1, system=UCUM, code="a"), datatype("Age", value=3, system=UCUM, code="a")),
    "att-1": (datatype("Attachment", data="YWJj"), datatype("Attachment", data="YWJj", contentType="text/plain")),
    "bdl-1": (bundle("collection", total=0), bundle("searchset", total=0)),
    "bdl-2": (
        bundle("collection", entry(PATIENT, search=SEARCH)),
        bundle("searchset", entry(PATIENT, search=SEARCH)),
    ),
    "bdl-3": (bundle("collection", entry(PATIENT, request=ASKED)), bundle("batch", entry(PATIENT, request=ASKED))),
    "bdl-4": (
        bundle("collection", entry(PATIENT, response={"status": "200"})),
        bundle("batch-response", entry(PATIENT, response={"status": "200"})),
    ),
    "bdl-5": (bundle("collection", {"fullUrl": HERE + "Patient/p"}), bundle("collection", entry(PATIENT))),
    "bdl-7": (
        bundle("collection", entry(PATIENT), entry({**PATIENT, "active": True})),
        bundle("collection", entry(PATIENT), entry({**PATIENT, "meta": {"versionId": "2"}})),
    ),
    "bdl-8": (
        bundle("collection", {"fullUrl": HERE + "Patient/p/_history/1", "resource": PATIENT}),
        bundle("collection", {"resource": PATIENT}, {"fullUrl": HERE + "Patient/p", "resource": PATIENT}),
    ),
    "bdl-9": (document(identifier=None), document()),
    "bdl-10": (document(timestamp=None), document()),
    "bdl-11": (document(entry=[entry(PATIENT)]), document()),
    "bdl-12": (bundle("message", entry(PATIENT)), bundle("message", entry(MESSAGE))),
    "cnt-3": (datatype("Count", value=1, system=UCUM, code="mg"), datatype("Count", value=1, system=UCUM, code="1")),
    "con-1": (condition(stage=[{"type": {"text": "any"}}]), condition(stage=[{"summary": {"text": "II"}}])),
    "con-2": (condition(evidence=[NO_VALUE]), condition(evidence=[{"code": [{"text": "pain"}]}])),
    "con-3": (
        condition(
            clinicalStatus=None,
            category=[concept("problem-list-item", "http://terminology.hl7.org/CodeSystem/condition-category")],
        ),
        condition(
            clinicalStatus=None,
            category=[concept("encounter-diagnosis", "http://terminology.hl7.org/CodeSystem/condition-category")],
        ),
    ),
    "con-4": (
        condition(abatementDateTime="2026"),
        condition(abatementDateTime="2026", clinicalStatus=concept("resolved", CONDITION_STATUS + "clinical")),
    ),
    "con-5": (
        condition(verificationStatus=concept("entered-in-error", CONDITION_STATUS + "ver-status")),
        condition(verificationStatus=concept("confirmed", CONDITION_STATUS + "ver-status")),
    ),
    "cpt-2": (datatype("ContactPoint", value="1"), datatype("ContactPoint", value="1", system="phone")),
    "dis-1": (
        datatype("Distance", value=1, system=HERE, code="m"),
        datatype("Distance", value=1, system=UCUM, code="m"),
    ),
    "dom-2": (
        observation(
            contained=[{**PATIENT, "contained": [{"resourceType": "Organization", "id": "o", "name": "O"}],
                        "managingOrganization": {"reference": "#o"}}],
            subject={"reference": "#p"},
        ),
        contained(PATIENT),
    ),
    "dom-3": (observation(contained=[PATIENT]), contained(PATIENT)),
    "dom-4": (contained({**PATIENT, "meta": {"versionId": "1"}}), contained({**PATIENT, "meta": {"source": HERE}})),
    "dom-5": (
        contained({**PATIENT, "meta": {"security": [{"system": HERE, "code": "a"}]}}),
        contained({**PATIENT, "meta": {"tag": [{"system": HERE, "code": "a"}]}}),
    ),
    "dom-6": (
        observation(),
        observation(
            text={"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'>a</div>"},
        ),
    ),
    "drq-1": (
        datatype("DataRequirement", type="Observation", codeFilter=[{"path": "code", "searchParam": "code"}]),
        datatype("DataRequirement", type="Observation", codeFilter=[{"path": "code"}]),
    ),
    "drq-2": (
        datatype("DataRequirement", type="Observation", dateFilter=[{"valueDateTime": "2026"}]),
        datatype("DataRequirement", type="Observation", dateFilter=[{"searchParam": "date"}]),
    ),
    "drt-1": (datatype("Duration", code="h", system=UCUM), datatype("Duration", value=1, code="h", system=UCUM)),
    "eld-1": (definition(slicing={"rules": "open"}), definition(slicing={"rules": "open", "description": "any"})),
    "eld-2": (definition(min=2, max="1"), definition(min=1, max="2")),
    "eld-3": (definition(max="-1"), definition(max="*")),
    "eld-4": (
        definition(type=[{"code": "string", "aggregation": ["bundled"]}]),
        definition(type=[{"code": "Reference", "aggregation": ["bundled"]}]),
    ),
    "eld-5": (
        definition(contentReference="#Thing", type=[{"code": "string"}]),
        definition(contentReference="#Thing"),
    ),
    "eld-6": (
        definition(type=[{"code": "string"}, {"code": "code"}], fixedString="a"),
        definition(type=[{"code": "string"}], fixedString="a"),
    ),
    "eld-7": (
        definition(type=[{"code": "string"}, {"code": "code"}], patternString="a"),
        definition(type=[{"code": "string"}], patternString="a"),
    ),
    "eld-8": (
        definition(type=[{"code": "string"}], patternString="a", fixedString="a"),
        definition(type=[{"code": "string"}], patternString="a"),
    ),
    "eld-11": (
        definition(type=[{"code": "Quantity"}], binding={"strength": "example"}),
        definition(type=[{"code": "Quantity"}], binding={"strength": "example"}),
    ),
    "eld-12": (
        definition(type=[{"code": "code"}], binding={"strength": "example", "valueSet": "#here"}),
        definition(type=[{"code": "code"}], binding={"strength": "example", "valueSet": GENDERS}),
    ),
    "eld-13": (
        definition(type=[{"code": "string"}, {"code": "string"}]),
        definition(type=[{"code": "string"}, {"code": "code"}]),
    ),
    "eld-14": (
        definition(constraint=[{"key": "a-1", "severity": "error", "human": "any", "expression": "true"}] * 2),
        definition(constraint=[{"key": "a-1", "severity": "error", "human": "any", "expression": "true"}]),
    ),
    "eld-15": (
        definition(type=[{"code": "string"}], defaultValueString="a", meaningWhenMissing="any"),
        definition(type=[{"code": "string"}], meaningWhenMissing="any"),
    ),
    "eld-16": (definition(sliceName="a b"), definition(sliceName="a/b")),
    "eld-17": (
        definition(type=[{"code": "string", "targetProfile": [HERE + "any"]}]),
        definition(type=[{"code": "Reference", "targetProfile": [HERE + "any"]}]),
    ),
    "eld-18": (definition(isModifier=True), definition(isModifier=True, isModifierReason="any")),
    "eld-19": (definition(path="Thing.part of"), definition(path="Thing.part")),
    "eld-20": (definition(path="Thing.part-1"), definition(path="Thing.part[x]")),
    "eld-21": (
        definition(constraint=[{"key": "a-1", "severity": "error", "human": "any"}]),
        definition(constraint=[{"key": "a-1", "severity": "error", "human": "any", "expression": "true"}]),
    ),
    "eld-22": (definition(sliceIsConstraining=True), definition(sliceIsConstraining=True, sliceName="a")),
    "ele-1": ({**PATIENT, "name": [{}]}, {**PATIENT, "name": [NO_VALUE]}),
    "exp-1": (
        datatype("Expression", language="text/fhirpath"),
        datatype("Expression", language="text/fhirpath", expression="true"),
    ),
    "ext-1": (
        {**PATIENT, "extension": [{"url": HERE + "any", "valueString": "a", "extension": [EXTENSION]}]},
        {**PATIENT, "extension": [{"url": HERE + "any", "extension": [EXTENSION]}]},
    ),
    "grp-1": (
        {"resourceType": "Group", "type": "person", "actual": False, "member": [MEMBER]},
        {"resourceType": "Group", "type": "person", "actual": True, "member": [MEMBER]},
    ),
    "obs-3": (
        observation(referenceRange=[{"type": {"text": "normal"}}]),
        observation(referenceRange=[{"type": {"text": "normal"}, "text": "any"}]),
    ),
    "obs-6": (
        observation(dataAbsentReason={"text": "lost"}, valueString="a"),
        observation(dataAbsentReason={"text": "lost"}),
    ),
    "obs-7": (
        observation(
            code=concept("29463-7", LOINC),
            valueString="a",
            component=[{"code": concept("29463-7", LOINC), "valueString": "b"}],
        ),
        observation(
            code=concept("29463-7", LOINC),
            valueString="a",
            component=[{"code": concept("8302-2", LOINC), "valueString": "b"}],
        ),
    ),
    "org-1": (
        {"resourceType": "Organization", "active": True},
        {"resourceType": "Organization", "name": "O"},
    ),
    "org-2": (
        {"resourceType": "Organization", "name": "O", "address": [{"use": "home", "city": "Any"}]},
        {"resourceType": "Organization", "name": "O", "address": [{"use": "work", "city": "Any"}]},
    ),
    "org-3": (
        {"resourceType": "Organization", "name": "O", "telecom": [{"use": "home", "system": "phone", "value": "1"}]},
        {"resourceType": "Organization", "name": "O", "telecom": [{"system": "phone", "value": "1"}]},
    ),
    "pat-1": (
        {**PATIENT, "contact": [{"gender": "female"}]},
        {**PATIENT, "contact": [{"gender": "female", "name": {"text": "Any"}}]},
    ),
    "per-1": (datatype("Period", start="2026-05", end="2025"), datatype("Period", start="2026-04", end="2026-05")),
    "ppc-1": (consent(policyRule=None), consent()),
    "ppc-2": (consent(patient=None, scope=concept("patient-privacy", "something")), consent()),
    "ppc-3": (consent(patient=None, scope=concept("research", "something")), consent()),
    "ppc-4": (consent(patient=None, scope=concept("adr", "something")), consent()),
    "ppc-5": (consent(patient=None, scope=concept("treatment", "something")), consent()),
    "qty-3": (datatype("Quantity", value=1, code="mg"), datatype("Quantity", value=1, code="mg", system=UCUM)),
    "que-7": (
        asking({"question": "b", "operator": "exists", "answerString": "a"}),
        asking({"question": "b", "operator": "exists", "answerBoolean": True}),
    ),
    "que-12": (
        asking(ASKS, ASKS, enableBehavior=None),
        asking(ASKS, ASKS),
    ),
    "ras-2": (risk(probabilityDecimal=101), risk(rationale="any")),
    "rat-1": (datatype("Ratio", numerator={"value": 1}), datatype("Ratio", numerator={"value": 1}, denominator=KG)),
    "ref-1": (observation(subject={"reference": "#"}), contained(PATIENT, focus=[{"display": "any"}])),
    "rng-2": (datatype("Range", low=KG, high={**KG, "value": 1}), datatype("Range", low=KG, high=KG)),
    "tim-1": (timing(duration=1), timing(duration=1, durationUnit="h")),
    "tim-2": (timing(period=1), timing(period=1, periodUnit="h")),
    "tim-4": (timing(duration=-1, durationUnit="h"), timing(_duration=NO_VALUE, durationUnit="h")),
    "tim-5": (timing(period=-1, periodUnit="h"), timing(_period=NO_VALUE, periodUnit="h")),
    "tim-6": (timing(periodMax=2), timing(period=1, periodMax=2, periodUnit="h")),
    "tim-7": (timing(durationMax=2), timing(duration=1, durationMax=2, durationUnit="h")),
    "tim-8": (timing(countMax=2), timing(count=1, countMax=2)),
    "tim-9": (timing(offset=5, when=["AC", "C"]), timing(offset=5, when=["ACM", "PCM"])),
    "tim-10": (timing(timeOfDay=["08:00:00"], when=["ACM"]), timing(timeOfDay=["08:00:00"])),
    "trd-1": (
        datatype("TriggerDefinition", type="data-added", data=[{"type": "Observation"}], timingDate="2026"),
        datatype("TriggerDefinition", type="data-added", data=[{"type": "Observation"}]),
    ),
    "trd-2": (
        datatype(
            "TriggerDefinition",
            type="named-event",
            name="any",
            condition={"language": "text/cql", "expression": "true"},
        ),
        datatype("TriggerDefinition", type="named-event", name="any"),
    ),
    "trd-3": (
        datatype("TriggerDefinition", type="named-event"),
        datatype("TriggerDefinition", type="periodic", timingDate="2026"),
    ),
    "txt-1": (
        observation(text={"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'><script/>a</div>"}),
        observation(text={"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'>a</div>"}),
    ),
    "txt-2": (
        observation(text={"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'> </div>"}),
        observation(text={"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'>a</div>"}),
    ),
}  # fmt: skip
"""Key: what breaks it and what does not."""


NEVER = {"eld-11": "`select` gives an answer for every type, so `exists()` is always true where there is a type"}
"""Invariants that no instance breaks as they are published; nobody mends them."""
ALSO = {
    "dom-2": {"ref-1"},
    "eld-19": {"eld-20"},
    "txt-1": {"txt-2"},
    "txt-2": {"txt-1"},
    **{key: {"cod-system"} for key in ("ppc-2", "ppc-3", "ppc-4", "ppc-5")},
}
"""What the same instance cannot help breaking: txt-1 and txt-2 are one expression, ppc-2 names a bad system."""


def broken(validator: Validator, resource: Resource) -> set[str]:
    """Return the keys of the invariants that the walker finds broken; dom-6 only where a narrative is the point."""
    return {i.rule for i in validator.issues(resource) if i.code == "invariant" or i.rule == "ele-1"} - {"dom-6"}


@pytest.fixture
def unaided(monkeypatch: pytest.MonkeyPatch) -> None:
    """FHIRPath alone: no rule in plain Python but those that R4 has no expression for."""
    monkeypatch.setattr(invariants, "HOT", stated.RUN)


@pytest.mark.parametrize("key", sorted(CASES.keys() - {"dom-6"} - NEVER.keys()))
def test_one_instance_breaks_the_invariant_and_nothing_else(plain: Validator, key: str) -> None:
    bad, good = CASES[key]
    assert broken(plain, bad) - ALSO.get(key, set()) == {key}
    assert broken(plain, good) == set()


@pytest.mark.parametrize("key", CASES)
@pytest.mark.usefixtures("unaided")
def test_fhirpath_alone_finds_the_same_as_the_rules_in_python(
    plain: Validator, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [broken(plain, instance) for instance in CASES[key]]
    monkeypatch.setattr(invariants, "HOT", HOT)
    assert alone == [broken(plain, instance) for instance in CASES[key]]


@pytest.mark.parametrize("key", CASES)
def test_the_fast_path_agrees(plain: Validator, key: str) -> None:
    for instance in CASES[key]:
        fine = not any(issue.severity == "error" for issue in plain.issues(instance))
        assert plain.is_valid(instance) == fine
        assert fine or not plain._surely_valid(instance, [])


LOCAL: list[tuple[Resource, set[str]]] = [
    (bundle("collection", {"resource": contained(PATIENT)}), set()),
    (bundle("collection", {"resource": observation(subject={"reference": "#p"})}), {"ref-1"}),
    (
        bundle("collection", {"resource": contained(PATIENT)}, {"resource": observation(focus=[{"reference": "#p"}])}),
        {"ref-1"},
    ),
    (bundle("collection", {"resource": observation(subject={"reference": "#"})}), {"ref-1"}),
    (
        {
            "resourceType": "Organization",
            "name": "O",
            "contained": [{"resourceType": "Patient", "id": "p", "managingOrganization": {"reference": "#"}}],
        },
        set(),
    ),
]


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(("resource", "keys"), LOCAL)
def test_a_local_reference_looks_into_its_own_container_not_into_the_bundle(
    plain: Validator, resource: Resource, keys: set[str], alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if alone:
        monkeypatch.setattr(invariants, "HOT", stated.RUN)
    assert broken(plain, resource) == keys


def test_a_resource_without_narrative_is_advised_to_have_one(plain: Validator) -> None:
    bad, good = CASES["dom-6"]
    assert [i.severity for i in plain.issues(bad) if i.rule == "dom-6"] == ["information"]
    assert not [i for i in plain.issues(good) if i.rule == "dom-6"]


def test_every_invariant_of_the_types_we_ship_has_a_case(plain: Validator) -> None:
    keys = set()
    for url in plain.definitions.urls():
        structure = plain.definitions.structure(url) or {}
        ours = structure.get("type") in SHIPPED or structure.get("kind") in ("complex-type", "primitive-type")
        if ours and structure.get("derivation") != "constraint":
            elements = structure.get("snapshot", {}).get("element", ())
            keys |= {rule["key"] for element in elements for rule in element.get("constraint", ())}
    assert len(keys) > 80
    assert keys <= CASES.keys()


@pytest.mark.parametrize("published", MENDED)
@pytest.mark.usefixtures("unaided")
def test_a_mended_expression_decides_where_the_published_one_does_not(
    plain: Validator, published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = MENDED[published].reason.partition(":")[0]
    bad, good = CASES[key]
    assert (key in broken(plain, bad), key in broken(plain, good)) == (True, False)
    monkeypatch.setattr(invariants, "mended", lambda expression: expression)
    assert (key in broken(plain, bad), key in broken(plain, good)) != (True, False)
