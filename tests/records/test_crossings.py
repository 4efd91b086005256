"""Rows together: keys, subjects, consent, and exams that are taken with all their lesions or not at all."""

from __future__ import annotations

import datetime as dt

import pytest

from fhirbridge.records.tables import read
from fhirbridge.records.types import ImagingExam, LaboratoryResult, Subject, SubjectFacts
from tests.records.source import TODAY, Folder, text

KNOWN = SubjectFacts(subject="S001", arm="NA", consent_date=dt.date(2026, 1, 5))


def test_the_same_row_twice_is_counted_and_changes_nothing(folder: Folder) -> None:
    for rows in folder.tables.values():
        rows += rows
    outcome = folder.read()
    assert not outcome.findings
    assert [(r.rows, r.accepted, r.duplicate) for r in outcome.tables.values()] == [
        (4, 2, 2), (6, 3, 3), (4, 2, 2), (4, 2, 2),
    ]  # fmt: skip
    exam = next(record for record in outcome.records if isinstance(record, ImagingExam))
    assert [lesion.lesion for lesion in exam.lesions] == ["L01", "L02"]


def test_a_subject_with_two_arms_is_refused_and_all_that_hangs_on_it_held(folder: Folder) -> None:
    folder.tables["subjects"].append({**folder.tables["subjects"][0], "arm": "NA+PegIFN"})
    outcome = folder.read()
    assert outcome.rules == [
        ("subjects S001", "conflict"),
        ("subjects S001", "conflict"),
        ("laboratory R-1", "held"),
        ("laboratory R-2", "held"),
        ("imaging E-1", "held"),
        ("lesions E-1/L01", "held"),
        ("lesions E-1/L02", "held"),
    ]
    first, second, held, *_ = outcome.findings
    assert (first.line, first.field, first.value) == (2, "arm", "NA")
    assert "line 4 has the same key but another arm" in first.message
    assert "line 2 has the same key" in second.message
    assert "subjects.csv line 2" in held.message
    assert [group.subject for group in outcome.groups] == ["S002"]


def test_a_row_that_disagrees_with_a_refused_one_is_refused_too(folder: Folder) -> None:
    folder.tables["subjects"].append({**folder.tables["subjects"][0], "arm": "placebo"})
    assert folder.read().rules[:2] == [("subjects S001", "conflict"), ("subjects S001", "unknown-arm")]


def test_one_of_three_that_differs_refuses_all_three(folder: Folder) -> None:
    row = folder.tables["laboratory"][0]
    folder.tables["laboratory"] += [row, {**row, "value": "1.70E5"}]
    report = folder.read().tables["laboratory"]
    assert (report.rows, report.accepted, report.duplicate, report.refused) == (5, 2, 0, 3)


def test_a_result_of_an_unknown_subject_is_refused(folder: Folder) -> None:
    folder.tables["laboratory"][0]["subject"] = "S009"
    folder.tables["imaging"][0]["subject"] = "S009"
    outcome = folder.read()
    assert outcome.rules == [
        ("laboratory R-1", "unknown-subject"),
        ("imaging E-1", "unknown-subject"),
        ("lesions E-1/L01", "held"),
        ("lesions E-1/L02", "held"),
    ]
    assert "imaging.csv line 2" in outcome.findings[2].message


def test_a_subject_of_an_earlier_run_is_known_with_its_consent(folder: Folder) -> None:
    del folder.tables["subjects"]
    folder.tables["laboratory"][0]["collected"] = "2026-01-04"
    outcome = folder.read(known={"S001": KNOWN}.get)
    assert outcome.rules == [
        ("laboratory R-1", "before-consent"), ("laboratory R-3", "unknown-subject"), ("imaging E-2", "unknown-subject"),
    ]  # fmt: skip
    assert [group.subject for group in outcome.groups] == ["S001"]


def test_what_an_earlier_run_knows_does_not_stand_in_for_a_refused_row(folder: Folder) -> None:
    folder.tables["subjects"][0]["status"] = "gone"
    outcome = folder.read(known={"S001": KNOWN}.get)
    assert ("laboratory R-1", "held") in outcome.rules


def test_results_are_held_while_their_subjects_cannot_be_read(folder: Folder) -> None:
    folder.write("subjects", "")
    outcome = folder.read(known={"S001": KNOWN}.get)
    assert outcome.tables["laboratory"].accepted == 2
    assert [rule for rule in outcome.rules if "laboratory" in rule[0]] == [("laboratory R-3", "held")]


