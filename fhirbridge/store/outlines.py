"""What is held of subjects in a few words each: enough to choose what must be judged, without reading all of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, ScalarSelect, Select, Subquery, and_, case, func, or_, select
from sqlalchemy.sql.elements import ColumnElement, TextClause

from fhirbridge import fhirjson
from fhirbridge.store import arrivals, decisions, judgements
from fhirbridge.store.arrivals import Arrival
from fhirbridge.store.decisions import Decision
from fhirbridge.store.judgements import Candidate
from fhirbridge.store.schema import IS_AWAITED, arrival, candidate, decision
from fhirbridge.store.writes import batches

Known = tuple[Candidate | None, Arrival, list[Decision]]
"""A candidate, the arrival that counts or is to be judged, and the decisions, the oldest first."""

Spot = tuple[str, str]
"""An analyte, and a day or a visit that results of it can share."""

_PLACED = frozenset({"analyte", "visit"})
"""What a decision gives a result by which it belongs elsewhere than by itself."""
_NAMED = (arrival.c.subject, arrival.c.feed, arrival.c.reference)


class Outline(NamedTuple):
    """One result of a subject: its latest arrival, and how its candidate stands, as far as it was judged.

    ``moved`` says that it arrived later as another subject's.
    """

    feed: str
    reference: str
    arrival: int
    moved: bool
    candidate: int | None
    judged: int | None
    """The arrival that was judged last."""
    analyte: str
    day: str | None
    """Civil date of the specimen in the study's time zone."""
    visit: str | None
    """The visit in whose window it lies, or which it was given."""
    reasons: tuple[str, ...]

    @property
    def spots(self) -> tuple[Spot, ...]:
        """Where it lies, by what was judged of it; nowhere if it is of no analyte."""
        return tuple((self.analyte, place) for place in (self.day, self.visit) if place is not None and self.analyte)


def of(connection: Connection, study: str, subjects: Collection[str]) -> dict[str, list[Outline]]:
    """Return what is held of each of these subjects."""
    found: dict[str, list[Outline]] = {subject: [] for subject in subjects}
    for some in batches(subjects):
        columns = select(*_NAMED, func.max(arrival.c.key).label("key")).group_by(*_NAMED)
        _add(found, connection, study, columns.where(arrival.c.study == study, arrival.c.subject.in_(some)))
    return found


def stirred(
    connection: Connection, study: str, subjects: Collection[str], came: Collection[int]
) -> dict[str, list[Outline]]:
    """Return of each of these subjects the results of the arrivals ``came``, and those that await their day."""
    found: dict[str, list[Outline]] = {subject: [] for subject in subjects}
    for keys in batches(came):
        of_arrivals = select(*_NAMED).distinct().where(arrival.c.key.in_(keys)).subquery()
        _add(found, connection, study, select(*of_arrivals.c, _last(study, of_arrivals).label("key")))
    # Of all subjects: asked for some, SQLite would look through what they have, and not at the index of the few.
    _add(found, connection, study, _of_candidates(study, IS_AWAITED))
    return {subject: list({one.arrival: one for one in outlined}.values()) for subject, outlined in found.items()}


def lying(connection: Connection, study: str, wanted: Mapping[str, Collection[Spot]]) -> dict[str, list[Outline]]:
    """Return by subject what lies at these spots, by what was judged of it."""
    found: dict[str, list[Outline]] = {subject: [] for subject in wanted}
    for some in batches(wanted):
        spots = {spot for subject in some for spot in wanted[subject]}
        analytes, places = {analyte for analyte, _ in spots}, {place for _, place in spots}
        there = or_(func.substr(candidate.c.collected, 1, 10).in_(places), candidate.c.visit.in_(places))
        near = _of_candidates(study, candidate.c.subject.in_(some), candidate.c.analyte.in_(analytes), there)
        _add(found, connection, study, near)
    return {
        subject: [one for one in outlined if any(spot in wanted[subject] for spot in one.spots)]
        for subject, outlined in found.items()
    }


