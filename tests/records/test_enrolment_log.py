"""The enrolment log as people keep it: CSV or Excel, and never a cell of it in a message."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import openpyxl
import pytest

from fhirbridge.errors import Finding, InputError
from fhirbridge.records.enrolment_log import Enrolled, read

SYSTEM = "urn:oid:1.2.3"


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    file = folder / "log.csv"
    file.write_bytes(text.encode(encoding))
    return file


def findings(path: Path, system: str | None = SYSTEM) -> list[Finding]:
    return [finding for row in read(path, system=system).rows if isinstance(row, list) for finding in row]


def test_columns_come_in_any_order_and_a_row_may_name_its_system(tmp_path: Path) -> None:
    log = read(
        written(tmp_path, "Identifier;sex;subject;birth_date;system\n0012;f;S1;1970-05-03;\n77;;S2;1971;urn:other\n"),
        system=SYSTEM,
    )
    first, second = log.rows
    assert isinstance(first, Enrolled)
    assert (first.subject, first.system, first.identifier) == ("S1", SYSTEM, "0012")
    assert (first.birth_date, first.sex) == ("1970-05-03", "female")
    assert isinstance(second, Enrolled)
    assert (second.system, second.birth_date, second.sex) == ("urn:other", "1971", None)


def test_a_log_in_gb18030_is_read_with_sexes_in_chinese(tmp_path: Path) -> None:
    [row] = read(written(tmp_path, "subject,identifier,sex\nS1,住院0012,男\n", "gb18030"), system=SYSTEM).rows
    assert isinstance(row, Enrolled)
    assert (row.identifier, row.sex) == ("住院0012", "male")


def test_a_workbook_is_read_by_its_only_sheet_with_dates_as_excel_has_them(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["subject", "identifier", "birth_date"])
    book.active.append(["S1", "0012", dt.date(1970, 5, 3)])
    book.save(tmp_path / "log.xlsx")
    [row] = read(tmp_path / "log.xlsx", system=SYSTEM).rows
    assert isinstance(row, Enrolled)
    assert (row.identifier, row.birth_date) == ("0012", "1970-05-03")


def test_of_several_sheets_the_one_of_that_name_is_read_and_none_is_guessed(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for sheet in (book.active, book.create_sheet("Enrolment_Log")):
        assert sheet is not None
        sheet.append(["subject", "identifier", "sex"])
    book["Enrolment_Log"].append(["S1", "0012", "m"])
    book.save(tmp_path / "log.xlsx")
    assert len(read(tmp_path / "log.xlsx", system=SYSTEM).rows) == 1
    book["Enrolment_Log"].title = "other"
    book.save(tmp_path / "log.xlsx")
    with pytest.raises(InputError, match="enrolment log"):
        read(tmp_path / "log.xlsx", system=SYSTEM)


@pytest.mark.parametrize(
    ("row", "rule", "field"),
    [
        (",8877,1970-05-03,f", "required", "subject"),
        ("X9,,1970-05-03,f", "required", "identifier"),
        ("X9,8877,,", "unconfirmed", "birth_date"),
        ("X9,8877,,unknown", "unconfirmed", "birth_date"),
        ("X9,8877,03.05.1970,f", "pattern", "birth_date"),
        ("X9,8877,1970-02-30,f", "format", "birth_date"),
        ("X9,8877,1970-05-03,Mrs Doe", "enum", "sex"),
        ("X9,8877", "cells", None),
        ("X9,8877,1970-05-03,f,extra", "cells", None),
    ],
)
def test_a_bad_row_says_what_is_wrong_and_repeats_no_cell(
    tmp_path: Path, row: str, rule: str, field: str | None
) -> None:
    path = written(tmp_path, f"subject,identifier,birth_date,sex\n{row}\nS2,0013,1971-01-01,m\n")
    [found] = findings(path)
    assert (found.rule, found.field, found.line) == (rule, field, 2)
    said = str(found)
    assert all(cell not in said for cell in ("X9", "8877", "1970-05-03", "03.05.1970", "1970-02-30", "Mrs Doe"))
    assert sum(isinstance(one, Enrolled) for one in read(path, system=SYSTEM).rows) == 1


def test_without_any_system_a_row_is_refused_with_the_three_remedies(tmp_path: Path) -> None:
    [found] = findings(written(tmp_path, "subject,identifier,sex\nS1,0012,f\n"), system=None)
    assert found.field == "system"
    assert "--system" in found.remedy
    assert "linking_system" in found.remedy


def test_a_log_without_a_header_is_refused_and_its_first_row_is_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="required column 'subject' is missing") as refused:
        read(written(tmp_path, "S1,0012345,1970-05-03,f\n"), system=SYSTEM)
    assert "0012345" not in str(refused.value)
    assert "1970" not in str(refused.value)


def test_repr_of_a_row_shows_nothing_of_it(tmp_path: Path) -> None:
    [row] = read(written(tmp_path, "subject,identifier,birth_date\nS1,0012,1970-05-03\n"), system=SYSTEM).rows
    assert all(word not in repr(row) for word in ("S1", "0012", "1970", SYSTEM))
