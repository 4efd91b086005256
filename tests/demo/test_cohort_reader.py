"""The study's own reader takes every row of the cohort and gives back the records that were simulated."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pytest

from fhirbridge.demo.cohort import COLUMNS, CohortSummary, participants
from fhirbridge.records.tables import TableReport, read
from fhirbridge.study import Study

TODAY = dt.date(2026, 1, 1)


@dataclass(frozen=True)
class Read:
    findings: list[str]
    reports: dict[str, TableReport]
    remarks: tuple[object, ...]
    records: list[object]


@pytest.fixture(scope="module")
def taken(study: Study, cohort: CohortSummary) -> Read:
    with read(cohort.directory, study, today=TODAY) as batch:
        return Read(
            [str(finding) for finding in batch.findings()],
            batch.tables,
            (*batch.notes, *batch.unusable),
            [record for group in batch.subjects() for record in group.records],
        )


def test_the_reader_finds_nothing_to_say(taken: Read):
    assert taken.findings == []
    assert taken.remarks == ()


def test_the_reader_accepts_every_row(taken: Read, cohort: CohortSummary):
    for name in COLUMNS:
        report = taken.reports[name]
        assert report.accepted == getattr(cohort, name)
        assert (report.refused, report.held, report.duplicate) == (0, 0, 0)
        assert report.unknown_columns == ()


def test_the_reader_gives_back_the_records_that_were_simulated(study: Study, taken: Read):
    simulated = [
        record
        for participant in participants(study)
        for record in (participant.subject, *participant.laboratory, *participant.imaging)
    ]
    assert sorted(map(text, taken.records)) == sorted(map(text, simulated))


def text(record: object) -> str:
    """Compare by text, digits of decimals included; a time zone's name is not part of a record."""
    return (
        repr(record)
        .replace("zoneinfo.ZoneInfo(key='Asia/Shanghai')", "+08:00")
        .replace("datetime.timezone(datetime.timedelta(seconds=28800))", "+08:00")
    )
