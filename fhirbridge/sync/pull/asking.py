"""Asks a hospital's server the questions of a plan, some patients at a time; one that fails does not stop the rest.

An answer says whether it is whole. Only then may the moment from which the next one need only go on be moved.
"""

from __future__ import annotations

import datetime as dt
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

from fhirbridge.errors import FatalHospitalError, HospitalError, Resource, TemporaryHospitalError
from fhirbridge.hospital import Hospital
from fhirbridge.store import instants
from fhirbridge.sync.notes import Note, silent
from fhirbridge.sync.pull.ahead import side_by_side
from fhirbridge.sync.pull.questions import AskOptions, Plan, Question, plan
from fhirbridge.sync.pull.sifting import matches

__all__ = ["Answer", "AskOptions", "Marks", "Plan", "Question", "about", "ask", "plan"]

Marks = Mapping[tuple[str, str], dt.datetime]
"""(the hospital's Patient id, question) to when the last question of it began that was answered whole."""

_NOT_LET_IN = 401
_PATIENT = re.compile(r"(?:^|/)Patient/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was found of one patient. ``at`` is the mark to keep once all of it is safe, None unless ``complete``.

    ``strangers`` are resources that name none of the patients asked about, left out; they are counted with the first
    of the patients that were asked about together; so are ``set_aside``, the lines of an export that cannot be read.
    ``deleted`` is what the server says to have deleted ("Observation/123"), of whomever, with every patient.
    ``error`` says why it is not complete, in words that name nobody.
    """

    question: Question
    patient: str = field(repr=False)
    resources: tuple[Resource, ...] = field(repr=False)
    strangers: int = 0
    set_aside: tuple[str, ...] = ()
    deleted: tuple[str, ...] = field(default=(), repr=False)
    since: dt.datetime | None = None
    at: dt.datetime | None = None
    error: HospitalError | None = None

    @property
    def complete(self) -> bool:
        """Whether the server told everything."""
        return self.error is None


def ask(
    hospital: Hospital,
    plan: Plan,
    patients: Sequence[str],
    marks: Marks,
    note: Note = silent,
    *,
    full: bool = False,
    stop: threading.Event | None = None,
    clock: Callable[[], dt.datetime] = instants.utc_now,
    give_up_after: int = 3,
) -> Iterator[Answer]:
    """Yield, for some patients at a time, an answer to each question about each of them.

    ``full`` asks for everything, whatever the marks. ``stop`` ends it: what was not read whole by then is not
    answered. After so many temporary failures in a row nothing more is asked, and the rest is answered with the last
    of them. Raises FatalHospitalError where the server does not let us in.
    """
    asking = _Asking(hospital, plan, {} if full else marks, note, stop or threading.Event(), clock, give_up_after)
    with hospital.stopped_by(asking.stop):
        for answers in side_by_side(asking.requests(patients), hospital.connections):
            yield from answers
            if asking.stop.is_set():
                return


@dataclass(slots=True)
class _Asking:
    hospital: Hospital
    plan: Plan
    marks: Marks
    note: Note
    stop: threading.Event
    clock: Callable[[], dt.datetime]
    give_up_after: int
    failed: list[HospitalError] = field(default_factory=list)

    def requests(self, patients: Sequence[str]) -> Iterator[Callable[[], list[Answer]]]:
        """Yield what asks each question about some patients; who was not asked about before is so by itself."""
        for start in range(0, len(patients), self.plan.patients):
            for question in self.plan.questions:
                some = patients[start : start + self.plan.patients]
                known = [patient for patient in some if (patient, question.key) in self.marks]
                new = [patient for patient in some if (patient, question.key) not in self.marks]
                yield from (partial(self._about, question, those) for those in (known, new) if those)

    def _about(self, question: Question, patients: Sequence[str]) -> list[Answer]:
        marks = [self.marks[patient, question.key] for patient in patients if (patient, question.key) in self.marks]
        since, began = min(marks, default=None), self.clock()
        read: dict[str, Resource] = {}
        error: HospitalError | None = None
        if self.stop.is_set():
            return []
        try:
            self._read(question, patients, since, read)
        except HospitalError as failure:
            if failure.status == _NOT_LET_IN:
                raise
            error = failure
            self.note("question_failed", type=question.kind, status=failure.status, error=failure)
        if self.stop.is_set():
            return []
        if isinstance(error, FatalHospitalError) and len(patients) > 1:
            return [answer for patient in patients for answer in self._about(question, [patient])]
        at = None if error else began + (self.hospital.ahead or dt.timedelta()) - self.plan.skew
        found, strangers = _sorted(read.values(), patients, self.hospital.base_url)
        return [
            Answer(
                question=question,
                patient=patient,
                resources=tuple(found[patient]),
                strangers=0 if index else strangers,
                since=since,
                at=at,
                error=error,
            )
            for index, patient in enumerate(patients)
        ]

    def _read(
        self, question: Question, patients: Sequence[str], since: dt.datetime | None, read: dict[str, Resource]
    ) -> None:
        """Read every page into ``read``, by id: pages that shift while somebody writes repeat some."""
        if len(self.failed) >= self.give_up_after:
            raise self.failed[-1]
        try:
            for one in self.hospital.search(
                question.kind, self.plan.params(question, patients, since), post=self.plan.post
            ):
                if self.stop.is_set():
                    return
                if one["resourceType"] == question.kind and (not self.plan.sifts or matches(question, one)):
                    read[str(one.get("id"))] = one
        except TemporaryHospitalError as failure:
            self.failed.append(failure)
            raise
        self.failed.clear()


def about(resource: Resource, base_url: str) -> str | None:
    """Return the id of the Patient on this server that a resource is about, None if it names none."""
    reference = str((resource.get("subject") or {}).get("reference", ""))
    found = _PATIENT.search(reference)
    if not found:
        return None
    elsewhere = urlsplit(reference).scheme and not reference.startswith(f"{base_url}/Patient/")
    return None if elsewhere else found[1]


def _sorted(
    resources: Iterable[Resource], patients: Sequence[str], base_url: str
) -> tuple[dict[str, list[Resource]], int]:
    """Return the resources by patient, and how many are of none of these."""
    found: dict[str, list[Resource]] = {patient: [] for patient in patients}
    strangers = 0
    for resource in resources:
        patient = about(resource, base_url)
        if patient in found:
            found[patient].append(resource)
        else:
            strangers += 1
    return found, strangers
