"""The clinic's month lived through with real commands on a real server: loading, links, pulls and decisions."""

from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path

from fhirbridge import fhirjson, identity, sealing, settings
from fhirbridge.cli.loading import load_records
from fhirbridge.cli.pull import run_pull
from fhirbridge.cli.workplace import Workplace
from fhirbridge.demo.clinic import load
from fhirbridge.demo.clinic_days import month
from fhirbridge.demo.clinic_month import PERSON, Day, Month, Standing
from fhirbridge.demo.clinic_people import write_log
from fhirbridge.demo.cohort import participants, write_cohort
from fhirbridge.store.judgements import Candidate
from fhirbridge.sync.pull import proposal
from fhirbridge.sync.pull.pull_report import PullReport

BEFORE = dt.date(2021, 5, 20)
"""Data cut of the study's own tables: every subject has had its baseline, none its week 12."""
TODAY = dt.date(2026, 1, 1)


class Living:
    """One month at one server, with a workplace of its own in ``folder``. ``seed`` sets the hospital's ids apart."""

    def __init__(self, folder: Path, server: str, seed: int) -> None:
        self.folder = folder
        identity.new_key(folder / "key")
        sealing.new_key(folder / "linking.key")
        self.place = Workplace(
            settings.read(
                study="nct07120750",
                database=f"sqlite:///{folder / 'store.db'}",
                pseudonym_key=folder / "key",
                linking_key=folder / "linking.key",
                hospital=server,
            )
        )
        subjects = [one.subject for one in participants(self.place.study, subjects=7, as_of=BEFORE)]
        self.told: Month = month(self.place.study, subjects, seed)
        self.subjects = [self.place.identity.id("Patient", one.subject) for one in subjects]
        with self.place.hospital(ask_first=False) as hospital:
            load(hospital, self.told.beginning)
        write_cohort(self.place.study, folder / "records", subjects=7, as_of=BEFORE)
        self._load(folder / "records")
        self._link(self.told.log)

    def close(self) -> None:
        self.place.close()

    def morning(self, day: Day) -> None:
        """Have everything happen that happens on a day before the pull."""
        with self.place.hospital(ask_first=False) as hospital:
            load(hospital, day.written)
        if day.log:
            self._link(day.log)
        for number in day.withdrawn:
            self._withdraw(number, self.told.date(day))

    def pull(self, *, full: bool = False) -> PullReport:
        report = run_pull(self.place, full=full, quiet=True)
        assert report.complete, report.as_dict()
        assert report.balanced, report.as_dict()
        return report

    def evening(self, day: Day) -> None:
        """Decide as the coordinator does."""
        for verdict in day.verdicts:
            found = self.candidates()[verdict.name]
            value = fhirjson.dumps(dict(verdict.value)) if verdict.value else None
            self.place.store.candidates.decide(
                found.key, verdict.action, by=PERSON, reason=verdict.reason, value=value, seen=found.seen
            )

    def candidates(self) -> dict[str, Candidate]:
        """Return what is in the inbox by the month's names; everything that is kept must have one."""
        names = {reference: name for name, reference in self.told.names.items()}
        known = [
            found
            for subject in self.subjects
            for found, _, _ in self.place.store.candidates.of_subject(self.place.study.id, subject)
        ]
        return {names[one.reference]: one for one in known if one is not None}

    def stands(self, like: dict[str, Standing]) -> dict[str, Standing]:
        """Return how each result stands; its value only where it is told in the other."""
        return {
            name: Standing(
                one.state, proposal.read_back(one.proposal).value if name in like and like[name].value else None
            )
            for name, one in self.candidates().items()
        }

    def _load(self, folder: Path) -> None:
        loaded = load_records(self.place, folder, today=TODAY, quiet=True)
        assert (loaded.refused, loaded.unusable) == (0, [])

    def _link(self, lines: tuple) -> None:  # type: ignore[type-arg]
        write_log(self.folder / "log.csv", lines)
        self.place.linking().import_log(self.folder / "log.csv", system=None, by=PERSON, replace=True)

    def _withdraw(self, number: str, day: dt.date) -> None:
        """Load the subject's row as the site writes it after its consent was withdrawn."""
        with (self.folder / "records" / "subjects.csv").open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file))
        [row] = [dict(zip(header, row, strict=True)) for row in rows if row[0] == number]
        row |= {"status": "withdrawn", "consent_withdrawn": day.isoformat(), "end_date": day.isoformat()}
        later = self.folder / f"withdrawn-{number}"
        later.mkdir()
        with (later / "subjects.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header, [row[name] for name in header]])
        self._load(later)
