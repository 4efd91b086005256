"""A MeasureReport is checked against its Measure."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.errors import Resource
from tests.validation.conftest import Judge

Part = dict[str, Any]
SYSTEM = "http://terminology.hl7.org/CodeSystem/measure-population"
SCORING = "http://terminology.hl7.org/CodeSystem/measure-scoring"


def population(code: str, **more: Any) -> Part:
    return {"code": {"coding": [{"system": SYSTEM, "code": code}]}, **more}


def counted(*codes: str, **more: Any) -> Part:
    return {"population": [population(code, count=1) for code in codes], **more}


def measure(*groups: Part, scoring: str = "cohort") -> Resource:
    return {
        "resourceType": "Measure",
        "url": "http://trial.example.test/fhir/Measure/m",
        "status": "active",
        "scoring": {"coding": [{"system": SCORING, "code": scoring}]},
        "group": list(groups),
    }


def report(*groups: Part, status: str = "complete", kind: str = "summary") -> Resource:
    return {
        "resourceType": "MeasureReport",
        "status": status,
        "type": kind,
        "measure": "http://trial.example.test/fhir/Measure/m",
        "period": {"start": "2025", "end": "2026"},
        **({"group": list(groups)} if groups else {}),
    }


def wanted(*codes: str, **more: Any) -> Part:
    criteria = {"language": "text/cql", "expression": "X"}
    return {"population": [population(code, criteria=criteria) for code in codes], **more}


def text(value: str) -> Part:
    return {"text": value}


def rules(judge: Judge, resource: Resource, *also: Resource) -> list[str]:
    return [issue.rule for issue in judge(resource, also=also) if issue.severity == "error"]


ONE = measure(wanted("initial-population", "numerator"))
TWO = measure(wanted("numerator", code=text("a")), wanted("numerator", code=text("b")))


@pytest.mark.parametrize(
    ("groups", "broken"),
    [
        ([counted("initial-population", "numerator")], []),
        ([counted("numerator", "initial-population")], []),
        ([counted("initial-population")], ["mrp-missing"]),
        ([counted("initial-population", "numerator", "denominator")], ["mrp-code"]),
        ([counted("initial-population", "numerator", "numerator")], ["mrp-code"]),
        ([{"population": [*counted("initial-population", "numerator")["population"], {"count": 1}]}], ["mrp-code"]),
    ],
)
def test_the_populations_are_the_measure_s(judge: Judge, groups: list[Part], broken: list[str]) -> None:
    assert rules(judge, report(*groups), ONE) == broken


@pytest.mark.parametrize(
    ("codes", "broken"),
    [("ab", []), ("ba", []), ("a", ["mrp-missing"]), ("abc", ["mrp-code"]), ("aab", ["mrp-code"])],
)
def test_several_groups_are_told_apart_by_their_codes(judge: Judge, codes: str, broken: list[str]) -> None:
    assert rules(judge, report(*[counted("numerator", code=text(code)) for code in codes]), TWO) == broken


def test_what_is_not_complete_may_lack_groups(judge: Judge) -> None:
    assert rules(judge, report(counted("numerator", code=text("a")), status="pending"), TWO) == []
    assert rules(judge, report(kind="data-collection"), TWO) == []


def test_an_observation_that_is_computed_need_not_be_reported(judge: Judge) -> None:
    computed = measure(wanted("numerator", "measure-observation"))
    assert rules(judge, report(counted("numerator")), computed) == []


def test_a_cohort_has_no_score(judge: Judge) -> None:
    scored = report(counted("numerator", measureScore={"value": 1}))
    assert rules(judge, scored, measure(wanted("numerator"))) == ["mrp-score"]
    assert rules(judge, scored, measure(wanted("numerator"), scoring="proportion")) == []


def test_the_stratifiers_are_the_measure_s(judge: Judge) -> None:
    criteria = {"language": "text/cql", "expression": "X"}
    by_age = measure(wanted("numerator", stratifier=[{"code": text("age"), "criteria": criteria}]))
    for code, broken in (("age", []), ("sex", ["mrp-code"])):
        assert rules(judge, report(counted("numerator", stratifier=[{"code": [text(code)]}])), by_age) == broken


def test_without_its_measure_a_report_is_not_refused(judge: Judge) -> None:
    assert rules(judge, report(counted("numerator"))) == []
