"""Records what was decided: accepted candidates travel the ingest line, and what was taken back goes the same way.

State-based like a push: whatever differs from what should be recorded is done, so a run that was cut off is simply
run again. A result that people entered for the same subject, analyte and visit is never overwritten and never
doubled: where both agree there is nothing to do, where they do not a person must look.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import groupby, islice
from typing import Any, Literal

from fhirbridge.errors import Finding, RecordError, Resource
from fhirbridge.identity import Identity
from fhirbridge.records.types import LaboratoryResult, ResultFacts, SubjectFacts
from fhirbridge.store import Store
from fhirbridge.store.arrivals import Arrival
from fhirbridge.store.decisions import Decision
from fhirbridge.store.judgements import Candidate, Judgement
from fhirbridge.study import Study
from fhirbridge.sync.ingest import Checks, Ingest, Mapper, Sourced
from fhirbridge.sync.naming import references
from fhirbridge.sync.pull.concordance import AGREEMENTS, Agreement, agreement, twins
from fhirbridge.sync.pull.recordable import Rules, accepted, digest, taken_back

Fate = Literal["recorded", "changed", "taken back", "unchanged", "standing", "concordant", "disagreeing", "refused"]

FATES: dict[Fate, str] = {
    "recorded": "new in the study's data",
    "changed": "recorded anew: decided otherwise, or in another version",
    "taken back": "marked as entered in error: rejected after it had been recorded",
    "unchanged": "the study's data has it already",
    "standing": "recorded, and waiting for a decision again: it stands until there is one",
    "concordant": "people entered the same value already",
    "disagreeing": "people entered another value: a person must decide",
    "refused": "breaks a rule of the study's tables, mappings or profiles",
}
AT_ONCE = 200
"""Candidates that are stored together: a crash costs no more than these, and they are done again."""

NOT_RECORDED = "not recorded: "
"""How the reason on a candidate begins that could not be recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """What recording needs of the composition root; ``study`` is the one with the laboratories' analytes."""

    store: Store
    study: Study
    identity: Identity
    mapper: Mapper
    checks: Checks
    facts: Callable[[str], SubjectFacts | None]
    """From the id of our Patient to what is known of the subject; its number above all."""
    result_facts: Callable[[Resource], ResultFacts | None]
    """Reads back what an Observation of a laboratory result says."""
    today: dt.date
    """Civil date of the study after which nothing can have happened."""
    software: str
    run: str


@dataclass(slots=True)
class RecordingReport:
    """What became of every candidate that was due; ``balanced`` says that none is unaccounted for."""

    due: int = 0
    fates: Counter[str] = field(default_factory=Counter)
    disagreements: Counter[str] = field(default_factory=Counter)
    """By what differs (``concordance.AGREEMENTS``)."""
    resources: Counter[str] = field(default_factory=Counter)
    """created, updated, unchanged"""
    findings: list[Finding] = field(default_factory=list)

    @property
    def balanced(self) -> bool:
        """Every candidate that was due has exactly one fate, and each that is not recorded has its reason."""
        kept_out = self.fates["refused"] + self.fates["disagreeing"]
        return self.due == sum(self.fates.values()) and kept_out == len(self.findings)

    @property
    def clean(self) -> bool:
        """Whether everything that was accepted is in the study's data."""
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "due": self.due,
            **{name: self.fates[name] for name in FATES},
            "disagreements": {name: self.disagreements[name] for name in AGREEMENTS if self.disagreements[name]},
            "resources": dict(self.resources),
            "balanced": self.balanced,
        }


def record(recorder: Recorder, subjects: Iterable[str] | None = None) -> RecordingReport:
    """Bring the study's data in line with the decisions, of all subjects or of these (ids of our Patients).

    What cannot be recorded stays accepted with the reason, is quarantined with the run, and is tried again by the
    next. Raises StoreError.
    """
    work = _Recording(recorder)
    for due in _due(recorder, subjects):
        while some := list(islice(due, AT_ONCE)):
            work.some(some)
    return work.report