@pytest.mark.parametrize(
    ("performed", "taken"),
    [
        ("2026-01-04", False),
        ("2026-01-05", True),
        ("2026-01-04T23:59", False),
        ("2026-01-04T16:00Z", True),  # the 5th in Shanghai
        ("2026-01-05T00:30+09:00", False),  # the 4th in Shanghai
    ],
)
def test_an_mri_before_the_consent_is_refused_by_the_civil_date_of_the_study(
    folder: Folder, performed: str, taken: bool
) -> None:
    folder.tables["imaging"][1]["performed"] = performed
    outcome = folder.read()
    assert outcome.rules == ([] if taken else [("imaging E-2", "before-consent")])
    assert all("consent (2026-01-05)" in finding.message for finding in outcome.findings)


def test_what_comes_after_the_consent_was_withdrawn_is_refused(folder: Folder) -> None:
    folder.tables["subjects"][0]["consent_withdrawn"] = "2026-04-05"
    outcome = folder.read()
    assert outcome.rules == [("laboratory R-2", "after-withdrawal")]
    assert "2026-04-05" in outcome.findings[0].message


def test_an_exam_waits_for_a_lesion_that_was_refused(folder: Folder) -> None:
    folder.tables["lesions"][1]["size_mm"] = "-22"
    outcome = folder.read()
    assert outcome.rules == [("imaging E-1", "held"), ("lesions E-1/L01", "held"), ("lesions E-1/L02", "range")]
    assert "lesions.csv line 3" in outcome.findings[0].message
    assert [r.exam for r in outcome.records if isinstance(r, ImagingExam)] == ["E-2"]


def test_an_exam_waits_for_a_lesion_whose_line_is_broken(folder: Folder) -> None:
    folder.write("lesions", text(folder.tables["lesions"]) + "E-2,L01\n")
    outcome = folder.read()
    assert outcome.rules == [("imaging E-2", "held"), ("lesions E-2/L01", "cells")]


def test_one_lesion_twice_in_an_exam_is_a_conflict(folder: Folder) -> None:
    folder.tables["lesions"][1]["lesion"] = "L01"
    outcome = folder.read()
    assert outcome.rules == [
        ("imaging E-1", "held"), ("lesions E-1/L01", "conflict"), ("lesions E-1/L01", "conflict"),
    ]  # fmt: skip


def test_a_lesion_without_exam_is_refused(folder: Folder) -> None:
    folder.tables["lesions"][0]["exam"] = "E-9"
    assert folder.read().rules == [("lesions E-9/L01", "unknown-exam")]


@pytest.mark.parametrize("content", [None, ""])
def test_exams_are_held_while_the_lesions_are_not_there(folder: Folder, content: str | None) -> None:
    if content is None:
        del folder.tables["lesions"]
    else:
        folder.write("lesions", content)
    outcome = folder.read()
    assert outcome.rules == [("imaging E-1", "held"), ("imaging E-2", "held")]
    assert "its header alone will do" in outcome.findings[0].remedy


def test_lesions_are_held_while_the_exams_cannot_be_read(folder: Folder) -> None:
    folder.write("imaging", "")
    assert folder.read().rules == [("lesions E-1/L01", "held"), ("lesions E-1/L02", "held")]


def test_records_of_a_subject_come_by_date_whatever_the_order_of_rows(folder: Folder) -> None:
    folder.tables["laboratory"].reverse()
    folder.tables["subjects"].reverse()
    outcome = folder.read()
    assert [r.subject for r in outcome.records if isinstance(r, Subject)] == ["S001", "S002"]
    assert [r.result for r in outcome.records if isinstance(r, LaboratoryResult)] == ["R-1", "R-2", "R-3"]


def test_a_subject_with_very_many_records_comes_in_several_groups(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhirbridge.records.tables.LARGEST_GROUP", 2)
    groups = folder.read().groups
    assert [(group.subject, len(group.records)) for group in groups] == [
        ("S001", 2),
        ("S001", 2),
        ("S002", 2),
        ("S002", 1),
    ]


def test_nothing_is_left_on_disk(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.read()
    before = sorted(folder.path.iterdir())
    monkeypatch.setenv("SQLITE_TMPDIR", str(folder.path))
    result = folder.tables["laboratory"][0]
    folder.write("laboratory", text([{**result, "result": f"R-{n}"} for n in range(100)]))
    with pytest.raises(RuntimeError), read(folder.path, folder.study, today=TODAY):
        raise RuntimeError
    assert sorted(folder.path.iterdir()) == before
