"""What of a subject decides its windows, and the windows themselves as days that can be counted."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

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
    slots = []
    procedure = schedule.procedure(item)
    for visit in schedule.visits:
        if procedure is not None and procedure.visits is not None and visit.name not in procedure.visits:
            continue
        before, after, pick = schedule.window(visit, item)
        target = anchor.toordinal() + visit.offset
        slots.append(Slot(visit.name, target, target - before, target + after, pick))
    return sorted(slots, key=lambda slot: slot.target)
