"""The clinic's month is told without contradiction, is valid FHIR, and real servers take it day by day."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from fhirbridge import fhirjson
from fhirbridge.demo.clinic import load
from fhirbridge.demo.clinic_days import month, written
from fhirbridge.demo.clinic_month import Month
from fhirbridge.demo.cohort import participants
from fhirbridge.errors import ConfigurationError, Resource
from fhirbridge.hospital import Hospital
from fhirbridge.study import Study
from fhirbridge.validation import Validator

FOLLOWING = {
    "B.dna": "another came into its window",
    "D.twin": "its twin was corrected",
    "E.dna": "another came into its window",
    "F.hbsag": "its subject's link was mended",
}
"""Results whose standing changes though neither they were written that day nor anybody decided on them."""


@pytest.fixture(scope="module")
def told(study: Study) -> Month:
    return month(study, [one.subject for one in participants(study, subjects=7)])


def test_the_same_cohort_gives_the_same_month(study: Study, told: Month) -> None:
    again = month(study, [one.subject for one in participants(study, subjects=7)])
    assert [fhirjson.dumps(one) for day in again.days for one in day.written] == [
        fhirjson.dumps(one) for day in told.days for one in day.written
    ]


def test_too_few_subjects_are_refused(study: Study) -> None:
    with pytest.raises(ConfigurationError, match="7 subjects"):
        month(study, [one.subject for one in participants(study, subjects=6)])


def test_every_result_is_expected_somewhere_or_never_to_be_seen(told: Month) -> None:
    expected = {name for day in told.days for name in day.becomes}
    assert expected | told.unseen == set(told.names)
    assert expected & told.unseen == set()


def test_a_standing_changes_only_for_a_reason(told: Month) -> None:
    by_reference = {reference: name for name, reference in told.names.items()}
    decided: set[str] = set()
    for day in told.days:
        touched = {by_reference.get(f"{one['resourceType']}/{one['id']}", "") for one in day.written}
        assert set(day.becomes) <= touched | decided | set(FOLLOWING), day.number
        decided = {verdict.name for verdict in day.verdicts}


def test_only_what_stands_in_the_inbox_is_decided(told: Month) -> None:
    for day in told.days:
        standing = told.standing(day)
        for verdict in day.verdicts:
            assert standing[verdict.name].state in ("waiting", "reopened", "unreadable"), (day.number, verdict.name)


def test_a_verdict_stands_unless_the_result_changes(told: Month) -> None:
    for number, (day, after) in enumerate(zip(told.days, told.days[1:], strict=False), 1):
        before, now = written(told.days[:number]), written(told.days[: number + 1])
        changed = {name for name, held in now.items() if without_time(held) != without_time(before.get(name, {}))}
        for verdict in day.verdicts:
            state = "rejected" if verdict.action == "reject" else "accepted"
            if told.names[verdict.name] in changed:
                state = "reopened"
            assert after.becomes[verdict.name].state == state, (after.number, verdict.name)


def without_time(resource: Resource) -> Resource:
    return {name: value for name, value in resource.items() if name != "issued"}


def test_no_blood_is_reported_before_it_was_drawn(told: Month) -> None:
    for day in told.days:
        for one in day.written:
            if one["resourceType"] == "Observation":
                assert dt.date.fromisoformat(one["effectiveDateTime"][:10]) <= told.date(day)


def test_the_days_follow_each_other_within_a_month(told: Month) -> None:
    numbers = [day.number for day in told.days]
    assert numbers == sorted(set(numbers))
    assert (numbers[0], numbers[-1]) == (1, 30)


def test_every_state_of_a_result_is_met(told: Month) -> None:
    met = {standing.state for day in told.days for standing in day.becomes.values()}
    assert met == {
        "pending", "cancelled", "unmapped", "unreadable", "duplicate", "waiting", "reopened", "accepted", "rejected"
    }  # fmt: skip


def test_every_resource_is_valid_r4(told: Month, tmp_path: Path) -> None:
    validator = Validator.load(cache=tmp_path)
    resources = [*told.beginning, *(one for day in told.days for one in day.written)]
    assert [str(issue) for one in resources for issue in validator.issues(one) if issue.severity == "error"] == []


def _lives_through(told: Month, base_url: str) -> None:
    with Hospital(base_url) as server:
        load(server, told.beginning)
        for day in told.days:
            load(server, day.written)
        for reference, last in written(told.days).items():
            held = server.read(*reference.split("/"))
            assert held.get("status") == last.get("status")
            assert held.get("valueString") == last.get("valueString")


def test_sekmet_takes_the_month_day_by_day(told: Month, hospital: str) -> None:
    _lives_through(told, hospital)


@pytest.mark.hapi
def test_hapi_takes_the_month_day_by_day(told: Month, hapi: str) -> None:
    _lives_through(told, hapi)
