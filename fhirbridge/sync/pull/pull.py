"""One pull, whole: who may be asked about, what the hospital has of them, what it means, what of it is recorded.

A pull that is killed costs nothing but time: what arrived is kept, marks move only with whole answers, and the next
pull goes on.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from fhirbridge.errors import HospitalError
from fhirbridge.hospital import Hospital
from fhirbridge.store import Store
from fhirbridge.sync.notes import Note, silent
from fhirbridge.sync.pull.asking import Answer, Marks, Plan
from fhirbridge.sync.pull.assessing import Assessing, Due, FollowUps
from fhirbridge.sync.pull.cases import Context
from fhirbridge.sync.pull.funnel import KEPT
from fhirbridge.sync.pull.linking import Linking, Resolved
from fhirbridge.sync.pull.pull_report import PullReport
from fhirbridge.sync.pull.recognising import LaboratoryNames
from fhirbridge.sync.pull.recording import RecordingReport
from fhirbridge.sync.pull.spool import Spooled
from fhirbridge.sync.pull.taking import Taken, Taking, Told

TAKEN_AT_ONCE, HELD_AT_ONCE = 200, 5000
"""Subjects whose answers are kept in one transaction, and resources of them from which on it is time for that.

What came of them is judged while the next ones are asked about. A crash costs no more than these, asked again.
"""

Progress = Callable[[int, int], None]

Asked = Callable[[Sequence[str], Marks], Iterator[Answer]]
"""Asks a plan's questions about these Patients, by searches or by an export; goes on while an answer is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The hospital's server, and how it is asked."""

    hospital: Hospital
    plan: Plan
    ask: Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulling:
    """What a pull needs of the composition root."""

    store: Store
    context: Context
    names: LaboratoryNames
    linking: Linking
    follow_ups: FollowUps
    spool: Callable[[], Spooled] | None
    """Reads the HL7 v2 messages that wait."""
    record: Callable[[], RecordingReport]
    """Records what is accepted, and takes back what no longer is."""
    server: Server | None
    run: str
    full: bool = False
    judge_all: bool = False
    """Judge every subject: the laboratories' files or the study changed since the last pull."""
    only: Collection[str] | None = None
    """Only these subjects, by the ids of our Patients."""
    since_decisions: dt.datetime | None = None
    """When the last pull began: whoever was decided on since is judged, for one decision moves other results."""
    progress: Progress = lambda _done, _total: None
    note: Note = silent
    stop: threading.Event = field(default_factory=threading.Event)


def pull(pulling: Pulling) -> PullReport:
    """Pull once. Raises StoreError, ConfigurationError, and HospitalError where the server does not let us in."""
    return _Pull(pulling).whole()


