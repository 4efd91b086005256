"""The cohort as files: reproducible bytes, prefixes, data cuts, and the strict rules a reader applies."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest

from fhirbridge.demo.cohort import COLUMNS, CohortSummary, write_cohort
from fhirbridge.errors import ConfigurationError
from fhirbridge.records import types, values
from fhirbridge.study import Study

FILES = ("subjects.csv", "laboratory.csv", "imaging.csv", "lesions.csv", "truth.json")

FIRST_TWENTY = "3a91ab8c065671c78d9f372e42c95df16a58ee0a15182f83c61e09392de61497"
"""SHA-256 over the five files of the first 20 subjects. Changing the simulation changes it: say so in CHANGELOG.md."""


def digest(directory: Path) -> str:
    return hashlib.sha256(b"".join((directory / name).read_bytes() for name in FILES)).hexdigest()


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text[:10])


def test_two_runs_give_the_same_bytes(study: Study, cohort: CohortSummary, tmp_path: Path):
    write_cohort(study, tmp_path)
    assert digest(tmp_path) == digest(cohort.directory)


def test_the_first_twenty_subjects_are_the_same_on_every_machine(study: Study, tmp_path: Path):
    write_cohort(study, tmp_path, subjects=20)
    assert digest(tmp_path) == FIRST_TWENTY


def test_hash_seed_locale_and_time_zone_do_not_matter(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from fhirbridge.study import load; "
        "from fhirbridge.demo.cohort import write_cohort; "
        "write_cohort(load(Path(sys.argv[1])), Path(sys.argv[2]), subjects=20)"
    )
    study_file = Path(__file__).parents[2] / "mappings" / "studies" / "nct07120750.toml"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "LC_ALL": "C", "TZ": "America/St_Johns", "PYTHONUTF8": "0"}
    subprocess.run([sys.executable, "-c", code, study_file, tmp_path], env=environment, check=True, timeout=60)
    assert digest(tmp_path) == FIRST_TWENTY


def test_another_seed_gives_another_cohort(study: Study, tmp_path: Path):
    write_cohort(study, tmp_path, subjects=20, seed=1)
    assert digest(tmp_path) != FIRST_TWENTY


def test_fewer_subjects_are_the_first_of_the_same_cohort(study: Study, cohort: CohortSummary, tmp_path: Path):
    write_cohort(study, tmp_path, subjects=20)
    for name in FILES[:-1]:
        assert (cohort.directory / name).read_bytes().startswith((tmp_path / name).read_bytes())
    few, all_of_them = (json.loads((path / "truth.json").read_text()) for path in (tmp_path, cohort.directory))
    assert all_of_them["subjects"][:20] == few["subjects"]


def test_a_cohort_larger_than_the_target_runs_in_parallel_rounds(study: Study, tmp_path: Path):
    summary = write_cohort(study, tmp_path, subjects=340)
    lines = (tmp_path / "subjects.csv").read_text().splitlines()
    assert summary.subjects == 340
    assert lines[-1].startswith("SZ-0340,")
    assert "2021-03" in lines[-1]


def test_an_earlier_data_cut_leaves_out_only_what_came_later(study: Study, table, tmp_path: Path):
    cut = dt.date(2022, 6, 30)
    write_cohort(study, tmp_path, as_of=cut)
    for name, date in (("laboratory", "collected"), ("imaging", "performed")):
        lines = (tmp_path / f"{name}.csv").read_text(encoding="utf-8").splitlines()
        assert len(lines) - 1 == sum(day(row[date]) <= cut for row in table(name))
    subjects = (tmp_path / "subjects.csv").read_text().splitlines()[1:]
    assert len(subjects) == sum(day(row["consent_date"]) <= cut for row in table("subjects"))
    statuses = {line.split(",")[4] for line in subjects}
    assert {"on-study-observation", "on-study-intervention", "off-study"} <= statuses
    assert all(day(cell) <= cut for line in subjects for cell in line.split(",")[6:] if cell)


def test_the_summary_counts_what_the_files_hold(cohort: CohortSummary, table):
    assert cohort.subjects == len(table("subjects")) == 332
    assert cohort.laboratory == len(table("laboratory"))
    assert cohort.imaging == len(table("imaging"))
    assert cohort.lesions == len(table("lesions"))
    truth = json.loads((cohort.directory / "truth.json").read_text(encoding="utf-8"))
    assert cohort.recurrences == sum(subject["detected_exam"] is not None for subject in truth["subjects"])


def test_columns_are_fields_of_the_records():
    records = {
        "subjects": {field.name for field in fields(types.Subject)},
        "laboratory": {field.name for field in fields(types.LaboratoryResult)} - {"source"} - {"reported"},
        "imaging": {field.name for field in fields(types.ImagingExam)} - {"lesions"},
        "lesions": {field.name for field in fields(types.Lesion)} | {"exam"},
    }
    assert {name: set(columns) for name, columns in COLUMNS.items()} == records


def test_files_are_plain_utf8_with_unix_line_ends(cohort: CohortSummary):
    for name in FILES:
        content = (cohort.directory / name).read_bytes()
        assert content.decode("utf-8")
        assert not content.startswith(b"\xef\xbb\xbf")
        assert b"\r" not in content
        assert content.endswith(b"\n")


def test_keys_are_unique(table):
    for name, key in (("subjects", ["subject"]), ("laboratory", ["result"]), ("lesions", ["exam", "lesion"])):
        keys = [tuple(row[column] for column in key) for row in table(name)]
        assert len(set(keys)) == len(keys)
    assert len({row["exam"] for row in table("imaging")}) == len(table("imaging"))


def test_dates_of_a_subject_are_in_order(table):
    for row in table("subjects"):
        assert row["consent_date"] <= row["enrolment_date"] <= row["index_date"] <= row["end_date"] < "2026"


def test_statuses_agree_with_dates(table):
    for row in table("subjects"):
        assert (row["status"] == "withdrawn") == bool(row["consent_withdrawn"])
        assert row["status"] in ("withdrawn", "off-study")
        for ending in ("consent_withdrawn", "death_date"):
            assert row[ending] in ("", row["end_date"])


def test_nothing_is_dated_before_consent_or_after_leaving(table):
    subjects = {row["subject"]: row for row in table("subjects")}
    for name, date in (("laboratory", "collected"), ("imaging", "performed")):
        for row in table(name):
            subject = subjects[row["subject"]]
            assert subject["consent_date"] <= row[date][:10] <= subject["end_date"]
            if subject["consent_withdrawn"] or subject["death_date"]:
                assert row[date][:10] < subject["end_date"]


def test_times_are_local_and_carry_their_offset(table):
    times = [row["performed"] for row in table("imaging")] + [row["collected"] for row in table("laboratory")]
    with_time = [time for time in times if len(time) > 10]
    assert all(time.endswith("+08:00") for time in with_time)
    assert 0 < len(times) - len(with_time) < 0.05 * len(times)


def test_values_follow_the_strict_grammar_and_carry_exactly_the_unit_they_need(study: Study, table):
    for row in table("laboratory"):
        analyte = study.analyte(row["analyte"])
        assert analyte is not None
        assert bool(row["value"]) != bool(row["absent_reason"])
        value = values.parse(row["value"], analyte.scale) if row["value"] else None
        measured = isinstance(value, values.Number | values.Censored)
        assert row["unit"] == (analyte.unit if measured else "")
        assert analyte.assay(row["assay"]) is not None


def test_hbsag_has_two_decimals_and_hbv_dna_three_significant_digits(table):
    numbers = [row for row in table("laboratory") if row["value"][:1].isdigit()]
    hbsag = [row["value"] for row in numbers if row["analyte"] == "HBSAG"]
    assert all(len(value.partition(".")[2]) == 2 for value in hbsag)
    assert any(value.endswith("0") for value in hbsag)
    for row in numbers:
        if row["analyte"] == "HBV-DNA":
            assert len(row["value"].partition("E")[0].replace(".", "").rstrip("0")) <= 3


def test_no_subjects_at_all_is_refused(study: Study, tmp_path: Path):
    with pytest.raises(ConfigurationError, match="at least one"):
        write_cohort(study, tmp_path, subjects=0)


def test_another_study_is_refused_by_what_it_lacks(study: Study, tmp_path: Path):
    arms = msgspec.structs.replace(study, arms=(study.arms[0],))
    with pytest.raises(ConfigurationError, match=r"no arm 'NA\+PegIFN'"):
        write_cohort(arms, tmp_path)
    analytes = msgspec.structs.replace(study, analytes=study.analytes[:1])
    with pytest.raises(ConfigurationError, match="no analyte 'HBSAG'"):
        write_cohort(analytes, tmp_path)
