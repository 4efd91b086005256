"""One row at a time: what is refused, by which rule, and in words that help."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
import pytest

from fhirbridge.records.types import ImagingExam, LaboratoryResult, Subject
from fhirbridge.records.values import Censored, Number, Ordinal
from tests.records.source import Folder

CASES = [
    ("subjects", "sex", "m", "enum", "sex is not in the list"),
    ("subjects", "site", "SZTHP", "unknown-site", "did you mean 'SZTPH'?"),
    ("subjects", "arm", "NA+IFN", "unknown-arm", "arm is none of the study's arms"),
    ("subjects", "subject", "S 001", "pattern", "characters that do not belong"),
    ("subjects", "consent_date", "2026-02-30", "format", "consent_date is not a date that exists"),
    ("subjects", "consent_date", "5.1.2026", "format", "Write YYYY-MM-DD"),
    ("subjects", "consent_date", "1026-01-05", "format", "from 1900 to 2099"),
    ("subjects", "consent_date", "", "required", "consent_date is empty"),
    ("subjects", "consent_date", "2026-11-02", "future", "up to 2026-11-01"),
    ("subjects", "enrolment_date", "2026-01-04", "order", "enrolment_date comes before consent_date"),
    ("subjects", "end_date", "2026-01-11", "order", "end_date comes before enrolment_date"),
    ("subjects", "consent_withdrawn", "2025-12-31", "order", "consent_withdrawn comes before consent_date"),
    ("subjects", "death_date", "2026-01-06", "order", "death_date comes before enrolment_date"),
    ("laboratory", "value", "1,2e3", "value", "Write a point for the fraction"),
    ("laboratory", "value", "-5", "value", "is negative"),
    ("laboratory", "value", "1200 IU/mL", "value", "is not a number"),
    ("laboratory", "value", "positive", "value", "is no quantity"),
    ("laboratory", "value", "", "value", "neither a value nor a reason"),
    ("laboratory", "absent_reason", "error", "value", "a value and a reason"),
    ("laboratory", "unit", "IU/mL", "unit", "Give the value in [IU]/mL"),
    ("laboratory", "unit", "", "unit", "there is no unit"),
    ("laboratory", "visit", "W001", "unknown-visit", "none of the study's visits"),
    ("laboratory", "analyte", "HBVDNA", "unknown-analyte", "did you mean 'HBV-DNA'?"),
    ("laboratory", "assay", "Taqman", "unknown-assay", "Use one of: COBAS TaqMan HBV Test"),
    ("laboratory", "collected", "2026-02-30", "format", "not a date that exists"),
    ("laboratory", "collected", "2026-02-10T25:00", "format", "not a date that exists"),
    ("laboratory", "collected", "2026-11-02", "future", "collected is in the future"),
    ("laboratory", "comment", "a\x07b", "pattern", "characters that do not belong"),
    ("imaging", "performed", "2026-11-02T00:30", "future", "performed is in the future"),
    ("imaging", "procedure", "thorax", "enum", "Use one of liver, abdomen"),
    ("lesions", "size_mm", "-14", "range", "Give a whole number from 1 to 500"),
    ("lesions", "size_mm", "0", "range", "out of range"),
    ("lesions", "size_mm", "14.5", "type", "size_mm is not a whole number"),
    ("lesions", "size_mm", "²", "type", "size_mm is not a whole number"),
    ("lesions", "treated", "perhaps", "type", "treated is not true or false"),
    ("lesions", "category", "LR-6", "enum", "category is not in the list"),
    ("lesions", "segment", "IX", "enum", "segment is not in the list"),
]


@pytest.mark.parametrize(("table", "field", "value", "rule", "said"), CASES)
def test_a_bad_value_is_refused_with_its_place_its_rule_and_a_remedy(
    folder: Folder, table: str, field: str, value: str, rule: str, said: str
) -> None:
    folder.tables[table][0][field] = value
    outcome = folder.read()
    finding = next(finding for finding in outcome.findings if finding.rule == rule)
    assert (finding.file, finding.line, finding.field) == (f"{table}.csv", 2, field)
    assert finding.value == (value or None)
    assert said in str(finding)
    assert finding.remedy.endswith(".")
    assert outcome.tables[table].refused == 1


def test_the_column_is_counted_in_the_file_as_it_is(folder: Folder) -> None:
    folder.tables["laboratory"] = [{"unread": "", **row, "visit": "W1"} for row in folder.tables["laboratory"]]
    assert {finding.column for finding in folder.read().findings} == {4}


def test_a_row_with_several_faults_names_each_and_counts_once(folder: Folder) -> None:
    folder.tables["laboratory"][0] |= {"visit": "W1", "collected": "2026-02-30", "subject": ""}
    outcome = folder.read()
    assert [(f.field, f.rule) for f in outcome.findings] == [
        ("subject", "required"), ("visit", "unknown-visit"), ("collected", "format"),
    ]  # fmt: skip
    assert outcome.tables["laboratory"].refused == 1


@pytest.mark.parametrize("value", ["1968-02-30", "4 March 1968", "2027-03-04", "2026-01-05", "1850-03-04"])
def test_a_birth_date_is_never_repeated(folder: Folder, value: str) -> None:
    folder.tables["subjects"][0]["birth_date"] = value
    outcome = folder.read()
    assert outcome.tables["subjects"].refused == 1
    told = b"".join(msgspec.json.encode(finding) for finding in outcome.findings).decode()
    assert (value == "2026-01-05" and "birth_date" in told) or value not in told
    assert all(finding.value is None for finding in outcome.findings if finding.field == "birth_date")


def test_birth_dates_that_conflict_are_not_repeated_either(folder: Folder) -> None:
    folder.tables["subjects"].append({**folder.tables["subjects"][0], "birth_date": "1968-03-05"})
    outcome = folder.read()
    assert "birth_date" in outcome.findings[0].message
    assert "1968" not in "".join(map(str, outcome.findings))


def test_a_long_value_is_shortened_in_the_report(folder: Folder) -> None:
    folder.tables["laboratory"][0]["comment"] = "x" * 5000
    (finding,) = folder.read().findings
    assert (finding.rule, finding.value) == ("length", "x" * 80 + "…")


def test_values_keep_their_digits_and_their_source_text(folder: Folder) -> None:
    results = {r.result: r for r in folder.read().records if isinstance(r, LaboratoryResult)}
    assert results["R-1"].value == Number(Decimal("1.7E5"))
    assert results["R-2"].value == Censored("<", Decimal(10))
    assert str(results["R-3"].value.value) == "5.50"  # type: ignore[union-attr]
    assert results["R-2"].reported == "<10"


def test_a_word_is_a_value_without_unit(folder: Folder) -> None:
    folder.tables["laboratory"][0] |= {"value": "Not detected", "unit": ""}
    folder.tables["laboratory"][1] |= {"value": "not detected", "unit": "[IU]/mL"}
    outcome = folder.read()
    assert [(f.record, f.rule, f.message) for f in outcome.findings] == [
        ("laboratory R-2", "unit", "there is a unit, but the value is a word")
    ]
    assert any(isinstance(r, LaboratoryResult) and r.value == Ordinal("not detected") for r in outcome.records)


def test_no_value_goes_with_a_reason_and_no_unit(folder: Folder) -> None:
    folder.tables["laboratory"][0] |= {"value": "", "unit": "", "absent_reason": "not-performed"}
    outcome = folder.read()
    assert not outcome.findings
    assert any(isinstance(r, LaboratoryResult) and r.absent_reason == "not-performed" for r in outcome.records)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-04-06", "2026-04-06"),
        ("2026-04-06T08:30", "2026-04-06T08:30:00+08:00"),
        ("2026-04-06 08:30:15", "2026-04-06T08:30:15+08:00"),
        ("2026-04-06T08:30Z", "2026-04-06T16:30:00+08:00"),
        ("2026-04-06T23:30:00-05:00", "2026-04-07T12:30:00+08:00"),
    ],
)
def test_a_time_is_told_in_the_zone_of_the_study(folder: Folder, written: str, read: str) -> None:
    folder.tables["imaging"][0]["performed"] = written
    exam = next(record for record in folder.read().records if isinstance(record, ImagingExam))
    assert exam.performed.isoformat() == read


def test_a_local_time_has_the_offset_of_its_season_and_is_refused_where_clocks_change(folder: Folder) -> None:
    folder.study = msgspec.structs.replace(
        folder.study, schedule=msgspec.structs.replace(folder.study.schedule, time_zone="Europe/Berlin")
    )
    times = ["2026-01-20T08:30", "2026-07-20T08:30", "2026-03-29T02:30", "2026-10-25T02:30", "2026-10-25T02:30+01:00"]
    result = folder.tables["laboratory"][0]
    folder.tables["laboratory"] = [{**result, "result": f"T-{n}", "collected": at} for n, at in enumerate(times)]
    outcome = folder.read()
    assert outcome.rules == [("laboratory T-2", "format"), ("laboratory T-3", "format")]
    assert "Write the offset" in outcome.findings[0].remedy
    taken = [r.collected for r in outcome.records if isinstance(r, LaboratoryResult)]
    assert taken == [
        dt.datetime.fromisoformat(f"{times[0]}+01:00"),
        dt.datetime.fromisoformat(f"{times[1]}+02:00"),
        dt.datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
    ]


@pytest.mark.parametrize(
    ("written", "read"), [("true", True), ("Yes", True), ("1", True), ("FALSE", False), ("no", False), ("0", False)]
)
def test_booleans_are_written_in_several_ways(folder: Folder, written: str, read: bool) -> None:
    folder.tables["lesions"][0]["threshold_growth"] = written
    exam = next(record for record in folder.read().records if isinstance(record, ImagingExam))
    assert exam.lesions[0].threshold_growth is read


def test_an_empty_cell_is_absent(folder: Folder) -> None:
    folder.tables["subjects"][0]["arm"] = "  "
    subject = folder.read().records[0]
    assert isinstance(subject, Subject)
    assert subject.arm is None
