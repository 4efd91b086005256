"""The clinic's month, day by day, as the judge sees it: no server, no links, only results and decisions."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from fhirbridge import fhirjson
from fhirbridge.demo.clinic_days import month
from fhirbridge.demo.clinic_month import PERSON, Day, Month, Standing
from fhirbridge.demo.cohort import participants
from fhirbridge.errors import Resource
from fhirbridge.protocol.slots import FollowUp, follow_up
from fhirbridge.records.types import Subject
from fhirbridge.store import Store
from fhirbridge.store.judgements import Candidate
from fhirbridge.study import Study, load
from fhirbridge.sync.pull import incoming as incomings
from fhirbridge.sync.pull import proposal
from fhirbridge.sync.pull.incoming import Incoming
from fhirbridge.sync.pull.judging import Context, Held, Picture, judge
from fhirbridge.sync.pull.meaning import collects
from fhirbridge.sync.pull.observations import Source, incoming
from fhirbridge.sync.pull.recognising import LaboratoryNames
from fhirbridge.sync.pull.reports import ReportStates
from fhirbridge.terminology import laboratory_files
from fhirbridge.terminology.analytes import with_laboratories

MAPPINGS = Path(__file__).parents[3] / "mappings"
FEED = "https://fhir.hospital.example/r4"


class Judging:
    """The inbox of one month, filled without a hospital."""

    def __init__(self, store: Store, study: Study, told: Month, subjects: list[Subject]) -> None:
        self.store = store
        self.told = told
        laboratories = laboratory_files.load([MAPPINGS / "laboratories"])
        self.laboratories = laboratories
        self.study = with_laboratories(study, laboratories)
        self.source = Source(feed=FEED, study=study, laboratories=LaboratoryNames(laboratories))
        self.follow_ups: dict[str, FollowUp] = {
            subject.subject: follow_up(study.schedule, index_date=subject.index_date) for subject in subjects
        }
        self.patients = {subject: {who.id} for subject, who in told.log}
        self.reports: list[Resource] = []

    def live(self, day: Day, *, asked: set[str]) -> None:
        """Take what was written on a day about the subjects that are asked about, and judge those."""
        self.reports += [one for one in day.written if one["resourceType"] == "DiagnosticReport"]
        for patient in (one for one in day.written if one["resourceType"] == "Patient"):
            for ids in self.patients.values():
                if any(link["other"]["reference"].split("/")[1] in ids for link in patient.get("link", ())):
                    ids.add(patient["id"])
        run = self.store.start_run("pull")
        for subject in sorted(asked):
            self._arrive(subject, [one for one in day.written if one["resourceType"] == "Observation"], run)
            self._judge(subject, day, run)

    def decide(self, day: Day) -> None:
        """Decide as the coordinator does in the evening."""
        for verdict in day.verdicts:
            found = self.candidates()[verdict.name]
            value = fhirjson.dumps(dict(verdict.value)) if verdict.value else None
            self.store.candidates.decide(
                found.key, verdict.action, by=PERSON, reason=verdict.reason, value=value, seen=found.arrival
            )

    def _arrive(self, subject: str, written: list[Resource], run: str) -> None:
        reports = ReportStates.of(self.reports, FEED)
        items = []
        for resource in written:
            for one in incoming(resource, self.source, patients=self.patients[subject], reports=reports):
                if isinstance(one, Incoming) and collects(one, self.laboratories):
                    said = incomings.as_bytes(replace(one, version="", updated=None))
                    items.append((one.reference, one.version, hashlib.sha256(said).digest(), incomings.as_bytes(one)))
        self.store.candidates.arrive(self.study.id, subject, FEED, items, run)

    def _judge(self, subject: str, day: Day, run: str) -> None:
        known = self.store.candidates.of_subject(self.study.id, subject)
        held = tuple(
            Held(arrival=last.key, incoming=incomings.read_back(last.body), decisions=decided)
            for _, last, decided in known
        )
        context = Context(study=self.study, laboratories=self.laboratories, today=self.told.date(day))
        judged = judge(Picture(follow_up=self.follow_ups[subject], results=held), context)
        assert self.store.candidates.judge(self.study.id, subject, judged, run) == []

    def candidates(self) -> dict[str, Candidate]:
        by_reference = {reference: name for name, reference in self.told.names.items()}
        found = {}
        for subject in self.follow_ups:
            for one, _, _ in self.store.candidates.of_subject(self.study.id, subject):
                assert one is not None
                found[by_reference[one.reference]] = one
        return found


@pytest.fixture
def judging(store: Store) -> Judging:
    study = load(MAPPINGS / "studies" / "nct07120750.toml")
    subjects = [one.subject for one in participants(study, subjects=7)]
    return Judging(store, study, month(study, subjects), subjects)


def test_every_day_leaves_every_result_where_it_belongs(judging: Judging) -> None:
    """F is asked about from day 8 on, when its link is mended, and then for everything; G until it withdraws."""
    numbers = dict(zip("ABCDEFG", judging.follow_ups, strict=True))
    missed: list[Resource] = []
    for day in judging.told.days:
        asked = set(numbers.values())
        if day.number < 8:
            asked.discard(numbers["F"])
            missed += day.written
        if day.number >= 10:
            asked.discard(numbers["G"])
        judging.live(replace(day, written=(*missed, *day.written)) if day.log else day, asked=asked)
        expected = judging.told.standing(day)
        assert stands(judging.candidates(), expected) == expected, (day.number, day.what)
        judging.live(replace(day, written=()), asked=asked)
        assert stands(judging.candidates(), expected) == expected, (day.number, "judged again")
        judging.decide(day)


def stands(candidates: dict[str, Candidate], like: dict[str, Standing]) -> dict[str, Standing]:
    """Return how each result stands; its value only where it is told in the other."""
    return {
        name: Standing(one.state, proposal.read_back(one.proposal).value if name in like and like[name].value else None)
        for name, one in candidates.items()
    }
