"""A short storm on each database and server; `make storm` is the whole one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings import MAPPINGS
from tests.storm.storm import Outcome, Weather, storm

KINDS = [one.resource_type for one in MAPPINGS]
SEARCHED_BY_IDENTIFIER = ("Patient", "Observation", "DiagnosticReport", "Consent")
"""Types of which sekmet-fhir finds one by its identifier; of others it ignores such a question."""


def assert_weathered(outcome: Outcome, kills: int, edits: int) -> None:
    assert outcome.faults == []
    assert (outcome.ends[-9], outcome.conflicts) == (kills, edits)
    assert outcome.made.total() > 0
    assert outcome.audit.resources > 0


def test_pushers_killed_under_faults_leave_each_resource_once_and_right_and_the_hospitals_edits_alone(
    hospital: str, database_url: str, tmp_path: Path
) -> None:
    weather = Weather(subjects=8, kills=4, edits=2)
    assert_weathered(storm(weather, tmp_path, database_url, hospital), kills=4, edits=2)


def test_a_storm_doubles_nothing_on_a_server_that_chooses_the_ids(hospital: str, tmp_path: Path) -> None:
    chosen = dict.fromkeys(SEARCHED_BY_IDENTIFIER, "conditional-create")
    weather = Weather(subjects=4, kills=3, edits=1, strategies=chosen)
    outcome = storm(weather, tmp_path, f"sqlite:///{tmp_path / 'store.db'}", hospital)
    assert_weathered(outcome, kills=3, edits=1)


@pytest.mark.hapi
@pytest.mark.parametrize("strategy", ["update", "conditional-create"])
def test_a_storm_over_hapi_leaves_each_resource_once_and_right(hapi: str, strategy: str, tmp_path: Path) -> None:
    weather = Weather(subjects=3, kills=3, edits=1, strategies=dict.fromkeys(KINDS, strategy))
    outcome = storm(weather, tmp_path, f"sqlite:///{tmp_path / 'store.db'}", hapi)
    assert_weathered(outcome, kills=3, edits=1)
