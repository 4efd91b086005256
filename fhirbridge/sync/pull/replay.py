"""Judges a pull again, from its frozen context and what was known then, and holds the outcome against what was noted.

Nothing is written and nothing is asked. Arrivals, decisions and resources keep every version, so what was known at
the time is read back; how it was judged lies in the frozen context.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fhirbridge import fhirjson
from fhirbridge.errors import InputError
from fhirbridge.protocol.slots import FollowUp
from fhirbridge.store import Store
from fhirbridge.store.decisions import Decision
from fhirbridge.store.links import ANEW
from fhirbridge.store.pulls import Pull, Pulled
from fhirbridge.sync.pull.cases import Context, Picture
from fhirbridge.sync.pull.freezing import freeze, frozen_alike, thaw
from fhirbridge.sync.pull.funnel import ENDS, end_of
from fhirbridge.sync.pull.judging import judge
from fhirbridge.sync.pull.relinking import held

__all__ = ["Difference", "Replay", "freeze", "frozen_alike", "replay", "thaw"]

FollowedAt = Callable[[str, str], FollowUp]
"""From the id of our Patient and an instant to the dates that decided its windows then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One result that would be judged otherwise, or one count of the funnel that does not come out again."""

    what: str
    """``arrival 17`` or ``funnel: accepted``; names nobody."""
    noted: str
    again: str


@dataclass(slots=True)
class Replay:
    """What a replay found; the same where there are no differences."""

    run: str
    started: str
    subjects: int = 0
    arrivals: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    """How what came in the run ends when it is judged again."""
    plan: dict[str, Any] | None = None
    differences: list[Difference] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "run": self.run,
            "started": self.started,
            "subjects": self.subjects,
            "arrivals": self.arrivals,
            "ends": {end: self.ends[end] for end in ENDS},
            "plan": self.plan,
            "same": not self.differences,
            "differences": [{"what": one.what, "noted": one.noted, "again": one.again} for one in self.differences],
        }


def replay(store: Store, run: str, followed_at: FollowedAt) -> Replay:
    """Judge what a pull brought again and compare. Raises InputError for a run that is no pull."""
    pull = store.pulls.get(run)
    if pull is None:
        raise InputError(f"there is no pull {run}. `fhirbridge replay` without a run takes the last one.")
    frozen = thaw(store.pulls.context(run))
    report = Replay(run=run, started=pull.started, plan=frozen.plan)
    noted: dict[str, list[tuple[Pulled, str, str]]] = {}
    for one, arrival in store.pulls.pulled(run):
        noted.setdefault(arrival.subject, []).append((one, arrival.feed, arrival.reference))
    last = max((one.arrival for some in noted.values() for one, _, _ in some), default=0)
    counted: Counter[tuple[str, str]] = Counter()
    for subject, came in sorted(noted.items()):
        again = _judged(store, pull, frozen.context, subject, last, followed_at)
        report.subjects += 1
        for one, feed, reference in came:
            end = again.get((feed, reference), "not judged")
            report.arrivals += 1
            report.ends[end] += 1
            counted[subject, end] += 1
            if end != one.fate:
                report.differences.append(Difference(what=f"arrival {one.arrival}", noted=one.fate, again=end))
    report.differences += _funnel_differences(pull, counted)
    return report


def _judged(
    store: Store, pull: Pull, context: Context, subject: str, last: int, followed_at: FollowedAt
) -> dict[tuple[str, str], str]:
    """Return how each result of a subject ends, judged as it was known when the run judged it."""
    known = store.candidates.past(pull.study, subject, last)
    relinked = _relinked(store, pull, subject)
    results = tuple(
        held(one.arrival, _made_before(one.decisions, pull), moved=one.moved, relinked=relinked) for one in known
    )
    judged = judge(Picture(follow_up=followed_at(subject, pull.started), results=results), context)
    return {(one.feed, one.reference): end_of(one) for one in judged}


def _made_before(decisions: tuple[Decision, ...], pull: Pull) -> tuple[Decision, ...]:
    """Return the decisions that had been made: those before the run's own, else those before it began.

    What a person decided while the run went on, on a result that the run itself decided nothing about, is taken as
    made after it was judged.
    """
    own = next((one.number for one in decisions if one.run == pull.run), None)
    if own is not None:
        return tuple(one for one in decisions if one.number < own)
    return tuple(one for one in decisions if one.at <= pull.started)


def _relinked(store: Store, pull: Pull, subject: str) -> str | None:
    """Return when the subject was last linked anew, as far as the run could know."""
    events = store.links.history(pull.study, subject)
    times = [one.at for one in events if one.action in ANEW and (pull.ended is None or one.at <= pull.ended)]
    return max(times, default=None)


def _funnel_differences(pull: Pull, counted: Mapping[tuple[str, str], int]) -> list[Difference]:
    """Compare the states of the funnel that was saved, subject by subject; a pull that was cut off has none."""
    if pull.funnel is None:
        return []
    subjects: dict[str, Any] = fhirjson.loads(pull.funnel).get("subjects", {})
    said = {(name, end): count for name, one in subjects.items() for end, count in one["states"].items() if count}
    return [
        Difference(what=f"funnel: {end} of {name}", noted=str(said.get((name, end), 0)), again=str(count))
        for name, end in sorted(said.keys() | counted.keys())
        for count in [counted.get((name, end), 0)]
        if count != said.get((name, end), 0)
    ]
