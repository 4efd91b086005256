"""The questions of a plan answered from a Bulk Data export: the same answers, whatever the number of patients.

What is exported goes from the files into a table on disk, by patient, and from there patient after patient; resources
of nobody who was asked about are dropped on the way. Questions that are asked whole each time travel as searches:
an export cannot ask for some types since a moment and for others from the beginning.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fhirbridge import fhirjson
from fhirbridge.errors import ConfigurationError, FatalHospitalError, HospitalError, InputError, Resource
from fhirbridge.hospital import Hospital
from fhirbridge.hospital.export import Exported, ExportOptions, ExportQuestion, abandon, export
from fhirbridge.hospital.export_state import SORTED, Folder, Level
from fhirbridge.hospital.retries import PauseEnded
from fhirbridge.settings import Settings
from fhirbridge.store import instants
from fhirbridge.sync.notes import Note, silent
from fhirbridge.sync.pull.asking import Answer, Marks, about, ask
from fhirbridge.sync.pull.questions import Plan, Question
from fhirbridge.sync.pull.sifting import matches

_ERRORS = ("fatal", "error")
_MOST_TOLD = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkOptions:
    """What is exported, and where its files lie meanwhile."""

    folder: Path
    level: Level = "patient"
    group: str | None = None
    export: ExportOptions = field(default_factory=ExportOptions)

    @classmethod
    def of(cls, settings: Settings) -> BulkOptions:
        """Return what the settings say. Raises ConfigurationError for a group that is not named."""
        level: Level = settings.pull_export_level or ("group" if settings.pull_group else "patient")
        if level == "group" and not settings.pull_group:
            raise ConfigurationError("pull_export_level is 'group', which needs pull_group.")
        options = ExportOptions(longest_wait=settings.pull_export_wait * 3600, elsewhere=settings.pull_export_origins)
        return cls(folder=settings.pull_export_folder, level=level, group=settings.pull_group, export=options)


def ask_in_bulk(
    hospital: Hospital,
    plan: Plan,
    patients: Sequence[str],
    marks: Marks,
    options: BulkOptions,
    note: Note = silent,
    *,
    full: bool = False,
    stop: threading.Event | None = None,
    clock: Callable[[], dt.datetime] = instants.utc_now,
) -> Iterator[Answer]:
    """Yield an answer to each question about each patient, as ``asking.ask`` does.

    The files are removed once every answer was taken; until then a killed process goes on with them. An export that
    fails leaves its questions unanswered, and the others are asked all the same. ``stop`` ends a wait, unanswered.
    """
    stop = stop or threading.Event()
    exported = tuple(one for one in plan.questions if one.incremental != "whole")
    asked = tuple(one for one in plan.questions if one.incremental == "whole")
    if asked:  # first: they are few, and what is exported can then be taken patient after patient
        yield from ask(
            hospital, replace(plan, questions=asked), patients, marks, note, full=full, stop=stop, clock=clock
        )
    if exported and patients and not stop.is_set():
        bulk = _Bulk(hospital, replace(plan, questions=exported), patients, {} if full else marks, options, note)
        with hospital.stopped_by(stop):
            yield from bulk.answers(stop)


@dataclass(slots=True)
class _Bulk:
    hospital: Hospital
    plan: Plan
    patients: Sequence[str]
    marks: Marks
    options: BulkOptions
    note: Note

    def answers(self, stop: threading.Event) -> Iterator[Answer]:
        since = self._since()
        try:
            covered = self._covered()
            found = self._export(since)
            sorted_out = _SortedOut(found, self.plan.questions, set(self.patients), self.hospital.base_url)
        except PauseEnded:
            return
        except HospitalError as error:
            if stop.is_set():
                return
            self.note("export_failed", status=error.status, error=error)
            yield from self._unanswered(since, error)
            return
        with closing(sorted_out):
            yield from self._answers(sorted_out, covered, since)
        found.remove()

    def _answers(
        self, there: _SortedOut, covered: Collection[str] | None, since: dt.datetime | None
    ) -> Iterator[Answer]:
        at = there.exported.transaction_time - self.plan.skew
        first, deleted = True, tuple(there.deleted)
        for patient in self.patients:
            error = there.error
            if covered is not None and patient not in covered:
                error = FatalHospitalError("the export: this patient is not a member of the Group; have it added.")
            for question in self.plan.questions:
                yield Answer(
                    question=question,
                    patient=patient,
                    resources=tuple(there.of(patient, question)),
                    strangers=there.strangers if first else 0,
                    set_aside=tuple(there.set_aside) if first else (),
                    deleted=deleted,
                    since=since,
                    at=None if error else at,
                    error=error,
                )
                first = False

    def _unanswered(self, since: dt.datetime | None, error: HospitalError) -> Iterator[Answer]:
        for patient in self.patients:
            for question in self.plan.questions:
                yield Answer(question=question, patient=patient, resources=(), since=since, error=error)

    def _since(self) -> dt.datetime | None:
        """Return the oldest of the marks, None if anything was never answered."""
        wanted = [(patient, question.key) for patient in self.patients for question in self.plan.questions]
        return min(self.marks[one] for one in wanted) if all(one in self.marks for one in wanted) else None

    def _covered(self) -> Collection[str] | None:
        """Return who is in the Group, None where that cannot be told: of others nothing would be in the export."""
        if self.options.level != "group":
            return None
        try:
            group = self.hospital.read("Group", str(self.options.group))
        except FatalHospitalError as error:
            self.note("group_not_readable", status=error.status)
            return None
        members = [one for one in group.get("member") or [] if one.get("inactive") is not True]
        base_url = self.hospital.base_url
        return {id for one in members if (id := about({"subject": one.get("entity")}, base_url)) is not None}

    def _export(self, since: dt.datetime | None) -> Exported:
        question = ExportQuestion(
            level=self.options.level,
            group=self.options.group if self.options.level == "group" else None,
            types=tuple(dict.fromkeys(one.kind for one in self.plan.questions)),
            since=None if since is None else since - self.plan.look_back,
            type_filters=_filters(self.plan.questions),
        )
        kept = Folder(self.options.folder).kept()
        if kept is not None and kept.question != question:
            self.note("export_abandoned")
            abandon(self.hospital, self.options.folder)
        return export(self.hospital, question, self.options.folder, self.options.export)


class _SortedOut:
    """What was exported of these patients, in a table on disk."""

    def __init__(
        self, exported: Exported, questions: Sequence[Question], patients: Collection[str], base_url: str
    ) -> None:
        self.exported = exported
        self.strangers = 0
        self.set_aside: list[str] = []
        self.deleted: list[str] = []
        self.error: HospitalError | None = None
        self._unreadable = 0
        path = exported.folder.path / SORTED
        path.unlink(missing_ok=True)
        self._table = sqlite3.connect(path)
        self._table.execute("PRAGMA journal_mode = OFF")
        self._table.execute("PRAGMA synchronous = OFF")
        self._table.execute("CREATE TABLE found (patient TEXT, question TEXT, body BLOB)")
        self._table.executemany("INSERT INTO found VALUES (?, ?, ?)", self._rows(questions, patients, base_url))
        self._table.execute("CREATE INDEX by_patient ON found (patient, question)")
        self._note_rest()

    def of(self, patient: str, question: Question) -> Iterator[Resource]:
        """Yield what answers a question about a patient."""
        found = self._table.execute(
            "SELECT body FROM found WHERE patient = ? AND question = ? ORDER BY rowid", (patient, question.key)
        )
        for (body,) in found:
            yield fhirjson.loads(body)

    def close(self) -> None:
        self._table.close()

    def _rows(
        self, questions: Sequence[Question], patients: Collection[str], base_url: str
    ) -> Iterator[tuple[str, str, bytes]]:
        for resource, line in self._read("output"):
            question = next((one for one in questions if matches(one, resource)), None)
            if question is None:
                continue  # more than was asked for: a server need not heed _typeFilter
            patient = about(resource, base_url)
            if patient is None or patient not in patients:
                self.strangers += 1
            else:
                yield patient, question.key, line

    def _note_rest(self) -> None:
        for bundle, _ in self._read("deleted"):
            for entry in bundle.get("entry") or []:
                request = entry.get("request") or {}
                if request.get("method") == "DELETE":
                    self.deleted.append("/".join(str(request.get("url", "")).split("/")[-2:]))
        failed = 0
        for outcome, _ in self._read("error"):
            failed += any(issue.get("severity") in _ERRORS for issue in outcome.get("issue") or [])
        if failed or self._unreadable:
            first = f" (the first is {self.set_aside[0].partition(' is ')[0]})" if self.set_aside else ""
            self.error = FatalHospitalError(
                f"the export is not whole: {failed} errors reported by the server, {self._unreadable} lines that are "
                f"no FHIR resource{first}. The same is asked for again next time."
            )

    def _read(self, part: str) -> Iterator[tuple[Resource, bytes]]:
        for file, number, line in self.exported.lines(part):
            resource = _resource(line)
            if resource is not None:
                yield resource, line
                continue
            self._unreadable += 1
            if len(self.set_aside) < _MOST_TOLD:
                self.set_aside.append(f"{file.name} line {number} is no FHIR resource in JSON")


def _filters(questions: Sequence[Question]) -> tuple[str, ...]:
    """Return filters for the types that one question without a list asks for.

    Servers differ in what several filters of a type, or a comma in one, mean; the files are looked through in any case.
    """
    kinds = [one.kind for one in questions]
    return tuple(
        f"{one.kind}?" + "&".join(f"{name}={quote(value, safe='|')}" for name, value in one.params)
        for one in questions
        if one.params and kinds.count(one.kind) == 1 and not any("," in value for _, value in one.params)
    )


def _resource(line: bytes) -> Resource | None:
    try:
        said: Any = fhirjson.loads(line)
    except InputError:
        return None
    return said if isinstance(said, dict) and isinstance(said.get("resourceType"), str) else None
