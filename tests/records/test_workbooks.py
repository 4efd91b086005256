"""An Excel workbook says what a folder of CSV files says, with the same checks."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from fhirbridge.errors import InputError
from fhirbridge.records.types import ImagingExam, LaboratoryResult, Subject
from fhirbridge.records.values import Number
from tests.records.source import Folder, Outcome


def read(folder: Folder, change: dict[str, dict[str, Any]] | None = None, *, name: str = "study.xlsx") -> Outcome:
    """Write the folder's tables as a workbook, cells such as ``laboratory!A2`` changed, and read it."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for table, rows in folder.tables.items():
        sheet = book.create_sheet(table.title())
        fields = list(dict.fromkeys(field for row in rows for field in row))
        sheet.append(fields)
        for row in rows:
            sheet.append([row.get(field) for field in fields])
        for cell, value in (change or {}).get(table, {}).items():
            sheet[cell] = value
    path = folder.path / name
    book.save(path)
    with folder.open(source=path) as outcome:
        return outcome


def test_a_workbook_gives_the_records_of_the_folder(folder: Folder) -> None:
    assert read(folder).records == folder.read().records


def test_typed_cells_are_read_as_what_they_are(folder: Folder) -> None:
    # Excel has no time zones, so neither have its cells.
    outcome = read(
        folder,
        {
            "subjects": {"F2": dt.date(2026, 1, 12), "H2": dt.datetime(1968, 3, 4)},  # noqa: DTZ001
            "laboratory": {
                "E2": dt.datetime(2026, 1, 12, 9, 30),  # noqa: DTZ001
                "G2": 1.5,
                "E3": dt.datetime(2026, 4, 6),  # noqa: DTZ001
                "G4": 170000,
            },
            "lesions": {"D2": 15, "F3": True},
        },
    )
    assert not outcome.findings
    subject = next(r for r in outcome.records if isinstance(r, Subject))
    assert subject.birth_date == dt.date(1968, 3, 4)
    results = {r.result: r for r in outcome.records if isinstance(r, LaboratoryResult)}
    assert results["R-1"].collected.isoformat() == "2026-01-12T09:30:00+08:00"
    assert results["R-2"].collected == dt.date(2026, 4, 6)
    assert [results[name].value for name in ("R-1", "R-3")] == [Number(Decimal("1.5")), Number(Decimal(170000))]
    exam = next(r for r in outcome.records if isinstance(r, ImagingExam))
    assert (exam.lesions[0].size_mm, exam.lesions[1].treated) == (15, True)


def test_a_text_cell_keeps_the_digits_that_a_number_loses(folder: Folder) -> None:
    outcome = read(folder, {"laboratory": {"G2": "5.50", "G4": 5.50}})
    results = {r.result: r.reported for r in outcome.records if isinstance(r, LaboratoryResult)}
    assert (results["R-1"], results["R-3"]) == ("5.50", "5.5")


def test_a_bad_cell_is_told_by_sheet_row_and_column(folder: Folder) -> None:
    (finding,) = read(folder, {"laboratory": {"G3": "1,2e3"}}).findings
    assert (finding.file, finding.line, finding.column, finding.rule) == ("study.xlsx:Laboratory", 3, 7, "value")


@pytest.mark.parametrize("value", ["=1+1", "#N/A"])
def test_formulas_and_errors_are_refused(folder: Folder, value: str) -> None:
    (finding,) = read(folder, {"laboratory": {"G3": value}}).findings
    assert (finding.record, finding.rule) == ("laboratory R-2", "formula")
    assert "paste it as values" in finding.remedy


def test_a_cell_beyond_the_header_is_refused_and_an_empty_row_is_none(folder: Folder) -> None:
    outcome = read(folder, {"laboratory": {"J2": "stray", "A9": None, "A10": " "}})
    assert outcome.rules == [("laboratory R-1", "cells")]
    assert outcome.tables["laboratory"].rows == 3


def test_an_empty_sheet_is_unusable_and_other_sheets_go_on(folder: Folder) -> None:
    folder.tables["laboratory"] = []
    outcome = read(folder)
    assert "study.xlsx:Laboratory is empty" in outcome.errors()["laboratory"]
    assert outcome.tables["subjects"].accepted == 2


def test_a_renamed_column_is_told(folder: Folder) -> None:
    outcome = read(folder, {"laboratory": {"E1": "colected"}})
    assert "rename 'colected' to 'collected'" in outcome.errors()["laboratory"]


def test_a_sheet_that_no_table_claims_is_reported(folder: Folder) -> None:
    folder.tables["Notes"] = [{"a": "b"}]
    assert read(folder).notes == ("sheet 'Notes' is no table and is not read.",)


@pytest.mark.parametrize("content", [b"", b"not a workbook", b"PK\x03\x04broken", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"])
def test_a_file_that_is_no_workbook_is_refused(folder: Folder, content: bytes) -> None:
    path = folder.path / "study.xlsx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"study\.xlsx is not an Excel workbook"), folder.open(source=path):
        pass


def test_another_kind_of_file_is_refused(folder: Folder) -> None:
    path = Path(folder.path / "study.xls")
    path.write_bytes(b"x")
    with pytest.raises(InputError, match=r"neither a folder nor an \.xlsx workbook"), folder.open(source=path):
        pass