def _due(recorder: Recorder, subjects: Iterable[str] | None) -> Iterator[Iterator[Candidate]]:
    door, study = recorder.store.candidates, recorder.study.id
    if subjects is None:
        yield door.unrecorded(study)
    else:
        yield from (door.unrecorded(study, subject) for subject in subjects)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A candidate whose result is to be stored."""

    candidate: Candidate
    result: LaboratoryResult
    fate: Fate


class _Recording:
    def __init__(self, recorder: Recorder) -> None:
        self._to = recorder
        self._door = recorder.store.candidates
        self._rules = Rules(recorder.study, recorder.identity, recorder.today, recorder.software)
        self._facts = lru_cache(maxsize=1024)(recorder.facts)
        self.report = RecordingReport()

    def some(self, due: Sequence[Candidate]) -> None:
        """Record some candidates: decide what each should be, store them, then note what is stored."""
        self.report.due += len(due)
        wanted: list[_Wanted] = []
        for subject, own in groupby(sorted(due, key=lambda one: one.subject), key=lambda one: one.subject):
            entered = self._entered(subject)
            for candidate in own:
                found = self._wanted(candidate, entered)
                wanted += [found] if found else []
        refused = self._stored(wanted)
        for one in wanted:
            finding = refused.get(one.candidate.name)
            if finding is not None:
                self._keep_out(one.candidate, "refused", finding)
            else:
                kept = None if one.fate == "taken back" else digest(one.result)
                self._note(one.candidate, one.fate, kept)

    def _wanted(self, candidate: Candidate, entered: Sequence[ResultFacts]) -> _Wanted | None:
        """Return what should be stored of a candidate; None where nothing is to be, which is counted at once."""
        known = self._door.get(candidate.key)
        assert known is not None  # it was listed a moment ago, and candidates are never deleted
        candidate, _, decisions = known
        try:
            if candidate.state == "rejected":
                return self._back(candidate, decisions)
            if candidate.state != "accepted":
                self._note(candidate, "standing", candidate.recorded)
                return None
            decision = next(one for one in reversed(decisions) if one.action != "reopen")
            result = accepted(candidate, decision, self._version(candidate), self._of(candidate), self._rules)
        except RecordError as error:
            self._keep_out(candidate, "refused", error.finding)
            return None
        if digest(result) == candidate.recorded:
            self._note(candidate, "unchanged", candidate.recorded)
            return None
        if candidate.recorded is None and self._is_entered(candidate, result, entered):
            return None
        return _Wanted(candidate, result, "changed" if candidate.recorded else "recorded")

    def _back(self, candidate: Candidate, decisions: Sequence[Decision]) -> _Wanted | None:
        if candidate.recorded is None:
            self._note(candidate, "unchanged", None)
            return None
        result = taken_back(candidate, decisions, self._version(candidate), self._of(candidate), self._rules)
        return _Wanted(candidate, result, "taken back")

    def _is_entered(self, candidate: Candidate, result: LaboratoryResult, entered: Sequence[ResultFacts]) -> bool:
        """Say whether people entered a value for this one already, and count how the two compare."""
        pulled = ResultFacts(
            id="", analyte=result.analyte, visit=result.visit, collected=result.collected, value=result.value,
            status=result.status,
        )  # fmt: skip
        found = [agreement(one, pulled) for one in twins(entered, pulled, self._to.study.schedule.unscheduled)]
        if not found:
            return False
        if "exact" in found:
            self.report.fates["concordant"] += 1
            return True
        worst = max(found, key=list(AGREEMENTS).index)
        self.report.disagreements[worst] += 1
        self._keep_out(candidate, "disagreeing", _disagreement(candidate, result, worst))
        return True

    def _entered(self, subject: str) -> list[ResultFacts]:
        """Return the results of a subject that people entered, without those that were pulled or do not count."""
        stored = self._to.store.iterate(self._to.study.id, types=["Observation", "Provenance"], compartment=subject)
        contents = [one.content() for one in stored]
        pulled = {name for one in contents for name in references(one.get("target"))}
        found = [self._to.result_facts(one) for one in contents if one["resourceType"] == "Observation"]
        return [
            one
            for one in found
            if one and ("Observation", one.id) not in pulled and one.status not in ("cancelled", "entered-in-error")
        ]

    def _stored(self, wanted: Sequence[_Wanted]) -> dict[str, Finding]:
        """Send results down the ingest line; return why those were refused that were, by the candidate's name."""
        refused: list[Finding] = []
        line = Ingest(self._to.store, self._to.mapper, self._to.checks, refused.append, self._to.run)
        groups = [[Sourced(one.result, one.candidate.name)] for one in wanted]
        for _ in line.subjects(groups):
            pass
        self.report.resources.update(line.report.resources)
        return {finding.record: finding for finding in refused}

    def _keep_out(self, candidate: Candidate, fate: Fate, finding: Finding) -> None:
        """Leave a candidate as it was decided, with the reason why it is not recorded, and set the finding aside."""
        self.report.fates[fate] += 1
        self.report.findings.append(finding)
        self._to.store.quarantine(self._to.run, [finding])
        self._remark(candidate, f"{NOT_RECORDED}{finding.rule}")

    def _note(self, candidate: Candidate, fate: Fate, hash: bytes | None) -> None:
        self.report.fates[fate] += 1
        self._door.recorded(self._remark(candidate, None), hash)

    def _remark(self, candidate: Candidate, reason: str | None) -> Candidate:
        """Have the candidate say why it is not recorded, and nothing of the kind where it is; return how it stands."""
        kept = tuple(one for one in candidate.reasons if not one.startswith(NOT_RECORDED))
        reasons = kept + ((reason,) if reason else ())
        if reasons == candidate.reasons:
            return candidate
        judgement = Judgement(
            feed=candidate.feed, reference=candidate.reference, arrival=candidate.arrival, decided=candidate.decision,
            state=candidate.state, reasons=reasons, analyte=candidate.analyte, visit=candidate.visit,
            offset=candidate.offset, inside=candidate.inside, collected=candidate.collected,
            proposal=candidate.proposal,
        )  # fmt: skip
        self._door.judge(candidate.study, candidate.subject, [judgement], self._to.run)
        return replace(candidate, reasons=reasons)

    def _of(self, candidate: Candidate) -> SubjectFacts | None:
        return self._facts(candidate.subject)

    def _version(self, candidate: Candidate) -> Callable[[int], Arrival]:
        def find(key: int) -> Arrival:
            return next(one for one in self._door.versions(candidate.key) if one.key == key)

        return find


def _disagreement(candidate: Candidate, result: LaboratoryResult, how: Agreement) -> Finding:
    return Finding(
        record=candidate.name,
        field="value",
        rule="disagrees",
        message=f"a value was entered by hand for {result.analyte} at {result.visit} already, and it is not this one "
        f"({how}: {AGREEMENTS[how]})",
        remedy=f"Correct what was entered, or `fhirbridge inbox reopen {candidate.name}` and reject it, "
        "or override its visit.",
    )
