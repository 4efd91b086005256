"""What of a subject decides its windows, and the windows themselves as days that can be counted."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache

from fhirbridge.study import Pick, Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """What of a subject decides its windows: the anchor, and the last day that is still followed up."""

    anchor: dt.date | None
    end: dt.date | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """One visit's window for one item, in days since year 1."""

    visit: str
    target: int
    opens: int
    closes: int
    pick: Pick


def follow_up(
    schedule: Schedule,
    *,
    index_date: dt.date | None = None,
    enrolment_date: dt.date | None = None,
    consent_date: dt.date | None = None,
    consent_withdrawn: dt.date | None = None,
    end_date: dt.date | None = None,
    death_date: dt.date | None = None,
) -> FollowUp:
    """Return a subject's anchor, as the study file names it, and the first of the days that end its follow-up."""
    anchors = {"index_date": index_date, "enrolment_date": enrolment_date, "consent_date": consent_date}
    ends = [date for date in (consent_withdrawn, end_date, death_date) if date is not None]
    return FollowUp(anchor=anchors[schedule.anchor], end=min(ends, default=None))


def slots_of(schedule: Schedule, item: str, anchor: dt.date | None) -> list[Slot]:
    """Return an item's windows, sorted by target; none without an anchor."""
    if anchor is None:
        return []
    day = anchor.toordinal()
    return [
        Slot(visit, day + target, day + target - before, day + target + after, pick)
        for visit, target, before, after, pick in _windows(schedule, item)
    ]


@lru_cache(maxsize=1024)
def _windows(schedule: Schedule, item: str) -> tuple[tuple[str, int, int, int, Pick], ...]:
    """Return visit, target from the anchor, days before and after it, and pick, the earliest target first.

    They are every subject's, so they are kept: a pull asks for them with each result.
    """
    procedure = schedule.procedure(item)
    some = procedure.visits if procedure is not None else None
    visits = [visit for visit in schedule.visits if some is None or visit.name in some]
    visits.sort(key=lambda visit: visit.offset)
    return tuple((visit.name, visit.offset, *schedule.window(visit, item)) for visit in visits)
