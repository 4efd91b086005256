"""What is asked follows from what the server says it bears, who made it, and the settings."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from fhirbridge.errors import ConfigurationError
from fhirbridge.sync.pull.asking import AskOptions, Plan, plan
from fhirbridge.terminology.laboratories import Laboratories
from tests.sync.pull.questions import laboratories, planned, says, trial

SINCE = dt.datetime(2026, 3, 20, 12, tzinfo=dt.UTC)


def _asked(plan: Plan, since: dt.datetime | None = None, patients: tuple[str, ...] = ("p1",)) -> dict[str, str]:
    return dict(plan.params(plan.questions[0], patients, since))


def test_an_unknown_server_is_asked_for_one_patients_laboratory_results_by_post() -> None:
    plan = planned()
    assert (plan.vendor, plan.post, plan.patients) == ("generic", True, 1)
    assert _asked(plan) == {"patient": "p1", "category": "laboratory", "_count": "200"}


@pytest.mark.parametrize(
    ("software", "vendor", "bears"),
    [
        ("HAPI FHIR Server", "hapi", {"patients": 50, "sifts": True}),
        ("SEKMET FHIR", "sekmet", {"patients": 50, "sort": "_id"}),
        ("Epic", "epic", {"patients": 1}),
        ("Oracle Health Millennium", "oracle", {"post": False}),
        ("Cerner", "oracle", {"page": 200}),
    ],
)
def test_a_server_of_a_known_maker_is_asked_as_that_maker_bears(
    software: str, vendor: str, bears: dict[str, Any]
) -> None:
    plan = planned(says(software))
    assert plan.vendor == vendor
    assert {name: getattr(plan, name) for name in bears} == bears


def test_hapi_is_not_told_the_category_which_it_takes_minutes_for() -> None:
    assert _asked(planned(says("HAPI FHIR Server"))) == {"patient": "p1", "_count": "200"}
    by_code = planned(says("HAPI FHIR Server"), select="code")
    assert "code" in _asked(by_code) or "combo-code" in _asked(by_code)


def test_the_setting_wins_over_the_name_of_the_software() -> None:
    assert planned(says("HAPI FHIR Server"), vendor="epic").vendor == "epic"
    with pytest.raises(ConfigurationError, match="'pull_vendor': 'acme' is none of generic, epic"):
        planned(vendor="acme")


def test_each_setting_wins_over_the_makers_row() -> None:
    plan = planned(
        says("Epic"), post=False, patients=3, page=7, incremental="whole", patient_parameter="subject", category="LAB"
    )
    assert (plan.post, plan.patients) == (False, 3)
    assert _asked(plan, SINCE, ("a", "b")) == {"subject": "Patient/a,Patient/b", "category": "LAB", "_count": "7"}


def test_a_server_that_needs_a_category_is_never_asked_for_everything() -> None:
    with pytest.raises(ConfigurationError, match="refuses to be asked for everything"):
        planned(says("Epic"), select="everything")
    assert "category" in _asked(planned(says("Epic", Observation=("patient", "code"))))


def test_a_server_without_a_category_to_search_by_is_asked_for_everything_and_the_plan_says_so() -> None:
    plan = planned(says(Observation=("patient", "code")))
    assert "category" not in _asked(plan)
    assert plan.left_out[0].startswith("Observation?category: the server does not offer it")


def test_a_server_that_knows_patients_only_as_subjects_is_asked_so() -> None:
    assert _asked(planned(says(Observation=("subject", "category"))))["subject"] == "Patient/p1"


def test_by_code_only_the_studys_tests_are_asked_for_in_loinc_and_in_each_laboratorys_own_codes() -> None:
    codes = _asked(planned(select="code"))["code"].split(",")
    assert "http://loinc.org|63557-3" in codes
    assert "https://fhirbridge.github.io/sid/synthetic/south-reference/analysis|4711" in codes
    assert not any(code.endswith("|1742-6") for code in codes)


def test_results_inside_panels_are_asked_for_where_the_server_offers_it() -> None:
    assert "combo-code" in _asked(planned(says(Observation=("patient", "code", "combo-code")), select="code"))


@pytest.mark.parametrize("most", [1, 3])
def test_codes_are_split_into_no_more_than_the_server_bears_and_none_is_lost(most: int) -> None:
    whole = _asked(planned(select="code"))["code"].split(",")
    plan = planned(select="code", codes=most, types=("Observation",))
    parts = [dict(question.params)["code"].split(",") for question in plan.questions]
    assert max(map(len, parts)) == most
    assert sorted(code for part in parts for code in part) == sorted(whole)
    assert len({question.key for question in plan.questions}) == len(parts)


def test_codes_in_a_url_are_split_by_its_length() -> None:
    row = next(one for one in laboratories().rows if one.analyte == "HBSAG")
    many = Laboratories(tuple(replace(row, code=f"{number:010}", source=str(number)) for number in range(100)))
    options = AskOptions(select="code", codes=1000, types=("Observation",))
    by_get = plan(says("Oracle"), options, trial(), many)
    by_post = plan(says("Oracle"), replace(options, post=True), trial(), many)
    assert len(by_post.questions) == 1
    assert len(by_get.questions) > 1
    urls = [urlencode(by_get.params(one, ["p" * 64], SINCE)) for one in by_get.questions]
    assert max(map(len, urls)) < 2000


def test_only_the_new_is_asked_for_with_the_look_back() -> None:
    assert _asked(planned(), SINCE)["_lastUpdated"] == "ge2026-03-06T12:00:00.000Z"
    by_date = planned(says("Epic"), look_back=dt.timedelta(days=1))
    assert _asked(by_date, SINCE)["date"] == "ge2026-03-18"


def test_never_two_bounds_of_time_in_one_search() -> None:
    plan = planned(earliest=dt.date(2026, 1, 1))
    assert _asked(plan)["date"] == "ge2026-01-01"
    assert "date" not in _asked(plan, SINCE)
    assert _asked(planned(says("Epic"), earliest=dt.date(2026, 3, 19)), SINCE)["date"] == "ge2026-03-19"


def test_reports_that_take_back_their_results_are_always_asked_for_whole() -> None:
    plan = planned()
    reports = next(one for one in plan.questions if one.kind == "DiagnosticReport")
    assert dict(plan.params(reports, ["p1"], SINCE)) == {
        "patient": "p1",
        "status": "cancelled,entered-in-error",
        "_count": "200",
    }


def test_reports_are_left_out_where_the_server_has_none_and_the_plan_says_so() -> None:
    plan = planned(says(Observation=("patient", "category")))
    assert [one.kind for one in plan.questions] == ["Observation"]
    assert any(said.startswith("DiagnosticReport") for said in plan.left_out)


def test_a_question_that_asks_something_else_has_another_name() -> None:
    keys = {planned().questions[0].key, planned(category="LAB").questions[0].key}
    keys |= {planned(select="everything").questions[0].key, planned(earliest=dt.date(2026, 1, 1)).questions[0].key}
    assert len(keys) == 4
    assert planned().questions[0].key == planned(page=7, look_back=dt.timedelta(0)).questions[0].key


def test_a_plan_is_plain_data_that_names_nobody() -> None:
    said = planned(earliest=dt.date(2026, 1, 1)).as_dict()
    assert json.loads(json.dumps(said)) == said
    assert said["look_back"] == 14 * 86400
    assert said["questions"][0]["params"] == [["category", "laboratory"]]