class _Pull:
    def __init__(self, pulling: Pulling) -> None:
        self._with = pulling
        self._study = pulling.context.study.id
        feed = pulling.server.hospital.base_url if pulling.server else None
        self._touched: set[str] = set()
        """Those of whom something came that is not judged yet."""
        self._whole: set[str] = set()
        """Those of whom all results are judged, not only what changed and what that can move."""
        self._judged: set[str] = set()
        self._assessing = Assessing(
            store=pulling.store, context=pulling.context, follow_ups=pulling.follow_ups, run=pulling.run
        )
        self.report = PullReport(run=pulling.run, study=self._study, feed=feed, full=pulling.full)

    def whole(self) -> PullReport:
        """Ask, take, judge, record and account."""
        began, report, parts = time.monotonic(), self.report, self._with
        if parts.server is not None:
            before = parts.server.hospital.traffic.report()
            found = self._resolve(parts.server)
            self._read_spool()  # before anybody is asked about: all that came of a subject is judged together
            self._ask_all(parts.server, found)
            report.traffic = parts.server.hospital.traffic.report().since(before)
        else:
            self._read_spool()
        self._judge()
        report.recording = parts.record()
        report.inbox = parts.store.candidates.counts(self._study)
        report.interrupted = parts.stop.is_set()
        report.seconds = time.monotonic() - began
        return report

    def _resolve(self, server: Server) -> dict[str, Resolved]:
        """Find at the hospital every subject that can be linked and consents."""
        linking, only = self._with.linking, self._with.only
        # Of those who are named by themselves only their own Consents are read, where they are few.
        linked = linking.each() if only is None else list(linking.each(only))
        resolved = linking.resolve_all(linked, server.hospital, self._with.run)
        self.report.linked = len(resolved)
        self.report.stopped = [one.stopped for one in resolved if one.stopped is not None]
        found = {one.linked.subject: one for one in resolved if one.stopped is None}
        self.report.asked = len(found)
        self._whole |= {one.linked.subject for one in resolved if one.relinked != one.linked.relinked}
        return found

    def _ask_all(self, server: Server, found: Mapping[str, Resolved]) -> None:
        """Ask about each subject found; some at a time are taken and judged as soon as they are answered whole."""
        whose = {patient: subject for subject, one in found.items() for patient in one.patients}
        answers: dict[str, list[Answer]] = {subject: [] for subject in found}
        taking, waiting, held = self._taking(server), list[Told](), 0
        try:
            for answer in server.ask(list(whose), self._marks(server, found)):
                subject = whose[answer.patient]
                answers[subject].append(answer)
                if len(answers[subject]) < len(server.plan.questions) * len(found[subject].patients):
                    continue
                who = found[subject]
                told = Told(subject=subject, patients=who.patients, answers=answers.pop(subject), relinked=who.relinked)
                waiting.append(told)
                held += sum(len(one.resources) for one in told.answers)
                if len(waiting) == TAKEN_AT_ONCE or held >= HELD_AT_ONCE:
                    self._take(server, taking, waiting)
                    self._judge_ahead([one.subject for one in waiting])
                    waiting, held = [], 0
                self._with.progress(len(found) - len(answers), len(found))
        except HospitalError:
            self._take(server, taking, waiting)  # what was answered whole until then is kept
            raise
        self._take(server, taking, waiting)

    def _marks(self, server: Server, found: Mapping[str, Resolved]) -> Marks:
        """Return the marks of Patients who were the same persons at the last pull; the others are asked for anew."""
        if self._with.full:
            return {}
        marks = self._with.store.pulls.watermarks(self._study, server.hospital.base_url)
        return {
            (patient, question): at
            for (subject, question), at in marks.items()
            for one in [found.get(subject)]
            if one is not None and (one.relinked is None or dt.datetime.fromisoformat(one.relinked) < at)
            for patient in one.patients
            if patient in one.linked.found.get(server.hospital.server_id, ())
        }

    def _taking(self, server: Server) -> Taking:
        parts, context = self._with, self._with.context
        return Taking(
            store=parts.store, study=context.study, laboratories=context.laboratories, names=parts.names,
            hospital=server.hospital, run=parts.run,
        )  # fmt: skip

    def _take(self, server: Server, taking: Taking, told: Sequence[Told]) -> None:
        """Keep what was answered of some subjects; their marks move only once that is done."""
        taken = taking.take(told)
        marks: dict[tuple[str, str], dt.datetime] = {}
        for one in told:
            found = taken[one.subject]
            if isinstance(found, HospitalError):  # what was looked up beside the answers
                self._with.note("question_failed", type="Observation", status=found.status, error=found)
                self.report.unanswered["Observation by id", str(found)] += 1
            else:
                self._count_taken(one, found)
                marks |= self._marks_of(one)
        if marks:
            self._with.store.pulls.advance(self._study, server.hospital.base_url, marks, self._with.run)

    def _count_taken(self, told: Told, taken: Taken) -> None:
        strangers = sum(answer.strangers for answer in told.answers)
        self.report.funnel.found(told.subject, taken.found + strangers)
        if not (taken.found or strangers):
            return
        novelties = Counter(novelty for _, novelty in taken.kept)
        self._count(told.subject, taken.aside + Counter({"other patient": strangers}) + novelties)
        if novelties["new"] or novelties["changed"]:
            self._touched.add(told.subject)

    def _marks_of(self, told: Told) -> dict[tuple[str, str], dt.datetime]:
        """Return how far each question about a subject has come that was answered whole."""
        marks: dict[tuple[str, str], dt.datetime] = {}
        for question in {answer.question.key for answer in told.answers}:
            asked = [answer for answer in told.answers if answer.question.key == question]
            failed = next((answer.error for answer in asked if answer.error is not None), None)
            if failed is not None:
                self.report.unanswered[asked[0].question.kind, str(failed)] += 1
                continue
            marks[told.subject, question] = min(answer.at for answer in asked if answer.at is not None)
        return marks

    def _read_spool(self) -> None:
        """Read the messages that wait, and count what they brought. What is new of it is counted when it is judged."""
        if self._with.spool is None or self._with.stop.is_set():
            return
        self.report.spool = spooled = self._with.spool()
        self._touched |= set(spooled.moved)
        funnel, rest = self.report.funnel, spooled.fates.copy()
        for subject, fates in spooled.subjects.items():
            rest -= fates
            funnel.found(subject, fates.total())
            self._count(subject, fates)
        funnel.found("", rest.total())
        self._count("", rest)

    def _count(self, subject: str, fates: Mapping[Any, int]) -> None:
        """Count what became of results. What is new or changed is counted when it is judged, with its analyte."""
        for fate, number in fates.items():
            if fate not in KEPT:
                self.report.funnel.fate(subject, fate, results=number)

    def _judge_ahead(self, subjects: Collection[str]) -> None:
        """Judge those of these subjects of whom something came, unless all of them are judged whole in the end."""
        if not (self._with.judge_all or self._with.full):
            self._assess(self._touched.intersection(subjects) - self._whole, ahead=True)

    def _judge(self) -> None:
        parts, door = self._with, self._with.store.candidates
        if parts.judge_all or parts.full:
            linked = parts.store.links.subjects(self._study)
            self._whole |= linked if parts.judge_all or parts.only is None else linked.intersection(parts.only)
        self._whole |= door.to_judge(self._study, parts.run, parts.since_decisions)
        self._assess(self._touched | self._whole)

    def _assess(self, subjects: Set[str], *, ahead: bool = False) -> None:
        if not subjects:
            return
        relinked = self._with.store.links.relinked(self._study)
        due = [
            Due(subject=subject, relinked=relinked.get(subject), whole=subject in self._whole)
            for subject in sorted(subjects)
        ]
        self._assessing.assess(due, self.report.funnel, ahead=ahead)
        self._touched -= subjects
        self._judged |= subjects
        self.report.judged = len(self._judged)
