"""Cron expressions as crontab(5) has them, in the study's time zone: when something is due, and when next.

APScheduler computes the times; what it means otherwise than cron is translated here: its weeks begin on Monday, and
it wants day and weekday both to match where cron takes either.
"""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import Any

from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger

from fhirbridge.errors import ConfigurationError

OFF = "off"

_WEEK = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class Cron:
    """One cron expression in a time zone. Raises ConfigurationError, naming ``setting``, for what is none."""

    def __init__(self, expression: str, zone: tzinfo, *, setting: str) -> None:
        self.expression = expression
        try:
            self.trigger: Any = _trigger(expression, zone)
        except ValueError:
            raise ConfigurationError(
                f"setting {setting!r}: {expression!r} is no cron expression. Write five fields, minute hour day month "
                f"weekday, such as '30 3 * * *' for half past three every night, or {OFF!r}."
            ) from None
        if self.trigger.get_next_fire_time(None, datetime(2000, 1, 1, tzinfo=zone)) is None:
            raise ConfigurationError(
                f"setting {setting!r}: {expression!r} names a day that never comes. Correct day and month."
            )

    def next(self, after: datetime) -> datetime:
        """Return the first time later than ``after``, in the time zone of the expression."""
        found: datetime = self.trigger.get_next_fire_time(None, after + timedelta(microseconds=1))
        return found

    def came(self, after: datetime, until: datetime) -> bool:
        """Say whether a time lay later than ``after`` and not later than ``until``."""
        return self.next(after) <= until


def _trigger(expression: str, zone: tzinfo) -> Any:
    minute, hour, day, month, weekday = expression.lower().split()
    times = {"minute": minute, "hour": hour, "month": month, "timezone": zone}
    weekdays = _weekdays(weekday)
    if day.startswith("*") or weekday.startswith("*"):
        return CronTrigger(day=day, day_of_week=weekdays, **times)
    return OrTrigger([CronTrigger(day=day, **times), CronTrigger(day_of_week=weekdays, **times)])


def _weekdays(field: str) -> str:
    """Return cron's weekdays, 0 and 7 being Sunday, as names, so that it does not matter which day is the first."""
    if field == "*":
        return field
    chosen: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = "0-6".partition("-") if span == "*" else span.partition("-")
        low = _weekday(first)
        high = _weekday(last) if last else 6 if step else low
        chosen.update(number % 7 for number in range(low, high + 7 * (high < low) + 1, int(step or 1)))
    return ",".join(_WEEK[number] for number in sorted(chosen))


def _weekday(name: str) -> int:
    if name in _WEEK:
        return _WEEK.index(name)
    if not name.isdecimal() or int(name) > 7:
        raise ValueError(name)
    return int(name)
