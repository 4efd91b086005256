"""A folder of CSV files: what may vary, what is told, and how little a broken line takes with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhirbridge.errors import InputError
from fhirbridge.records.tables import read
from fhirbridge.records.types import LaboratoryResult, Subject
from tests.records.source import TODAY, Folder, text


def test_a_right_folder_comes_out_subject_by_subject(folder: Folder) -> None:
    outcome = folder.read()
    assert [group.subject for group in outcome.groups] == ["S001", "S002"]
    assert [type(record).__name__ for record in outcome.groups[0].records] == [
        "Subject", "LaboratoryResult", "LaboratoryResult", "ImagingExam",
    ]  # fmt: skip
    assert not outcome.findings
    assert not outcome.errors()


def test_every_record_carries_the_file_and_lines_it_came_from(folder: Folder) -> None:
    group = folder.read().groups[0]
    assert [[(place.file, place.line) for place in places] for places in group.sources] == [
        [("subjects.csv", 2)],
        [("laboratory.csv", 2)],
        [("laboratory.csv", 3)],
        [("imaging.csv", 2), ("lesions.csv", 2), ("lesions.csv", 3)],
    ]


def test_a_folder_that_is_not_there_is_named(folder: Folder) -> None:
    with (
        pytest.raises(InputError, match=r"there is nothing at .*missing\. Give a folder"),
        folder.open(source=folder.path / "missing"),
    ):
        pass


def test_a_folder_without_any_table_says_what_it_should_have_and_has(folder: Folder) -> None:
    folder.write("labs", "a,b\n")
    with pytest.raises(InputError, match=r"no file named subjects, .* or lesions; it has 'labs'"):
        folder.read(write=False)


def test_a_single_csv_file_is_no_source(folder: Folder) -> None:
    folder.write("subjects", "a,b\n")
    with (
        pytest.raises(InputError, match="Give the folder that holds it"),
        folder.open(source=folder.path / "subjects.csv"),
    ):
        pass


def test_a_missing_file_is_no_error_by_itself(folder: Folder) -> None:
    del folder.tables["laboratory"]
    outcome = folder.read()
    assert outcome.tables["laboratory"].file is None
    assert not outcome.errors()
    assert not outcome.findings


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff", "\ufeff\n", ",,\n"])
def test_an_empty_file_is_unusable_and_says_so(folder: Folder, content: str) -> None:
    folder.write("laboratory", content)
    outcome = folder.read()
    assert "laboratory.csv is empty" in outcome.errors()["laboratory"]
    assert outcome.tables["imaging"].accepted == 2


def test_a_header_alone_is_a_table_of_no_rows(folder: Folder) -> None:
    folder.write("laboratory", "result,subject,visit,analyte,collected,value,unit\n")
    outcome = folder.read()
    assert not outcome.errors()
    assert outcome.tables["laboratory"].rows == 0


def test_a_file_that_no_table_claims_is_reported_with_the_nearest_name(folder: Folder) -> None:
    folder.write("lesion", "a\n")
    assert folder.read().notes == ("file 'lesion' is no table and is not read; did you mean 'lesions'?",)


def test_two_files_of_one_table_are_refused(folder: Folder) -> None:
    (folder.path / "Subjects.CSV").write_text("subject\n")
    if (folder.path / "subjects.csv").exists():
        pytest.skip("this file system does not tell the two names apart")
    outcome = folder.read()
    assert "are both the table subjects" in outcome.errors()["subjects"]


@pytest.mark.parametrize(("delimiter", "name"), [(";", "semicolon"), ("\t", "tab"), (",", "comma")])
def test_the_delimiter_is_told_from_the_header(folder: Folder, delimiter: str, name: str) -> None:
    folder.write("laboratory", text(folder.tables["laboratory"], delimiter=delimiter))
    outcome = folder.read()
    assert outcome.tables["laboratory"].delimiter == name
    assert outcome.tables["laboratory"].accepted == 3


def test_header_order_case_and_spaces_do_not_matter(folder: Folder) -> None:
    turned = [dict(reversed(row.items())) for row in folder.tables["subjects"]]
    head, _, rows = text(turned).partition("\n")
    folder.write("subjects", " , ".join(name.upper() for name in head.split(",")) + "\n" + rows)
    outcome = folder.read()
    subject = outcome.records[0]
    assert isinstance(subject, Subject)
    assert (subject.subject, subject.arm, subject.birth_date.isoformat()) == ("S001", "NA", "1968-03-04")


def test_an_unknown_column_is_reported_with_the_nearest_name_and_the_rows_go_on(folder: Folder) -> None:
    folder.tables["laboratory"] = [{**row, "asay": "x"} for row in folder.tables["laboratory"]]
    report = folder.read().tables["laboratory"]
    assert report.unknown_columns == ("asay",)
    assert report.notes == ("column 'asay' is unknown and is not read; did you mean 'assay'?",)
    assert report.accepted == 3


def test_a_renamed_column_makes_its_table_unusable_and_no_other(folder: Folder) -> None:
    folder.write("laboratory", text(folder.tables["laboratory"]).replace("collected", "colected"))
    outcome = folder.read()
    said = outcome.errors()["laboratory"]
    assert "laboratory.csv: the required column 'collected' is missing" in said
    assert "rename 'colected' to 'collected'" in said
    assert [outcome.tables[name].accepted for name in ("subjects", "imaging", "lesions")] == [2, 2, 2]


def test_a_column_given_twice_makes_its_table_unusable(folder: Folder) -> None:
    folder.write("laboratory", text(folder.tables["laboratory"]).replace("unit", "Visit"))
    assert "column 'visit' stands twice in the header (columns 3 and 6)" in folder.read().errors()["laboratory"]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("R-9,S001,W000", "cells"),
        ("R-9,S001,W000,HBV-DNA,2026-01-12,[IU]/mL,5,more", "cells"),
        ('R-9,S001,"W000,HBV-DNA,2026-01-12,[IU]/mL,5', "quotes"),
        ('R-9,S001,"W0"00,HBV-DNA,2026-01-12,[IU]/mL,5', "quotes"),
    ],
)
def test_a_broken_line_is_refused_alone_and_quotes_nothing(folder: Folder, line: str, rule: str) -> None:
    head, *rows = text(folder.tables["laboratory"]).splitlines()
    folder.write("laboratory", "\n".join([head, rows[0], line, *rows[1:], ""]))
    outcome = folder.read()
    report = outcome.tables["laboratory"]
    assert (report.rows, report.accepted, report.refused) == (4, 3, 1)
    (finding,) = outcome.findings
    assert (finding.record, finding.rule, finding.line, finding.value) == ("laboratory R-9", rule, 3, None)


def test_a_quote_that_never_closes_takes_one_line_of_thousands(folder: Folder) -> None:
    result = folder.tables["laboratory"][0]
    rows = text([{**result, "result": f"Q-{n}"} for n in range(5000)]).replace("Q-17,", '"Q-17,')
    folder.write("laboratory", rows)
    outcome = folder.read()
    assert (outcome.tables["laboratory"].accepted, outcome.tables["laboratory"].refused) == (4999, 1)
    assert outcome.findings[0].line == 19


def test_text_over_several_lines_keeps_the_line_numbers_right(folder: Folder) -> None:
    folder.tables["laboratory"][0]["comment"] = "first\nsecond\nthird"
    folder.tables["laboratory"][1]["value"] = "1,2e3"
    outcome = folder.read()
    assert [(finding.line, finding.column) for finding in outcome.findings] == [(5, 7)]
    assert any(isinstance(r, LaboratoryResult) and r.comment == "first\nsecond\nthird" for r in outcome.records)


def test_blank_lines_and_empty_rows_are_no_rows(folder: Folder) -> None:
    folder.write("laboratory", text(folder.tables["laboratory"]) + "\n,,,,,,\n\n")
    assert folder.read().tables["laboratory"].rows == 3


def test_a_line_without_end_is_one_refused_row(folder: Folder) -> None:
    body = text(folder.tables["laboratory"])
    folder.write("laboratory", body + "x" * (3 << 20) + "\n" + "R-9,S001,W000,HBV-DNA,2026-01-12,[IU]/mL,5\n")
    report = folder.read().tables["laboratory"]
    assert (report.accepted, report.refused) == (4, 1)


def test_progress_is_told_in_bytes_and_rows(folder: Folder) -> None:
    folder.read()
    told: list[tuple[int, int, int]] = []
    with read(folder.path, folder.study, today=TODAY, progress=lambda *at: told.append(at)):
        pass
    size = sum(path.stat().st_size for path in Path(folder.path).glob("*.csv"))
    assert told[-1] == (size, size, 9)
    assert told == sorted(told)
