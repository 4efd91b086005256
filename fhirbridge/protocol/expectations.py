"""Which items are expected at which visits, and where each expectation stands on a given day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fhirbridge.protocol.slots import FollowUp, Slot, slots_of
from fhirbridge.study import Procedure, Schedule

State = Literal["filled", "upcoming", "due", "late", "missed", "ended"]

STATES: dict[State, str] = {
    "filled": "a candidate was picked",
    "upcoming": "its window has not opened",
    "due": "its window is open",
    "late": "its window has closed, and the grace days have not passed",
    "missed": "the grace days have passed",
    "ended": "follow-up ended before its window closed: no longer expected",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One item at one visit at which it is expected; the dates are the window's, both inclusive."""

    visit: str
    procedure: str
    item: str
    opens: dt.date
    target: dt.date
    closes: dt.date
    state: State
    key: str | None = None
    """The candidate that fills it."""
    beside: tuple[str, ...] = ()
    """Dated candidates that lie in no window and are nearest to this visit: what a deviation is written about."""


def expect(
    schedule: Schedule,
    subject: FollowUp,
    today: dt.date,
    filled: Mapping[tuple[str, str], str],
    beside: Mapping[tuple[str, str], Sequence[str]],
) -> list[Expectation]:
    """Return a subject's expectations by target and procedure; ``filled`` and ``beside`` are keyed (visit, item)."""
    expected: list[Expectation] = []
    for procedure in schedule.procedures:
        for item in procedure.analytes or (procedure.name,):
            for slot in slots_of(schedule, item, subject.anchor):
                key = filled.get((slot.visit, item))
                state = "filled" if key is not None else _state(slot, procedure, subject, today)
                near = tuple(beside.get((slot.visit, item), ()))
                expected.append(_expectation(slot, procedure, item, state, key, near))
    return sorted(expected, key=lambda one: one.target)


def _expectation(
    slot: Slot, procedure: Procedure, item: str, state: State, key: str | None, beside: tuple[str, ...]
) -> Expectation:
    return Expectation(
        visit=slot.visit,
        procedure=procedure.name,
        item=item,
        opens=_date(slot.opens),
        target=_date(slot.target),
        closes=_date(slot.closes),
        state=state,
        key=key,
        beside=beside,
    )


def _state(slot: Slot, procedure: Procedure, subject: FollowUp, today: dt.date) -> State:
    """Return where an unfilled expectation stands.

    A window that was still open when follow-up ended cannot be missed any more; one that had closed by then was.
    """
    now = today.toordinal()
    end = subject.end.toordinal() if subject.end is not None else None
    if end is not None and (end < slot.opens or (end < slot.closes and end < now)):
        return "ended"
    if now < slot.opens:
        return "upcoming"
    if now <= slot.closes:
        return "due"
    return "late" if now <= slot.closes + procedure.grace_days else "missed"


def _date(number: int) -> dt.date:
    """Return the date of a day; what lies outside the calendar becomes its first or last day."""
    return dt.date.fromordinal(min(max(number, 1), dt.date.max.toordinal()))
