"""Registry records from the command line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run


def record(number: int, **status: str) -> dict[str, Any]:
    return {
        "protocolSection": {
            "identificationModule": {"nctId": f"NCT{number:08}", "briefTitle": "An invented study"},
            "statusModule": {"overallStatus": "RECRUITING", "startDateStruct": {"date": "2025-09"}, **status},
            "sponsorCollaboratorsModule": {"leadSponsor": {"name": "Invented Hospital", "class": "OTHER"}},
            "designModule": {"studyType": "OBSERVATIONAL"},
        },
        "hasResults": False,
    }


@pytest.fixture
def many(tmp_path: Path) -> Path:
    lines = [json.dumps(record(number)) for number in range(1, 31)]
    lines[14] = '{"protocolSection": '
    lines[20] = json.dumps(record(21, overallStatus="WITHHELD"))
    file = tmp_path / "records.jsonl.gz"
    file.write_bytes(gzip.compress("\n".join(lines).encode()))
    return file


def test_a_record_is_stored_and_its_dates_keep_their_precision(run: Run, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(record(1)))
    ran = run("study", "import", "one.json", "--output", "one.ndjson", "--json")
    assert ran.code == 0, ran.err
    resources = [json.loads(line) for line in (tmp_path / "one.ndjson").read_text().splitlines()]
    study = next(one for one in resources if one["resourceType"] == "ResearchStudy")
    assert study["period"] == {"start": "2025-09"}
    assert "arm" not in study
    assert "phase" not in study
    assert run("study", "import", "one.json").code == 0


def test_bulk_goes_on_after_bad_records_and_says_which_they_were(run: Run, many: Path, tmp_path: Path) -> None:
    ran = run("study", "import", many, "--report", "report.ndjson", "--json")
    assert ran.code == 1
    counts = ran.json
    assert (counts["records"], counts["imported"], counts["refused"]) == (30, 28, 2)
    assert [one["line"] for one in counts["findings"]] == [15, 21]
    assert "WITHHELD" in json.dumps(counts["findings"][1])
    reports = [json.loads(line) for line in (tmp_path / "report.ndjson").read_text().splitlines()]
    assert len(reports) == 30
    assert all(report["unrepresented"] for report in reports if "record" in report and "rule" not in report)


def test_the_study_of_the_study_file_is_not_overwritten_by_its_registry_record(run: Run, tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(json.dumps(record(7120750)))
    ran = run("study", "import", "own.json", "--json")
    assert ran.code == 1
    assert ran.json["findings"][0]["rule"] == "own-study"


def test_a_record_that_is_not_there_is_unusable_input(run: Run) -> None:
    assert run("study", "import", "none.json").code == 2


@pytest.mark.shared
def test_the_five_real_records_come_out_valid_and_stored(run: Run, shared: Path) -> None:
    files = sorted((shared / "data" / "1_ctgov").glob("NCT*.json"))
    assert len(files) == 5
    ran = run("study", "import", *files, "--output", "five.ndjson")
    assert ran.code == 0, ran.err
    assert run("validate", "five.ndjson").code == 0
