"""A small source of study records that is right in every row, for tests to break."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fhirbridge.errors import Finding
from fhirbridge.records.tables import SubjectGroup, TableReport, read
from fhirbridge.records.types import StudyRecord, SubjectFacts
from fhirbridge.study import Study

TODAY = dt.date(2026, 11, 1)
Rows = list[dict[str, str]]


def right() -> dict[str, Rows]:
    """Return two subjects with results and exams, nothing wrong in them."""
    subject = {
        "site": "SZTPH", "sex": "male", "status": "on-study", "consent_date": "2026-01-05",
        "enrolment_date": "2026-01-12", "index_date": "2026-01-12",
    }  # fmt: skip
    result = {"subject": "S001", "visit": "W000", "analyte": "HBV-DNA", "collected": "2026-01-12", "unit": "[IU]/mL"}
    return {
        "subjects": [
            {"subject": "S001", **subject, "birth_date": "1968-03-04", "arm": "NA"},
            {"subject": "S002", **subject, "birth_date": "1971-07-09", "arm": "NA+PegIFN"},
        ],
        "laboratory": [
            {"result": "R-1", **result, "value": "1.7E5"},
            {"result": "R-2", **result, "value": "<10", "collected": "2026-04-06T08:30"},
            {"result": "R-3", **result, "value": "5.50", "subject": "S002", "analyte": "HBSAG"},
        ],
        "imaging": [
            {"exam": "E-1", "subject": "S001", "visit": "W000", "performed": "2026-01-12"},
            {"exam": "E-2", "subject": "S002", "visit": "W000", "performed": "2026-01-13"},
        ],
        "lesions": [
            {"exam": "E-1", "lesion": "L01", "category": "LR-3", "size_mm": "14", "washout": "absent"},
            {"exam": "E-1", "lesion": "L02", "category": "LR-TR-V", "size_mm": "22", "treated": "yes"},
        ],
    }


def text(rows: Rows, *, delimiter: str = ",") -> str:
    """Return rows as CSV, the header being the union of their fields."""
    fields = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, fields, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


@dataclass
class Outcome:
    """What came of a source: records, findings and reports, all read."""

    groups: list[SubjectGroup]
    findings: list[Finding]
    tables: dict[str, TableReport]
    notes: tuple[str, ...]
    records: list[StudyRecord] = field(init=False)

    def __post_init__(self) -> None:
        self.records = [record for group in self.groups for record in group.records]

    @property
    def rules(self) -> list[tuple[str, str]]:
        """Each finding's record and rule."""
        return [(finding.record, finding.rule) for finding in self.findings]

    def errors(self) -> dict[str, str]:
        """Why tables could not be used."""
        return {name: str(report.error) for name, report in self.tables.items() if report.error}


Known = Callable[[str], SubjectFacts | None]


@dataclass
class Folder:
    """A folder of tables that starts out right."""

    path: Path
    study: Study
    tables: dict[str, Rows] = field(default_factory=right)

    def write(self, table: str, content: str | bytes) -> None:
        """Write a table's file as it is given."""
        data = content if isinstance(content, bytes) else content.encode()
        (self.path / f"{table}.csv").write_bytes(data)

    def read(self, *, known: Known = lambda _: None, write: bool = True) -> Outcome:
        """Write the tables that are not there yet, and read all."""
        if write:
            for table, rows in self.tables.items():
                if not (self.path / f"{table}.csv").exists():
                    self.write(table, text(rows))
        with self.open(known) as outcome:
            return outcome

    @contextmanager
    def open(self, known: Known = lambda _: None, source: Path | None = None) -> Iterator[Outcome]:
        """Read the folder, or another source, as it is."""
        with read(source or self.path, self.study, today=TODAY, known_subjects=known) as batch:
            yield Outcome(list(batch.subjects()), list(batch.findings()), batch.tables, batch.notes)
