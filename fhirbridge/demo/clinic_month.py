"""A month at the synthetic clinic: what changes there day by day, and what a person must then find in the inbox.

Seven subjects come to their visit of week 12. The days are those of ``clinic_days``; here is what they are made of. An
expectation is reasoned by hand from the rules of the pull, never computed by it, and holds for one policy: HBV DNA is
accepted by itself where it is mapped, read, in its window and alone; HBsAg is always a person's decision.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from fhirbridge.demo.clinic_laboratories import ClinicLaboratory, Printed
from fhirbridge.demo.clinic_people import ClinicPatient, clinic_id, patient_of, stranger
from fhirbridge.demo.clinic_results import Sample, Status, observation
from fhirbridge.elements import quantity
from fhirbridge.errors import ConfigurationError, Resource
from fhirbridge.records.types import Subject
from fhirbridge.study import Study

SUBJECTS = 7
VISIT = "W012"
PERSON = "coordinator"

State = Literal[
    "pending", "cancelled", "unmapped", "unreadable", "duplicate", "waiting", "reopened", "accepted", "rejected"
]
Letter = Literal["A", "B", "C", "D", "E", "F", "G", "H"]
"""The subjects, in the cohort's order; H is a patient whom nobody asked to take part."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a result stands: its state and, where it has one, the value in the study's words."""

    state: State
    value: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the coordinator decides in the evening of a day; ``value`` is an override's."""

    name: str
    action: Literal["accept", "reject", "override"]
    reason: str
    value: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day: what is written at the hospital, what the pull must then find, and what a person decides on it."""

    number: int
    what: str
    written: tuple[Resource, ...] = ()
    """Created or updated in one transaction."""
    log: tuple[tuple[str, ClinicPatient], ...] = ()
    """Lines of an enrolment log that is imported before the pull."""
    withdrawn: tuple[str, ...] = ()
    """Subject numbers whose consent ends on this day, before the pull."""
    becomes: Mapping[str, Standing] = field(default_factory=dict)
    """By result's name, what stands otherwise after this day's pull than after the last one's."""
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """The whole month. ``unseen`` are results of the hospital's that no table of ours may ever hold."""

    start: dt.date
    beginning: tuple[Resource, ...]
    """What the hospital holds before: laboratories and patients."""
    log: tuple[tuple[str, ClinicPatient], ...]
    """The enrolment log at the beginning."""
    days: tuple[Day, ...]
    names: Mapping[str, str]
    """Each result's reference at the hospital, by its name here: ``A.dna`` is ``Observation/…``."""
    unseen: frozenset[str]

    def date(self, day: Day) -> dt.date:
        """Return the calendar date of a day."""
        return self.start + dt.timedelta(days=day.number)

    def standing(self, until: Day) -> dict[str, Standing]:
        """Return where every result stands after a day's pull."""
        found: dict[str, Standing] = {}
        for day in self.days:
            found |= day.becomes
            if day is until:
                return found
        raise ValueError(f"day {until.number} is none of this month's")


class Writing:
    """The hospital's pen: makes the patients and the results of the month, and remembers what they are called."""

    def __init__(self, study: Study, subjects: Sequence[Subject], seed: int) -> None:
        visit = study.visit(VISIT)
        if visit is None or len(subjects) < SUBJECTS:
            raise ConfigurationError(f"The month needs the study's visit {VISIT} and {SUBJECTS} subjects.")
        self.study = study
        self.numbers: dict[str, str] = {}
        self.patients: dict[str, ClinicPatient] = {}
        self.names: dict[str, str] = {}
        self._seed = seed
        self._targets: dict[str, dt.date] = {}
        for letter, subject in zip("ABCDEFG", subjects, strict=False):
            if subject.index_date is None:
                raise ConfigurationError("The month needs subjects with an index date.")
            self.numbers[letter] = subject.subject
            self.patients[letter] = patient_of(subject, seed)
            self._targets[letter] = study.schedule.target(visit, subject.index_date)
        self.start = max(self._targets.values())
        self.patients["H"] = stranger(1, self.patients["A"], seed)
        self.patients["E2"] = stranger(2, self.patients["E"], seed)
        self._targets["H"] = self._targets["A"]

    def result(
        self,
        name: str,
        laboratory: ClinicLaboratory,
        printed: Printed,
        *,
        day: int,
        after: int = 0,
        status: Status = "final",
        patient: str | None = None,
    ) -> Resource:
        """Return the Observation of this name as it stands on a day; blood was drawn so many days after the target."""
        letter = name.split(".")[0]
        zone = self.study.schedule.zone
        sample = Sample(
            patient=self.patients[patient or letter].id,
            laboratory=laboratory,
            collected=dt.datetime.combine(self._targets[letter] + dt.timedelta(days=after), dt.time(8, 30), zone),
            issued=dt.datetime.combine(self.start + dt.timedelta(days=day), dt.time(16), zone),
        )
        found = observation(self.id(name), sample, printed, status=status)
        self.names[name] = f"Observation/{found['id']}"
        return found

    def id(self, name: str) -> str:
        """Return the id at the hospital of what has this name here."""
        return clinic_id(self._seed, "month", name)


def amount(laboratory: ClinicLaboratory, test: str, value: str) -> Printed:
    """Return a number as the laboratory sends it, of one of its ``tests``."""
    named = laboratory.tests[test]
    if laboratory.decimal_comma:
        return Printed(named, {"valueString": f"{value} {named.unit}"})
    return Printed(named, {"valueQuantity": quantity(Decimal(value), named.unit, named.ucum or "")})


def words(laboratory: ClinicLaboratory, test: str, text: str) -> Printed:
    """Return a result in words."""
    value: dict[str, Any] = {"valueString": text}
    return Printed(laboratory.tests[test], value)
