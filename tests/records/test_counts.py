"""However a source is broken, every row is accounted for exactly once."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from fhirbridge.records.types import ImagingExam, LaboratoryResult, Subject
from fhirbridge.study import load
from tests.records.source import Folder, Outcome, right, text

STUDY = load(Path(__file__).parents[2] / "mappings" / "studies" / "nct07120750.toml")
BAD = ["", "?", "2026-02-30", "1,2e3", "-3", "S009", "E-9", "2025-12-31", "2030-01-01", "NA", 'a"b', "L01", "Ü"]


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 12), st.integers(0, 3), st.booleans())
def test_rows_are_accepted_repeated_refused_or_held(luck: random.Random, faults: int, cuts: int, drop: bool) -> None:
    source = right()
    for _ in range(faults):
        rows = source[luck.choice(list(source))]
        row = dict(luck.choice(rows))
        if luck.random() < 0.7:
            row[luck.choice(list(row))] = luck.choice(BAD)
        rows.insert(luck.randrange(len(rows) + 1), row)
        if luck.random() < 0.3:
            rows.pop(luck.randrange(len(rows)))
    if drop:
        del source[luck.choice(list(source))]
    with TemporaryDirectory() as place:
        folder = Folder(Path(place), STUDY, source)
        for table, rows in source.items():
            content = text(rows) if rows else ""
            for _ in range(cuts):
                at = luck.randrange(len(content) + 1)
                content = content[:at] + luck.choice(['"', ",", "\n", ""]) + content[at + luck.randrange(3) :]
            folder.write(table, content)
        _balanced(folder.read(write=False))


def _balanced(outcome: Outcome) -> None:
    for report in outcome.tables.values():
        assert report.rows == report.accepted + report.duplicate + report.refused + report.held
        if report.error:
            assert report.rows == 0
    exams = [record for record in outcome.records if isinstance(record, ImagingExam)]
    found = {
        "subjects": sum(isinstance(record, Subject) for record in outcome.records),
        "laboratory": sum(isinstance(record, LaboratoryResult) for record in outcome.records),
        "imaging": len(exams),
        "lesions": sum(len(exam.lesions) for exam in exams),
    }
    assert found == {name: report.accepted for name, report in outcome.tables.items()}
    told = {(finding.file, finding.line) for finding in outcome.findings}
    assert len(told) == sum(report.refused + report.held for report in outcome.tables.values())
    assert [len(places) for group in outcome.groups for places in group.sources] == [
        1 + len(record.lesions) if isinstance(record, ImagingExam) else 1 for record in outcome.records
    ]
