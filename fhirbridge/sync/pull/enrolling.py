"""Importing the enrolment log: each row held against the study and against what is linked already, then sealed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from fhirbridge.errors import Finding
from fhirbridge.identity import Identity
from fhirbridge.records import enrolment_log
from fhirbridge.records.enrolment_log import Enrolled
from fhirbridge.records.refusals import Problem
from fhirbridge.sealing import Seal
from fhirbridge.store import Store
from fhirbridge.store.links import Action, Event, Link, Sealed, about
from fhirbridge.study import Study
from fhirbridge.sync.pull.confirming import doubt
from fhirbridge.sync.pull.linked import Held, HospitalIdentifier, Linked, packed, subjects

Fate = Literal["new", "unchanged", "replaced", "corrected", "duplicate", "refused"]
_SOME = 500
_COMPARE = "Compare with the paper log, and give one row that is right."


@dataclass(slots=True, kw_only=True)
class Enrolment:
    """What became of every row of an enrolment log; their sum is ``rows``."""

    rows: int = 0
    new: int = 0
    unchanged: int = 0
    replaced: int = 0
    corrected: int = 0
    duplicate: int = 0
    refused: int = 0
    notes: tuple[str, ...] = ()
    findings: list[Finding] = field(default_factory=list)

    @property
    def balanced(self) -> bool:
        """Whether every row has one fate."""
        return self.rows == sum((self.new, self.unchanged, self.replaced, self.corrected, self.duplicate, self.refused))

    @property
    def counts(self) -> dict[str, int]:
        """The counts as plain JSON values."""
        return {name: value for name, value in asdict(self).items() if isinstance(value, int)}


def enrol(
    store: Store,
    seal: Seal,
    study: Study,
    identity: Identity,
    path: Path,
    *,
    system: str | None,
    by: str,
    replacing: bool,
    at: str,
) -> Enrolment:
    """Import an enrolment log as of this instant. Raises InputError for a file that cannot be used as a whole."""
    log = enrolment_log.read(path, system=system)
    linked = {one.number: one for one in subjects(seal, study.id, store.links.all(study.id))}
    sifting = _Sifting(log.file, [row for row in log.rows if isinstance(row, Enrolled)])
    sifting.among_themselves()
    sifting.against_study(_patients(store, study, identity, (row.subject for row in sifting.left)))
    sifting.against_links(linked, replacing)
    made = _Making(seal, study.id, identity, by, at, store.links.forgotten(study.id))
    for row in sifting.left:
        made.add(row, sifting.fates[row.line], linked.get(row.subject))
    store.links.keep(study.id, made.sealed, made.events, at=at)
    unreadable = [row for row in log.rows if not isinstance(row, Enrolled)]
    report = Enrolment(rows=len(log.rows), notes=log.notes, refused=len(unreadable))
    for fate in sifting.fates.values():
        setattr(report, fate, getattr(report, fate) + 1)
    report.findings = [*(finding for found in unreadable for finding in found), *sifting.findings]
    report.findings.sort(key=lambda finding: finding.line or 0)
    return report


class _Sifting:
    """The rows that can be read, each with its fate as far as it is known; ``left`` are those not refused yet."""

    def __init__(self, file: str, rows: list[Enrolled]) -> None:
        self._file = file
        self.left = rows
        self.fates: dict[int, Fate] = {}
        self.findings: list[Finding] = []

    def among_themselves(self) -> None:
        """Count rows that say the same once, and refuse those that contradict one another."""
        seen: set[tuple[Any, ...]] = set()
        for row in self.left:
            if (content := _content(row)) in seen:
                self.fates[row.line] = "duplicate"
            seen.add(content)
        self._sift()
        self._refuse_groups(
            lambda row: (row.subject, row.system),
            lambda rows: len(rows) > 1,
            "two-numbers",
            "several rows of this subject differ, and one system has one number of a person",
        )
        self._refuse_groups(
            lambda row: (row.system, row.identifier),
            lambda rows: len(rows) > 1,
            "two-subjects",
            "this hospital number is given for several subjects",
        )
        self._refuse_groups(
            lambda row: (row.subject,),
            lambda rows: any(
                len({value for row in rows if (value := getattr(row, name))}) > 1 for name in ("birth_date", "sex")
            ),
            "contradiction",
            "the rows of this subject differ in birth date or sex",
        )

    def against_study(self, patients: dict[str, dict[str, Any]]) -> None:
        """Refuse subjects whom the store does not know, or knows with another birth year or sex."""
        for row in self.left:
            patient = patients.get(row.subject)
            if patient is None:
                self._refuse(row, "unknown-subject", "the study has no such subject", "Load its records first.")
            elif (said := doubt(row.birth_date, row.sex, [(patient.get("birthDate"), patient.get("gender"))])) and (
                "another" in said
            ):
                said = said.replace("the hospital's record has", "the study's record of this subject has")
                self._refuse(row, "contradiction", said, "Compare both with the source; the row may have shifted.")
        self._sift()

    def against_links(self, linked: dict[str, Linked], replacing: bool) -> None:
        """Tell what each row changes of what is linked, and refuse what it may not."""
        for row in self.left:
            self.fates[row.line] = fate = _fate(row, linked.get(row.subject))
            if fate in ("replaced", "corrected") and not replacing:
                what = "hospital number" if fate == "replaced" else "birth date or sex"
                self._refuse(
                    row,
                    "changed",
                    f"another {what} is linked for this subject",
                    "If the log is right now, import it with --replace.",
                )
            elif fate != "unchanged" and _contradicted(row, self.left, linked.get(row.subject)):
                said = "under another system this subject is linked with another birth date or sex"
                self._refuse(row, "contradiction", said, "Give the rows of all systems, and import with --replace.")
        self._sift()
        while self._taken(linked):
            self._sift()

    def _taken(self, linked: dict[str, Linked]) -> bool:
        """Refuse numbers that stay another subject's; a refusal can leave a number where it was, so ask again."""
        freed = {(row.subject, row.system) for row in self.left if self.fates[row.line] == "replaced"}
        holders = {
            held.identifier: number
            for number, one in linked.items()
            for _, held in one.rows
            if (number, held.system) not in freed
        }
        taken = [row for row in self.left if holders.get(_identifier(row), row.subject) != row.subject]
        for row in taken:
            self._refuse(row, "taken", "this hospital number is linked to another subject", _COMPARE)
        return bool(taken)

    def _refuse_groups(
        self, key: Callable[[Enrolled], object], wrong: Callable[[list[Enrolled]], bool], rule: str, message: str
    ) -> None:
        groups: defaultdict[object, list[Enrolled]] = defaultdict(list)
        for row in self.left:
            groups[key(row)].append(row)
        for rows in groups.values():
            if wrong(rows):
                lines = ", ".join(str(row.line) for row in rows)
                for row in rows:
                    self._refuse(row, rule, f"{message} (lines {lines})", _COMPARE)
        self._sift()

    def _refuse(self, row: Enrolled, rule: str, message: str, remedy: str) -> None:
        self.fates[row.line] = "refused"
        self.findings.append(enrolment_log.refused(self._file, row.line, Problem(rule, None, message, remedy)))

    def _sift(self) -> None:
        self.left = [row for row in self.left if self.fates.get(row.line) not in ("refused", "duplicate")]


