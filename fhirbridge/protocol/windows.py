"""Which visit a result belongs to, which of several is the visit's, and which visits still lack theirs.

Pure, total and independent of the order in which results arrive: docs/windows.md tells the rules with examples.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from fhirbridge.protocol.civil import Day, Undated, When, civil_day
from fhirbridge.protocol.expectations import Expectation, expect
from fhirbridge.protocol.slots import FollowUp, Slot, slots_of
from fhirbridge.study import Schedule

PlacedBy = Literal[
    "window", "nearest-target", "earlier-visit", "outside", "after-end", "future", "no-anchor",
    "no-date", "partial-date", "unreadable-date",
]  # fmt: skip
ChosenBy = Literal["only", "nearest", "first", "last", "tie-earlier", "tie-later", "same-day", "same-moment"]

PLACED_BY: dict[PlacedBy, str] = {
    "window": "lies in the window of this visit alone",
    "nearest-target": "lies in several windows; this visit's target is nearest",
    "earlier-visit": "lies in several windows with equally near targets; the earlier visit takes it",
    "outside": "lies in no visit's window",
    "after-end": "lies after the subject's follow-up ended",
    "future": "lies in the future",
    "no-anchor": "the subject has no anchor date, so no visit has a target",
    "no-date": "has no date",
    "partial-date": "has a year or month only; no day is made up",
    "unreadable-date": "has a date that does not exist or cannot be read",
}
CHOSEN_BY: dict[ChosenBy, str] = {
    "only": "nothing else lies in this window",
    "nearest": "nearest to the target wins",
    "first": "the first day wins",
    "last": "the last day wins",
    "tie-earlier": "two are equally near; the one before the target wins",
    "tie-later": "two are equally near; the one after the target wins",
    "same-day": "several on one day: a known time before an unknown one, then the earlier ('last', 'later': the later)",
    "same-moment": "several at one moment: the smaller key",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One result or exam: ``item`` is an analyte's name, or that of a procedure without analytes."""

    key: str
    item: str
    when: When


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What became of one candidate."""

    key: str
    item: str
    date: dt.date | None
    """The civil date in the study's time zone."""
    visit: str
    """The visit it belongs to, or the schedule's word for unscheduled."""
    near: str | None
    """The visit whose target ``offset`` counts from: the one it belongs to, else the nearest."""
    offset: int | None
    """Days from that target; negative before it."""
    inside: bool
    picked: bool = False
    placed_by: PlacedBy
    chosen_by: ChosenBy | None = None
    """The rule that decided for it or against it among those of its visit and item; None outside."""


