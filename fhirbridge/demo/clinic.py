"""The synthetic clinic: what the hospital's own system holds of a cohort's subjects, in its laboratories' words.

The same blood as in the study's tables, reported by two laboratories and surrounded by what a hospital holds besides:
other tests, results sent twice, taken back, or not yet there. docs/synthetic-cohort.md has the shares. Nothing here is
real, and a hospital number never stands beside a subject number but in the log.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Literal

from fhirbridge.demo.attendance import civil
from fhirbridge.demo.clinic_laboratories import LABORATORIES, ClinicLaboratory, Printed, absent, other, printed
from fhirbridge.demo.clinic_people import ClinicPatient, clinic_id, patient_of, patient_resource
from fhirbridge.demo.clinic_results import Sample, Status, observation, ordered, organizations, ours, report
from fhirbridge.demo.cohort import SEED, Participant, participants
from fhirbridge.demo.draws import Draws
from fhirbridge.errors import Resource
from fhirbridge.hospital import Hospital, put_entry, transaction_bundle
from fhirbridge.records.types import LaboratoryResult
from fhirbridge.study import Study

# Shares of results, all of them assumptions.
OTHERS = 0.46
"""Tests that the study does not collect, for each result of one that it does: 30 % of all results."""
UNKNOWN = 0.25
"""Among those, the tests that no laboratory's file names."""
DUPLICATE = 0.03
TAKEN_BACK = 0.01
PENDING = 0.01
OTHER_LABORATORY = 0.10
"""Samples that the patient's usual laboratory did not get."""
NORTH_SHARE = 0.6
OURS = 0.01

