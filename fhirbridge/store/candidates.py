"""The inbox: results of the hospital as candidates for the study's data, and what was decided on them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice

from sqlalchemy import Connection, Engine, func, select, tuple_, update

from fhirbridge.errors import InputError
from fhirbridge.store import arrivals, database, decisions, judgements, outlines, past, unjudged
from fhirbridge.store.arrivals import Arrival, Item, Kept, Novelty
from fhirbridge.store.decisions import Action, Decision, NewDecision, Stale, State
from fhirbridge.store.instants import Clock, written
from fhirbridge.store.judgements import Candidate, Judgement
from fhirbridge.store.outlines import Known, Outline, Spot
from fhirbridge.store.past import Past
from fhirbridge.store.schema import arrival, candidate, candidate_tally
from fhirbridge.store.writes import batches

__all__ = ["Candidates", "Known"]


PAGE = 500

After = tuple[str, int]
"""Where a page ended: ``changed`` and ``key`` of its last candidate."""


class Candidates:
    """The candidates of all studies in one database. Every method raises StoreError if that fails."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def arrive(self, study: str, subject: str, feed: str, items: Sequence[Item], run: str) -> list[Novelty]:
        """Keep those of these results of a subject that are new or changed, and say of each which it is."""
        return self.arrive_all(study, feed, {subject: items}, run)[subject]

    def arrive_all(
        self, study: str, feed: str, given: Mapping[str, Sequence[Item]], run: str
    ) -> dict[str, list[Novelty]]:
        """Keep results of many subjects in one transaction, as ``arrive`` does those of one."""
        said = database.read(self._engine, arrivals.novelties, study, feed, given)
        if all(novelty == "unchanged" for novelties in said.values() for novelty in novelties):
            return said
        return database.write(self._engine, arrivals.keep, study, feed, given, run, self._instant)

    def latest(self, study: str, feed: str, wanted: Mapping[str, Collection[str] | None]) -> dict[str, list[Arrival]]:
        """Return by subject what arrived last of these references of a feed and of their parts; of all for None."""
        return database.read(self._engine, arrivals.latest, study, feed, wanted)

    def taken_back(self, study: str, feed: str) -> dict[str, set[str]]:
        """Return by subject the references of results of which a version ``BY_REPORT`` ever arrived."""
        return database.read(self._engine, arrivals.taken_back, study, feed)

    def of_subject(self, study: str, subject: str) -> list[Known]:
        """Return the results of a subject, each by its latest arrival; the candidate is None until it was judged."""
        with database.reading(self._engine) as connection:
            return outlines.known(connection, outlines.of(connection, study, [subject])[subject])

    def outlines(self, study: str, subjects: Collection[str]) -> dict[str, list[Outline]]:
        """Return by subject what is held, in a few words each."""
        return database.read(self._engine, outlines.of, study, subjects)

    def stirred(self, study: str, subjects: Collection[str], came: Collection[int]) -> dict[str, list[Outline]]:
        """Return of these subjects what is to be judged anew: of the arrivals ``came``, and what awaits its day."""
        return database.read(self._engine, outlines.stirred, study, subjects, came)

    def lying(self, study: str, wanted: Mapping[str, Collection[Spot]]) -> dict[str, list[Outline]]:
        """Return by subject what lies at these spots, by what was judged of it."""
        return database.read(self._engine, outlines.lying, study, wanted)

    def elsewhere(self, study: str, subjects: Collection[str]) -> set[str]:
        """Return those of these subjects of whom a person ever gave a result another analyte or visit than its own."""
        return database.read(self._engine, outlines.elsewhere, study, subjects)

    def known(self, outlined: Iterable[Outline]) -> list[Known]:
        """Return these results as ``of_subject`` does."""
        return database.read(self._engine, outlines.known, outlined)

    def came(self, study: str, subjects: Collection[str], run: str) -> dict[str, list[tuple[int, str, str, Kept]]]:
        """Return what arrived of subjects in a run: its key, feed, reference, and whether it was new or changed."""
        return database.read(self._engine, arrivals.of_run, study, subjects, run)

    def past(self, study: str, subject: str, last: int) -> list[Past]:
        """Return the results of a subject as they were known once the arrival with the key ``last`` had come."""
        return database.read(self._engine, past.results, study, subject, last)

    def to_judge(self, study: str, run: str, since: datetime | None) -> set[str]:
        """Return the subjects who must be judged in a run though nothing came of them: see ``unjudged.subjects``."""
        return database.read(self._engine, unjudged.subjects, study, run, None if since is None else written(since))

    def judge(self, study: str, subject: str, judged: Sequence[Judgement], run: str | None = None) -> list[Judgement]:
        """Write what the judge says of a subject's results, all or none, with its own decisions.

        Returns what was left out because somebody decided, or a newer version was judged, in between: a decision is
        never overwritten by a judgement that does not know it. Ask for the subject again and judge anew.
        """
        return self.judge_all(study, {subject: judged}, run).get(subject, [])

    def judge_all(
        self, study: str, judged: Mapping[str, Sequence[Judgement]], run: str | None = None
    ) -> dict[str, list[Judgement]]:
        """Write what the judge says of some dozens of subjects in one transaction, as ``judge`` does that of one.

        Only subjects of whom something was left out are in what is returned.
        """
        return database.write(self._engine, judgements.judge, study, judged, run, self._instant)

    def page(
        self,
        study: str,
        states: Sequence[State],
        *,
        analyte: str | None = None,
        subject: str | None = None,
        after: After | None = None,
        limit: int = 50,
    ) -> list[Candidate]:
        """Return the next candidates in these states, those that have stood so the longest first."""
        if subject is not None:
            # A subject's are few, and SQLite, asked for a state as well, would look through all of that state.
            theirs = judgements.query().where(candidate.c.study == study, candidate.c.subject == subject)
            of_subject = database.read(self._engine, judgements.read, theirs)
            found = [one for one in of_subject if one.state in states and analyte in (None, one.analyte)]
            behind = [one for one in found if after is None or (one.changed, one.key) > after]
            return sorted(behind, key=_place)[:limit]
        place = (candidate.c.changed, candidate.c.key)
        places = select(*place).where(candidate.c.study == study).order_by(*place).limit(limit)
        if analyte is not None:
            places = places.where(candidate.c.analyte == analyte)
        if after is not None:
            places = places.where(tuple_(*place) > tuple_(*after))
        with database.reading(self._engine) as connection:
            # One query for each state: an index gives each in its order, and none gives several so.
            some = [connection.execute(places.where(candidate.c.state == state)) for state in states]
            keys = [key for _, key in islice(heapq.merge(*some), limit)]
            # By the keys alone: asked for the study as well, SQLite may look through all of the study.
            wanted = (judgements.query().where(candidate.c.key.in_(part)) for part in batches(keys))
            read = (judgements.read(connection, one) for one in wanted)
            return sorted((one for part in read for one in part), key=_place)

    def counts(self, study: str) -> dict[tuple[str, str], int]:
        """Return how many candidates there are by state and analyte."""
        columns = (candidate_tally.c.state, candidate_tally.c.analyte, candidate_tally.c.candidates)
        chosen = select(*columns).where(candidate_tally.c.study == study, candidate_tally.c.candidates > 0)
        with database.reading(self._engine) as connection:
            rows = connection.execute(chosen.order_by(candidate_tally.c.state, candidate_tally.c.analyte))
            return {(state, analyte): count for state, analyte, count in rows}

    def get(self, key: int) -> tuple[Candidate, Arrival, list[Decision]] | None:
        """Return a candidate, the arrival that counts and its decisions, the oldest first; None if there is none."""
        with database.reading(self._engine) as connection:
            found = _one(connection, key)
            if found is None:
                return None
            (counted,) = arrivals.read(connection, select(arrival).where(arrival.c.key == found.arrival))
            return found, counted, decisions.of(connection, [key]).get(key, [])

    def versions(self, key: int) -> list[Arrival]:
        """Return everything that arrived of a candidate, the oldest first."""
        with database.reading(self._engine) as connection:
            found = _one(connection, key)
            if found is None:
                return []
            return arrivals.versions(connection, found.study, found.subject, found.feed, found.reference)

    def decide(
        self,
        key: int,
        action: Action,
        *,
        by: str,
        reason: str,
        value: bytes | None = None,
        seen: int | str,
        run: str | None = None,
    ) -> Candidate:
        """Keep the decision of a person, and return how the candidate stands then.

        ``seen`` is what the person saw: an arrival's key, or ``Candidate.seen`` for that and the proposal. Raises
        Stale if another version of the result arrived since, or the same would mean something else now; Refused for a
        candidate that does not stand so that it can be decided so, and for a decision that says too little;
        InputError for one that is not there.
        """
        new = NewDecision(action=action, by=by, reason=reason, value=value)
        return database.write(self._engine, _decide, key, new, seen, run, self._instant)

    def unrecorded(self, study: str, subject: str | None = None, *, page: int = PAGE) -> Iterator[Candidate]:
        """Yield what changed of accepted candidates, and those taken back since, that the study's data has not yet.

        They come subject by subject.
        """
        last = ("", 0)
        while found := self._due(study, subject, last, page):
            yield from found
            last = found[-1].subject, found[-1].key

    def recorded(self, seen: Candidate, hash: bytes | None) -> None:
        """Note what the study's data has of a candidate: a hash, or None for nothing any more.

        It stays unrecorded if it changed after it was ``seen``.
        """
        database.write(self._engine, _recorded, seen, hash)

    def _due(self, study: str, subject: str | None, last: tuple[str, int], page: int) -> list[Candidate]:
        chosen = judgements.query().where(candidate.c.study == study, candidate.c.due == True)  # noqa: E712
        place = (candidate.c.subject, candidate.c.key)
        if subject is None:
            chosen = chosen.where(tuple_(*place) > tuple_(*last))
        else:
            chosen = chosen.where(candidate.c.subject == subject, candidate.c.key > last[1])
        return database.read(self._engine, judgements.read, chosen.order_by(*place).limit(page))

    def _instant(self) -> str:
        return written(self._clock())