@dataclass(frozen=True, slots=True)
class Placed:
    """All of a subject's candidates, sorted by item, date and key, and all that is expected, by visit."""

    placements: tuple[Placement, ...]
    expectations: tuple[Expectation, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    candidate: Candidate
    day: Day
    slot: Slot
    placed_by: PlacedBy


def place(schedule: Schedule, subject: FollowUp, candidates: Iterable[Candidate], today: dt.date) -> Placed:
    """Place one subject's candidates and say what is expected of it as of ``today``, a civil date of the study.

    Candidates may come in any order, hold any date, and repeat; an item that no procedure has takes the schedule's
    windows and is not expected.
    """
    placed, filled = _placed(schedule, subject, candidates, today)
    return Placed(tuple(placed), tuple(expect(schedule, subject, today, filled, _beside(placed))))


def placements(
    schedule: Schedule, subject: FollowUp, candidates: Iterable[Candidate], today: dt.date
) -> list[Placement]:
    """Place candidates as ``place`` does, without saying what is expected."""
    return _placed(schedule, subject, candidates, today)[0]


def _placed(
    schedule: Schedule, subject: FollowUp, candidates: Iterable[Candidate], today: dt.date
) -> tuple[list[Placement], dict[tuple[str, str], str]]:
    """Return the placements, and by visit and item the key of what fills it."""
    zone = schedule.zone
    slots: dict[str, list[Slot]] = {}
    placed: list[Placement] = []
    groups: defaultdict[tuple[str, str], list[_Found]] = defaultdict(list)
    for candidate in candidates:
        day = civil_day(candidate.when, zone)
        if candidate.item not in slots:
            slots[candidate.item] = slots_of(schedule, candidate.item, subject.anchor)
        found = _find(candidate, day, slots[candidate.item], subject, today)
        if isinstance(found, _Found) and found.placed_by != "outside":
            groups[found.slot.visit, candidate.item].append(found)
        else:
            placed.append(_unscheduled(schedule, candidate, day, found))
    filled: dict[tuple[str, str], str] = {}
    for (visit, item), group in groups.items():
        procedure = schedule.procedure(item)
        chosen = _choose(group, later=procedure is not None and procedure.tie == "later")
        placed += chosen
        filled[visit, item] = chosen[0].key
    placed.sort(key=lambda one: (one.item, one.date or dt.date.min, one.key, one.visit, one.placed_by))
    return placed, filled


def _beside(placements: Iterable[Placement]) -> dict[tuple[str, str], list[str]]:
    """Return, by visit and item, the keys of what lies in no window and nearest to this visit."""
    beside: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for placement in placements:
        if placement.near is not None and not placement.inside:
            beside[placement.near, placement.item].append(placement.key)
    return beside


def _find(
    candidate: Candidate, day: Day | Undated, slots: Sequence[Slot], subject: FollowUp, today: dt.date
) -> _Found | PlacedBy:
    """Return the visit of a candidate, the nearest with ``outside`` where it is in no window, or why it has none."""
    if not isinstance(day, Day):
        return day
    if day.number > today.toordinal():
        return "future"
    if subject.end is not None and day.number > subject.end.toordinal():
        return "after-end"
    if not slots:
        return "no-anchor"
    inside = [slot for slot in slots if slot.opens <= day.number <= slot.closes]
    # Of equally near targets the earlier comes first in the list, which min() keeps.
    best = min(inside or slots, key=lambda slot: abs(day.number - slot.target))
    if not inside:
        return _Found(candidate, day, best, "outside")
    if len(inside) == 1:
        return _Found(candidate, day, best, "window")
    near = [slot for slot in inside if abs(day.number - slot.target) == abs(day.number - best.target)]
    return _Found(candidate, day, best, "nearest-target" if len(near) == 1 else "earlier-visit")


def _unscheduled(schedule: Schedule, candidate: Candidate, day: Day | Undated, found: _Found | PlacedBy) -> Placement:
    near = found if isinstance(found, _Found) else None
    return Placement(
        key=candidate.key,
        item=candidate.item,
        date=day.date if isinstance(day, Day) else None,
        visit=schedule.unscheduled,
        near=near.slot.visit if near else None,
        offset=near.day.number - near.slot.target if near else None,
        inside=False,
        placed_by=found.placed_by if isinstance(found, _Found) else found,
    )


def _choose(group: list[_Found], *, later: bool) -> list[Placement]:
    """Return the placements of one visit's and item's candidates, the picked one first."""
    ranked = sorted(group, key=lambda found: _rank(found, later=later))
    best = ranked[0]
    # The picked one is compared with the runner-up, every other with the picked one.
    rivals = [ranked[1] if len(ranked) > 1 else None, *ranked[1:]]
    return [
        Placement(
            key=found.candidate.key,
            item=found.candidate.item,
            date=found.day.date,
            visit=found.slot.visit,
            near=found.slot.visit,
            offset=found.day.number - found.slot.target,
            inside=True,
            picked=found is best,
            placed_by=found.placed_by,
            chosen_by=_decided(best, rival, later=later),
        )
        for found, rival in zip(ranked, rivals, strict=True)
    ]


def _rank(found: _Found, *, later: bool) -> tuple[int, int, bool, float, str, str]:
    """Return what candidates of one window are sorted by; the smallest is picked."""
    pick, offset = found.slot.pick, found.day.number - found.slot.target
    if pick == "nearest":
        first, second = abs(offset), -offset if later else offset
    else:
        first, second = offset if pick == "first" else -offset, 0
    seconds = found.day.seconds or 0.0
    late = pick == "last" or (pick == "nearest" and later)
    return first, second, found.day.seconds is None, -seconds if late else seconds, *_name(found)


def _name(found: _Found) -> tuple[str, str]:
    return found.candidate.key, str(found.candidate.when)


def _decided(best: _Found, other: _Found | None, *, later: bool) -> ChosenBy:
    """Return the rule at which two ranks part."""
    if other is None:
        return "only"
    parted = [one != two for one, two in zip(_rank(best, later=later), _rank(other, later=later), strict=True)]
    if parted[0]:
        return best.slot.pick
    if parted[1]:
        return "tie-later" if later else "tie-earlier"
    return "same-day" if parted[2] or parted[3] else "same-moment"
