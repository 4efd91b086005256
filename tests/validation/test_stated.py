"""Rules that R4 states in words: one resource that breaks each, one beside it that does not."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.errors import Resource
from fhirbridge.validation import Validator
from tests.validation.building import CODES, COLOURS, OBSERVATION, PATIENT, SITE, UCUM, concept, element, profile
from tests.validation.conftest import Judge, errors

SHA1_OF_A = "hvfkN/qlp/zhXR3cuerq6jd2Z7g="
COPY = {**COLOURS, "url": SITE + "CodeSystem/copy"}
GUIDE: Resource = {
    "resourceType": "ImplementationGuide",
    "url": SITE + "ImplementationGuide/g",
    "global": [{"type": "Patient", "profile": SITE + "StructureDefinition/everyone"}],
}
SUPPLEMENT: Resource = {
    "resourceType": "CodeSystem",
    "url": SITE + "CodeSystem/names",
    "status": "active",
    "content": "supplement",
    "supplements": CODES,
}


def _patient(**more: Any) -> Resource:
    return {**PATIENT, **more}


def _photo(**more: Any) -> Resource:
    return _patient(photo=[{"contentType": "text/plain", "data": "YQ==", **more}])


def _value_set(*include: Resource) -> Resource:
    return {"resourceType": "ValueSet", "status": "draft", "compose": {"include": list(include)}}


def _map(code: str) -> Resource:
    group = {"source": CODES, "element": [{"code": code, "target": [{"code": "x", "equivalence": "equal"}]}]}
    return {"resourceType": "ConceptMap", "status": "draft", "group": [group]}


def _questions(asked: str) -> Resource:
    when = [{"question": asked, "operator": "exists", "answerBoolean": True}]
    items = [{"linkId": "1", "type": "string"}, {"linkId": "2", "type": "string", "enableWhen": when}]
    return {"resourceType": "Questionnaire", "status": "draft", "item": items}


def _search(expression: str) -> Resource:
    head = {"resourceType": "SearchParameter", "url": SITE + "s", "name": "S", "status": "draft", "description": "d"}
    return {**head, "code": "s", "base": ["Patient"], "type": "token", "expression": expression}


LABEL = {"system": SITE + "labels", "code": "a"}
RIGHT_AND_WRONG: list[tuple[str, Resource, Resource]] = [
    ("att-size", _photo(size=1), _photo(size=5)),
    ("att-hash", _photo(hash=SHA1_OF_A), _photo(hash="AAAA")),
    ("cod-system", OBSERVATION, {**OBSERVATION, "method": concept("x", "colours")}),
    ("ide-system", PATIENT, _patient(identifier=[{"system": "number", "value": "1"}])),
    ("ide-value", _patient(identifier=[{"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3"}]),
     _patient(identifier=[{"system": "urn:ietf:rfc:3986", "value": "1.2.3"}])),
    ("met-security", _patient(meta={"security": [LABEL]}), _patient(meta={"security": [LABEL, LABEL]})),
    ("qty-unit", OBSERVATION, {**OBSERVATION, "valueQuantity": {"value": 1, "system": UCUM, "code": "mgs"}}),
    ("res-ids", _patient(name=[{"id": "a", "family": "x"}, {"id": "b", "family": "y"}]),
     _patient(name=[{"id": "a", "family": "x"}], contact=[{"id": "a", "gender": "male"}])),
    ("csd-count", {**COPY, "count": 6}, {**COPY, "count": 7}),
    ("vsd-system", _value_set({"system": CODES}), _value_set({"system": "colours"})),
    ("vsd-system", _value_set({"system": SITE + "elsewhere"}), _value_set({"system": SITE + "ValueSet/warm"})),
    ("cmd-code", _map("red"), _map("pink")),
    ("que-links", _questions("1"), _questions("9")),
    ("spd-expression", _search("Patient.name.where(use = 'usual')"), _search("Patient.name.where(")),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "right", "wrong"), RIGHT_AND_WRONG, ids=lambda x: x if isinstance(x, str) else "")
def test_what_is_only_stated_in_words_is_checked_too(judge: Judge, rule: str, right: Resource, wrong: Resource) -> None:
    assert not errors(judge(right))
    assert rule in {found for found, _ in errors(judge(wrong))}


def test_contained_resources_have_ids_of_their_own(judge: Judge) -> None:
    inner = {"resourceType": "Patient", "id": "s", "name": [{"id": "a", "family": "x"}]}
    outer = {**OBSERVATION, "subject": {"reference": "#s"}, "contained": [inner], "note": [{"id": "a", "text": "x"}]}
    assert not errors(judge(outer))


def test_snapshots_are_told_without_the_rules_that_were_put_in(plain: Validator) -> None:
    root = plain.snapshot("http://hl7.org/fhir/StructureDefinition/Identifier")["snapshot"]["element"][0]
    assert [rule["key"] for rule in root["constraint"]] == ["ele-1"]


@pytest.mark.parametrize(
    ("system", "fine"),
    [
        ("http://snomed.info/sct", True),
        ("http://snomed.info/sct/", False),
        ("http://loinc.org/", False),
        ("http://hl7.org/fhir/ValueSet/identifier-type", False),
        (SITE + "ValueSet/warm", False),
        (SUPPLEMENT["url"], False),
        ("https://example.org/not-loaded", True),
    ],
)
def test_a_coding_names_a_code_system_by_its_one_uri(judge: Judge, system: str, fine: bool) -> None:
    found = errors(judge({**OBSERVATION, "method": concept("x", system)}, also=(SUPPLEMENT,)))
    assert found == (set() if fine else {("code-unknown", "Observation.method.coding[0]")})


def test_codes_of_a_system_that_ignores_case_are_still_looked_up(judge: Judge) -> None:
    loose = {**COLOURS, "url": SITE + "CodeSystem/loose", "caseSensitive": False}
    for code, wrong in (("RED", 0), ("red", 0), ("pink", 1)):
        found = errors(judge({**OBSERVATION, "method": concept(code, loose["url"])}, also=(loose,)))
        assert len(found) == wrong


@pytest.mark.parametrize(
    ("language", "fine"),
    [("en", True), ("zh-Hant-TW", True), ("cmn", True), ("x-own", True), ("xx", False), ("en_US", False),
     ("english", False)],
)  # fmt: skip
def test_a_language_is_one_that_bcp_47_can_write(judge: Judge, language: str, fine: bool) -> None:
    assert bool(errors(judge(_patient(language=language)))) != fine


def test_a_currency_is_one_of_iso_4217(judge: Judge) -> None:
    invoice = {"resourceType": "Invoice", "status": "draft"}
    assert not errors(judge({**invoice, "totalNet": {"value": 1, "currency": "CNY"}}))
    assert errors(judge({**invoice, "totalNet": {"value": 1, "currency": "XYZ"}}))


def test_a_required_code_cannot_be_left_to_an_extension(judge: Judge) -> None:
    absent = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
    resource = {key: value for key, value in PATIENT.items() if key != "gender"}
    assert errors(judge({**resource, "_gender": {"extension": [absent]}})) == {("binding", "Patient.gender")}
    assert not errors(judge({**resource, "_birthDate": {"extension": [absent]}}))


def test_a_canonical_is_absolute_and_leads_to_what_the_element_may_name(judge: Judge) -> None:
    answers = {"resourceType": "QuestionnaireResponse", "status": "completed"}
    for canonical, rule in (
        (SITE + "Questionnaire/q", None),
        ("Questionnaire/q", "type-canonical"),
        ("http://hl7.org/fhir/ValueSet/administrative-gender", "reference-target"),
    ):
        found = {found for found, _ in errors(judge({**answers, "questionnaire": canonical}))}
        assert found == ({rule} if rule else set())


@pytest.mark.parametrize("uri", ["oid:1.2.3", "uuid:0c2fb2b5-0000-4000-8000-000000000000",
                                 "urn:uuid:0C2FB2B5-0000-4000-8000-000000000000"])  # fmt: skip
def test_oids_and_uuids_are_urns_in_lower_case(judge: Judge, uri: str) -> None:
    assert errors(judge(_patient(identifier=[{"system": uri, "value": "1"}])))


def test_a_string_of_spaces_is_a_warning_only(judge: Judge) -> None:
    issues = judge(_patient(name=[{"family": "  "}]))
    assert not errors(issues)
    assert "whitespace" in {issue.rule for issue in issues if issue.severity == "warning"}


def test_a_differential_that_contradicts_its_base_makes_the_definition_invalid(judge: Judge) -> None:
    assert not errors(judge(profile("fine", "Patient", element("Patient.name", min=1))))
    broken = profile("broken", "Patient", element("Patient.nickname", min=1))
    assert ("differential", "StructureDefinition.differential") in errors(judge(broken))


def test_a_guide_may_ask_a_profile_of_every_resource_of_a_type(judge: Judge) -> None:
    everyone = profile("everyone", "Patient", element("Patient.name", min=1))
    assert errors(judge(PATIENT, also=(GUIDE, everyone))) == {("min", "Patient.name")}
    assert not errors(judge(OBSERVATION, also=(GUIDE, everyone)))


@pytest.mark.parametrize("data", ["YQ==é", "YQ=\u200b", "Y"])
def test_an_attachment_s_size_is_not_asked_of_what_is_no_base64(judge: Judge, data: str) -> None:
    assert errors(judge(_photo(data=data, size=1))) == {("type-base64Binary", "Patient.photo[0].data")}


@pytest.mark.parametrize("wrong", [["1"], {"value": "1"}, 1])
def test_a_questionnaire_s_links_are_compared_even_where_they_are_no_text(judge: Judge, wrong: object) -> None:
    when = [{"question": wrong, "operator": "exists", "answerBoolean": True}]
    items = [{"linkId": wrong, "type": "string"}, {"linkId": "2", "type": "string", "enableWhen": when}]
    found = errors(judge({"resourceType": "Questionnaire", "status": "draft", "item": items}))
    assert {"Questionnaire.item[0].linkId", "Questionnaire.item[1].enableWhen[0].question"} <= {p for _, p in found}
