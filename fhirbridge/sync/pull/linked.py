"""A subject as linked to the hospital, and how that is packed into what the store keeps sealed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, ClassVar

import msgspec

from fhirbridge.errors import Refused
from fhirbridge.sealing import Seal
from fhirbridge.store.links import Action, Link, State, about

_ESCAPED = re.compile(r"([\\,$|])")


@dataclass(frozen=True, slots=True, kw_only=True)
class HospitalIdentifier:
    """A number at the hospital; repr shows nothing of it."""

    system: str = field(repr=False)
    value: str = field(repr=False)

    @property
    def token(self) -> str:
        """``system|value`` as a search takes it (http://hl7.org/fhir/R4/search.html#escaping)."""
        return "|".join(_ESCAPED.sub(r"\\\1", part) for part in (self.system, self.value))

    def text(self, study: str) -> str:
        """Return what its digest is made of."""
        return f"{study}\x1f{self.system}\x1f{self.value}"


class Held(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one link holds, sealed: all that is the hospital's, and the subject number."""

    number: str
    system: str
    value: str
    birth_date: str | None = None
    sex: str | None = None
    found: dict[str, tuple[str, ...]] = {}
    """By server, the ids of the Patients that were found to be the person when somebody last looked."""
    relinked: str | None = None

    def __repr__(self) -> str:
        return "Held(…)"

    @property
    def identifier(self) -> HospitalIdentifier:
        return HospitalIdentifier(system=self.system, value=self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """One subject and its numbers at the hospital; repr shows the pseudonymous id and the state alone."""

    subject: str
    """Id of our Patient."""
    number: str = field(repr=False)
    """Subject number, as the study's records have it."""
    identifiers: tuple[HospitalIdentifier, ...] = field(repr=False)
    birth_date: str | None = field(repr=False)
    sex: str | None = field(repr=False)
    state: State
    reason: str | None
    since: str
    checked: str | None
    found: Mapping[str, tuple[str, ...]] = field(repr=False)
    """By server, the ids of the hospital's Patients that were last found to be this person."""
    relinked: str | None
    """When it was last linked anew, by another number or as another person: what came before that is in doubt."""
    rows: tuple[tuple[Link, Held], ...] = field(repr=False)


class Unlinked(Refused):
    """A subject that cannot be asked for at the hospital; ``reason`` says why, naming nobody and no value."""

    state: ClassVar[State]
    action: ClassVar[Action]
    remedy: ClassVar[str]

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(f"subject {subject}: {reason}. {self.remedy}")
        self.subject = subject
        self.reason = reason


class NotFound(Unlinked):
    """The hospital has no Patient with any of the subject's numbers."""

    state = action = "not found"
    remedy = (
        "See `fhirbridge linking show SUBJECT --reveal --reason WHY` for the number (are all its zeros there, is the "
        "system right?), mend the log, and import it with --replace."
    )


class Mismatch(Unlinked):
    """What the hospital has under the subject's number is not, for certain, this person."""

    state = action = "mismatch"
    remedy = (
        "Nothing is pulled for this subject. Compare `fhirbridge linking show SUBJECT --reveal --reason WHY` with the "
        "hospital's record; mend the log and import it with --replace, or have the hospital mend its record."
    )


class NoConsent(Unlinked):
    """The subject has no active consent today, so nothing may be asked."""

    state = action = "ended"
    remedy = "Load the consent with the study's records if there is one."


def packed(held: Held) -> bytes:
    """Return what a link holds as it is sealed."""
    return msgspec.json.encode(held)


def opened(seal: Seal, study: str, link: Link) -> Held:
    """Return what a link holds. Raises ConfigurationError without its key, StoreError if it was tampered with."""
    return msgspec.json.decode(seal.open(link.sealed, about(study, link.subject, link.lookup)), type=Held)


def subjects(seal: Seal, study: str, links: Sequence[Link]) -> Iterator[Linked]:
    """Yield the subjects of links that lie in the order of subjects; each is opened as it is asked for."""
    for _, of_one in groupby(links, key=lambda link: link.subject):
        yield _one(seal, study, list(of_one))


def _one(seal: Seal, study: str, links: Sequence[Link]) -> Linked:
    rows = tuple((link, opened(seal, study, link)) for link in links)
    first = links[0]
    return Linked(
        subject=first.subject,
        number=rows[0][1].number,
        identifiers=tuple(held.identifier for _, held in rows),
        birth_date=next((held.birth_date for _, held in rows if held.birth_date), None),
        sex=next((held.sex for _, held in rows if held.sex), None),
        # A number that was added or replaced since has yet to be looked for, and the subject with it.
        **_standing(next((link for link in links if link.state == "imported"), first)),
        found={server: ids for _, held in rows for server, ids in held.found.items()},
        relinked=max((held.relinked for _, held in rows if held.relinked), default=None),
        rows=rows,
    )


def _standing(link: Link) -> dict[str, Any]:
    return {"state": link.state, "reason": link.reason, "since": link.since, "checked": link.checked}


def moved(held: Held, server: str, patients: tuple[str, ...], relinked: str | None) -> Held:
    """Return what a link holds once other Patients of a server were found to be the person."""
    return msgspec.structs.replace(held, found={**held.found, server: patients}, relinked=relinked or held.relinked)
