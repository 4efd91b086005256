"""What the judge says of a subject's candidates, written in one transaction with the tally and its own decisions."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, insert, select, update

from fhirbridge import fhirjson
from fhirbridge.store import decisions
from fhirbridge.store.decisions import Decision, NewDecision, State
from fhirbridge.store.instants import Now
from fhirbridge.store.schema import candidate, candidate_tally
from fhirbridge.store.writes import batches, upsert


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One result of a source: what it would mean to the study, and where it stands.

    ``arrival`` is the version that counts, ``changed`` since when it stands so, ``decision`` the number of the last
    decision, ``recorded`` the hash of what the study's data has of it.
    """

    key: int
    study: str
    subject: str
    feed: str
    reference: str
    arrival: int
    state: State
    reasons: tuple[str, ...]
    analyte: str
    visit: str | None
    offset: int | None
    inside: bool
    collected: str | None
    proposal: bytes
    changed: str
    decision: int | None
    recorded: bytes | None

    @property
    def name(self) -> str:
        """What people call it."""
        return decisions.name(self.key)

    @property
    def seen(self) -> str:
        """What a decision names to say what it rests on: the version that counts, and what it would mean."""
        return f"{self.arrival}-{hashlib.sha256(self.proposal).hexdigest()[:6]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the judge says of one result, of the version ``arrival``, knowing the decisions up to ``decided``.

    ``decided`` is the number of the last decision that was known, None if there was none; ``decision`` what the judge
    decides itself, by policy or because the source changed.
    """

    feed: str
    reference: str
    arrival: int
    decided: int | None
    state: State
    reasons: tuple[str, ...]
    analyte: str
    visit: str | None
    offset: int | None
    inside: bool
    collected: str | None
    proposal: bytes
    decision: NewDecision | None = None


COLUMNS = tuple(Candidate.__dataclass_fields__)
_FEW = 10
"""Judgements of a subject, on average, from which on all of its candidates are read, and not those alone."""
_JUDGED = ("arrival", "state", "reasons", "analyte", "visit", "offset", "inside", "collected", "proposal")


def query() -> Select[Any]:
    """Return the query for candidates."""
    return select(*(candidate.c[name] for name in COLUMNS))


def read(connection: Connection, chosen: Select[Any]) -> list[Candidate]:
    """Return the candidates of a ``query()``, in its order."""
    return [_made(dict(row)) for row in connection.execute(chosen).mappings()]


def _made(row: dict[str, Any]) -> Candidate:
    recorded = None if row["recorded"] is None else bytes(row["recorded"])
    reasons = tuple(fhirjson.loads(row["reasons"]))
    return Candidate(**row | {"reasons": reasons, "proposal": bytes(row["proposal"]), "recorded": recorded})


def judge(
    connection: Connection, study: str, given: Mapping[str, Sequence[Judgement]], run: str | None, now: Now
) -> dict[str, list[Judgement]]:
    """Write what the judge says of subjects, and return what was left out of each because it rests on older facts.

    That is a judgement of a version older than the one that counts, or one that does not know the last decision.
    """
    known = _known(connection, study, given)
    last: int = connection.execute(select(func.max(candidate.c.key))).scalar() or 0
    at, skipped, decided = now(), dict[str, list[Judgement]](), list[Decision]()
    changes = list[tuple[Candidate | None, Candidate]]()
    for subject, one in ((subject, one) for subject, judgements in given.items() for one in judgements):
        before = known.get((subject, one.feed, one.reference))
        if before is not None and (before.decision != one.decided or before.arrival > one.arrival):
            skipped.setdefault(subject, []).append(one)
            continue
        last += before is None
        after = _judged(before, one, study, subject, before.key if before else last, at)
        if one.decision is not None:
            decided.append(_decision(after, one.decision, at, run))
        if after != before:
            changes.append((before, after))
            known[subject, one.feed, one.reference] = after
    write(connection, changes)
    decisions.keep(connection, decided)
    return skipped


def _known(
    connection: Connection, study: str, given: Mapping[str, Sequence[Judgement]]
) -> dict[tuple[str, str, str], Candidate]:
    """Return how what is judged stands, by subject, feed and reference."""
    chosen = query().where(candidate.c.study == study, candidate.c.subject.in_(list(given)))
    judged = [one for judgements in given.values() for one in judgements]
    queries = [chosen]
    if len(judged) < _FEW * len(given):
        # With the feeds, few as they are, for the index to find each result; without them it is read through.
        chosen = chosen.where(candidate.c.feed.in_({one.feed for one in judged}))
        queries = [chosen.where(candidate.c.reference.in_(some)) for some in batches({one.reference for one in judged})]
    found = (one for each in queries for one in read(connection, each))
    return {(one.subject, one.feed, one.reference): one for one in found}


def _judged(before: Candidate | None, one: Judgement, study: str, subject: str, key: int, at: str) -> Candidate:
    said: dict[str, Any] = {name: getattr(one, name) for name in _JUDGED}
    number = (one.decided or 0) + 1 if one.decision else one.decided
    if before is not None:
        same = (before.state, before.arrival) == (one.state, one.arrival)
        return replace(before, **said, decision=number, changed=before.changed if same else at)
    about: dict[str, Any] = {"study": study, "subject": subject, "feed": one.feed, "reference": one.reference}
    return Candidate(key=key, **about, **said, changed=at, decision=number, recorded=None)


def _decision(after: Candidate, new: NewDecision, at: str, run: str | None) -> Decision:
    assert after.decision is not None  # its number was counted with it
    return Decision(
        candidate=after.key,
        number=after.decision,
        arrival=after.arrival,
        action=new.action,
        by=new.by,
        at=at,
        reason=new.reason,
        value=new.value,
        proposal=after.proposal,
        run=run,
    )


def decide(connection: Connection, before: Candidate, new: NewDecision, run: str | None, now: Now) -> Candidate:
    """Keep a decision of a person on a candidate, and return how it stands then."""
    at = now()
    number = (before.decision or 0) + 1
    after = replace(before, state=decisions.LEADS_TO[new.action], decision=number, changed=at)
    write(connection, [(before, after)])
    decisions.keep(connection, [_decision(after, new, at, run)])
    return after


def write(connection: Connection, changes: Sequence[tuple[Candidate | None, Candidate]]) -> None:
    """Write candidates as they stand, from how they stood, and count them.

    Whatever changed of one that is accepted or recorded is due to be recorded again, or taken back.
    """
    new = [_row(after) for before, after in changes if before is None]
    if new:
        connection.execute(insert(candidate), new)
    old = [{f"_{name}": value for name, value in _row(after).items()} for before, after in changes if before]
    if old:
        names = [*_JUDGED, "changed", "decision", "due"]
        change = update(candidate).where(candidate.c.key == bindparam("_key"))
        connection.execute(change.values({name: bindparam(f"_{name}") for name in names}), old)
    _count(connection, changes)


def _row(after: Candidate) -> dict[str, Any]:
    row = {name: getattr(after, name) for name in COLUMNS}
    due = after.state == "accepted" or after.recorded is not None
    return row | {"reasons": fhirjson.dumps(list(after.reasons)).decode(), "due": due}


def _count(connection: Connection, changes: Iterable[tuple[Candidate | None, Candidate]]) -> None:
    difference = Counter[tuple[str, str, str]]()
    for before, after in changes:
        difference[after.study, after.state, after.analyte] += 1
        if before is not None:
            difference[before.study, before.state, before.analyte] -= 1
    names = ("study", "state", "analyte", "candidates")
    rows = [dict(zip(names, (*key, count), strict=True)) for key, count in sorted(difference.items()) if count]
    upsert(
        connection,
        candidate_tally,
        rows,
        lambda given: {"candidates": candidate_tally.c.candidates + given.candidates},
    )
