"""Judges the results of subjects as the store holds them, writes what was judged, and accounts for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fhirbridge.protocol.slots import FollowUp
from fhirbridge.store import Store
from fhirbridge.store.arrivals import Kept
from fhirbridge.store.candidates import Known
from fhirbridge.store.judgements import Judgement
from fhirbridge.store.outlines import Outline
from fhirbridge.store.pulls import Pulled
from fhirbridge.sync.pull import affected
from fhirbridge.sync.pull import incoming as incomings
from fhirbridge.sync.pull.cases import Context, Held, Picture
from fhirbridge.sync.pull.duplicates import Name
from fhirbridge.sync.pull.funnel import Funnel, end_of
from fhirbridge.sync.pull.judging import judge
from fhirbridge.sync.pull.meaning import mean
from fhirbridge.sync.pull.taking import GONE

AT_ONCE = 50
"""Subjects whose judgements are one transaction: a crash costs no more than these, and they are judged again."""
TRIES = 5
"""How often a subject is judged again because somebody decided in between."""

Came = Mapping[str, Sequence[tuple[int, str, str, Kept]]]
"""By subject, what arrived in the run: key, feed, reference, and whether it was new or changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A subject to be judged; ``relinked`` is when the hospital's person last became another one."""

    subject: str
    relinked: str | None = None
    whole: bool = True
    """Judge all of its results, not only what changed and what that can move."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was read of a subject to be judged; ``moved`` are results that arrived later as another subject's."""

    known: list[Known]
    moved: frozenset[Name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessing:
    """What is needed to judge subjects of one study; ``server`` is the feed that links follow, None without one."""

    store: Store
    context: Context
    follow_up: Callable[[str], FollowUp]
    server: str | None
    run: str

    def assess(self, due: Sequence[Due], funnel: Funnel) -> None:
        """Judge subjects, and count what came of them in this run and what moved by that."""
        for start in range(0, len(due), AT_ONCE):
            self._some(due[start : start + AT_ONCE], funnel)

    def _some(self, due: Sequence[Due], funnel: Funnel) -> None:
        study, door = self.context.study.id, self.store.candidates
        came: Came = door.came(study, [one.subject for one in due], self.run)
        seen: dict[str, _Seen] = {}
        judged: dict[str, list[Judgement]] = {}
        waiting = list(due)
        for _ in range(TRIES):
            seen |= self._seen(waiting, came)
            now = {one.subject: judge(self._picture(one, seen[one.subject]), self.context) for one in waiting}
            judged |= now
            skipped = door.judge_all(study, now, self.run)
            waiting = [replace(one, whole=True) for one in waiting if one.subject in skipped]
            if not waiting:
                break
        pulled: list[Pulled] = []
        for subject, of_subject in judged.items():
            pulled += _account(subject, seen[subject].known, of_subject, came[subject], funnel)
        self.store.pulls.note(self.run, pulled)

    def _seen(self, due: Sequence[Due], came: Came) -> dict[str, _Seen]:
        """Read of each subject what is to be judged."""
        outlined = self.store.candidates.outlines(self.context.study.id, [one.subject for one in due])
        parts = [one.subject for one in due if not one.whole and affected.separable(outlined[one.subject])]
        moving = {subject: affected.stirred(outlined[subject], {key for key, *_ in came[subject]}) for subject in parts}
        known = self._known(moving.values(), due)
        rest = {subject: outlined[subject] for subject in outlined.keys() - moving.keys()}
        for subject, some in moving.items():
            rest[subject] = affected.beside(outlined[subject], some, self._analytes(known[subject]))
        for subject, further in self._known(rest.values(), due).items():
            known[subject] += further
        return {
            subject: _Seen(known[subject], frozenset((one.feed, one.reference) for one in held if one.moved))
            for subject, held in outlined.items()
        }

    def _known(self, outlined: Iterable[Sequence[Outline]], due: Sequence[Due]) -> dict[str, list[Known]]:
        """Return these results whole, by subject."""
        found: dict[str, list[Known]] = {one.subject: [] for one in due}
        for one in self.store.candidates.known([outline for some in outlined for outline in some]):
            found[one[1].subject].append(one)
        return found

    def _analytes(self, known: Iterable[Known]) -> set[str]:
        """Return the analytes that results mean by themselves."""
        parts = self.context
        meanings = (mean(incomings.read_back(last.body), parts.laboratories, parts.study) for _, last, _ in known)
        return {one.analyte.name for one in meanings if one.analyte is not None}

    def _picture(self, due: Due, seen: _Seen) -> Picture:
        results = []
        for _, last, decisions in seen.known:
            of_another = due.relinked is not None and last.feed == self.server and last.at < due.relinked
            held = Held(
                arrival=last.key,
                incoming=incomings.read_back(last.body),
                decisions=decisions,
                relinked=of_another or (last.feed, last.reference) in seen.moved,
                gone=last.version.startswith(GONE),
            )
            results.append(held)
        return Picture(follow_up=self.follow_up(due.subject), results=tuple(results))


def _account(
    subject: str,
    known: Sequence[Known],
    judged: Sequence[Judgement],
    came: Sequence[tuple[int, str, str, Kept]],
    funnel: Funnel,
) -> list[Pulled]:
    """Count what came of a subject in this run and where it ended, and what of the rest stands otherwise by it."""
    before = {(last.feed, last.reference): candidate for candidate, last, _ in known}
    now = {(one.feed, one.reference): one for one in judged}
    pulled: list[Pulled] = []
    for key, feed, reference, novelty in came:
        one = now[feed, reference]
        funnel.fate(subject, novelty, one.analyte)
        funnel.ended(subject, one)
        pulled.append(Pulled(arrival=key, novelty=novelty, fate=end_of(one)))
    stayed = now.keys() - {(feed, reference) for _, feed, reference, _ in came}
    for name in sorted(stayed):
        candidate = before[name]
        if candidate is None or candidate.state != now[name].state:
            funnel.shifted(subject, now[name])
    return pulled
