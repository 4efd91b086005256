"""Takes what a hospital's server answered of one subject: read, told apart, kept as arrivals that name nobody."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from fhirbridge.errors import Resource
from fhirbridge.hospital import Hospital
from fhirbridge.store import Store
from fhirbridge.store.arrivals import Item, Novelty
from fhirbridge.study import Study
from fhirbridge.sync.pull import incoming as incomings
from fhirbridge.sync.pull.asking import Answer, about
from fhirbridge.sync.pull.incoming import Incoming, SetAside, Why
from fhirbridge.sync.pull.meaning import collects
from fhirbridge.sync.pull.observations import Source, incoming
from fhirbridge.sync.pull.recognising import LaboratoryNames
from fhirbridge.sync.pull.reports import ReportStates
from fhirbridge.terminology.laboratories import Laboratories

BY_REPORT = " (by its report)"
"""Ends the version of a result whose report took it back: the result itself stays as it was at the source."""

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
class Taking:
    """What is needed to take answers of one server for one study."""

    store: Store
    study: Study
    laboratories: Laboratories
    names: LaboratoryNames
    hospital: Hospital
    run: str

    def take(self, subject: str, patients: Collection[str], answers: Sequence[Answer]) -> Taken:
        """Keep what these answers tell of a subject, and say what became of each result.

        ``patients`` are the subject's at this server. Where everything was asked for and answered, what is known and
        was not among it is looked for by its id, and noted as gone. Raises HospitalError and StoreError.
        """
        found = _by_id(answers, "Observation")
        reports = ReportStates.of(_by_id(answers, "DiagnosticReport").values(), self.feed)
        known = self._known(subject)
        taken = Taken()
        kept: dict[str, Incoming] = {}
        found |= self._looked_up(self._touched(known, found, reports, answers))
        absent = self._absent(known, found, answers, patients)
        source = self._source(found)
        for one in found.values():
            for result in incoming(one, source, patients=patients, reports=reports):
                taken.found += 1
                if isinstance(result, SetAside):
                    taken.aside[result.why] += 1
                elif result.reference not in known and not collects(result, self.laboratories):
                    taken.aside["not collected"] += 1
                else:
                    kept[result.reference] = _marked(result, reports)
        # A component that is left out now, or a result that is another patient's now, was there before.
        absent += [one for one in known.values() if _id(one) in found and one.reference not in kept]
        absent = [one for one in absent if not one.version.startswith(GONE)]
        taken.found += len(absent)
        taken.kept = self._arrive(subject, [*kept.values(), *map(_gone, absent)])
        return taken

    @property
    def feed(self) -> str:
        """The server as feed."""
        return self.hospital.base_url

    def _arrive(self, subject: str, kept: Sequence[Incoming]) -> list[tuple[str, Novelty]]:
        items: list[Item] = []
        for one in kept:
            body = incomings.as_bytes(one)
            items.append((one.reference, one.version, hashlib.sha256(body).digest(), body))
        novelties = self.store.candidates.arrive(self.study.id, subject, self.feed, items, self.run)
        return [(one.reference, novelty) for one, novelty in zip(kept, novelties, strict=True)]

    def _known(self, subject: str) -> dict[str, Incoming]:
        """Return the newest version of each result that this server ever sent of the subject."""
        held = self.store.candidates.of_subject(self.study.id, subject)
        mine = (incomings.read_back(last.body) for _, last, _ in held if last.feed == self.feed)
        return {one.reference: one for one in mine}

    def _source(self, found: Collection[str]) -> Source:
        ours = self.store.our_names(self.hospital.server_id, "Observation", list(found))
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
            if withdrawn != one.version.endswith(BY_REPORT) and one.status != "entered-in-error":
                touched.add(_id(one))
        return touched.difference(found)

    def _absent(
        self, known: dict[str, Incoming], found: Collection[str], answers: Sequence[Answer], patients: Collection[str]
    ) -> list[Incoming]:
        """Return known results that a whole answer lacks, and that are not the patient's under their ids either."""
        asked = [answer for answer in answers if answer.question.kind == "Observation"]
        if not asked or not all(answer.complete and answer.since is None for answer in asked):
            return []
        lacking = [one for one in known.values() if _id(one) not in found and not one.version.startswith(GONE)]
        there = self._looked_up({_id(one) for one in lacking})
        theirs = {id for id, one in there.items() if about(one, self.feed) in patients}
        return [one for one in lacking if _id(one) not in theirs]

    def _looked_up(self, ids: Collection[str]) -> dict[str, Resource]:
        return {one["id"]: one for one in self.hospital.lookup("Observation", sorted(ids))} if ids else {}


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