Kind = Literal[
    "study", "duplicate", "taken back", "pending", "not collected", "unmapped", "ours", "between visits",
    "after withdrawal",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """One Observation of the clinic, and what only the simulation knows of it."""

    resource: Resource
    kind: Kind
    source: LaboratoryResult | None = None
    """The row of the study's table that reports the same measurement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What the hospital holds of one subject."""

    subject: str
    patient: ClinicPatient
    filed: tuple[Filed, ...]
    reports: tuple[Resource, ...]

    def resources(self) -> Iterator[Resource]:
        """Yield the Patient, its Observations and their reports, each after what it refers to."""
        yield patient_resource(self.patient)
        yield from (one.resource for one in self.filed)
        yield from self.reports


def charts(
    study: Study, *, subjects: int, as_of: dt.date, seed: int = SEED, results: int | None = None
) -> Iterator[Chart]:
    """Yield the chart of each subject of the cohort, as on that day.

    ``results`` is how many Observations each has at least: blood drawn between the visits fills the rest.
    """
    for participant in participants(study, subjects=subjects, seed=seed, as_of=as_of):
        yield chart(study, participant, seed, results=results)


def chart(study: Study, participant: Participant, seed: int, *, results: int | None = None) -> Chart:
    """Return one subject's chart; the same arguments give the same bytes."""
    writer = _Writer(study, participant, seed)
    for collected, drawn in groupby(participant.laboratory, key=lambda one: one.collected):
        writer.sample(collected, list(drawn))
    if participant.subject.consent_withdrawn and participant.laboratory:
        writer.after_withdrawal(participant.subject.consent_withdrawn + dt.timedelta(days=30))
    writer.fill(results or 0)
    return Chart(
        subject=participant.subject.subject,
        patient=writer.patient,
        filed=tuple(writer.filed),
        reports=tuple(writer.reports),
    )


class _Writer:
    """One subject's chart as it is written."""

    def __init__(self, study: Study, participant: Participant, seed: int) -> None:
        self.patient = patient_of(participant.subject, seed)
        self.filed: list[Filed] = []
        self.reports: list[Resource] = []
        self._study = study
        self._seed = seed
        self._known = participant.laboratory
        self._draws = Draws(seed, participant.subject.subject, "clinic")
        self._usual = self._draws.pick(((LABORATORIES[0], NORTH_SHARE), (LABORATORIES[1], 1 - NORTH_SHARE)))

    def sample(self, collected: dt.date, drawn: list[LaboratoryResult], kind: Kind = "study") -> None:
        """File one specimen's results, whatever else was measured in it, and their report."""
        sample = self._taken(collected)
        before = len(self.filed)
        for result in drawn:
            self._result(sample, result, kind)
            if self._draws.chance(OTHERS):
                self._other(sample)
        if self._draws.chance(PENDING):
            self._file(sample, ordered(sample.laboratory, "HBV-DNA"), "pending", status="registered")
        results = [one.resource for one in self.filed[before:]]
        self.reports.append(report(self._id("DiagnosticReport", len(self.reports)), sample, results))

    def after_withdrawal(self, day: dt.date) -> None:
        """File blood drawn for the patient's own care, which the study has no right to."""
        self.sample(day, [self._known[-1]], "after withdrawal")

    def fill(self, results: int) -> None:
        """Draw blood between the visits until there are so many results."""
        at = 0
        while len(self.filed) < results and self._known:
            known = self._known[at % len(self._known)]
            day = civil(known.collected) + dt.timedelta(days=21 + self._draws.integer(0, 30))
            self.sample(day, [known], "between visits")
            at += 1

    def _taken(self, collected: dt.date) -> Sample:
        laboratory = self._usual
        if self._draws.chance(OTHER_LABORATORY):
            laboratory = LABORATORIES[1 - LABORATORIES.index(laboratory)]
        zone = self._study.schedule.zone
        issued = dt.datetime.combine(civil(collected), dt.time(16, self._draws.integer(0, 59)), tzinfo=zone)
        return Sample(patient=self.patient.id, laboratory=laboratory, collected=collected, issued=issued)

    def _result(self, sample: Sample, result: LaboratoryResult, kind: Kind) -> None:
        found = self._printed(sample.laboratory, result)
        status: Status = result.status
        source = result if kind == "study" else None
        self._file(sample, found, kind, status=status, source=source)
        if self._draws.chance(DUPLICATE) and result.value is not None:
            self._file(sample, found, "duplicate", status=status, source=source)
        if self._draws.chance(TAKEN_BACK):
            self._file(sample, found, "taken back", status="entered-in-error")
        if self._draws.chance(OURS):
            self._file(sample, found, "ours")

    def _printed(self, laboratory: ClinicLaboratory, result: LaboratoryResult) -> Printed:
        if result.value is None:
            return absent(laboratory, result.analyte, result.absent_reason or "unknown", self._draws)
        return printed(laboratory, result.analyte, result.value, self._draws)

    def _other(self, sample: Sample) -> None:
        unknown = self._draws.chance(UNKNOWN)
        tests = sample.laboratory.unknown if unknown else sample.laboratory.others
        test = self._draws.pick(tuple((one, 1 / len(tests)) for one in tests))
        self._file(sample, other(sample.laboratory, test, self._draws), "unmapped" if unknown else "not collected")

    def _file(
        self, sample: Sample, found: Printed, kind: Kind, *, status: Status = "final",
        source: LaboratoryResult | None = None,
    ) -> None:  # fmt: skip
        resource = observation(self._id("Observation", len(self.filed)), sample, found, status=status)
        if kind == "ours":
            resource = ours(resource, self._study.id)
        self.filed.append(Filed(resource=resource, kind=kind, source=source))

    def _id(self, kind: str, number: int) -> str:
        return clinic_id(self._seed, kind, self.patient.id, str(number))


def load(hospital: Hospital, resources: Iterable[Resource], *, at_once: int = 100, connections: int = 1) -> int:
    """Write resources to a FHIR server in transactions of ``at_once`` and return how many it took.

    What they refer to must be in the same transaction or there already. Raises HospitalError for the first refusal.
    """

    def send(entries: list[Resource]) -> int:
        results = hospital.transaction(transaction_bundle(entries))
        for failure in filter(None, (result.failure() for result in results)):
            raise failure
        return len(results)

    waiting = (put_entry(resource, base_url=hospital.base_url) for resource in resources)
    bundles = iter(lambda: list(islice(waiting, at_once)), [])
    with ThreadPoolExecutor(connections) as pool:
        return sum(pool.map(send, bundles))


def registered(charts: Iterable[Chart]) -> Iterator[Resource]:
    """Yield the laboratories and the Patients, to which all else refers."""
    yield from organizations()
    yield from (patient_resource(one.patient) for one in charts)
