"""fhir-kit-client, for JavaScript: what its user sees of the service, told by a program that node runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.clients.live import CORRECTED, Live, cohort, day, private_jwks
from tests.api.clients.node import ask

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def saw(live: Live) -> Any:
    """What the program saw; it asks for everything once."""
    (jwk,) = json.loads(private_jwks())["keys"]
    group = live.get("Group")["entry"][0]["resource"]["id"]
    return ask(
        {
            "base": live.base,
            "client": live.client,
            "jwk": jwk,
            "corrected": live.corrected,
            "group": group,
            "types": sorted(cohort()),
        }
    )


def test_it_learns_from_the_statement_what_can_be_done(saw: Any) -> None:
    assert saw["can"] == {
        "software": "fhirbridge",
        "batch": True,
        "transaction": False,
        "search": True,
        "create": False,
        "byDate": True,
        "updated": True,
    }


def test_all_pages_together_hold_every_resource_once(saw: Any) -> None:
    for type_, made in cohort().items():
        assert len(set(saw["all"][type_])) == len(saw["all"][type_]) == len(made), type_


def test_a_search_by_post_finds_what_one_by_get_finds_over_all_pages(saw: Any) -> None:
    assert saw["posted"] == saw["got"]
    assert len(saw["got"]) > 40


def test_results_come_newest_first(saw: Any) -> None:
    dates = [day(one) for one in saw["sorted"]]
    assert dates == sorted(dates, reverse=True)
    assert len(dates) == len(cohort()["Observation"])


def test_what_is_included_resolves_references_of_the_bundle(saw: Any) -> None:
    assert saw["beside"] == [["match", "Observation"], ["include", "Patient"]]
    assert saw["resolved"] == ["Patient", True]


def test_a_read_an_older_version_and_the_history_of_a_corrected_result(saw: Any) -> None:
    assert saw["read"] == CORRECTED
    assert saw["etag"] == 'W/"2"'
    assert saw["older"][0] == "1"
    assert saw["older"][1] != CORRECTED
    assert saw["again"] == 304
    assert saw["history"] == ["2", "1"]
    assert saw["changed"] == len(cohort()["Patient"])


def test_a_batch_answers_each_of_its_questions(saw: Any) -> None:
    assert saw["batch"] == ["200", "200", "404"]


def test_everything_of_a_patient_by_get_and_by_an_empty_post(saw: Any, live: Live) -> None:
    assert saw["everything by GET"] == saw["everything by POST"] > 10


def test_a_released_resource_is_valid(saw: Any) -> None:
    assert not {"error", "fatal"} & set(saw["validated"])


def test_every_refusal_is_an_outcome_that_says_why(saw: Any) -> None:
    found = saw["failures"]
    assert {name: one["status"] for name, one in found.items()} == {
        "nobody": 404, "write": 405, "update": 405, "remove": 405, "patch": 405, "value": 400, "type": 404,
    }  # fmt: skip
    assert all(one["type"] == "OperationOutcome" and one["text"] for one in found.values())


def test_a_groups_export_is_begun_awaited_and_removed(saw: Any) -> None:
    assert saw["begun"] == [202, True]
    assert [type_ for type_, _ in saw["exported"]] == ["Patient"]
    assert saw["exported"][0][1] > 0
    assert (saw["removed"], saw["gone"]) == (202, 404)
