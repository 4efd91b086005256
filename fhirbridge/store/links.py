"""Links between subjects and hospital numbers as the store keeps them: sealed, found by a digest, with their history.

Nothing here can be read without the linking key but who (the id of our Patient), how it stands, and since when. What
changes a link and what tells of it are one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, select, update

from fhirbridge.store import database
from fhirbridge.store.instants import utc_now, written
from fhirbridge.store.schema import link, link_event
from fhirbridge.store.writes import batches

State = Literal["imported", "linked", "not found", "mismatch", "ended"]
"""Not looked for yet; found and confirmed; not there; there but not certain; no consent any more."""
Action = Literal[
    "imported", "replaced", "corrected", "linked", "merged", "relinked", "not found", "mismatch", "ended", "resumed",
    "revealed", "resealed", "forgotten",
]  # fmt: skip

ANEW: tuple[Action, ...] = ("replaced", "relinked")
"""After these a subject is another person or number of the hospital: what came before may be somebody else's."""


@dataclass(frozen=True, slots=True)
class Link:
    """One hospital number of one subject; ``sealed`` is about ``about(study, subject, lookup)``."""

    key: int
    subject: str
    lookup: str
    sealed: bytes
    state: State
    reason: str | None
    since: str
    checked: str | None


_OF_LINK = tuple(link.c[one.name] for one in fields(Link))
"""The columns that a link is made of, in its order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A hospital number to be kept; ``key`` of the row that it takes the place of, None for a new one."""

    subject: str
    lookup: str
    sealed: bytes
    key: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What was done to a link, by whom; ``detail`` holds nothing of the hospital's and no subject number."""

    subject: str
    by: str
    action: Action
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened(Event):
    """An event that is on record: its number and when it was."""

    number: int
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the links of one subject stand after a look at the hospital; ``sealed`` by key where that changed too."""

    subject: str
    state: State
    reason: str | None
    events: tuple[Event, ...] = ()
    sealed: tuple[tuple[int, bytes], ...] = ()


def about(study: str, subject: str, lookup: str) -> str:
    """Return what the sealed bytes of a link are bound to."""
    return f"link\x1f{study}\x1f{subject}\x1f{lookup}"


class Links:
    """The links of all studies in one database. Every method raises StoreError if that fails."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._clock = clock

    def all(self, study: str, subject: str | None = None) -> list[Link]:
        """Return the links of a study or of one subject, in the order of subjects and then of their making."""
        chosen = select(*_OF_LINK).where(link.c.study == study).order_by(link.c.subject, link.c.key)
        return self._links(chosen if subject is None else chosen.where(link.c.subject == subject))

    def subjects(self, study: str) -> set[str]:
        """Return who has links in a study."""
        chosen = select(link.c.subject).distinct().where(link.c.study == study)
        with database.reading(self._engine) as connection:
            return set(connection.execute(chosen).scalars())

    def beside(self, study: str, subjects: Collection[str]) -> list[Link]:
        """Return the links of a study that are not of these subjects, in the same order."""
        others = self.subjects(study).difference(subjects)
        return [one for one in self.all(study) if one.subject in others] if others else []

    def found(self, study: str, lookups: Sequence[str]) -> list[Link]:
        """Return the links with one of these digests (some hundreds at most)."""
        return self._links(select(*_OF_LINK).where(link.c.study == study, link.c.lookup.in_(list(lookups))))

    def states(self, study: str) -> dict[str, int]:
        """Return how many subjects there are by state."""
        chosen = select(link.c.state, func.count(link.c.subject.distinct())).where(link.c.study == study)
        with database.reading(self._engine) as connection:
            return {row[0]: row[1] for row in connection.execute(chosen.group_by(link.c.state))}

    def relinked(self, study: str) -> dict[str, str]:
        """Return when each subject was last linked anew; those who never were are left out."""
        chosen = select(link_event.c.subject, func.max(link_event.c.at)).where(link_event.c.study == study)
        anew = chosen.where(link_event.c.action.in_(ANEW)).group_by(link_event.c.subject)
        with database.reading(self._engine) as connection:
            return {row[0]: row[1] for row in connection.execute(anew)}

    def forgotten(self, study: str) -> set[str]:
        """Return the subjects of whom links were deleted at any time."""
        chosen = select(link_event.c.subject).distinct().where(link_event.c.study == study)
        with database.reading(self._engine) as connection:
            return set(connection.execute(chosen.where(link_event.c.action == "forgotten")).scalars())

    def keep(self, study: str, given: Sequence[Sealed], events: Sequence[Event], *, at: str | None = None) -> None:
        """Keep hospital numbers as of an instant, now unless given, those with a key in place of what was there.

        Each begins as ``imported``.
        """
        with database.writing(self._engine) as connection:
            at = at or self._instant()
            _remove(connection, [one.key for one in given if one.key is not None])
            _insert(connection, study, given, at)
            _tell(connection, study, events, at)

    def stand(self, study: str, standings: Sequence[Standing]) -> None:
        """Note how subjects stand; a state that stays keeps its ``since``."""
        with database.writing(self._engine) as connection:
            at = self._instant()
            here = update(link).where(link.c.study == study, link.c.subject == bindparam("_subject"))
            rows = _otherwise(connection, study, standings)
            if rows:
                changed = here.where(link.c.state != bindparam("_state")).values(state=bindparam("_state"), since=at)
                connection.execute(changed, rows)
                connection.execute(here.values(reason=bindparam("_reason")), rows)
            for some in batches(one.subject for one in standings):
                looked_at = update(link).where(link.c.study == study, link.c.subject.in_(some))
                connection.execute(looked_at.values(checked=at))
            sealed = [
                {"_subject": one.subject, "_key": key, "_sealed": sealed}
                for one in standings
                for key, sealed in one.sealed
            ]
            if sealed:
                resealed = here.where(link.c.key == bindparam("_key")).values(sealed=bindparam("_sealed"))
                connection.execute(resealed, sealed)
            _tell(connection, study, [event for one in standings for event in one.events], at)

    def reseal(self, study: str, given: Sequence[Sealed], events: Sequence[Event]) -> None:
        """Put other sealed bytes and digests into rows, by their keys; their states stay."""
        with database.writing(self._engine) as connection:
            for one in given:
                here = update(link).where(link.c.study == study, link.c.subject == one.subject, link.c.key == one.key)
                connection.execute(here.values(lookup=one.lookup, sealed=one.sealed))
            _tell(connection, study, events, self._instant())

    def note(self, study: str, event: Event) -> None:
        """Put on record that something was done or looked at."""
        with database.writing(self._engine) as connection:
            _tell(connection, study, [event], self._instant())

    def forget(self, study: str, event: Event) -> int:
        """Delete a subject's links, and return how many; their history stays, with this event at its end."""
        with database.writing(self._engine) as connection:
            here = delete(link).where(link.c.study == study, link.c.subject == event.subject)
            gone = connection.execute(here).rowcount
            if gone:
                _tell(connection, study, [event], self._instant())
        return gone

    def history(self, study: str, subject: str | None = None) -> list[Happened]:
        """Return what was done to the links of a study or of one subject, the oldest first."""
        chosen = select(link_event).where(link_event.c.study == study).order_by(link_event.c.number)
        chosen = chosen if subject is None else chosen.where(link_event.c.subject == subject)
        with database.reading(self._engine) as connection:
            rows = connection.execute(chosen).mappings().all()
        return [Happened(**{name: row[name] for name in row if name != "study"}) for row in rows]

    def _links(self, chosen: Any) -> list[Link]:
        with database.reading(self._engine) as connection:
            return [Link(*row) for row in connection.execute(chosen)]

    def _instant(self) -> str:
        return written(self._clock())


