"""`$validate`: what is asked, what is answered, and what cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge import fhirjson
from fhirbridge.errors import Resource
from fhirbridge.validation import Validator, has_errors, operation
from fhirbridge.validation.operation import Instance
from tests.validation.building import OBSERVATION, SITE, element, profile

STRICT = profile("strict", "Observation", element("Observation.value[x]", max="0"))
BROKEN = profile("broken", "Observation", element("Observation.nothing", max="0"))
HERE = Instance("Observation", "o-1", OBSERVATION)


@pytest.fixture(scope="module")
def validator() -> Validator:
    return Validator.load([STRICT, BROKEN])


def parameters(**given: Any) -> Resource:
    rows = {"resource": "resource", "mode": "valueCode", "profile": "valueUri"}
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": name, rows.get(name, "valueString"): value} for name, value in given.items()],
    }


def rules(outcome: Resource) -> set[tuple[str, str]]:
    return {
        (issue["severity"], issue["details"]["coding"][0]["code"])
        for issue in outcome["issue"]
        if "coding" in issue["details"] and issue["severity"] != "information"
    }


def test_a_bare_resource_and_parameters_ask_the_same(validator: Validator) -> None:
    wrong = {**OBSERVATION, "status": "done"}
    bare = operation.validate(validator, wrong, type="Observation")
    assert bare == operation.validate(validator, parameters(resource=wrong), type="Observation")
    assert operation.answered(bare)
    assert ("error", "binding") in rules(bare)


@pytest.mark.parametrize("by_url", [True, False])
def test_a_profile_is_taken_from_the_url_or_the_parameters(validator: Validator, by_url: bool) -> None:
    url = STRICT["url"]
    if by_url:
        found = operation.validate(validator, OBSERVATION, profile=url)
    else:
        found = operation.validate(validator, parameters(resource=OBSERVATION, profile=url))
    assert ("error", "max") in rules(found)


def test_a_valid_resource_is_answered_with_all_ok(validator: Validator) -> None:
    found = operation.validate(validator, OBSERVATION, type="Observation", mode="create")
    assert operation.answered(found)
    assert not has_errors(found)
    assert found["issue"][0]["details"]["text"] == "All OK"


def test_a_create_says_that_an_id_is_ignored(validator: Validator) -> None:
    found = operation.validate(validator, OBSERVATION, type="Observation", mode="create")
    assert any("ignores the id 'o-1'" in issue["details"]["text"] for issue in found["issue"])


@pytest.mark.parametrize("id_", [None, "o-2"])
def test_an_update_needs_the_id_of_its_url(validator: Validator, id_: str | None) -> None:
    resource = {key: value for key, value in {**OBSERVATION, "id": id_}.items() if value}
    found = operation.validate(validator, resource, instance=HERE, mode="update")
    assert ("error", "operation") in rules(found)
    assert not has_errors(operation.validate(validator, OBSERVATION, instance=HERE, mode="update"))


def test_a_resource_of_another_type_than_its_url_is_an_error(validator: Validator) -> None:
    found = operation.validate(validator, OBSERVATION, type="Patient")
    assert "Send it to Observation/$validate." in [issue.get("diagnostics") for issue in found["issue"]]


def test_a_delete_ignores_the_content_and_asks_who_refers(validator: Validator) -> None:
    assert not has_errors(operation.validate(validator, {"resourceType": "Nonsense"}, instance=HERE, mode="delete"))
    held = Instance("Observation", "o-1", OBSERVATION, ["DiagnosticReport/7"])
    found = operation.validate(validator, instance=held, mode="delete")
    assert found["issue"][0]["code"] == "conflict"
    assert "DiagnosticReport/7" in found["issue"][0]["details"]["text"]


def test_the_mode_profile_validates_what_is_stored(validator: Validator) -> None:
    found = operation.validate(validator, parameters(mode="profile", profile=STRICT["url"]), instance=HERE)
    assert ("error", "max") in rules(found)


@pytest.mark.parametrize(
    ("body", "asked", "told"),
    [
        (OBSERVATION, {"mode": "destroy"}, "'destroy' is not a mode"),
        (OBSERVATION, {"profile": SITE + "none"}, "not loaded"),
        (OBSERVATION, {"profile": BROKEN["url"]}, "Observation.nothing"),
        (OBSERVATION, {"mode": "update"}, "for one resource"),
        (OBSERVATION, {"mode": "delete"}, "for one resource"),
        (None, {"mode": "profile", "profile": STRICT["url"]}, "for one resource"),
        (None, {"mode": "profile", "instance": HERE}, "needs a profile"),
        (OBSERVATION, {"mode": "profile", "profile": STRICT["url"], "instance": HERE}, "no resource may be sent"),
        (None, {"mode": "delete", "instance": Instance("Observation", "gone")}, "There is no Observation/gone"),
        (None, {}, "no resource to validate"),
        (parameters(mode="create"), {}, "no resource to validate"),
        (parameters(resource=OBSERVATION, profil="x"), {}, "no parameter 'profil'"),
        (parameters(resource=OBSERVATION, mode="create"), {"mode": "update"}, "differ"),
        (parameters(resource="text"), {}, "parameter resource has no resource"),
        ({"resourceType": "Parameters", "parameter": [{"name": "mode", "valueCode": "create"}] * 2}, {}, "twice"),
        ({"resourceType": "Parameters", "parameter": [7]}, {}, "no parameter None"),
    ],
)
def test_a_question_that_cannot_be_answered_is_one_fatal_issue(
    validator: Validator, body: Any, asked: dict[str, Any], told: str
) -> None:
    found = operation.validate(validator, body, **asked)
    assert [issue["severity"] for issue in found["issue"]] == ["fatal"]
    assert told in found["issue"][0]["details"]["text"]
    assert not operation.answered(found)
    assert not has_errors(validator.validate(found))


@pytest.mark.parametrize("body", [[], "text", 7, {}, {"resourceType": 3}, {"resourceType": "Parameters"}])
def test_a_body_that_is_no_resource_is_answered_with_an_error(validator: Validator, body: Any) -> None:
    assert has_errors(operation.validate(validator, body, type="Observation"))


def test_parameters_themselves_can_be_validated(validator: Validator) -> None:
    wrong = {"resourceType": "Parameters", "parameter": [{"valueString": "x"}]}
    found = operation.validate(validator, wrong, type="Parameters")
    assert operation.answered(found)
    assert ("error", "min") in rules(found)


def test_keys_that_the_text_has_twice_are_errors(validator: Validator) -> None:
    text = fhirjson.dumps(OBSERVATION).replace(b'"status"', b'"status":"final","status"')
    found = operation.validate(validator, fhirjson.loads(text), text=text)
    assert ("error", "duplicate-key") in rules(found)
    assert not has_errors(operation.validate(validator, OBSERVATION, text=fhirjson.dumps(OBSERVATION)))
