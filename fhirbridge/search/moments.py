"""Dates and times as half-open spans of UTC, in text of one width that sorts as time does.

A date has no time zone; its day is the civil day of the study (http://hl7.org/fhir/R4/search.html#date leaves it to
the server). Instants are told to the microsecond; finer digits are cut off.
"""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache

Span = tuple[str, str]

FIRST = "0000-00-00T00:00:00.000000"
"""Sorts before every instant: the start of what has none."""
LAST = "9999-99-99T99:99:99.999999"
"""Sorts after every instant."""

_FORM = re.compile(
    r"[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?",
    re.ASCII,
)
_MICROSECOND = dt.timedelta(microseconds=1)
_SECOND = dt.timedelta(seconds=1)
_MINUTE = dt.timedelta(minutes=1)


def written(moment: dt.datetime) -> str:
    """Return an instant as 2026-11-22T14:49:24.000000, in UTC."""
    return moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def read(text: str) -> dt.datetime | None:
    """Return the instant that ``written`` wrote; None for FIRST and LAST."""
    return None if text in (FIRST, LAST) else dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@lru_cache(maxsize=65536)
def span(text: str, zone: dt.tzinfo) -> Span | None:
    """Return the span of a FHIR date or dateTime of any precision, minutes included; None where it is neither."""
    form = _FORM.fullmatch(text)
    if form is None:
        return None
    try:
        if form[3] is None:
            return _days(text, zone)
        low = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    if low.tzinfo is None:
        low = low.replace(tzinfo=zone)
    width = _SECOND if form[4] else _MINUTE
    if form[5]:
        width = max(_MICROSECOND, _SECOND / 10 ** (len(form[5]) - 1))
    return _or(low, FIRST), _after(low, width)


def instant(text: str, zone: dt.tzinfo) -> Span | None:
    """Return the span of an instant: a point, whatever digits it is written with."""
    found = span(text, zone)
    low = read(found[0]) if found else None
    return (found[0], _after(low, _MICROSECOND)) if found and low else found


def _days(text: str, zone: dt.tzinfo) -> Span:
    year, month, day = int(text[:4]), int(text[5:7] or 1), int(text[8:10] or 1)
    low = dt.datetime(year, month, day, tzinfo=zone)
    try:
        if len(text) == 10:
            high = dt.datetime.combine(low.date() + dt.timedelta(days=1), dt.time.min, zone)
        elif len(text) == 7 and month < 12:
            high = low.replace(month=month + 1)
        else:
            high = low.replace(year=year + 1, month=1)
    except (ValueError, OverflowError):
        return _or(low, FIRST), LAST
    return _or(low, FIRST), _or(high, LAST)


def _or(moment: dt.datetime, beyond: str) -> str:
    """Write an instant, or what stands for all that lies beyond the calendar."""
    try:
        return written(moment)
    except OverflowError:
        return beyond


def _after(low: dt.datetime, width: dt.timedelta) -> str:
    try:
        return written(low.astimezone(dt.UTC) + width)
    except OverflowError:
        return LAST
