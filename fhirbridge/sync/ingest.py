"""Ingest: study records are mapped, validated against their profiles and stored, one subject at a time.

A record is all or nothing: if one of its resources is refused, none of them is stored, the record is
quarantined with its place in the source, and the rest of the subject goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from fhirbridge.errors import Finding, RecordError, Resource
from fhirbridge.records.types import Subject
from fhirbridge.store import Store
from fhirbridge.sync.withdrawal import withdrawn

Mapper = Callable[[Any], list[tuple[int, Resource]]]
"""From a record to its resources, each with its rank in dependency order."""

BATCH = 2_000
"""Resources a transaction holds at least; a crash costs no more than these, and they are done again."""


class Checks(Protocol):
    """What ingest asks of a validator."""

    def is_valid(self, resource: Resource) -> bool: ...

    def validate(self, resource: Resource) -> Resource: ...


@dataclass(frozen=True, slots=True)
class Sourced:
    """A record and where it was read."""

    record: Any
    name: str
    """What its owner calls it: ``laboratory R-17``."""
    file: str | None = None
    line: int | None = None
    rows: int = 1
    """How many rows of the source it was made from."""


@dataclass(slots=True)
class IngestReport:
    """What became of every record and resource; ``balanced`` says that nothing is unaccounted for."""

    records: int = 0
    stored: int = 0
    refused: int = 0
    refused_rows: int = 0
    withdrawn: int = 0
    """Of the resources updated: those that a corrected record no longer implies, now entered-in-error."""
    resources: Counter[str] = field(default_factory=Counter)
    """created, updated, unchanged"""
    by_type: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def balanced(self) -> bool:
        """Every record was stored or refused, and every mapped resource has exactly one fate."""
        fates = sum(sum(counts.values()) for counts in self.by_type.values())
        return self.records == self.stored + self.refused and fates == sum(self.resources.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "records": self.records,
            "stored": self.stored,
            "refused": self.refused,
            "withdrawn": self.withdrawn,
            "resources": dict(self.resources),
            "by_type": {name: dict(fates) for name, fates in self.by_type.items()},
            "balanced": self.balanced,
        }


class Ingest:
    """One run of the ingest line into one store.

    ``mapper`` says a record in FHIR, ``checks`` accepts or refuses each resource, ``quarantine`` receives every
    Finding. Nothing is read, mapped or checked twice.
    """

    def __init__(
        self, store: Store, mapper: Mapper, checks: Checks, quarantine: Callable[[Finding], object], run: str
    ) -> None:
        self._store = store
        self._mapper = mapper
        self._checks = checks
        self._quarantine = quarantine
        self._run = run
        self._refused_subjects: dict[str, Sourced] = {}
        self.report = IngestReport()

    def study(self, study: Any) -> None:
        """Store the resources of the study itself; anything wrong with them stops the run."""
        ranked = self._mapper(study)
        for _, resource in ranked:
            check(self._checks, Sourced(study, f"study {study.id}"), resource)
        self._put(ranked)

    def subjects(self, groups: Iterable[Iterable[Sourced]]) -> Iterator[int]:
        """Store subject after subject; yields the number of records done so far, after each subject."""
        waiting: list[tuple[int, Resource]] = []
        for group in groups:
            waiting.extend(self._group(group))
            if len(waiting) >= BATCH:
                self._put(waiting)
                waiting = []
            yield self.report.records
        self._put(waiting)

    def _group(self, group: Iterable[Sourced]) -> list[tuple[int, Resource]]:
        accepted: dict[tuple[str, str], tuple[int, Resource]] = {}
        for sourced in group:
            self.report.records += 1
            try:
                ranked = self._checked(sourced, accepted)
            except RecordError as error:
                self.report.refused += 1
                self.report.refused_rows += sourced.rows
                self._quarantine(error.finding)
                if isinstance(sourced.record, Subject):
                    self._refused_subjects[sourced.record.subject] = sourced
                continue
            self.report.stored += 1
            accepted.update(((resource["resourceType"], resource["id"]), (rank, resource)) for rank, resource in ranked)
        return list(accepted.values())

    def _checked(
        self, sourced: Sourced, accepted: dict[tuple[str, str], tuple[int, Resource]]
    ) -> list[tuple[int, Resource]]:
        """Return the record's resources, each valid and none contradicting another record's."""
        subject = self._refused_subjects.get(getattr(sourced.record, "subject", ""))
        if subject is not None:
            raise RecordError(_held(sourced, subject))
        try:
            ranked = self._mapper(sourced.record)
        except RecordError as error:
            raise RecordError(_placed(error.finding, sourced)) from error
        for _, resource in ranked:
            twin = accepted.get((resource["resourceType"], resource["id"]))
            if twin is not None and twin[1] == resource:
                continue
            if twin is not None:
                raise RecordError(_contradiction(sourced, resource))
            check(self._checks, sourced, resource)
        return ranked

    def _put(self, ranked: list[tuple[int, Resource]]) -> None:
        """Store resources and, in the same transaction, withdraw what their earlier versions implied."""
        if not ranked:
            return
        written = {(resource["resourceType"], resource["id"]) for _, resource in ranked}
        with self._store.transaction() as transaction:
            fates = list(transaction.put(ranked, run=self._run))
            updated = [resource for (_, resource), fate in zip(ranked, fates, strict=True) if fate == "updated"]
            gone = list(withdrawn(self._store, updated, written))
            self.report.withdrawn += len(gone)
            fates += transaction.put(gone, run=self._run)
        for (_, resource), fate in zip([*ranked, *gone], fates, strict=True):
            self.report.resources[fate] += 1
            self.report.by_type.setdefault(resource["resourceType"], Counter())[fate] += 1


def check(checks: Checks, sourced: Sourced, resource: Resource) -> None:
    """Raise RecordError, the validator's first error as a finding about the record, if its resource is invalid."""
    if checks.is_valid(resource):
        return
    outcome = checks.validate(resource)
    issue = next(issue for issue in outcome["issue"] if issue["severity"] in ("fatal", "error"))
    place = (issue.get("expression") or [resource["resourceType"]])[0]
    raise RecordError(
        Finding(
            record=sourced.name,
            field=place,
            rule="profile",
            message=f"the {resource['resourceType']} made from it is refused: {issue['details']['text']}",
            remedy="Correct the record; if it is right, the mapping or the profile is wrong: report it.",
            file=sourced.file,
            line=sourced.line,
        )
    )


def _placed(finding: Finding, sourced: Sourced) -> Finding:
    return replace(finding, record=sourced.name, file=sourced.file, line=sourced.line)


def _held(sourced: Sourced, subject: Sourced) -> Finding:
    return Finding(
        record=sourced.name,
        rule="held",
        message=f"its subject's own record was refused ({subject.file}:{subject.line})",
        remedy="Correct the subject's row and load the file again.",
        file=sourced.file,
        line=sourced.line,
    )


def _contradiction(sourced: Sourced, resource: Resource) -> Finding:
    return Finding(
        record=sourced.name,
        rule="conflict",
        message=f"it gives the {resource['resourceType']} that an earlier record gave another content",
        remedy="Make the two records agree on what they both describe.",
        file=sourced.file,
        line=sourced.line,
    )
