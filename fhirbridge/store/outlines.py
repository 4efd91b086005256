"""What is held of subjects in a few words each: enough to choose what must be judged, without reading all of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, case, func, select

from fhirbridge import fhirjson
from fhirbridge.store import arrivals, decisions, judgements
from fhirbridge.store.arrivals import Arrival
from fhirbridge.store.decisions import Decision
from fhirbridge.store.judgements import Candidate
from fhirbridge.store.schema import arrival, candidate, decision
from fhirbridge.store.writes import batches

Known = tuple[Candidate | None, Arrival, list[Decision]]
"""A candidate, the arrival that counts or is to be judged, and the decisions, the oldest first."""

_NOTHING: frozenset[str] = frozenset()
_PLACES = frozenset({"analyte", "visit"})


class Outline(NamedTuple):
    """One result of a subject: its latest arrival, and how its candidate stands, as far as it was judged.

    ``moved`` says that it arrived later as another subject's; ``overridden`` which of analyte and visit a person ever
    gave it instead of its own.
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
    overridden: frozenset[str]


def of(connection: Connection, study: str, subjects: Collection[str]) -> dict[str, list[Outline]]:
    """Return what is held of each of these subjects."""
    found: dict[str, list[Outline]] = {subject: [] for subject in subjects}
    for some in batches(subjects):
        overridden = _overridden(connection, study, some)
        for subject, feed, reference, key, newest, held, judged, analyte, day, visit, reasons in _rows(
            connection, study, some
        ):
            named, said = overridden.get(held, _NOTHING), _reasons(reasons)
            found[subject].append(
                Outline(feed, reference, key, newest > key, held, judged, analyte, day, visit, said, named)
            )
    return found


@lru_cache(maxsize=4096)
def _reasons(written: str | None) -> tuple[str, ...]:
    return tuple(fhirjson.loads(written)) if written else ()


def _rows(connection: Connection, study: str, subjects: Collection[str]) -> Iterable[Sequence[Any]]:
    """Yield the columns of an outline, with the newest arrival of the result, whosever it is, instead of ``moved``."""
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
        candidate.c.key, candidate.c.arrival, func.coalesce(candidate.c.analyte, ""),
        func.substr(candidate.c.collected, 1, 10), case((candidate.c.inside, candidate.c.visit)), candidate.c.reasons,
    )  # fmt: skip
    found = select(*mine.c, newest.scalar_subquery(), *stands).select_from(mine.outerjoin(candidate, same))
    return connection.execute(found.order_by(mine.c.key))


def _overridden(connection: Connection, study: str, subjects: Collection[str]) -> dict[int, frozenset[str]]:
    """Return, by candidate, which of analyte and visit a decision ever named otherwise."""
    chosen = select(decision.c.candidate, decision.c.value).join(candidate, candidate.c.key == decision.c.candidate)
    theirs = chosen.where(candidate.c.study == study, candidate.c.subject.in_(subjects))
    found: dict[int, frozenset[str]] = {}
    for key, value in connection.execute(theirs.where(decision.c.action == "override")):
        found[key] = found.get(key, _NOTHING) | (_PLACES & fhirjson.loads(bytes(value or b"{}")).keys())
    return found


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
