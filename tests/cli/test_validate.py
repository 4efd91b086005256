"""`fhirbridge validate`: what is shown, and the exit code that scripts trust."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run

EXAMPLES = Path(__file__).parents[2] / "profiles" / "examples"


def test_the_valid_examples_pass(run: Run) -> None:
    ran = run("validate", EXAMPLES / "valid")
    assert ran.code == 0
    assert "│ error" not in ran.out


def test_an_invalid_example_is_refused_with_element_rule_and_file(run: Run) -> None:
    file = EXAMPLES / "invalid" / "hbv-dna-in-copies.json"
    assert file.exists(), sorted(EXAMPLES.glob("invalid/hbv-dna*"))
    ran = run("validate", file, "--json")
    assert ran.code == 1
    [found] = ran.json["outcomes"]
    errors = [issue for issue in found["outcome"]["issue"] if issue["severity"] == "error"]
    assert errors
    assert all(issue["expression"] and issue["details"]["text"] for issue in errors)


def test_one_operation_outcome_holds_every_issue_errors_first(run: Run) -> None:
    ran = run("validate", EXAMPLES / "valid", EXAMPLES / "invalid" / "hbv-dna-in-copies.json", "--outcome")
    assert ran.code == 1
    severities = [issue["severity"] for issue in ran.json["issue"]]
    assert ran.json["resourceType"] == "OperationOutcome"
    assert severities[0] == "error"
    assert severities == sorted(severities, key=["fatal", "error", "warning", "information"].index)


def test_a_broken_line_in_the_middle_is_named_and_the_rest_is_validated(run: Run, tmp_path: Path) -> None:
    good = json.dumps({"resourceType": "Patient", "id": "p1"})
    (tmp_path / "many.ndjson").write_text(f"{good}\n{{\n{good}\n")
    ran = run("validate", "many.ndjson", "--json")
    assert ran.code == 2
    assert (ran.json["valid"], ran.json["unusable"]) == (2, 1)
    broken = next(one for one in ran.json["outcomes"] if not one["valid"])
    assert broken["line"] == 2


def test_a_profile_that_is_not_loaded_is_an_error(run: Run) -> None:
    ran = run("validate", EXAMPLES / "valid", "--profile", "https://nowhere.test/StructureDefinition/x")
    assert ran.code == 2
    assert "nowhere.test" in ran.err


def test_nothing_to_validate_is_unusable_input(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("validate", "empty").code == 2
    assert run("validate", "missing.json").code == 2
