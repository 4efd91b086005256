"""Takes what a hospital's server answered of one subject: read, told apart, kept as arrivals that name nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from fhirbridge.errors import HospitalError, Resource
from fhirbridge.hospital import Hospital
from fhirbridge.store import Store
from fhirbridge.store.arrivals import BY_REPORT, Item, Novelty
from fhirbridge.study import Study
from fhirbridge.sync.pull import incoming as incomings
from fhirbridge.sync.pull.asking import Answer, about
from fhirbridge.sync.pull.incoming import Incoming, SetAside, Why
from fhirbridge.sync.pull.meaning import collects, without_strange_words
from fhirbridge.sync.pull.observations import Source, incoming
from fhirbridge.sync.pull.recognising import LaboratoryNames
from fhirbridge.sync.pull.reports import ReportStates
from fhirbridge.terminology.laboratories import Laboratories

GONE = "gone"
"""The version of a result that the source does not have any more."""


@dataclass(slots=True, kw_only=True)
class Taken:
    """What became of a subject's results: set aside, and why; or kept, unless they were known just so."""

    found: int = 0
    aside: Counter[Why] = field(default_factory=Counter)
    kept: list[tuple[str, Novelty]] = field(default_factory=list)
    """Reference and novelty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """All that a server answered of one subject, who is these Patients there."""

    subject: str
    patients: Collection[str] = field(repr=False)
    answers: Sequence[Answer]
    relinked: str | None = None
    """When the subject was last linked anew: what is told of it since then arrives anew."""


@dataclass(slots=True, kw_only=True)
class Taking:
    """What is needed to take answers of one server for one study, in one run."""

    store: Store
    study: Study
    laboratories: Laboratories
    names: LaboratoryNames
    hospital: Hospital
    run: str
    _by_report: Mapping[str, Collection[str]] | None = None
    """By subject, the results that a report ever took back."""

    def take(self, told: Sequence[Told]) -> dict[str, Taken | HospitalError]:
        """Keep what answers tell of subjects, all or none, and say what became of each result of each subject.

        Where everything was asked for and answered, what is known and was not among it is looked for by its id, and so
        is what the server says to have deleted; what is not there is noted as gone. Of a subject of whom that failed
        nothing is kept, and the error is returned. Raises StoreError.
        """
        taken: dict[str, Taken | HospitalError] = {}
        for one in told:
            if not (_says_anything(one.answers) or self._taken_back(one)):
                taken[one.subject] = Taken()
        told = [one for one in told if one.subject not in taken]
        known = self._known(told)
        ours = self._ours({id for one in told for id in _by_id(one.answers, "Observation")})
        kept: dict[str, list[Incoming]] = {}
        for one in told:
            try:
                taken[one.subject], kept[one.subject] = self._read(one, known.get(one.subject, {}), ours)
            except HospitalError as error:
                taken[one.subject] = error
        relinked = {one.subject: one.relinked for one in told}
        of_some = {subject: some for subject, some in kept.items() if some}
        for subject, arrived in self._arrive(of_some, relinked).items():
            read = taken[subject]
            assert isinstance(read, Taken)  # what failed is not among what was kept
            read.kept = arrived
        return taken

    def _read(self, told: Told, known: dict[str, Incoming], ours: Set[str]) -> tuple[Taken, list[Incoming]]:
        """Read what was answered of a subject: what became of each result, and what is to be kept.

        ``ours`` are the server's ids of Observations of ours among those that were answered.
        """
        answers, patients = told.answers, told.patients
        found = _by_id(answers, "Observation")
        reports = ReportStates.of(_by_id(answers, "DiagnosticReport").values(), self.feed)
        taken = Taken()
        kept: dict[str, Incoming] = {}
        beside = self._looked_up(self._touched(known, found, reports, answers))
        found |= beside
        absent = self._absent(known, found, answers, patients)
        source = self._source(ours | self._ours(beside))
        for one in found.values():
            for result in incoming(one, source, patients=patients, reports=reports):
                taken.found += 1
                if isinstance(result, SetAside):
                    taken.aside[result.why] += 1
                elif result.reference not in known and not collects(result, self.laboratories):
                    taken.aside["not collected"] += 1
                else:
                    kept[result.reference] = _marked(without_strange_words(result, self.laboratories), reports)
        # A component that is left out now, or a result that is another patient's now, was there before.
        absent += [one for one in known.values() if _id(one) in found and one.reference not in kept]
        absent = [one for one in absent if not one.version.startswith(GONE)]
        taken.found += len(absent)
        return taken, [*kept.values(), *map(_gone, absent)]

    @property
    def feed(self) -> str:
        """The server as feed."""
        return self.hospital.base_url

    def _arrive(
        self, kept: Mapping[str, Sequence[Incoming]], relinked: Mapping[str, str | None]
    ) -> dict[str, list[tuple[str, Novelty]]]:
        if not kept:
            return {}
        items: dict[str, list[Item]] = {subject: [] for subject in kept}
        for subject, some in kept.items():
            for one in some:
                body = incomings.as_bytes(one)
                items[subject].append((one.reference, one.version, incomings.digest(body, relinked[subject]), body))
        novelties = self.store.candidates.arrive_all(self.study.id, self.feed, items, self.run)
        return {
            subject: [(one.reference, novelty) for one, novelty in zip(some, novelties[subject], strict=True)]
            for subject, some in kept.items()
        }

    def _known(self, told: Sequence[Told]) -> dict[str, dict[str, Incoming]]:
        """Return by subject the newest version of each result of this server that its answers have to do with.

        That is every one it ever sent, where everything was asked for.
        """
        wanted: dict[str, Collection[str] | None] = {}
        for one in told:
            chosen = None if _whole(one.answers) else _named(one.answers, self.feed) | _deleted(one.answers)
            wanted[one.subject] = None if chosen is None else {*chosen, *self._taken_back(one)}
        asked = {subject: chosen for subject, chosen in wanted.items() if chosen is None or chosen}
        latest = self.store.candidates.latest(self.study.id, self.feed, asked) if asked else {}
        return {
            subject: {one.reference: incomings.read_back(one.body) for one in arrivals}
            for subject, arrivals in latest.items()
        }

    def _taken_back(self, told: Told) -> set[str]:
        if self._by_report is None:
            self._by_report = self.store.candidates.taken_back(self.study.id, self.feed)
        return {one.partition("#")[0] for one in self._by_report.get(told.subject, ())}

    def _ours(self, ids: Collection[str]) -> Set[str]:
        """Return those of these ids of the server's Observations that are of ours."""
        return self.store.our_names(self.hospital.server_id, "Observation", list(ids)).keys() if ids else set()

    def _source(self, ours: Set[str]) -> Source:
        return Source(feed=self.feed, study=self.study, laboratories=self.names, ours=ours.__contains__)

    def _touched(
        self, known: dict[str, Incoming], found: Collection[str], reports: ReportStates, answers: Sequence[Answer]
    ) -> set[str]:
        """Return the ids of known results whose report took them back, or gave them back, while they did not change."""
        if not any(answer.question.kind == "DiagnosticReport" and answer.complete for answer in answers):
            return set()
        touched = set()
        for one in known.values():
            withdrawn = reports.states.get(_id(one), "final") not in ("final", "preliminary")
            by_report = one.version.endswith(BY_REPORT)
            if withdrawn != by_report and (by_report or one.status != "entered-in-error"):
                touched.add(_id(one))
        return touched.difference(found)

    def _absent(
        self, known: dict[str, Incoming], found: Collection[str], answers: Sequence[Answer], patients: Collection[str]
    ) -> list[Incoming]:
        """Return known results that a whole answer lacks, or that were deleted, and that are not there by id either."""
        whole, deleted = _whole(answers), _deleted(answers)
        lacking = [
            one
            for one in known.values()
            if (whole or f"Observation/{_id(one)}" in deleted)
            and _id(one) not in found
            and not one.version.startswith(GONE)
        ]
        there = self._looked_up({_id(one) for one in lacking})
        theirs = {id for id, one in there.items() if about(one, self.feed) in patients}
        return [one for one in lacking if _id(one) not in theirs]

    def _looked_up(self, ids: Collection[str]) -> dict[str, Resource]:
        return {one["id"]: one for one in self.hospital.lookup("Observation", sorted(ids))} if ids else {}