def _place(one: Candidate) -> After:
    return one.changed, one.key


def _one(connection: Connection, key: int) -> Candidate | None:
    return next(iter(judgements.read(connection, judgements.query().where(candidate.c.key == key))), None)


def _decide(
    connection: Connection, key: int, new: NewDecision, seen: int | str, run: str | None, now: Callable[[], str]
) -> Candidate:
    found = _one(connection, key)
    if found is None:
        raise InputError(f"there is no candidate {decisions.name(key)}. `fhirbridge inbox list` names them.")
    _check_seen(connection, found, seen)
    decisions.check(found.state, found.reasons, new, candidate=found.name)
    return judgements.decide(connection, found, new, run, now)


def _check_seen(connection: Connection, found: Candidate, shown: int | str) -> None:
    seen = int(str(shown).partition("-")[0])
    of_source = select(func.max(arrival.c.key)).where(arrival.c.study == found.study, arrival.c.feed == found.feed)
    newest = connection.execute(of_source.where(arrival.c.reference == found.reference)).scalar_one()
    if seen == newest == found.arrival:
        if shown not in (seen, found.seen):
            raise Stale(
                f"{found.name} means something else now than when it was looked at, by the same version of its source. "
                f"Nothing is changed: look at it again (`fhirbridge inbox show {found.name}`)."
            )
        return
    rows = connection.execute(select(arrival.c.key, arrival.c.version).where(arrival.c.key.in_([seen, newest])))
    versions = {row.key: row.version for row in rows}
    what = "look at it again" if newest == found.arrival else "the next pull judges it; look at it then"
    raise Stale(
        f"{found.name} was decided on version {versions.get(seen, 'unknown')} of its source, which has sent version "
        f"{versions[newest]} since. Nothing is changed: {what} (`fhirbridge inbox show {found.name}`)."
    )


def _recorded(connection: Connection, seen: Candidate, hash: bytes | None) -> None:
    stands = _one(connection, seen.key)
    due = stands is not None and stands != seen and (stands.state == "accepted" or hash is not None)
    connection.execute(update(candidate).where(candidate.c.key == seen.key).values(recorded=hash, due=due))
