"""What is held of subjects in a few words each: enough to choose what must be judged, without reading all of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, func, select

from fhirbridge import fhirjson
from fhirbridge.store import arrivals, decisions, judgements
from fhirbridge.store.arrivals import Arrival
from fhirbridge.store.decisions import Decision
from fhirbridge.store.judgements import Candidate
from fhirbridge.store.schema import arrival, candidate, decision
from fhirbridge.store.writes import batches

Known = tuple[Candidate | None, Arrival, list[Decision]]
"""A candidate, the arrival that counts or is to be judged, and the decisions, the oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """One result of a subject: its latest arrival, and how its candidate stands, as far as it was judged.

    ``moved`` says that it arrived later as another subject's, ``overridden`` that a person gave it another analyte.
    """

    feed: str
    reference: str
    arrival: int
    moved: bool
    candidate: int | None
    judged: int | None
    """The arrival that was judged last."""
    analyte: str
    reasons: tuple[str, ...]
    overridden: bool


def of(connection: Connection, study: str, subjects: Collection[str]) -> dict[str, list[Outline]]:
    """Return what is held of each of these subjects."""
    found: dict[str, list[Outline]] = {subject: [] for subject in subjects}
    for some in batches(subjects):
        overridden = _overridden(connection, study, some)
        for row in _rows(connection, study, some):
            found[row.subject].append(
                Outline(
                    feed=row.feed,
                    reference=row.reference,
                    arrival=row.key,
                    moved=row.newest > row.key,
                    candidate=row.candidate,
                    judged=row.judged,
                    analyte=row.analyte or "",
                    reasons=tuple(fhirjson.loads(row.reasons)) if row.reasons else (),
                    overridden=row.candidate in overridden,
                )
            )
    return found


def _rows(connection: Connection, study: str, subjects: Collection[str]) -> Iterable[Row[Any]]:
    named = (arrival.c.subject, arrival.c.feed, arrival.c.reference)
    chosen = select(*named, func.max(arrival.c.key).label("key"))
    mine = chosen.where(arrival.c.study == study, arrival.c.subject.in_(subjects)).group_by(*named).subquery()
    other = arrival.alias()
    newest = select(func.max(other.c.key)).where(
        other.c.study == study, other.c.feed == mine.c.feed, other.c.reference == mine.c.reference
    )
    same = and_(
        candidate.c.study == study, candidate.c.subject == mine.c.subject, candidate.c.feed == mine.c.feed,
        candidate.c.reference == mine.c.reference,
    )  # fmt: skip
    stands = (
        candidate.c.key.label("candidate"), candidate.c.arrival.label("judged"), candidate.c.analyte,
        candidate.c.reasons,
    )  # fmt: skip
    columns = (*mine.c, newest.scalar_subquery().label("newest"), *stands)
    found = select(*columns).select_from(mine.outerjoin(candidate, same))
    return connection.execute(found.order_by(mine.c.key))


def _overridden(connection: Connection, study: str, subjects: Collection[str]) -> set[int]:
    """Return the candidates of which a decision ever named another analyte."""
    chosen = select(decision.c.candidate, decision.c.value).join(candidate, candidate.c.key == decision.c.candidate)
    theirs = chosen.where(candidate.c.study == study, candidate.c.subject.in_(subjects))
    rows = connection.execute(theirs.where(decision.c.action == "override"))
    return {key for key, value in rows if "analyte" in fhirjson.loads(bytes(value or b"{}"))}


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
