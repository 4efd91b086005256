"""`fhirbridge validate`: what it writes, where, and what it was told to accept."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fhirbridge.errors import EXIT_DONE, EXIT_REFUSED, EXIT_UNUSABLE
from tests.cli.conftest import Validate
from tests.validation.building import OBSERVATION, PATIENT, element, profile

WRONG = {**OBSERVATION, "status": "done", "note": [{"text": "x "}]}


@pytest.fixture(autouse=True)
def _resources(validate: Validate) -> None:
    Path("x.ndjson").write_text("\n".join(json.dumps(one) for one in (PATIENT, WRONG, {**WRONG, "id": "o-2"})))


def test_the_table_says_place_rule_and_counts_and_keeps_warnings_back(validate: Validate) -> None:
    ran = validate("x.ndjson")
    assert ran.exit_code == EXIT_REFUSED
    assert "error  x.ndjson:2  Observation/o-1  [binding]\n    Observation.status\n" in ran.stdout
    assert "[whitespace]" not in ran.stdout
    assert "3 resources, 1 valid, 2 invalid, 0 unusable, 2 warnings" in ran.stdout
    assert "[whitespace]" in validate("x.ndjson", "--warnings").stdout


def test_errors_come_first_and_the_rest_is_counted(validate: Validate) -> None:
    ran = validate("x.ndjson", "--warnings", "--limit", "3")
    assert [line.split()[0] for line in ran.stdout.splitlines() if "x.ndjson:" in line] == ["error", "error", "warning"]
    assert "… and 1 more" in ran.stdout


def test_groups_say_how_often_and_where_first(validate: Validate) -> None:
    ran = validate("x.ndjson", "--group")
    assert "error  2 time(s)  [binding]" in ran.stdout
    assert "    x.ndjson:2 Observation/o-1 Observation.status\n    x.ndjson:3 Observation/o-2" in ran.stdout
    told = json.loads(validate("x.ndjson", "--group", "--outcome").stdout)
    assert told["issue"][0]["details"]["text"].endswith("(2 times)")


def test_json_has_the_counts_and_an_outcome_for_each_resource_with_findings(validate: Validate) -> None:
    told = json.loads(validate("x.ndjson", "--json").stdout)
    assert (told["resources"], told["valid"], told["invalid"], told["warnings"]) == (3, 1, 2, 2)
    assert [(one["line"], one["valid"]) for one in told["outcomes"] if not one["valid"]] == [(2, False), (3, False)]
    assert json.loads(validate("x.ndjson", "--format", "json").stdout) == told


@pytest.mark.parametrize("format_", ["json", "outcome", "junit", "sarif", "table"])
def test_every_format_is_written_to_a_file_whole_or_not_at_all(validate: Validate, format_: str) -> None:
    ran = validate("x.ndjson", "--format", format_, "--output", "report")
    assert ran.exit_code == EXIT_REFUSED
    assert ran.stdout == ""
    assert "2 invalid" in ran.stderr
    report = Path("report").read_text()
    if format_ == "junit":
        assert len(ElementTree.fromstring(report).findall(".//failure")) == 2
    elif format_ != "table":
        json.loads(report)
    assert sorted(file.name for file in Path().iterdir()) == ["report", "x.ndjson"]
    broken = validate("x.ndjson", "--profile", "https://x.test/none", "--format", format_, "--output", "report")
    assert broken.exit_code == EXIT_UNUSABLE
    assert Path("report").read_text() == report
    assert sorted(file.name for file in Path().iterdir()) == ["report", "x.ndjson"]


def test_a_place_that_cannot_be_written_to_is_an_error(validate: Validate) -> None:
    for place in ("none/report", "."):
        ran = validate("x.ndjson", "--output", place)
        assert ran.exit_code == EXIT_UNUSABLE
        assert "cannot be written" in ran.stderr


def test_two_formats_at_once_are_refused(validate: Validate) -> None:
    assert validate("x.ndjson", "--json", "--outcome").exit_code == EXIT_UNUSABLE
    assert validate("x.ndjson", "--json", "--format", "sarif").exit_code == EXIT_UNUSABLE


def accept(until: str, rule: str = "binding") -> None:
    Path("accepted.toml").write_text(
        f'[[accepted]]\nrule = "{rule}"\nlocation = "Observation.status"\nwho = "A. Monitor"\nwhy = "old data"\n'
        f"until = {until}\n"
    )


def test_accepted_errors_do_not_fail_the_run(validate: Validate) -> None:
    accept("2999-01-01")
    ran = validate("x.ndjson", "--accepted", "accepted.toml")
    assert ran.exit_code == EXIT_DONE
    assert "3 valid" in ran.stdout
    told = json.loads(validate("x.ndjson", "--accepted", "accepted.toml", "--json").stdout)
    texts = [issue["details"]["text"] for one in told["outcomes"] for issue in one["outcome"]["issue"]]
    assert any("(accepted by A. Monitor until 2999-01-01: old data)" in text for text in texts)


def test_expired_and_idle_entries_are_told(validate: Validate) -> None:
    accept("2020-01-01")
    ran = validate("x.ndjson", "--accepted", "accepted.toml")
    assert ran.exit_code == EXIT_REFUSED
    assert "expired on 2020-01-01. 2 finding(s) count again" in ran.stderr
    accept("2999-01-01", rule="obs-6")
    ran = validate("x.ndjson", "--accepted", "accepted.toml", "--json")
    assert ran.exit_code == EXIT_REFUSED
    assert "nothing like it was found" in json.loads(ran.stdout)["notes"][0]


def test_a_bad_list_of_accepted_findings_is_unusable(validate: Validate) -> None:
    accept("'soon'")
    ran = validate("x.ndjson", "--accepted", "accepted.toml")
    assert ran.exit_code == EXIT_UNUSABLE
    assert "accepted.toml: accepted finding 1: until must be a date" in ran.stderr


def test_must_support_elements_that_were_never_there_are_listed(validate: Validate) -> None:
    examples = Path(__file__).parents[2] / "profiles" / "examples" / "valid"
    ran = validate(examples, "--must-support")
    assert ran.exit_code == EXIT_DONE
    assert "mustSupport, never present in " in ran.stdout
    told = json.loads(validate(examples, "--must-support", "--json").stdout)["mustSupport"]
    assert all(one["resources"] for one in told)
    assert any(one["neverPresent"] for one in told)


def test_what_a_terminal_would_obey_is_not_printed(validate: Validate) -> None:
    Path("y.json").write_text(json.dumps({"resourceType": "Patient", "id": "\u001b[2Jc", "a\u001b[2Jb": 1}))
    ran = validate("y.json")
    assert "Patient/\ufffd[2Jc" in ran.stdout
    assert "\u001b" not in ran.stdout


def test_what_authors_of_profiles_should_mend_is_told_whatever_the_number_of_processes(validate: Validate) -> None:
    unordered = profile("unordered", "Observation", element("Observation.note"), element("Observation.status"))
    Path("own.json").write_text(json.dumps(unordered))
    Path("x.json").write_text(json.dumps({**OBSERVATION, "meta": {"profile": [unordered["url"]]}}))
    for jobs in ("1", "2"):
        ran = validate("x.json", "--package", "own.json", "--jobs", jobs)
        assert ran.exit_code == EXIT_DONE
        assert f"note: {unordered['url']}: Observation.status stands after elements" in ran.stderr
    assert "note:" not in validate("x.json", "--package", "own.json", "--errors-only").stderr
