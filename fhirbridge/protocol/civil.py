"""The civil date of a moment in the study's time zone, or why there is none; nothing here raises."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

When = str | dt.date | dt.datetime | None
"""A FHIR date or dateTime as it stands in the source, or a date or time that was read already."""
Undated = Literal["no-date", "partial-date", "unreadable-date"]

_FORM = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?",
    re.ASCII,
)
"""http://hl7.org/fhir/R4/datatypes.html#dateTime; the offset may be absent, as HL7 v2 allows."""


@dataclass(frozen=True, slots=True)
class Day:
    """A civil date, as days since 1 January of year 1, and how far into it a moment lies where a time is known."""

    number: int
    seconds: float | None = None

    @property
    def date(self) -> dt.date:
        """The date."""
        return dt.date.fromordinal(self.number)


def civil_day(when: When, zone: ZoneInfo) -> Day | Undated:
    """Return the civil date that ``when`` falls on in ``zone``.

    A time with an offset is converted first (23:30 in UTC is the next day in Shanghai); one without is a local time
    of the zone already. A year or a month alone is ``partial-date``: no day is made up for it.
    """
    if isinstance(when, str):
        read = _read(when.strip())
        if not isinstance(read, dt.date):
            return read
        when = read
    if when is None:
        return "no-date"
    if not isinstance(when, dt.datetime):
        return Day(when.toordinal())
    try:
        local = when.astimezone(zone) if when.tzinfo is not None else when
    except (OverflowError, ValueError):
        return "unreadable-date"
    return Day(local.toordinal(), local.hour * 3600 + local.minute * 60 + local.second + local.microsecond / 1e6)


def _read(text: str) -> dt.date | Undated:
    if not text:
        return "no-date"
    found = _FORM.fullmatch(text)
    if found is None:
        return "unreadable-date"
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    try:
        first = dt.date(int(year), int(month or 1), int(day or 1))
        if day is None:
            return "partial-date"
        if hour is None:
            return first
        # A leap second, which datetime does not know, still lies in the minute it ends.
        time = dt.time(int(hour), int(minute), 59 if second == "60" else int(second or 0))
        zone = dt.datetime.fromisoformat(f"2000-01-01T00:00{offset}").tzinfo if offset else None
    except ValueError:
        return "unreadable-date"
    micro = int((fraction or "").ljust(6, "0")[:6])
    return dt.datetime.combine(first, time.replace(microsecond=micro), tzinfo=zone)
