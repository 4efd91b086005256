"""A QuestionnaireResponse is checked against its Questionnaire, contained or loaded."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.errors import Resource
from fhirbridge.validation import Validator
from tests.validation.conftest import Judge

Item = dict[str, Any]
HL7 = "http://hl7.org/fhir/StructureDefinition/"
SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/"
UCUM = "http://unitsofmeasure.org"
SYSTEM = "http://trial.example.test/fhir/CodeSystem/choices"
OPTIONS = [{"valueCoding": {"system": SYSTEM, "code": code}} for code in ("a", "b")]
GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"


def asked(link: str, kind: str = "string", **more: Any) -> Item:
    return {"linkId": link, "type": kind, **more}


def given(link: str, *answers: Item, **more: Any) -> Item:
    return {"linkId": link, **({"answer": list(answers)} if answers else {}), **more}


def text(value: str, **more: Any) -> Item:
    return {"valueString": value, **more}


def coding(code: str, system: str = SYSTEM) -> Item:
    return {"valueCoding": {"system": system, "code": code}}


def limited(kind: str, name: str, **value: Any) -> Item:
    return asked("1", kind, extension=[{"url": (SDC if name.startswith("sdc") else HL7) + name, **value}])


def waiting(operator: str, **answer: Any) -> Item:
    return asked("2", enableWhen=[{"question": "1", "operator": operator, **answer}])


def response(questions: list[Item], items: list[Item], status: str = "completed") -> Resource:
    form = {"resourceType": "Questionnaire", "id": "form", "status": "active", "item": questions}
    return {
        "resourceType": "QuestionnaireResponse",
        "contained": [form],
        "questionnaire": "#form",
        "status": status,
        **({"item": items} if items else {}),
    }


def rules(judge: Judge, resource: Resource, *also: Resource) -> set[str]:
    return {issue.rule for issue in judge(resource, also=also) if issue.severity == "error"}


ALWAYS = asked("9")
"""A question that is answered beside another, so that the response is not empty."""
DONE = given("9", text("x"))
STRUCTURE: list[tuple[str, list[Item], list[Item], set[str]]] = [
    ("as asked", [asked("1")], [given("1", text("x"))], set()),
    ("a question not asked", [asked("1")], [given("2", text("x"))], {"qrs-link"}),
    ("a question asked in a group", [asked("1", "group", item=[asked("2")])], [given("2", text("x"))], {"qrs-link"}),
    ("the order turned", [asked("1"), asked("2")], [given("2", text("x")), given("1", text("x"))], {"qrs-order"}),
    ("another text", [asked("1", text="How?")], [given("1", text("x"), text="Why?")], {"qrs-text"}),
    ("the same text", [asked("1", text="How?")], [given("1", text("x"), text="How?")], set()),
    ("two answers to one question", [asked("1")], [given("1", text("x"), text("y"))], {"qrs-repeats"}),
    ("two answers where it repeats", [asked("1", repeats=True)], [given("1", text("x"), text("y"))], set()),
    ("an item twice", [asked("1")], [given("1", text("x")), given("1", text("y"))], {"qrs-repeats"}),
    ("a required item left out", [asked("1", required=True), ALWAYS], [DONE], {"qrs-required"}),
    ("a required item without answer", [asked("1", required=True)], [given("1")], {"qrs-required"}),
    ("no items, one required", [asked("1", required=True)], [], {"qrs-required"}),
    ("a required item of a group left out", [asked("1", "group", item=[asked("2", required=True)]), ALWAYS],
     [DONE], set()),
    ("an empty required group", [asked("1", "group", required=True, item=[asked("2")])], [given("1")],
     {"qrs-required"}),
    ("a group with an answer", [asked("1", "group", item=[asked("2")])], [given("1", text("x"))], {"qrs-type"}),
    ("a display with an answer", [asked("1", "display")], [given("1", text("x"))], {"qrs-type"}),
    ("items beside the answer", [asked("1", item=[asked("2")])], [{"linkId": "1", "item": [given("2", text("x"))]}],
     {"qrs-link"}),
    ("items in the answer", [asked("1", item=[asked("2")])], [given("1", text("x", item=[given("2", text("y"))]))],
     set()),
    ("a required item below an answer", [asked("1", item=[asked("2", required=True)])], [given("1", text("x"))],
     {"qrs-required"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("questions", "items", "broken"), [row[1:] for row in STRUCTURE], ids=[r[0] for r in STRUCTURE]
)
def test_the_items_are_those_of_the_form(
    judge: Judge, questions: list[Item], items: list[Item], broken: set[str]
) -> None:
    assert rules(judge, response(questions, items)) == broken


@pytest.mark.parametrize("status", ["in-progress", "stopped", "entered-in-error"])
def test_only_what_is_finished_must_be_complete(judge: Judge, status: str) -> None:
    assert rules(judge, response([asked("1", required=True), ALWAYS], [DONE], status)) == set()
    assert rules(judge, response([asked("1", required=True), ALWAYS], [DONE], "amended")) == {"qrs-required"}


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("boolean", {"valueBoolean": True}, text("x")),
        ("decimal", {"valueDecimal": 1.5}, {"valueInteger": 1}),
        ("integer", {"valueInteger": 1}, {"valueDecimal": 1.5}),
        ("date", {"valueDate": "2026-01-01"}, {"valueDateTime": "2026-01-01"}),
        ("dateTime", {"valueDateTime": "2026-01-01"}, {"valueDate": "2026-01-01"}),
        ("time", {"valueTime": "10:00:00"}, text("10:00:00")),
        ("text", text("x"), {"valueBoolean": True}),
        ("url", {"valueUri": "http://trial.example.test"}, text("x")),
        ("choice", coding("a"), text("a")),
        ("open-choice", text("anything"), {"valueInteger": 1}),
        ("attachment", {"valueAttachment": {"url": "http://trial.example.test"}}, text("x")),
        ("reference", {"valueReference": {"reference": "Patient/1"}}, text("x")),
        ("quantity", {"valueQuantity": {"value": 1}}, {"valueDecimal": 1.5}),
    ],
)
def test_an_answer_has_the_type_of_its_question(judge: Judge, kind: str, right: Item, wrong: Item) -> None:
    assert rules(judge, response([asked("1", kind)], [given("1", right)])) == set()
    assert rules(judge, response([asked("1", kind)], [given("1", wrong)])) == {"qrs-type"}


@pytest.mark.parametrize(
    ("question", "right", "wrong"),
    [
        (asked("1", "choice", answerOption=OPTIONS), coding("a"), coding("c")),
        (asked("1", "choice", answerOption=OPTIONS), coding("b"), coding("b", "http://other.example.test")),
        (asked("1", "open-choice", answerOption=OPTIONS), text("else"), coding("c")),
        (asked("1", "choice", answerOption=[{"valueInteger": 1}]), {"valueInteger": 1}, {"valueInteger": 2}),
        (asked("1", "choice", answerOption=[{"valueString": "x"}]), text("x"), text("y")),
        (asked("1", "choice", answerValueSet=GENDERS), coding("male", "http://hl7.org/fhir/administrative-gender"),
         coding("a")),
    ],
)  # fmt: skip
def test_an_answer_is_one_of_the_options(judge: Judge, question: Item, right: Item, wrong: Item) -> None:
    assert rules(judge, response([question], [given("1", right)])) == set()
    assert rules(judge, response([question], [given("1", wrong)])) == {"qrs-option"}


def test_the_options_may_stand_in_a_value_set_that_the_form_contains(judge: Judge) -> None:
    listed = {"system": SYSTEM, "concept": [{"code": "a"}]}
    options = {"resourceType": "ValueSet", "id": "v", "status": "active", "compose": {"include": [listed]}}
    form: Resource = {"resourceType": "Questionnaire", "url": "http://trial.example.test/q", "status": "active"}
    form |= {"contained": [options], "item": [asked("1", "choice", answerValueSet="#v")]}
    filled = {"resourceType": "QuestionnaireResponse", "questionnaire": form["url"], "status": "completed"}
    assert rules(judge, {**filled, "item": [given("1", coding("a"))]}, form) == set()
    assert rules(judge, {**filled, "item": [given("1", coding("b"))]}, form) == {"qrs-option"}


@pytest.mark.parametrize(
    ("question", "right", "wrong"),
    [
        (asked("1", maxLength=2), text("xx"), text("xxx")),
        (limited("string", "minLength", valueInteger=2), text("xx"), text("x")),
        (limited("string", "regex", valueString="a+"), text("aa"), text("b")),
        (limited("integer", "minValue", valueInteger=2), {"valueInteger": 2}, {"valueInteger": 1}),
        (limited("decimal", "maxValue", valueDecimal=2.5), {"valueDecimal": 2.5}, {"valueDecimal": 2.6}),
        (limited("date", "maxValue", valueDate="2026-01-01"), {"valueDate": "2025-12-31"}, {"valueDate": "2026-01-02"}),
        (limited("decimal", "maxDecimalPlaces", valueInteger=1), {"valueDecimal": 1.5}, {"valueDecimal": 1.25}),
        (limited("attachment", "mimeType", valueCode="image/png"), {"valueAttachment": {"contentType": "image/png"}},
         {"valueAttachment": {"contentType": "image/gif"}}),
        (limited("attachment", "maxSize", valueDecimal=0.000002),
         {"valueAttachment": {"contentType": "text/plain", "data": "YWI="}},
         {"valueAttachment": {"contentType": "text/plain", "data": "YWJj"}}),
        (limited("reference", "questionnaire-referenceResource", valueCode="Patient"),
         {"valueReference": {"reference": "Patient/1"}}, {"valueReference": {"reference": "Device/1"}}),
        (limited("quantity", "questionnaire-unitOption", valueCoding={"system": UCUM, "code": "kg"}),
         {"valueQuantity": {"value": 1, "system": UCUM, "code": "kg"}},
         {"valueQuantity": {"value": 1, "system": UCUM, "code": "g"}}),
        (limited("quantity", "sdc-questionnaire-maxQuantity", valueQuantity={"value": 1, "system": UCUM, "code": "kg"}),
         {"valueQuantity": {"value": 900, "system": UCUM, "code": "g"}},
         {"valueQuantity": {"value": 1100, "system": UCUM, "code": "g"}}),
    ],
)  # fmt: skip
def test_an_answer_keeps_the_limits_of_its_question(judge: Judge, question: Item, right: Item, wrong: Item) -> None:
    assert rules(judge, response([question], [given("1", right)])) == set()
    assert rules(judge, response([question], [given("1", wrong)])) == {"qrs-limit"}


def test_a_question_says_how_many_answers_it_takes(judge: Judge) -> None:
    extensions = [{"url": f"{HL7}questionnaire-{end}", "valueInteger": 2} for end in ("minOccurs", "maxOccurs")]
    question = asked("1", repeats=True, required=True, extension=extensions)
    for count, broken in ((1, {"qrs-limit"}), (2, set()), (3, {"qrs-limit"})):
        assert rules(judge, response([question], [given("1", *[text("x")] * count)])) == broken


@pytest.mark.parametrize(
    ("question", "first", "enabled"),
    [
        (waiting("exists", answerBoolean=True), [given("1", text("x"))], True),
        (waiting("exists", answerBoolean=True), [], False),
        (waiting("exists", answerBoolean=False), [], True),
        (waiting("=", answerString="x"), [given("1", text("x"))], True),
        (waiting("=", answerString="x"), [given("1", text("y"))], False),
        (waiting("!=", answerString="x"), [given("1", text("y"))], True),
        (waiting("!=", answerString="x"), [given("1", text("x"))], False),
        (waiting("=", answerString="x"), [], False),
    ],
)
def test_only_what_is_enabled_is_answered(judge: Judge, question: Item, first: list[Item], enabled: bool) -> None:
    answered = response([asked("1"), question], [*first, given("2", text("z"))])
    assert rules(judge, answered) == (set() if enabled else {"qrs-enabled"})
    must = {**question, "required": True}
    unanswered = response([asked("1"), must, ALWAYS], [*first, DONE])
    assert rules(judge, unanswered) == ({"qrs-required"} if enabled else set())


@pytest.mark.parametrize(("behaviour", "broken"), [("all", {"qrs-enabled"}), ("any", set())])
def test_several_conditions_hold_together_or_one_is_enough(judge: Judge, behaviour: str, broken: set[str]) -> None:
    conditions = [{"question": link, "operator": "=", "answerBoolean": True} for link in ("1", "2")]
    questions = [asked("1", "boolean"), asked("2", "boolean")]
    questions += [asked("3", enableWhen=conditions, enableBehavior=behaviour)]
    items = [given("1", {"valueBoolean": True}), given("2", {"valueBoolean": False}), given("3", text("x"))]
    assert rules(judge, response(questions, items)) == broken


@pytest.mark.parametrize(
    ("operator", "limit", "enabled"), [(">", 5, False), (">=", 5, True), ("<", 6, True), ("<=", 4, False)]
)
def test_a_condition_compares_numbers(judge: Judge, operator: str, limit: int, enabled: bool) -> None:
    questions = [asked("1", "integer"), waiting(operator, answerInteger=limit)]
    answered = response(questions, [given("1", {"valueInteger": 5}), given("2", text("z"))])
    assert rules(judge, answered) == (set() if enabled else {"qrs-enabled"})


def test_a_form_that_is_not_loaded_is_told_and_one_that_is_not_contained_refused(plain: Validator) -> None:
    filled = {"resourceType": "QuestionnaireResponse", "status": "completed", "item": [given("1", text("x"))]}
    for canonical, severity in (("http://trial.example.test/none", "information"), ("#none", "error")):
        found = [i for i in plain.issues({**filled, "questionnaire": canonical}) if i.rule == "qrs-form"]
        assert [issue.severity for issue in found] == [severity]


@pytest.mark.parametrize("question", ["1", "2"])
def test_a_question_cannot_wait_for_itself_or_what_is_below_it(judge: Judge, question: str) -> None:
    conditions = [{"question": question, "operator": "exists", "answerBoolean": True}]
    form = {"resourceType": "Questionnaire", "status": "active"}
    inner = asked("1", "group", enableWhen=conditions, item=[asked("2")])
    assert rules(judge, {**form, "item": [inner]}) == {"que-waits"}
    outer = [asked("1"), asked("2"), asked("3", "group", enableWhen=conditions, item=[asked("4")])]
    assert rules(judge, {**form, "item": outer}) == set()


@pytest.mark.parametrize("broken", [None, 1, "x", [], {}, [None], [[1]], [{"linkId": ["1"]}], [{"linkId": {}}]])
def test_a_broken_form_or_response_is_refused_and_not_stumbled_over(plain: Validator, broken: Any) -> None:
    for filled in (
        {**response([], []), "item": broken},
        response([asked("1")], [{"linkId": "1", "answer": broken}]),
        response(broken, [given("1", text("x"))]),
        response([asked("1", "choice", answerOption=broken, enableWhen=broken)], [given("1", coding("a"))]),
        response([asked("1", answerOption=broken, extension=broken, type=broken)], [given("1", text("x"))]),
    ):
        assert plain.is_valid(filled) is not any(issue.severity == "error" for issue in plain.issues(filled))