class _Making:
    """The sealed links and events that rows amount to."""

    def __init__(
        self, seal: Seal, study: str, identity: Identity, by: str, at: str, forgotten: Collection[str]
    ) -> None:
        self._seal = seal
        self._study = study
        self._identity = identity
        self._by = by
        self._at = at
        self._forgotten = forgotten
        self.sealed: list[Sealed] = []
        self.events: list[Event] = []

    def add(self, row: Enrolled, fate: Fate, linked: Linked | None) -> None:
        """Seal what a row says, unless it says nothing new."""
        if fate == "unchanged":
            return
        link, before = _there(row, linked) or (None, None)
        subject = self._identity.id("Patient", row.subject)
        # Of one who was forgotten nobody knows whether the number is the one it was.
        anew = fate == "replaced" or (linked is None and subject in self._forgotten)
        held = Held(
            number=row.subject,
            system=row.system,
            value=row.identifier,
            birth_date=row.birth_date,
            sex=row.sex,
            # Who was found until now is kept, so that it is noticed if it is somebody else from now on.
            found=before.found if before else dict(linked.found) if linked else {},
            relinked=self._at if anew else linked.relinked if linked else None,
        )
        lookup = self._seal.lookup(held.identifier.text(self._study))
        content = self._seal.seal(packed(held), about(self._study, subject, lookup))
        key = link.key if link else None
        self.sealed.append(Sealed(subject=subject, lookup=lookup, sealed=content, key=key))
        action: Action = "replaced" if anew else "corrected" if fate == "corrected" else "imported"
        self.events.append(Event(subject=subject, by=self._by, action=action, detail=f"line {row.line}"))


def _fate(row: Enrolled, linked: Linked | None) -> Fate:
    there = _there(row, linked)
    if there is None:
        return "new"
    _, held = there
    if held.value != row.identifier:
        return "replaced"
    return "unchanged" if (held.birth_date, held.sex) == (row.birth_date, row.sex) else "corrected"


def _there(row: Enrolled, linked: Linked | None) -> tuple[Link, Held] | None:
    """Return the link that a row speaks of: a subject has one number in each system."""
    return next(((link, held) for link, held in (linked.rows if linked else ()) if held.system == row.system), None)


def _contradicted(row: Enrolled, rows: Iterable[Enrolled], linked: Linked | None) -> bool:
    """Say whether a link under another system, which no row changes, has another birth date or sex."""
    given = {other.system for other in rows if other.subject == row.subject}
    others = [held for _, held in (linked.rows if linked else ()) if held.system not in given]
    return any(
        mine and theirs and mine != theirs
        for held in others
        for mine, theirs in ((row.birth_date, held.birth_date), (row.sex, held.sex))
    )


def _identifier(row: Enrolled) -> HospitalIdentifier:
    return HospitalIdentifier(system=row.system, value=row.identifier)


def _content(row: Enrolled) -> tuple[Any, ...]:
    return row.subject, row.system, row.identifier, row.birth_date, row.sex


def _patients(store: Store, study: Study, identity: Identity, numbers: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return our Patients of those of these subject numbers that the study has."""
    ids = {identity.id("Patient", number): number for number in numbers}
    wanted, found = list(ids), dict[str, dict[str, Any]]()
    for start in range(0, len(wanted), _SOME):
        for stored in store.read_many("Patient", wanted[start : start + _SOME]):
            if stored.study == study.id:
                found[ids[stored.id]] = msgspec.json.decode(stored.body)
    return found
