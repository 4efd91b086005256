"""Linking subjects to the hospital's patients: consent asked, the person found and confirmed, merges followed, audited.

A subject that cannot be linked for certain stops alone, and says why. Every look begins anew: a person who was merged,
swapped or taken out of use since the last one is noticed, and nothing is asked for a subject without active consent.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from fhirbridge.errors import FatalHospitalError
from fhirbridge.hospital import Hospital
from fhirbridge.identity import Identity
from fhirbridge.sealing import Seal
from fhirbridge.store import Store
from fhirbridge.store.instants import utc_now, written
from fhirbridge.store.links import Action, Event, Link, Sealed, Standing, about
from fhirbridge.study import Study
from fhirbridge.sync.notes import Note, silent
from fhirbridge.sync.pull import linked as linked_subjects
from fhirbridge.sync.pull.confirming import doubt
from fhirbridge.sync.pull.enrolling import Enrolment, enrol
from fhirbridge.sync.pull.linked import (
    HospitalIdentifier,
    Linked,
    Mismatch,
    NoConsent,
    NotFound,
    Unlinked,
    moved,
    packed,
)
from fhirbridge.sync.pull.persons import Person, Persons

_MANY = 20
"""Subjects from which on all consents are read at once instead of each subject's."""
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What became of one subject: the ids of its Patients at the hospital, or why there are none.

    ``relinked`` is the instant at which the person, or the number in the log, last became another one, None if never:
    what came before it may be another person's, and what was decided on it is to be reopened (``patient relinked``).
    """

    linked: Linked
    patients: tuple[str, ...] = ()
    stopped: Unlinked | None = None
    relinked: str | None = None


class Linking:
    """The links of one study, opened with the linking key.

    ``authorities`` are the systems of numbers by the names that HL7 v2 messages give to those who assign them; the
    name ``""`` is for numbers that name nobody, the system ``""`` for numbers of others. Every method raises
    StoreError, and ConfigurationError where the key does not open what is sealed.
    """

    def __init__(
        self,
        store: Store,
        seal: Seal,
        study: Study,
        identity: Identity,
        *,
        authorities: Mapping[str, str] | None = None,
        clock: Callable[[], dt.datetime] = utc_now,
        note: Note = silent,
    ) -> None:
        self._store = store
        self._seal = seal
        self._study = study
        self._identity = identity
        self._authorities = dict(authorities or {})
        self._clock = clock
        self._note = note

    def import_log(self, path: Path, *, system: str | None, by: str, replace: bool = False) -> Enrolment:
        """Seal and keep an enrolment log, row by row; ``replace`` lets a row change what is linked already.

        Whoever gets another number is linked anew from now on: what came before is to be judged again. Raises
        InputError for a file that cannot be used as a whole.
        """
        at = written(self._clock())
        return enrol(
            self._store, self._seal, self._study, self._identity, path, system=system, by=by, replacing=replace, at=at
        )

    def subjects(self, subject: str | None = None) -> list[Linked]:
        """Return all that are linked, or one by the id of our Patient, in the order of these ids."""
        return list(self._opened(self._store.links.all(self._study.id, subject)))

    def each(self, only: Collection[str] | None = None) -> Iterator[Linked]:
        """Yield the subjects that are linked, or some by the ids of our Patients, each opened as it is asked for."""
        links = self._store.links.all(self._study.id)
        yield from self._opened([one for one in links if only is None or one.subject in only])

    def consented(self, linked: Linked, today: dt.date | None = None) -> bool:
        """Say whether a subject consents today: an active Consent, in its period. No Consent known is no."""
        if not self._store.consented(self._study.id, linked.subject):
            return False
        consents = self._store.iterate(self._study.id, types=["Consent"], compartment=linked.subject)
        return any(_permits(consent.body, self._day(today)) for consent in consents)

    def willing(self, subjects: Sequence[Linked], today: dt.date | None = None) -> list[Linked]:
        """Return those who consent today, as ``consented`` says; of many it is far quicker."""
        consents = self._consenting(subjects, today)
        return [linked for linked in subjects if consents(linked)]

    def resolve(self, linked: Linked, hospital: Hospital, run: str) -> Resolved:
        """Find one subject's Patients at the hospital. Raises NoConsent, NotFound or Mismatch where that is refused.

        Raises HospitalError as ``Hospital.search`` does. Many subjects cost far fewer requests by ``resolve_all``.
        """
        [resolved] = self.resolve_all([linked], hospital, run)
        if resolved.stopped is not None:
            raise resolved.stopped
        return resolved

    def resolve_all(self, given: Iterable[Linked], hospital: Hospital, run: str) -> list[Resolved]:
        """Find the Patients of subjects, in the same order, and keep how each stands now, with what changed.

        Raises HospitalError, with nothing kept, where the hospital's server fails as a whole.
        """
        consents = self._consenting(given)
        subjects: list[Linked] = []
        asked: set[str] = set()

        def numbers() -> Iterator[HospitalIdentifier]:
            for linked in given:
                subjects.append(linked)
                if consents(linked):
                    asked.add(linked.subject)
                    yield from linked.identifiers

        persons, server = Persons(hospital), hospital.server_id
        persons.look(numbers(), (id for one in subjects if one.subject in asked for id in one.found.get(server, ())))
        known = self._store.consents(self._study.id) if len(asked) < len(subjects) else {}
        found: dict[str, Person | Unlinked] = {
            linked.subject: _found(linked, persons) if linked.subject in asked else _refusal(linked, known)
            for linked in subjects
        }
        self._claim(found, hospital.server_id)
        results = [self._resolved(linked, found[linked.subject], hospital.server_id) for linked in subjects]
        standings = [
            self._standing(linked, found[linked.subject], result, hospital.server_id, f"fhirbridge {run}")
            for linked, result in zip(subjects, results, strict=True)
        ]
        self._store.links.stand(self._study.id, standings)
        self._tell(standings)
        return results

    def by_numbers(self, numbers: Iterable[tuple[str, str]]) -> Linked | None:
        """Return the subject that numbers of a message belong to, None if they are nobody's of the study.

        Each is who assigned it (a system URI, or an authority's name or OID) and its value. Raises Mismatch where
        they belong to several subjects.
        """
        digests = [
            digest
            for authority, value in numbers
            for system in self._systems(authority)
            for digest in self._seal.lookups(HospitalIdentifier(system=system, value=value).text(self._study.id))
        ]
        subjects = sorted({link.subject for link in self._store.links.found(self._study.id, digests)})
        if len(subjects) > 1:
            raise Mismatch(subjects[0], "a message has hospital numbers of several subjects of the study")
        return self.subjects(subjects[0])[0] if subjects else None

    def systems(self) -> frozenset[str]:
        """Return the systems of the numbers that are linked."""
        return frozenset(identifier.system for one in self.subjects() for identifier in one.identifiers)

    def recognises(self, authority: str, systems: frozenset[str]) -> bool:
        """Say whether numbers of an authority are of one of these systems, or known to be nobody's of the study.

        Authorities of other people's numbers stand in ``authorities`` with an empty system.
        """
        return bool(self._systems(authority) & systems) or self._authorities.get(authority) == ""

    def confirm(self, linked: Linked, birth_date: str | None, sex: str | None) -> None:
        """Raise Mismatch unless birth date or sex, as FHIR or HL7 v2 write them, confirm the subject."""
        if reason := doubt(linked.birth_date, linked.sex, [(birth_date, sex)]):
            raise Mismatch(linked.subject, reason.replace("the hospital's record", "the message"))

    def reseal(self, by: str) -> int:
        """Seal with the newest key what an older one sealed, and return how many links that were."""
        study, changed = self._study.id, []
        for linked in self.subjects():
            for link, held in linked.rows:
                lookup = self._seal.lookup(held.identifier.text(study))
                if lookup != link.lookup or not self._seal.is_newest(link.sealed):
                    changed.append(self._sealed(link.subject, lookup, packed(held), link.key))
        events = [
            Event(subject=subject, by=by, action="resealed") for subject in sorted({one.subject for one in changed})
        ]
        self._store.links.reseal(study, changed, events)
        return len(changed)

    def _sealed(self, subject: str, lookup: str, content: bytes, key: int) -> Sealed:
        sealed = self._seal.seal(content, about(self._study.id, subject, lookup))
        return Sealed(subject=subject, lookup=lookup, sealed=sealed, key=key)

    def _opened(self, links: Sequence[Link]) -> Iterator[Linked]:
        return linked_subjects.subjects(self._seal, self._study.id, links)

    def _consenting(self, subjects: Iterable[Linked], today: dt.date | None = None) -> Callable[[Linked], bool]:
        """Return what says whether one of these consents today; unless they are few, all Consents are read for it."""
        if isinstance(subjects, Sequence) and len(subjects) < _MANY:
            return partial(self.consented, today=today)
        day, consents = self._day(today), self._store.active_consents(self._study.id)
        agreed = {subject for subject, consent in consents if _permits(consent, day)}
        return lambda linked: linked.subject in agreed

    def _day(self, today: dt.date | None) -> str:
        return (today or self._clock().astimezone(self._study.schedule.zone).date()).isoformat()

    def _systems(self, authority: str) -> set[str]:
        named = {authority, self._authorities.get(authority, "")}
        return {f"urn:oid:{name}" if _OID.fullmatch(name) else name for name in named if name}

    def _claim(self, found: dict[str, Person | Unlinked], server: str) -> None:
        """Stop those whose Patients are another subject's as well; ``found`` is changed."""
        claims: dict[str, set[str]] = {}
        others = self._store.links.beside(self._study.id, found)
        for other in self._opened(others):
            if other.state == "linked":
                for id in other.found.get(server, ()):
                    claims.setdefault(id, set()).add(other.subject)
        for subject, person in found.items():
            for id in person.patients if isinstance(person, Person) else ():
                claims.setdefault(id, set()).add(subject)
        for subject, person in list(found.items()):
            if isinstance(person, Person) and any(len(claims[id]) > 1 for id in person.patients):
                reason = "the hospital has one Patient for this subject and another one of the study"
                found[subject] = Mismatch(subject, reason)

    def _resolved(self, linked: Linked, person: Person | Unlinked, server: str) -> Resolved:
        if isinstance(person, Unlinked):
            return Resolved(linked=linked, stopped=person, relinked=linked.relinked)
        another = set(linked.found.get(server, ())) - person.patients.keys() - person.named
        relinked = written(self._clock()) if another else linked.relinked
        return Resolved(linked=linked, patients=tuple(person.patients), relinked=relinked)

    def _standing(self, linked: Linked, person: Person | Unlinked, result: Resolved, server: str, by: str) -> Standing:
        if isinstance(person, Unlinked):
            same = (linked.state, linked.reason) == (person.state, person.reason)
            told = Event(subject=linked.subject, by=by, action=person.action, detail=person.reason)
            return Standing(
                subject=linked.subject, state=person.state, reason=person.reason, events=() if same else (told,)
            )
        before = linked.found.get(server, ())
        sealed = tuple(
            (link.key, self._sealed(link.subject, link.lookup, packed(new), link.key).sealed)
            for link, held in linked.rows
            for new in [moved(held, server, result.patients, result.relinked)]
            if result.patients != before
        )
        events = tuple(
            Event(subject=linked.subject, by=by, action=action, detail=detail)
            for action, detail in self._happened(linked, before, result)
        )
        return Standing(subject=linked.subject, state="linked", reason=None, events=events, sealed=sealed)

    def _happened(self, linked: Linked, before: Sequence[str], result: Resolved) -> Iterator[tuple[Action, str]]:
        """Yield what is to go on record of a subject whose Patients were found: nothing if all is as before."""
        if linked.state == "ended":
            yield "resumed", ""
        if before and result.patients != before:
            action: Action = "merged" if result.relinked == linked.relinked else "relinked"
            yield action, f"{self._marks(before)} became {self._marks(result.patients)}"
        elif not before or linked.state not in ("linked", "ended"):
            yield "linked", self._marks(result.patients)

    def _marks(self, patients: Iterable[str]) -> str:
        """Return a digest of each Patient's id: a history tells them apart without naming them."""
        return ", ".join(self._seal.lookup(f"Patient\x1f{id}")[:8] for id in patients)

    def _tell(self, standings: Sequence[Standing]) -> None:
        for event in (event for one in standings for event in one.events):
            match event.action:
                case "mismatch" | "not found":
                    self._note("link_stopped", compartment=event.subject, reason=event.action)
                case "relinked":
                    self._note("link_relinked", compartment=event.subject)
                case "merged":
                    self._note("link_merged", compartment=event.subject)
                case "ended":
                    self._note("link_ended", compartment=event.subject)


def _refusal(linked: Linked, known: Mapping[str, bool]) -> NoConsent:
    reason = "the consent is not active" if linked.subject in known else "no consent is known"
    return NoConsent(linked.subject, f"{reason}, so nothing is asked at the hospital")


def _found(linked: Linked, persons: Persons) -> Person | Unlinked:
    """Return the one confirmed person with a subject's numbers, or why there is none."""
    refused = [error for one in linked.identifiers if (error := persons.unasked.get(one))]
    matches = sorted({id for one in linked.identifiers for id in persons.with_number(one)})
    if not matches:
        return _nobody(linked, refused)
    person = persons.person(matches)
    theirs = [(patient.get("birthDate"), patient.get("gender")) for patient in person.patients.values()]
    reason = person.fault or doubt(linked.birth_date, linked.sex, theirs)
    return Mismatch(linked.subject, reason) if reason else person


def _nobody(linked: Linked, refused: Sequence[FatalHospitalError]) -> NotFound:
    if refused:
        said = f"HTTP {refused[0].status}"
        return NotFound(linked.subject, f"the hospital's server refuses the subject's number ({said})")
    return NotFound(linked.subject, "the hospital has no Patient with the subject's number")


class _Consent(msgspec.Struct):
    """What of a Consent says whether it permits anything: the rest of it need not be read."""

    status: Any = None
    provision: Any = None


_consent = msgspec.json.Decoder(_Consent)


def _permits(body: bytes, day: str) -> bool:
    """Say whether a Consent is active and its period holds a day, bounds included."""
    consent = _consent.decode(body)
    if consent.status != "active":
        return False
    period = (consent.provision or {}).get("period") or {}
    start, end = (str(period.get(name, ""))[:10] for name in ("start", "end"))
    return start <= day[: len(start)] and (not end or day[: len(end)] <= end)
