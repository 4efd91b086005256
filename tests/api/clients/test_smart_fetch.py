"""smart-fetch, a client for bulk exports, as the program that it is: registered keys in, files out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fhirbridge import fhirjson
from tests.api.clients.live import Live, cohort, private_jwks

TYPES = ("Patient", "DiagnosticReport", "Observation")
"""What it exports of the types there are."""


@pytest.fixture
def fetch(live: Live, tmp_path: Path) -> Any:
    """Run the program with the client's key, and return what it wrote on its console."""
    key = tmp_path / "registry.jwks"
    key.write_text(private_jwks())

    def run(command: str, folder: Path, *words: str) -> str:
        program = shutil.which("smart-fetch", path=Path(sys.executable).parent)
        assert program, "smart-fetch is not installed: pip install -e '.[test]'"
        done = subprocess.run(
            [
                program, command, str(folder), "--fhir-url", live.base, "--smart-client-id", live.client,
                "--smart-key", str(key), "--no-compression", *words,
            ],
            capture_output=True, text=True, check=False, timeout=300, env={"COLUMNS": "200", "PATH": ""},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def records(folder: Path) -> dict[str, list[Any]]:
    """Return what lies in the files, by type."""
    found: dict[str, list[Any]] = {}
    for file in sorted(folder.glob("*.ndjson")):
        type_ = file.name.split(".")[0]
        if type_ != "log":
            found.setdefault(type_, []).extend(fhirjson.loads(line) for line in file.read_bytes().splitlines())
    return found


def counted(found: dict[str, list[Any]]) -> dict[str, int]:
    return {type_: len({one["id"] for one in these}) for type_, these in found.items()}


def test_an_export_of_the_system_brings_every_record_of_the_types_it_knows(
    fetch: Any, live: Live, tmp_path: Path
) -> None:
    said = fetch("bulk", tmp_path / "out", "--no-default-filters")
    found = records(tmp_path / "out")
    assert counted(found) == {type_: len(cohort()[type_]) for type_ in TYPES}
    assert "Skipping Encounter because the server does not support it." in said
    assert "Failed" not in said
    assert not (tmp_path / "out" / "error").exists()
    (corrected,) = [one for one in found["Observation"] if one["id"] == live.corrected]
    assert corrected == live.get(f"Observation/{live.corrected}")
    log = [json.loads(line) for line in (tmp_path / "out" / "log.ndjson").read_text().splitlines()]
    events = Counter(one["eventId"] for one in log)
    assert events["download_error"] == events["status_error"] == 0
    kickoff = next(one["eventDetail"] for one in log if one["eventId"] == "kickoff")
    assert (kickoff["softwareName"], kickoff["fhirVersion"]) == ("fhirbridge", "4.0.1")
    last = log[-1]["eventDetail"]
    assert last["resources"] == sum(len(cohort()[type_]) for type_ in TYPES)


def test_its_own_filters_on_categories_leave_out_nothing_that_has_one(fetch: Any, tmp_path: Path) -> None:
    fetch("bulk", tmp_path / "out", "--type", "Observation")
    assert counted(records(tmp_path / "out")) == {"Observation": len(cohort()["Observation"])}


def test_an_export_of_the_group_with_a_filter_holds_what_the_filter_says(
    fetch: Any, live: Live, tmp_path: Path
) -> None:
    group = live.get("Group")["entry"][0]["resource"]["id"]
    words = ("--group", group, "--type", "Patient,Observation", "--type-filter", "Observation?category=imaging")
    fetch("bulk", tmp_path / "out", *words)
    found = records(tmp_path / "out")
    pending = {"candidate", "potential-candidate", "screening", "ineligible", "not-registered"}
    members = [one for one in cohort()["ResearchSubject"] if one["status"] not in pending]
    assert len(found["Patient"]) == len(members) > 0
    categories = {coding["code"] for one in found["Observation"] for coding in one["category"][0]["coding"]}
    assert categories == {"imaging"}
    assert {one["subject"]["reference"] for one in found["Observation"]} <= {
        f"Patient/{one['id']}" for one in found["Patient"]
    }


def test_a_later_export_brings_what_was_released_since_and_nothing_else(fetch: Any, live: Live, tmp_path: Path) -> None:
    corrected = live.get(f"Observation/{live.corrected}")["meta"]["lastUpdated"]
    first = live.get(f"Observation/{live.corrected}/_history/1")["meta"]["lastUpdated"]
    fetch("bulk", tmp_path / "new", "--type", "Observation,Patient", "--since", first, "--no-default-filters")
    assert [one["id"] for one in records(tmp_path / "new")["Observation"]] == [live.corrected]
    said = fetch("bulk", tmp_path / "none", "--type", "Observation", "--since", corrected, "--no-default-filters")
    assert records(tmp_path / "none") == {}
    assert "created" not in said


def test_a_managed_export_fills_its_folder_and_hydrates_without_an_error(fetch: Any, tmp_path: Path) -> None:
    said = fetch("export", tmp_path / "out", "--type", ",".join(TYPES), "--nickname", "all")
    assert counted(records(tmp_path / "out" / "001.all")) == {type_: len(cohort()[type_]) for type_ in TYPES}
    assert "error" not in said.lower()


def test_a_crawl_asks_patient_by_patient_and_finds_the_same(fetch: Any, live: Live, tmp_path: Path) -> None:
    patients = [one["resource"]["id"] for one in live.get("Patient")["entry"]]
    fetch("crawl", tmp_path / "out", "--id-list", ",".join(patients), "--type", ",".join(TYPES))
    assert counted(records(tmp_path / "out")) == {type_: len(cohort()[type_]) for type_ in TYPES}
