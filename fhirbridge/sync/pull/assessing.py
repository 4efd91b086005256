"""Judges the results of subjects as the store holds them, writes what was judged, and accounts for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fhirbridge.protocol.slots import FollowUp
from fhirbridge.store import Store
from fhirbridge.store.arrivals import Arrival, Kept
from fhirbridge.store.candidates import Known
from fhirbridge.store.decisions import State
from fhirbridge.store.judgements import Judgement
from fhirbridge.store.outlines import Outline, Spot
from fhirbridge.store.pulls import Pulled
from fhirbridge.sync.pull import affected
from fhirbridge.sync.pull import incoming as incomings
from fhirbridge.sync.pull.cases import Context, Picture
from fhirbridge.sync.pull.duplicates import Name
from fhirbridge.sync.pull.funnel import Funnel, end_of
from fhirbridge.sync.pull.judging import judge
from fhirbridge.sync.pull.meaning import Meaning, mean
from fhirbridge.sync.pull.relinking import held as held_as

AT_ONCE = 50
"""Subjects whose judgements are one transaction: a crash costs no more than these, and they are judged again."""
TRIES = 5
"""How often a subject is judged again because somebody decided in between."""

Came = Mapping[str, Sequence[tuple[int, str, str, Kept]]]
"""By subject, what arrived in the run: key, feed, reference, and whether it was new or changed."""
FollowUps = Callable[[Sequence[str]], Mapping[str, FollowUp]]
"""From the ids of Patients of ours, some hundreds at most, to what decides their windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A subject to be judged; ``relinked`` is when it was last linked anew (``store.links.relinked``)."""

    subject: str
    relinked: str | None = None
    whole: bool = True
    """Judge all of its results, not only what changed and what that can move."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was read of a subject to be judged; ``moved`` are results that arrived later as another subject's."""

    known: list[Known]
    moved: frozenset[Name]
    meanings: Mapping[int, Meaning]
    """What those mean that were read for what they can move, by the keys of their arrivals."""


@dataclass(slots=True)
class _Account:
    """What came of one subject in a run and where it ended, and what of the rest stands otherwise by it."""

    counts: Funnel = field(default_factory=Funnel)
    stood: dict[Name, State | None] = field(default_factory=dict)
    """How its results stood before the run, None for what was not judged."""

    def of(
        self,
        subject: str,
        known: Sequence[Known],
        judged: Sequence[Judgement],
        came: Sequence[tuple[int, str, str, Kept]],
    ) -> list[Pulled]:
        """Count it, instead of what was counted before, and return what became of each arrival."""
        for candidate, last, _ in known:
            self.stood.setdefault((last.feed, last.reference), candidate.state if candidate else None)
        now = {(one.feed, one.reference): one for one in judged}
        pulled: list[Pulled] = []
        self.counts = Funnel()
        for key, feed, reference, novelty in came:
            one = now[feed, reference]
            self.counts.fate(subject, novelty, one.analyte)
            self.counts.ended(subject, one)
            pulled.append(Pulled(arrival=key, novelty=novelty, fate=end_of(one)))
        stayed = now.keys() - {(feed, reference) for _, feed, reference, _ in came}
        for name in sorted(stayed):
            if self.stood[name] != now[name].state:
                self.counts.shifted(subject, now[name])
        return pulled


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessing:
    """What is needed to judge subjects of one study; use it for one run."""

    store: Store
    context: Context
    follow_ups: FollowUps
    run: str
    _accounts: dict[str, _Account] = field(default_factory=dict)
    """What was counted of each subject that was judged ahead."""

    def assess(self, due: Sequence[Due], funnel: Funnel, *, ahead: bool = False) -> None:
        """Judge subjects, and count what came of them in this run and what moved by that.

        One that is judged ``ahead`` may be judged once more in the end, and is then counted anew.
        """
        for start in range(0, len(due), AT_ONCE):
            self._some(due[start : start + AT_ONCE], funnel, ahead=ahead)

    def _some(self, due: Sequence[Due], funnel: Funnel, *, ahead: bool) -> None:
        study, door = self.context.study.id, self.store.candidates
        came: Came = door.came(study, [one.subject for one in due], self.run)
        seen: dict[str, _Seen] = {}
        judged: dict[str, list[Judgement]] = {}
        waiting = list(due)
        for _ in range(TRIES):
            dates = self.follow_ups([one.subject for one in waiting])
            seen |= self._seen(waiting, came, dates)
            now = {one.subject: judge(_picture(one, seen[one.subject], dates), self.context) for one in waiting}
            judged |= now
            skipped = door.judge_all(study, now, self.run)
            waiting = [replace(one, whole=True) for one in waiting if one.subject in skipped]
            if not waiting:
                break
        pulled: list[Pulled] = []
        for subject, of_subject in judged.items():
            account = self._accounts.pop(subject, None) or _Account()
            funnel.leave_out(account.counts)
            pulled += account.of(subject, seen[subject].known, of_subject, came[subject])
            funnel.merge(account.counts)
            if ahead:
                self._accounts[subject] = account
        self.store.pulls.note(self.run, pulled)

    def _seen(self, due: Sequence[Due], came: Came, dates: Mapping[str, FollowUp]) -> dict[str, _Seen]:
        """Read of each subject what is to be judged: all of it, or what changed and what that can move."""
        study, door = self.context.study.id, self.store.candidates
        parts = {one.subject for one in due if not one.whole}
        parts -= door.elsewhere(study, parts)
        read = door.outlines(study, [one.subject for one in due if one.subject not in parts])
        moving = door.stirred(study, parts, [key for subject in parts for key, *_ in came[subject]])
        spots: dict[str, set[Spot]] = {}
        meanings: dict[str, dict[int, Meaning]] = {}
        for subject, some in self._known(moving).items():
            meanings[subject] = {last.key: self._mean(last) for _, last, _ in some}
            spots[subject] = affected.spots(moving[subject], meanings[subject].values(), dates[subject], self.context)
        for subject, near in door.lying(study, spots).items():
            read[subject] = list({one.arrival: one for one in (*moving[subject], *near)}.values())
        return {
            subject: _Seen(
                known=known,
                moved=frozenset((one.feed, one.reference) for one in read[subject] if one.moved),
                meanings=meanings.get(subject, {}),
            )
            for subject, known in self._known(read).items()
        }

    def _mean(self, arrived: Arrival) -> Meaning:
        return mean(incomings.read_back(arrived.body), self.context.laboratories, self.context.study)

    def _known(self, outlined: Mapping[str, Sequence[Outline]]) -> dict[str, list[Known]]:
        """Return these results whole, by subject."""
        found: dict[str, list[Known]] = {subject: [] for subject in outlined}
        for one in self.store.candidates.known(one for some in outlined.values() for one in some):
            found[one[1].subject].append(one)
        return found


def _picture(due: Due, seen: _Seen, dates: Mapping[str, FollowUp]) -> Picture:
    results = tuple(
        held_as(
            last,
            decisions,
            moved=(last.feed, last.reference) in seen.moved,
            relinked=due.relinked,
            meaning=seen.meanings.get(last.key),
        )
        for _, last, decisions in seen.known
    )
    return Picture(follow_up=dates[due.subject], results=results)
