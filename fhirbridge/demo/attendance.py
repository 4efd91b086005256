"""When a synthetic subject comes to the clinic, and when and why it stops coming."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from fhirbridge.demo import assumptions as rate
from fhirbridge.demo.draws import Draws
from fhirbridge.demo.people import Person
from fhirbridge.demo.tumour import TumourCourse
from fhirbridge.study import Study, Visit

_SUNDAY = 6
_ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Contact:
    """One visit that took place: when blood was drawn and when the MRI was done, each None where it was missed."""

    visit: str
    laboratory: dt.date | None
    imaging: dt.date | None


@dataclass(frozen=True, slots=True)
class Exit:
    """Why and on which day a subject left before its last visit; nothing is recorded from that day on."""

    reason: Literal["withdrawn", "lost", "died"]
    date: dt.date


def leaving(study: Study, who: Person, course: TumourCourse, seed: int) -> Exit | None:
    """Return the first of withdrawal, loss and death before the last planned visit, None for a subject who stays."""
    draws = Draws(seed, who.number, "leaving")
    after_recurrence = (
        rate.DEATH_AFTER_VEIN_INVASION_PER_YEAR if course.route == "vein" else rate.DEATH_AFTER_RECURRENCE_PER_YEAR
    )
    withdrawn = draws.exponential(rate.WITHDRAWAL_PER_YEAR)
    lost = draws.exponential(rate.LOSS_PER_YEAR)
    died = draws.exponential(rate.DEATH_PER_YEAR)
    died = min(died, course.event_day / rate.DAYS_PER_YEAR + draws.exponential(after_recurrence))
    years = min(withdrawn, lost, died)
    date = who.index + dt.timedelta(days=1 + int(min(years, 99.0) * rate.DAYS_PER_YEAR))
    if date >= study.schedule.target(study.schedule.visits[-1], who.index):
        return None
    return Exit("withdrawn" if years == withdrawn else "lost" if years == lost else "died", date)


def contacts(study: Study, who: Person, leaves: Exit | None, seed: int) -> tuple[Contact, ...]:
    """Return the visits that took place before the subject left, in order."""
    draws = Draws(seed, who.number, "visits")
    found = []
    for visit in study.schedule.visits:
        contact = _contact(study, who, visit, draws)
        laboratory, imaging = (
            None if leaves and date and civil(date) >= leaves.date else date
            for date in (contact.laboratory, contact.imaging)
        )
        if laboratory or imaging:
            found.append(Contact(visit.name, laboratory, imaging))
    return tuple(found)


def civil(moment: dt.date) -> dt.date:
    """Return the local calendar date of a date or of a time in the study's zone."""
    return moment.date() if isinstance(moment, dt.datetime) else moment


def specimen_time(study: Study, date: dt.date, draws: Draws) -> dt.date:
    """Return when blood was drawn: a fasting morning, or the bare date where nobody wrote the time."""
    minute = draws.integer(7 * 60, 10 * 60)
    return date if draws.chance(rate.DATE_WITHOUT_TIME) else _at(study, date, minute)


def toward(date: dt.date, target: dt.date) -> dt.date:
    """Return the date, or the day beside it on the target's side where the clinic is closed (Sundays)."""
    if date.weekday() != _SUNDAY:
        return date
    return date + _ONE_DAY if date <= target else date - _ONE_DAY


def _contact(study: Study, who: Person, visit: Visit, draws: Draws) -> Contact:
    target = study.schedule.target(visit, who.index)
    baseline = visit.week == 0
    missed = draws.chance(rate.MISSED_VISIT) and not baseline
    without_laboratory = draws.chance(rate.MISSED_LABORATORY) and not baseline
    without_imaging = draws.chance(rate.MISSED_IMAGING) and not baseline
    if baseline:
        day = target - dt.timedelta(days=draws.integer(0, min(5, who.day(target) - who.day(who.enrolment))))
        bled = scanned = toward(day, target)
    else:
        day = target + dt.timedelta(days=_offset(draws))
        bled = toward(day - (_ONE_DAY if draws.chance(rate.LABORATORY_DAY_BEFORE) else dt.timedelta()), target)
        scanned = toward(day + dt.timedelta(days=draws.pick(rate.IMAGING_AFTER_DAYS)), target)
    laboratory = specimen_time(study, bled, draws)
    imaging = _at(study, scanned, draws.integer(8 * 60, 20 * 60))
    return Contact(
        visit.name,
        None if missed or without_laboratory else laboratory,
        None if missed or without_imaging else imaging,
    )


def _offset(draws: Draws) -> int:
    """Return how many days after its target a visit takes place."""
    if not draws.chance(rate.OUT_OF_WINDOW):
        return max(-5, min(5, round(draws.normal(0.0, rate.IN_WINDOW_SD_DAYS))))
    if draws.chance(rate.LATE_SHARE):
        return draws.integer(*rate.LATE_BY_DAYS)
    return -draws.integer(*rate.EARLY_BY_DAYS)


def _at(study: Study, date: dt.date, minute: int) -> dt.datetime:
    return dt.datetime.combine(date, dt.time(minute // 60, minute % 60), tzinfo=study.schedule.zone)
