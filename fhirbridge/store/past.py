"""What was known of a subject's results when a run judged them: arrivals and decisions are never overwritten."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from fhirbridge.store import arrivals, decisions
from fhirbridge.store.arrivals import Arrival
from fhirbridge.store.decisions import Decision
from fhirbridge.store.schema import arrival, candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One result: the last version that had arrived then, whether it was another subject's by then, its decisions.

    ``decisions`` are all those on versions that had arrived; which of them had been made, their instants say.
    """

    arrival: Arrival
    moved: bool
    decisions: tuple[Decision, ...]


def results(connection: Connection, study: str, subject: str, last: int) -> list[Past]:
    """Return a subject's results as of the arrival with the key ``last``, whoever's it is, in order of arrival."""
    newest = arrivals.newest(study, subject).where(arrival.c.key <= last)
    mine = arrivals.read(connection, select(arrival).where(arrival.c.key.in_(newest)).order_by(arrival.c.key))
    known = select(candidate.c.key, candidate.c.feed, candidate.c.reference)
    rows = connection.execute(known.where(candidate.c.study == study, candidate.c.subject == subject))
    keys = {(row.feed, row.reference): row.key for row in rows}
    decided = decisions.of(connection, keys.values())
    moved = _moved(connection, study, subject, last)
    return [
        Past(
            arrival=one,
            moved=(one.feed, one.reference) in moved,
            decisions=tuple(
                made for made in decided.get(keys.get((one.feed, one.reference), 0), ()) if made.arrival <= last
            ),
        )
        for one in mine
    ]


def _moved(connection: Connection, study: str, subject: str, last: int) -> set[tuple[str, str]]:
    columns = (arrival.c.feed, arrival.c.reference, func.max(arrival.c.key).label("key"))
    mine = select(*columns).where(arrival.c.study == study, arrival.c.subject == subject, arrival.c.key <= last)
    latest = mine.group_by(arrival.c.feed, arrival.c.reference).subquery()
    same = (arrival.c.feed == latest.c.feed) & (arrival.c.reference == latest.c.reference)
    later = select(arrival.c.key).where(
        arrival.c.study == study, same, arrival.c.key > latest.c.key, arrival.c.key <= last
    )
    rows = connection.execute(select(latest.c.feed, latest.c.reference).where(later.exists()))
    return {(feed, reference) for feed, reference in rows}