def elsewhere(connection: Connection, study: str, subjects: Collection[str]) -> set[str]:
    """Return those of these subjects of whom a person ever gave a result another analyte or visit than its own."""
    found: set[str] = set()
    for some in batches(subjects):
        chosen = select(candidate.c.subject, decision.c.value).join(decision, candidate.c.key == decision.c.candidate)
        theirs = chosen.where(candidate.c.study == study, candidate.c.subject.in_(some))
        for subject, value in connection.execute(theirs.where(decision.c.action == "override")):
            if _PLACED & fhirjson.loads(bytes(value or b"{}")).keys():
                found.add(subject)
    return found


def _of_candidates(study: str, *which: ColumnElement[bool] | TextClause) -> Select[Any]:
    named = (candidate.c.subject, candidate.c.feed, candidate.c.reference)
    mine = select(*named).where(candidate.c.study == study, *which).subquery()
    return select(*mine.c, _last(study, mine).label("key"))


def _last(study: str, mine: Subquery) -> ScalarSelect[Any]:
    """Return the key of the latest arrival of each of these results of subjects."""
    same = (arrival.c.subject == mine.c.subject, arrival.c.feed == mine.c.feed, arrival.c.reference == mine.c.reference)
    return select(func.max(arrival.c.key)).where(arrival.c.study == study, *same).scalar_subquery()


def _add(found: dict[str, list[Outline]], connection: Connection, study: str, chosen: Select[Any]) -> None:
    """Read outlines of results (subject, feed, reference, key) of subjects that are asked for, as they arrived."""
    rows = connection.execute(_outlined(study, chosen.subquery()))
    for subject, feed, reference, key, newest, held, judged, analyte, day, visit, reasons in rows:
        if subject in found:
            said = _reasons(reasons)
            outline = Outline(feed, reference, key, newest > key, held, judged, analyte, day, visit, said)
            found[subject].append(outline)


@lru_cache(maxsize=4096)
def _reasons(written: str | None) -> tuple[str, ...]:
    return tuple(fhirjson.loads(written)) if written else ()


def _outlined(study: str, mine: Subquery) -> Select[Any]:
    """Return the query for outlines, with the newest arrival of the result, whosever it is, instead of ``moved``."""
    other = arrival.alias()
    newest = select(func.max(other.c.key)).where(
        other.c.study == study, other.c.feed == mine.c.feed, other.c.reference == mine.c.reference
    )
    same = and_(
        candidate.c.study == study, candidate.c.subject == mine.c.subject, candidate.c.feed == mine.c.feed,
        candidate.c.reference == mine.c.reference,
    )  # fmt: skip
    stands = (
        candidate.c.key, candidate.c.arrival, func.coalesce(candidate.c.analyte, ""),
        func.substr(candidate.c.collected, 1, 10), case((candidate.c.inside, candidate.c.visit)), candidate.c.reasons,
    )  # fmt: skip
    found = select(*mine.c, newest.scalar_subquery(), *stands).select_from(mine.outerjoin(candidate, same))
    return found.order_by(mine.c.key)


def known(connection: Connection, outlined: Iterable[Outline]) -> list[Known]:
    """Return these results whole, in the order in which they arrived."""
    wanted = list(outlined)
    of_arrival = {one.arrival: one.candidate for one in wanted}
    keys = [one.candidate for one in wanted if one.candidate is not None]
    stand: dict[int | None, Candidate] = {}
    for some in batches(keys):
        chosen = judgements.query().where(candidate.c.key.in_(some))
        stand |= {one.key: one for one in judgements.read(connection, chosen)}
    decided = decisions.of(connection, [one.key for one in stand.values() if one.decision])
    return [
        (stand.get(key), last, decided.get(key, []) if key else [])
        for last in arrivals.of_keys(connection, of_arrival)
        for key in [of_arrival[last.key]]
    ]