def _otherwise(connection: Connection, study: str, standings: Sequence[Standing]) -> list[dict[str, str | None]]:
    """Return the rows of those subjects who stand otherwise now than a link of theirs says."""
    rows = connection.execute(select(link.c.subject, link.c.state, link.c.reason).where(link.c.study == study))
    before: dict[str, set[tuple[str, str | None]]] = {}
    for subject, state, reason in rows:
        before.setdefault(subject, set()).add((state, reason))
    return [
        {"_subject": one.subject, "_state": one.state, "_reason": one.reason}
        for one in standings
        if before.get(one.subject) != {(one.state, one.reason)}
    ]


def _remove(connection: Connection, keys: Sequence[int]) -> None:
    for key in keys:
        connection.execute(delete(link).where(link.c.key == key))


def _insert(connection: Connection, study: str, given: Iterable[Sealed], at: str) -> None:
    last = connection.execute(select(func.max(link.c.key))).scalar() or 0
    new = {"study": study, "state": "imported", "since": at}
    rows = [{**new, **asdict(one), "key": key} for key, one in enumerate(given, last + 1)]
    if rows:
        connection.execute(insert(link), rows)


def _tell(connection: Connection, study: str, events: Sequence[Event], at: str) -> None:
    last = connection.execute(select(func.max(link_event.c.number))).scalar() or 0
    rows = [
        {"number": number, "study": study, "at": at, **asdict(event)} for number, event in enumerate(events, last + 1)
    ]
    if rows:
        connection.execute(insert(link_event), rows)