def _whole(answers: Iterable[Answer]) -> bool:
    """Say whether everything was asked for, and answered."""
    asked = [answer for answer in answers if answer.question.kind == "Observation"]
    return bool(asked) and all(answer.complete and answer.since is None for answer in asked)


def _says_anything(answers: Sequence[Answer]) -> bool:
    """Say whether there is anything to be read in answers, or to be made of what they lack."""
    return any(answer.resources or answer.deleted for answer in answers) or _whole(answers)


def _deleted(answers: Iterable[Answer]) -> set[str]:
    """Return the references of the results that the server says to have deleted."""
    return {name for answer in answers for name in answer.deleted if name.startswith("Observation/")}


def _named(answers: Sequence[Answer], feed: str) -> set[str]:
    """Return the references of the results that answers hold, or that their reports hold."""
    reports = ReportStates.of(_by_id(answers, "DiagnosticReport").values(), feed)
    return {f"Observation/{id}" for id in (*_by_id(answers, "Observation"), *reports.states)}


def _by_id(answers: Iterable[Answer], kind: str) -> dict[str, Resource]:
    of_kind = (answer for answer in answers if answer.question.kind == kind)
    return {str(one.get("id")): one for answer in of_kind for one in answer.resources}


def _id(one: Incoming) -> str:
    """Return the id of the Observation that a result is, or is a part of."""
    return one.reference.removeprefix("Observation/").split("#")[0]


def _marked(result: Incoming, reports: ReportStates) -> Incoming:
    """Tell the version that its report took back from the result's own, or the one could not be undone."""
    if reports.states.get(_id(result), "final") in ("final", "preliminary"):
        return result
    return replace(result, version=result.version + BY_REPORT)


def _gone(one: Incoming) -> Incoming:
    return replace(one, version=f"{GONE}, after {one.version}", status="entered-in-error")
