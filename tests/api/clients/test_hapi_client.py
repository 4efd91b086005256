"""HAPI's generic client for Java, speaking XML and speaking JSON: what its user sees of the service."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import requests

from fhirbridge import fhirjson
from fhirbridge.release.agreement import TYPES
from tests.api.clients.live import CORRECTED, Live, busiest_code, cohort, day
from tests.real_servers import HapiBuild

pytestmark = pytest.mark.hapi


@pytest.fixture(scope="module", params=["xml", "json"])
def saw(request: pytest.FixtureRequest, live: Live, hapi_build: HapiBuild) -> Any:
    """What the program saw; it asks for everything once."""
    given = {
        "base": live.base,
        "token": live.token,
        "encoding": request.param,
        "corrected": live.corrected,
        "value": CORRECTED,
        "group": live.get("Group")["entry"][0]["resource"]["id"],
        "code": busiest_code()[0],
        "types": sorted(cohort()),
    }
    command = hapi_build.command("HapiClient", heap="1g")
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_it_accepts_the_statement(saw: Any) -> None:
    assert saw["statement"] == {"software": "fhirbridge", "types": len(TYPES)}


def test_all_pages_together_hold_every_resource_once(saw: Any) -> None:
    assert {type_: len(found) for type_, found in saw["pages"].items()} == {
        type_: len(made) for type_, made in cohort().items()
    }
    assert all(len(set(found)) == len(found) for found in saw["pages"].values())


def test_a_code_is_found_newest_first_with_its_patients(saw: Any) -> None:
    number = busiest_code()[1]
    dates = [day(one) for one in saw["search"]["dates"]]
    assert dates == sorted(dates, reverse=True)
    assert len(dates) == saw["search"]["total"] == number
    assert saw["search"]["included"] == ["Patient"] * len(cohort()["Patient"])
    assert saw["search"]["reverse"] == len(cohort()["ResearchSubject"])


def test_chains_and_ranges_find_the_same_by_get_and_by_post(saw: Any, live: Live) -> None:
    men = {f"Patient/{one['id']}" for one in cohort()["Patient"] if one["gender"] == "male"}
    theirs = [
        one
        for one in cohort()["Observation"]
        if one["subject"]["reference"] in men and one["category"][0]["coding"][0]["code"] == "laboratory"
    ]
    assert saw["search"]["by GET"] == saw["search"]["by POST"]
    assert len(saw["search"]["by GET"]) == len(theirs) > 40
    assert saw["search"]["corrected"] == [live.corrected]


def test_counts_and_chosen_elements_come_as_asked(saw: Any) -> None:
    assert saw["search"]["counted"] == len(cohort()["Patient"])
    assert saw["search"]["cut"] is True


def test_versions_are_read_conditionally_and_listed(saw: Any) -> None:
    seen = saw["versions"]
    assert (seen["now"], seen["version"], seen["sentAgain"]) == (str(CORRECTED), "2", "2")
    assert seen["before"] != seen["now"]
    assert seen["notSentAgain"] is True
    assert seen["history"] == ["2", "1"]
    assert seen["people"] == len(cohort()["Patient"])


def test_what_was_read_is_what_the_service_holds_to_the_last_digit(saw: Any, live: Live) -> None:
    assert fhirjson.loads(saw["versions"]["text"].encode()) == live.get(f"Observation/{live.corrected}")


def test_a_batch_answers_each_of_its_questions(saw: Any, live: Live) -> None:
    assert saw["batch"] == {"statuses": ["200", "200", "404"], "read": live.corrected, "outcome": True}


def test_everything_of_a_patient_by_get_by_post_and_in_pages(saw: Any) -> None:
    seen = saw["operations"]
    assert seen["byGet"] == seen["byPost"] == seen["inPages"] > 20


def test_a_released_resource_is_valid_and_a_broken_one_is_not(saw: Any) -> None:
    assert (saw["operations"]["valid"], saw["operations"]["broken"]) == ("fine", "error")


def test_every_refusal_is_thrown_as_what_it_is_and_says_why(saw: Any) -> None:
    found = saw["refusals"]
    assert {name: one["thrown"] for name, one in found.items()} == {
        "nobody": "ResourceNotFoundException",
        "value": "InvalidRequestException",
        "create": "MethodNotAllowedException",
        "update": "MethodNotAllowedException",
        "delete": "MethodNotAllowedException",
    }
    assert all(one["text"] for one in found.values())


def test_an_export_is_begun_and_can_be_fetched(saw: Any, live: Live) -> None:
    assert saw["export"]["status"] == 202
    headers = {"Authorization": f"Bearer {live.token}", "Accept": "application/json"}
    while (answer := requests.get(saw["export"]["where"], headers=headers, timeout=60)).status_code == 202:
        pass
    assert {one["type"] for one in answer.json()["output"]} >= {"Patient", "Observation", "ResearchSubject"}
