"""The demo's month at the hospital: results are pulled and judged, a person decides, a correction reopens that."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from fhirbridge import fhirjson
from fhirbridge.cli import console
from fhirbridge.cli.pull import run_pull
from fhirbridge.cli.workplace import Workplace
from fhirbridge.demo.clinic import load
from fhirbridge.demo.clinic_days import month
from fhirbridge.demo.clinic_month import PERSON, SUBJECTS, VISIT, Day, Month
from fhirbridge.demo.clinic_people import write_log
from fhirbridge.demo.cohort import participants
from fhirbridge.records.types import Subject
from fhirbridge.store.decisions import INBOX
from fhirbridge.study import Study
from fhirbridge.sync.pull.pull_report import PullReport

DAYS = 3
"""Of the month's days: results, what becomes of them, and a correction."""
PULLED = ("HBV-DNA", "HBSAG")
"""Analytes that come from the hospital's laboratory, and not from the tables, for the month's subjects and visit."""


def of_the_month(study: Study, subjects: int) -> list[Subject]:
    """Return the cohort's first subjects who were followed through the month's visit; none if they are too few."""
    visit = study.visit(VISIT)
    found = [
        one.subject
        for one in participants(study, subjects=subjects)
        if visit is not None and one.subject.index_date is not None and _followed(one.subject, visit.offset)
    ]
    return found[:SUBJECTS] if len(found) >= SUBJECTS else []


def _followed(subject: Subject, offset: int) -> bool:
    assert subject.index_date is not None
    until = subject.index_date + dt.timedelta(days=offset + 60)
    ends = (subject.consent_withdrawn, subject.end_date, subject.death_date)
    return all(end is None or end > until for end in ends)


def leave_out(records: Path, subjects: Sequence[Subject]) -> int:
    """Take from the written tables what the hospital's laboratory will send itself; return how many rows that was."""
    numbers, file = {one.subject for one in subjects}, records / "laboratory.csv"
    with file.open(encoding="utf-8", newline="") as source:
        header, *rows = list(csv.reader(source))
    kept = [row for row in rows if not _pulled(dict(zip(header, row, strict=True)), numbers)]
    with file.open("w", encoding="utf-8", newline="") as target:
        csv.writer(target, lineterminator="\n").writerows([header, *kept])
    return len(rows) - len(kept)


def _pulled(row: dict[str, str], numbers: set[str]) -> bool:
    return row["subject"] in numbers and row["visit"] == VISIT and row["analyte"] in PULLED


class LivedMonth:
    """The month at the demo's hospital."""

    def __init__(self, place: Workplace, directory: Path, subjects: Sequence[Subject]) -> None:
        self._place = place
        self._told: Month = month(place.study, subjects)
        self._names = {reference: name for name, reference in self._told.names.items()}
        with place.hospital(ask_first=False) as hospital:
            load(hospital, self._told.beginning)
        log = directory / "enrolment-log.csv"
        write_log(log, self._told.log)
        enrolled = place.linking().import_log(log, system=None, by="demo")
        console.remark(
            f"The enrolment log links {console.many(enrolled.new, 'subject')} to the hospital's patients, sealed."
        )

    @property
    def days(self) -> tuple[Day, ...]:
        """The days that the demo lives through."""
        return self._told.days[:DAYS]

    def day(self, day: Day) -> PullReport:
        """Have a day's results written at the hospital, and pull."""
        with self._place.hospital(ask_first=False) as hospital:
            load(hospital, day.written)
        return run_pull(self._place, quiet=True)

    def evening(self, day: Day) -> int:
        """Decide as the coordinator does, and return on how many results."""
        door, study = self._place.store.candidates, self._place.study.id
        for verdict in day.verdicts:
            found = next(
                one for one in door.page(study, INBOX, limit=1000) if self._names.get(one.reference) == verdict.name
            )
            value = fhirjson.dumps(dict(verdict.value)) if verdict.value else None
            door.decide(found.key, verdict.action, by=PERSON, reason=verdict.reason, value=value, seen=found.seen)
        return len(day.verdicts)
