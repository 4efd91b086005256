"""Contained resources, ids of elements, and how a reference may reach its target."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.errors import Resource
from fhirbridge.validation import Validator
from tests.validation.building import OBSERVATION, PATIENT, element, profile
from tests.validation.conftest import Judge, errors
from tests.validation.specimens import SITE, bundle, entry

ORGANIZATION: Resource = {"resourceType": "Organization", "id": "o", "name": "X"}
TO_IT: dict[str, Any] = {"managingOrganization": {"reference": "#o"}}


def rules(validator: Validator, resource: Resource) -> set[tuple[str, str]]:
    return errors(validator.issues(resource))


def test_contained_resources_have_ids_of_their_own(plain: Validator) -> None:
    twice = {**PATIENT, **TO_IT, "contained": [ORGANIZATION, {"resourceType": "Patient", "id": "o"}]}
    assert ("contained-id", "Patient.contained[1].id") in rules(plain, twice)
    nameless = {**PATIENT, "contained": [{"resourceType": "Organization", "name": "X"}]}
    assert ("contained-id", "Patient.contained[0]") in rules(plain, nameless)


@pytest.mark.parametrize(
    ("resource", "fine"),
    [
        ({**TO_IT, "contained": [ORGANIZATION]}, True),
        ({"contained": [ORGANIZATION]}, False),
        ({"contained": [{**ORGANIZATION, "partOf": {"reference": "#o"}}]}, False),
        ({"contained": [ORGANIZATION], "name": [{"family": "#o"}]}, False),
        ({"contained": [ORGANIZATION], "extension": [{"url": "http://a.org/x", "valueUri": "#o"}]}, True),
        ({**TO_IT, "contained": [{**ORGANIZATION, "partOf": {"reference": "#p"}}, {**ORGANIZATION, "id": "p"}]}, True),
        ({"contained": [{**OBSERVATION, "subject": {"reference": "#"}}]}, True),
    ],
)
def test_a_contained_resource_is_referred_to_from_elsewhere(
    plain: Validator, resource: dict[str, Any], fine: bool
) -> None:
    assert (("dom-3", "Patient") not in rules(plain, {**PATIENT, **resource})) is fine


def test_contained_resources_contain_nothing(plain: Validator) -> None:
    inner = {**ORGANIZATION, "contained": [{**ORGANIZATION, "id": "i"}], "partOf": {"reference": "#i"}}
    assert ("dom-2", "Patient") in rules(plain, {**PATIENT, **TO_IT, "contained": [inner]})


def test_an_extension_cannot_stand_for_an_id(plain: Validator) -> None:
    told = {"_id": {"extension": [{"url": "http://a.org/x", "valueString": "x"}]}}
    unnamed = {key: value for key, value in PATIENT.items() if key != "id"}
    assert rules(plain, {**unnamed, **told}) == {("type-id", "Patient.id")}
    assert rules(plain, {**PATIENT, **told}) == set()


def test_a_reference_has_no_spaces(plain: Validator) -> None:
    found = rules(plain, {**OBSERVATION, "subject": {"reference": " Patient/1"}})
    assert ("reference-format", "Observation.subject.reference") in found


def test_xhtml_has_no_extensions(plain: Validator) -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'
    extended = {"extension": [{"url": "http://a.org/x", "valueString": "x"}]}
    text = {"status": "generated", "div": div, "_div": extended}
    assert ("max", "Patient.text.div.extension") in rules(plain, {**PATIENT, "text": text})


def subject(**how: Any) -> Resource:
    target = "http://hl7.org/fhir/StructureDefinition/Patient"
    type_ = {"code": "Reference", "targetProfile": [target], **how}
    return profile("reaching", "Observation", element("Observation.subject", type=[type_]))


CONTAINED: Resource = {**OBSERVATION, "subject": {"reference": "#p-1"}, "contained": [PATIENT]}
BUNDLED = bundle("collection", entry({**OBSERVATION}), entry(PATIENT))


@pytest.mark.parametrize(
    ("modes", "allowed"),
    [
        (["contained"], {"contained"}),
        (["bundled"], {"bundled"}),
        (["referenced"], {"referenced", "bundled"}),
        (["contained", "bundled"], {"contained", "bundled"}),
    ],
)
def test_aggregation_says_where_the_target_is(judge: Judge, modes: list[str], allowed: set[str]) -> None:
    reaching = subject(aggregation=modes)
    named = {**BUNDLED, "entry": [entry({**OBSERVATION, "meta": {"profile": [reaching["url"]]}}), BUNDLED["entry"][1]]}
    found = {
        "contained": errors(judge(CONTAINED, reaching)),
        "referenced": errors(judge(OBSERVATION, reaching)),
        "bundled": errors(judge(named, also=(reaching,))),
    }
    assert {how for how, broken in found.items() if not broken} == allowed
    refused = {rule for broken in found.values() for rule, _ in broken}
    assert refused == {"reference-aggregation"}


@pytest.mark.parametrize(
    ("versioning", "plain_fine", "versioned_fine"),
    [("specific", False, True), ("independent", True, False), ("either", True, True)],
)
def test_versioning_says_whether_a_version_is_named(
    judge: Judge, versioning: str, plain_fine: bool, versioned_fine: bool
) -> None:
    reaching = subject(versioning=versioning)
    versioned = {**OBSERVATION, "subject": {"reference": f"{SITE}Patient/1/_history/2"}}
    assert (errors(judge(OBSERVATION, reaching)) == set()) is plain_fine
    assert (errors(judge(versioned, reaching)) == set()) is versioned_fine
