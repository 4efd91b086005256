"""Accepted findings: they become information for a time, and are never forgotten."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from fhirbridge.errors import InputError
from fhirbridge.validation import Issue
from fhirbridge.validation.accepted import Acceptance, Accepted

TODAY = date(2026, 6, 1)
ISSUE = Issue("error", "invariant", "obs-7", "obs-7: no", "Observation.component[3].valueQuantity", "https://x.test/p")
ROW = """
[[accepted]]
rule = "obs-7"
location = "Observation.component[*].value*"
who = "A. Monitor"
why = "the laboratory mends it"
until = 2026-06-01
"""


def accepted(location: str = ISSUE.path, until: date = TODAY, rule: str = "obs-7", profile: str = "") -> Accepted:
    return Accepted([Acceptance(rule, location, "A. Monitor", "it is known", until, profile)], TODAY)


def test_an_accepted_error_is_information_that_says_who_why_and_until_when() -> None:
    [issue] = accepted().apply([ISSUE])
    assert (issue.severity, issue.rule, issue.path) == ("information", ISSUE.rule, ISSUE.path)
    assert issue.text == "obs-7: no (accepted by A. Monitor until 2026-06-01: it is known)"


@pytest.mark.parametrize(
    "location",
    [
        "Observation.component[*].valueQuantity",
        "Observation.component[3].valueQuantity",
        "Observation.component.valueQuantity",
        "Observation.component.value*",
        "Observation.*.*",
        "Observation.**",
        "**.valueQuantity",
    ],
)
def test_a_location_may_be_a_pattern(location: str) -> None:
    assert accepted(location).apply([ISSUE])[0].severity == "information"


@pytest.mark.parametrize(
    "other",
    [
        accepted("Observation"),
        accepted("Observation.component[2].valueQuantity"),
        accepted("Observation.*"),
        accepted("Observation.componentXvalueQuantity"),
        accepted(rule="obs-6"),
        accepted(profile="https://x.test/another"),
    ],
)
def test_what_does_not_match_still_counts(other: Accepted) -> None:
    assert other.apply([ISSUE]) == [ISSUE]
    [note] = other.notes()
    assert "nothing like it was found" in note


def test_a_profile_narrows_what_is_accepted() -> None:
    assert accepted(profile="https://x.test/p").apply([ISSUE])[0].severity == "information"


def test_inside_a_bundle_the_place_within_the_resource_counts() -> None:
    inside = Issue("error", "value", "obs-7", "no", "Bundle.entry[1].resource.status")
    assert accepted("Observation.status").apply([inside], ["Patient", "Observation"])[0].severity == "information"
    assert accepted("Observation.status").apply([inside], ["Observation", "Patient"]) == [inside]


def test_after_its_day_a_finding_counts_again_and_the_entry_is_reported() -> None:
    expired = accepted(until=date(2026, 5, 31))
    assert expired.apply([ISSUE]) == [ISSUE]
    [note] = expired.notes()
    assert "expired on 2026-05-31. 1 finding(s) count again" in note
    assert "A. Monitor" in note


def test_an_entry_that_met_something_is_not_spoken_of() -> None:
    met = accepted()
    met.apply([ISSUE])
    assert met.notes() == []


def test_the_list_is_toml_or_json(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(ROW)
    (tmp_path / "a.json").write_text(
        '{"accepted": [{"rule": "obs-7", "location": "Observation.component[*].value*", "who": "A. Monitor",'
        ' "why": "the laboratory mends it", "until": "2026-06-01"}]}'
    )
    toml, json = (Accepted.load(tmp_path / f"a.{kind}", TODAY) for kind in ("toml", "json"))
    assert toml.entries == json.entries == [Acceptance(
        "obs-7", "Observation.component[*].value*", "A. Monitor", "the laboratory mends it", TODAY
    )]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (ROW.replace("until = 2026-06-01", ""), "accepted finding 1: until is missing"),
        (ROW.replace("2026-06-01", '"soon"'), "accepted finding 1: until must be a date .* not 'soon'"),
        (ROW.replace("2026-06-01", "2026-06-01T00:00:00Z"), "until must be a date"),
        (ROW + "reason = 1", "accepted finding 1: there is no key 'reason'"),
        (ROW.replace("location", "locaton"), "no key 'locaton'. Did you mean location"),
        (ROW + ROW.replace('"obs-7"', "7"), "accepted finding 2: rule must be text"),
        (ROW.replace('"A. Monitor"', '" "'), "who must be text"),
        ("accepted = 1", "one list called 'accepted'"),
        ("accepted = [1]", "accepted finding 1 is no table"),
        ("[[accept]]", "one list called 'accepted'"),
        ("rule =", r"a\.toml"),
    ],
)
def test_a_bad_list_is_refused_naming_entry_and_key(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "a.toml").write_text(content)
    with pytest.raises(InputError, match=told) as error:
        Accepted.load(tmp_path / "a.toml")
    assert "a.toml" in str(error.value)


def test_a_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json"):
        Accepted.load(tmp_path / "none.json")
