"""A study with one subject in its store, results of a hospital that wait for a decision, and a recorder for them."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from fhirbridge.errors import Resource
from fhirbridge.identity import Identity
from fhirbridge.records.types import LaboratoryResult, Subject, SubjectFacts
from fhirbridge.store import Candidate, Judgement, Store
from fhirbridge.study import Study, load
from fhirbridge.sync.ingest import Ingest, Sourced
from fhirbridge.sync.pull import proposal
from fhirbridge.sync.pull.incoming import Incoming, as_bytes
from fhirbridge.sync.pull.proposal import Proposal
from fhirbridge.sync.pull.recording import Recorder, RecordingReport, record
from fhirbridge.validation import Validator
from mappings import laboratory_result, resources
from mappings.research_subject import subject_facts

ROOT = Path(__file__).parents[3]
STUDY = load(ROOT / "mappings" / "studies" / "nct07120750.toml")
IDENTITY = Identity(bytes(range(32)), STUDY.id)
FEED = "https://fhir.hospital.example/r4"
NUMBER = "S001"
PATIENT = IDENTITY.id("Patient", NUMBER)
TODAY = dt.date(2026, 3, 31)
SUBJECT = Subject(
    subject=NUMBER,
    site="SZTPH",
    sex="female",
    birth_date=dt.date(1970, 5, 1),
    status="on-study-observation",
    arm="NA",
    consent_date=dt.date(2025, 9, 1),
    enrolment_date=dt.date(2025, 9, 2),
    index_date=dt.date(2025, 9, 10),
)
W012 = Proposal(
    analyte="HBV-DNA",
    visit="W012",
    collected="2025-12-04T08:30:00+08:00",
    value="1234",
    unit="[IU]/mL",
    reported="1,234 IU/ml",
    status="final",
    laboratory="north-hospital",
    row="north-hospital.csv:2",
    mapping="0c5d7a1f",
)


@cache
def validator() -> Validator:
    return Validator.load([ROOT / "profiles"])


class Desk:
    """A coordinator's desk: results arrive, are decided and recorded."""

    def __init__(self, store: Store, study: Study = STUDY, checks: Any = None) -> None:
        self.store, self.study = store, study
        self.checks = checks or validator()
        self.run = store.start_run("pull")
        self.today = TODAY
        self.enter(SUBJECT)

    def map(self, record: Any) -> list[tuple[int, Resource]]:
        return resources(record, self.study, IDENTITY)

    def enter(self, *records: Subject | LaboratoryResult) -> None:
        """Load records as a table's reader would: what people entered."""
        line = Ingest(self.store, self.map, self.checks, _never, self.run)
        list(line.subjects([[Sourced(one, "by hand") for one in records]]))

    def facts(self, patient: str) -> SubjectFacts | None:
        found = {one.type: one.content() for one in self.store.iterate(STUDY.id, compartment=patient)}
        if "ResearchSubject" not in found or "Consent" not in found:
            return None
        return subject_facts(found["ResearchSubject"], found["Consent"], found.get("Patient"))

    def arrive(
        self, shown: Proposal = W012, *, reference: str = "Observation/7", version: str = "1", feed: str = FEED
    ) -> Candidate:
        """Have a version of a result arrive and wait for a decision."""
        body = _body(reference, version, shown, feed)
        item = (reference, version, hashlib.sha256(body).digest(), body)
        self.store.candidates.arrive(STUDY.id, PATIENT, feed, [item], self.run)
        before = self.candidate(reference)
        state = "waiting" if before is None or before.state not in ("accepted", "rejected") else "reopened"
        for candidate, arrival, _ in self.store.candidates.of_subject(STUDY.id, PATIENT):
            if arrival.reference == reference:
                judged = Judgement(
                    feed=feed, reference=reference, arrival=arrival.key,
                    decided=candidate.decision if candidate else None, state=state, reasons=(),
                    analyte=shown.analyte or "", visit=shown.visit, offset=1, inside=True, collected=shown.collected,
                    proposal=proposal.as_bytes(shown),
                )  # fmt: skip
                assert self.store.candidates.judge(STUDY.id, PATIENT, [judged], self.run) == []
        found = self.candidate(reference)
        assert found is not None
        return found

    def candidate(self, reference: str = "Observation/7") -> Candidate | None:
        known = self.store.candidates.of_subject(STUDY.id, PATIENT)
        return next((one for one, arrival, _ in known if arrival.reference == reference), None)

    def decide(
        self, one: Candidate, action: Any, *, reason: str = "as on the sheet", value: bytes | None = None
    ) -> None:
        seen = self.store.candidates.get(one.key)
        assert seen is not None
        self.store.candidates.decide(one.key, action, by="li.wei", reason=reason, value=value, seen=seen[1].key)

    def accept(self, shown: Proposal = W012, **named: Any) -> Candidate:
        one = self.arrive(shown, **named)
        self.decide(one, "accept")
        return one

    def recorder(self, **other: Any) -> Recorder:
        made = Recorder(
            store=self.store,
            study=self.study,
            identity=IDENTITY,
            mapper=self.map,
            checks=self.checks,
            facts=self.facts,
            result_facts=lambda content: laboratory_result.result_facts(content, self.study),
            today=self.today,
            software="fhirbridge 0.1.0",
            run=self.run,
        )
        return replace(made, **other)

    def record(self, **other: Any) -> RecordingReport:
        """Record what is due, and make sure that the counts add up."""
        report = record(self.recorder(**other))
        assert report.balanced
        return report

    def all(self, kind: str = "Observation") -> list[Resource]:
        return [one.content() for one in self.store.iterate(STUDY.id, types=[kind], compartment=PATIENT)]

    def values(self) -> list[tuple[str, str, Any]]:
        """Return (status, LOINC, value) of each Observation, sorted."""
        return sorted(
            (
                one["status"],
                one["code"]["coding"][0]["code"],
                str(one.get("valueQuantity", {}).get("comparator", ""))
                + str(one["valueQuantity"]["value"] if "valueQuantity" in one else one["valueCodeableConcept"]["text"]),
            )
            for one in self.all()
        )


def _body(reference: str, version: str, shown: Proposal, feed: str) -> bytes:
    return as_bytes(
        Incoming(
            feed=feed, reference=reference, version=version, updated=None, status=shown.status,  # type: ignore[arg-type]
            laboratory=shown.laboratory, codes=(), label=None, value={"valueString": shown.reported},
        )
    )  # fmt: skip


def _never(finding: object) -> None:
    raise AssertionError(finding)
