"""The OperationOutcome a client gets."""

from __future__ import annotations

import pytest

from fhirbridge.errors import ProfileError
from fhirbridge.validation import Validator, has_errors
from tests.validation.building import OBSERVATION, SITE, UCUM, by, concept, element, profile


def test_nothing_to_say_is_said(plain: Validator) -> None:
    outcome = plain.validate({"resourceType": "Basic", "code": {"text": "x"}, "text": NARRATIVE})
    assert outcome["issue"] == [{"severity": "information", "code": "informational", "details": {"text": "All OK"}}]
    assert not has_errors(outcome)


NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}


def test_an_issue_names_rule_profile_and_place(plain: Validator) -> None:
    outcome = plain.validate({**OBSERVATION, "status": "done"})
    first = outcome["issue"][0]
    assert (first["severity"], first["code"], first["expression"]) == ("error", "code-invalid", ["Observation.status"])
    rule, where, which = first["details"]["coding"]
    assert rule["code"] == "binding"
    assert where == {"system": "urn:ietf:rfc:3986", "code": "http://hl7.org/fhir/StructureDefinition/Observation"}
    assert which["code"] == "Observation.status"
    assert first["diagnostics"].startswith("Use one of: amended, ")


def test_errors_come_before_warnings(plain: Validator) -> None:
    note = [{"text": "x "}]
    found = [i["severity"] for i in plain.validate({**OBSERVATION, "status": "done", "note": note})["issue"]]
    assert found == sorted(found, key=["error", "warning", "information"].index)
    assert {"error", "warning", "information"} == set(found)


def test_the_outcome_is_itself_valid(plain: Validator) -> None:
    outcome = plain.validate({**OBSERVATION, "status": "done", "foo": 1})
    assert not has_errors(plain.validate(outcome))


def test_a_profile_that_is_not_loaded_is_refused_by_name(plain: Validator) -> None:
    for ask in (plain.validate, plain.is_valid):
        with pytest.raises(ProfileError, match="not loaded"):
            ask(OBSERVATION, ["https://example.org/none"])
    with pytest.raises(ProfileError, match="not loaded"):
        plain.snapshot("https://example.org/none")


def test_an_unknown_meta_profile_is_a_warning(plain: Validator) -> None:
    resource = {**OBSERVATION, "meta": {"profile": ["https://example.org/none"]}}
    assert "profile-unknown" in {i.rule for i in plain.issues(resource) if i.severity == "warning"}
    assert plain.is_valid(resource)
    assert not plain.is_valid({**resource, "status": "done"})


def test_a_known_meta_profile_is_checked() -> None:
    strict = profile("strict", "Observation", element("Observation.value[x]", max="0"))
    validator = Validator.load([strict])
    assert validator.is_valid(OBSERVATION)
    assert not validator.is_valid({**OBSERVATION, "meta": {"profile": [strict["url"]]}})
    assert not validator.is_valid({**OBSERVATION, "meta": {"profile": [strict["url"] + "|1.0.0"]}})


def test_a_profile_on_another_type_does_not_fit(plain: Validator) -> None:
    issues = plain.issues(OBSERVATION, ["http://hl7.org/fhir/StructureDefinition/Patient"])
    assert "profile-type" in {i.rule for i in issues if i.severity == "error"}


def test_a_profile_of_the_core_package_is_enforced(plain: Validator) -> None:
    weight = "http://hl7.org/fhir/StructureDefinition/bodyweight"
    good = {
        **OBSERVATION,
        "category": [
            {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}
                ]
            }
        ],
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
        "valueQuantity": {"value": 70, "unit": "kg", "system": UCUM, "code": "kg"},
    }
    assert [i for i in plain.issues(good, [weight]) if i.severity == "error"] == []
    assert not plain.is_valid({**good, "valueQuantity": {**good["valueQuantity"], "code": "mg"}}, [weight])
    assert not plain.is_valid({**good, "category": [{"text": "x"}]}, [weight])
    assert SITE not in weight


def test_advice_is_information_and_all_is_ok(plain: Validator) -> None:
    first, advice = plain.validate({"resourceType": "Basic", "code": {"text": "x"}})["issue"]
    assert first["details"]["text"] == "All OK"
    assert (advice["severity"], advice["details"]["coding"][0]["code"]) == ("information", "dom-6")


def test_a_code_its_own_system_lacks_is_an_error(plain: Validator) -> None:
    coding = {"system": "http://hl7.org/fhir/observation-status", "code": "done"}
    issues = plain.issues({**OBSERVATION, "method": {"coding": [coding]}})
    assert ("code-unknown", "error", "Observation.method.coding[0]") in {(i.rule, i.severity, i.path) for i in issues}


def test_an_invariant_that_cannot_be_evaluated_is_an_error(plain: Validator) -> None:
    rule = {"key": "x-1", "severity": "error", "human": "x", "expression": "nofunction()"}
    strict = profile("strict", "Observation", element("Observation", constraint=[rule]))
    validator = Validator.load([strict])
    assert [i.rule for i in validator.issues(OBSERVATION, [strict["url"]]) if i.severity == "error"] == ["x-1"]
    assert not validator.is_valid(OBSERVATION, [strict["url"]])


MANY = {**OBSERVATION, "component": [{"code": {"text": "a"}, "valueString": "x", "foo": n} for n in range(20)]}


def test_the_same_finding_at_many_indexes_is_one_issue_on_request(plain: Validator) -> None:
    every, grouped = plain.validate(MANY), plain.validate(MANY, group=True)
    assert sum(issue["severity"] == "error" for issue in every["issue"]) == 20
    [error] = [issue for issue in grouped["issue"] if issue["severity"] == "error"]
    assert error["details"]["text"].endswith("(20 times)")
    assert error["expression"] == [f"Observation.component[{n}].foo" for n in range(5)]
    assert not has_errors(plain.validate(grouped))


def test_a_limit_counts_what_is_left_out(plain: Validator) -> None:
    issues = plain.validate(MANY, limit=3)["issue"]
    assert [issue["severity"] for issue in issues] == ["error"] * 3 + ["information"]
    assert "17 error" in issues[-1]["details"]["text"]


def test_an_issue_names_the_element_with_its_slice() -> None:
    sliced = profile(
        "sliced",
        "Observation",
        element("Observation.value[x]", slicing=by("type", "$this")),
        element("Observation.value[x]:valueQuantity", type=[{"code": "Quantity"}]),
        element("Observation.value[x]:valueQuantity.unit", min=1),
        element("Observation.component", slicing=by("pattern", "code")),
        element("Observation.component:red", min=1),
        element("Observation.component:red.code", patternCodeableConcept=concept("red")),
    )
    found = Validator.load([sliced]).issues({**OBSERVATION, "valueQuantity": {"value": 1}}, [sliced["url"]])
    named = {issue.element for issue in found if issue.severity == "error"}
    assert named == {"Observation.value[x]:valueQuantity.unit", "Observation.component:red"}
