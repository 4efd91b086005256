"""Loading records from the command line: what is refused and why, that nothing else is lost, and the exit code."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import pytest

import mappings
from fhirbridge import study
from fhirbridge.demo.cohort import write_cohort
from tests.cli.conftest import Run

TRIAL = study.load(Path(mappings.__file__).parent / "studies" / "nct07120750.toml")


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(TRIAL, folder, subjects=2)
    return folder


@pytest.fixture
def records(cohort: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(cohort, tmp_path / "records"))


def rows(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"))))


def write(file: Path, found: list[dict[str, str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(found[0]))
        writer.writeheader()
        writer.writerows(found)


def change(file: Path, number: int, **values: str) -> dict[str, str]:
    """Change the row ``number`` (from 0) of a table and return it as it is now."""
    found = rows(file)
    found[number].update(values)
    write(file, found)
    return found[number]


def test_the_cohort_loads_whole_and_a_second_time_changes_nothing(run: Run, records: Path) -> None:
    first, second = run("ingest", "records", "--json"), run("ingest", "records", "--json")
    assert (first.code, second.code) == (0, 0)
    read = first.json
    assert read["rows"] == sum(len(rows(file)) for file in records.glob("*.csv"))
    assert read["rows"] == read["accepted"]
    assert set(read["ingested"]["resources"]) == {"created"}
    assert second.json["ingested"]["resources"] == {"unchanged": read["ingested"]["resources"]["created"]}
    assert read["ingested"]["balanced"]
    status = run("status", "--json").json
    assert sum(status["resources"].values()) == read["ingested"]["resources"]["created"]


REFUSALS = [
    ("laboratory.csv", {"collected": "2026-02-30"}, "collected", "2026-02-30"),
    ("laboratory.csv", {"value": "1,2e3", "absent_reason": ""}, "value", "1,2e3"),
    ("lesions.csv", {"size_mm": "-4"}, "size_mm", "-4"),
    ("subjects.csv", {"arm": "Placebo"}, "arm", "Placebo"),
    ("imaging.csv", {"performed": "2019-01-01"}, "performed", "2019-01-01"),
]


@pytest.mark.parametrize(("table", "values", "field", "shown"), REFUSALS)
def test_a_bad_row_is_refused_with_its_place_and_the_rest_is_stored(
    run: Run, records: Path, table: str, values: dict[str, str], field: str, shown: str
) -> None:
    change(records / table, 0, **values)
    ran = run("ingest", "records", "--json")
    assert ran.code == 1
    report = ran.json
    assert report["rows"] == report["accepted"] + report["duplicate"] + report["refused"]
    found = run("quarantine", "--json")
    assert found.code == 1
    finding = next(one for one in found.json["findings"] if one.get("field") == field)
    assert (finding["file"], finding["line"], finding["value"]) == (table, 2, shown)
    assert finding["remedy"]
    assert finding["rule"]
    assert report["accepted"] > 0


def test_a_corrected_row_is_taken_the_next_time(run: Run, records: Path) -> None:
    good = rows(records / "laboratory.csv")
    change(records / "laboratory.csv", 0, value="1,2e3", unit="[IU]/mL", absent_reason="")
    assert run("ingest", "records").code == 1
    write(records / "laboratory.csv", good)
    assert run("ingest", "records").code == 0
    assert run("quarantine").code == 0


def test_a_subject_in_two_arms_is_refused_with_all_that_hangs_on_it(run: Run, records: Path) -> None:
    subjects = rows(records / "subjects.csv")
    other = {"NA": "NA+PegIFN", "NA+PegIFN": "NA"}[subjects[0]["arm"]]
    write(records / "subjects.csv", [*subjects, {**subjects[0], "arm": other}])
    ran = run("ingest", "records", "--json")
    assert ran.code == 1
    findings = run("quarantine", "--json").json["findings"]
    assert [one["line"] for one in findings if one["rule"] == "conflict"] == [2, 4]
    assert ran.json["ingested"]["by_type"]["Patient"] == {"created": 1}
    assert ran.json["accepted"] + ran.json["refused"] == ran.json["rows"]


def test_a_birth_date_is_never_repeated(run: Run, records: Path) -> None:
    change(records / "subjects.csv", 0, birth_date="1961-13-41")
    ran, found = run("ingest", "records"), run("quarantine", "--json")
    assert ran.code == 1
    assert "birth_date" in found.out
    assert "1961-13-41" not in ran.out + ran.err + found.out


def test_a_renamed_column_makes_its_table_unusable_and_says_which_it_was(run: Run, records: Path) -> None:
    file = records / "laboratory.csv"
    file.write_text(file.read_text(encoding="utf-8").replace("collected", "colected", 1), encoding="utf-8")
    ran = run("ingest", "records")
    assert ran.code == 2
    assert "'collected'" in ran.err
    assert "colected" in ran.err


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "empty"), ("subject,site".encode("utf-16"), "UTF-16"), (b"\x00\x01\x02\x03", "byte")],
    ids=["an empty file", "UTF-16", "a binary file"],
)
def test_an_unusable_file_is_named_and_the_others_go_on(run: Run, records: Path, content: bytes, said: str) -> None:
    (records / "lesions.csv").write_bytes(content)
    ran = run("ingest", "records")
    assert ran.code == 2
    assert "lesions.csv" in ran.err
    assert said in ran.err
    assert run("status", "--json").json["resources"]["Patient"] == 2


def test_a_folder_that_is_not_there_is_unusable_input(run: Run) -> None:
    ran = run("ingest", "nowhere")
    assert ran.code == 2
    assert "nowhere" in ran.err


def test_results_alone_are_taken_once_their_subjects_are_known(run: Run, records: Path) -> None:
    assert run("ingest", "records").code == 0
    (records / "subjects.csv").unlink()
    change(records / "laboratory.csv", 0, value="77", unit="[IU]/mL", absent_reason="", status="corrected")
    ran = run("ingest", "records", "--json")
    assert ran.code == 0
    assert ran.json["ingested"]["resources"]["updated"] >= 1


def test_a_store_refuses_another_pseudonym_key(run: Run, records: Path, tmp_path: Path) -> None:
    assert run("ingest", "records").code == 0
    assert run("key", "new", "other.key").code == 0
    ran = run("ingest", "records", FHIRBRIDGE_PSEUDONYM_KEY="other.key")
    assert ran.code == 2
    assert "another pseudonym key" in ran.err


def test_a_subject_that_changes_its_arm_between_loadings_is_refused_until_somebody_says_so(
    run: Run, records: Path
) -> None:
    assert run("ingest", "records").code == 0
    before = rows(records / "subjects.csv")[0]
    other = {"NA": "NA+PegIFN", "NA+PegIFN": "NA"}[before["arm"]]
    change(records / "subjects.csv", 0, arm=other)
    assert run("ingest", "records", "--json").json["ingested"]["resources"].get("updated") is None
    finding = run("quarantine", "--json").json["findings"][0]
    assert (finding["rule"], finding["value"]) == ("arm-change", other)
    moved = run("ingest", "records", "--move", before["subject"], "--json")
    assert moved.code == 0
    assert moved.json["ingested"]["by_type"]["ResearchSubject"]["updated"] == 1
