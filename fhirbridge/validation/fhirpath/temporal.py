"""Dates and times with their precision: comparing, and adding calendar durations."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache

_TEMPORAL = re.compile(
    r"(?:(?P<y>\d{4})(?:-(?P<mo>\d{2})(?:-(?P<d>\d{2}))?)?)?"
    r"(?P<t>T?(?:(?P<h>\d{2})(?::(?P<mi>\d{2})(?::(?P<s>\d{2}(?:\.\d+)?))?)?)?)?(?P<z>Z|[+-]\d{2}:\d{2})?"
)


@dataclass(frozen=True, slots=True)
class Temporal:
    """A date, dateTime or time as far as it is told: ``parts`` are year … second, as many as were written."""

    parts: tuple[int | Decimal, ...]
    is_time: bool
    offset: int | None = None
    """Minutes east of UTC, None where no zone was written."""
    text: str = ""
    is_date: bool = False

    def shifted(self) -> Temporal:
        """Return the same moment in UTC, so that two zones compare."""
        if self.offset is None or self.is_time or len(self.parts) < 5:
            return self
        *whole, second = self.parts if len(self.parts) == 6 else (*self.parts, Decimal(0))
        year, month, day, hour, minute = (int(part) for part in whole)
        try:
            moment = datetime(year, month, day, hour, minute, tzinfo=timezone(timedelta(minutes=self.offset)))
            utc = moment.astimezone(UTC)
        except (OverflowError, ValueError):  # the year 10000, or hour 25 in what is refused elsewhere
            return self
        moved: tuple[int | Decimal, ...] = (utc.year, utc.month, utc.day, utc.hour, utc.minute, second)
        return Temporal(moved[: len(self.parts)], False, 0, self.text)


@lru_cache(maxsize=8192)
def parse(text: str, *, time: bool = False) -> Temporal | None:
    """Read a FHIR date, dateTime, instant or (``time``) time; None where it is not one."""
    found = _TEMPORAL.fullmatch("T" + text if time and not text.startswith("T") else text)
    if found is None or not text:
        return None
    names = ("h", "mi", "s") if time else ("y", "mo", "d", "h", "mi", "s")
    parts: list[int | Decimal] = []
    for name in names:
        if found[name] is None:
            break
        parts.append(Decimal(found[name]) if name == "s" else int(found[name]))
    if not parts:
        return None
    zone = found["z"]
    offset = (
        None
        if zone is None
        else 0
        if zone == "Z"
        else (-1 if zone[0] == "-" else 1) * (int(zone[1:3]) * 60 + int(zone[4:6]))
    )
    return Temporal(tuple(parts), time, offset, text, not time and "T" not in text)


@lru_cache(maxsize=8192)
def parse_datetime(text: str) -> Temporal | None:
    """Read a dateTime, one that is only a date too: what it leaves open goes down to the millisecond."""
    found = parse(text)
    return None if found is None else Temporal(found.parts, False, found.offset, text)


def compare(one: Temporal, two: Temporal) -> int | None:
    """Return -1, 0 or 1; None where their precision does not allow an answer."""
    if one.is_time != two.is_time:
        return None
    if (one.offset is None) != (two.offset is None) and len(one.parts) > 3 and len(two.parts) > 3:
        return None
    if one.offset != two.offset:
        one, two = one.shifted(), two.shifted()
    for a, b in zip(one.parts, two.parts, strict=False):
        if a != b:
            return -1 if a < b else 1
    return 0 if len(one.parts) == len(two.parts) else None


def compare_text(one: str, two: str) -> int | None:
    """Compare two dates or dateTimes as written; None where either is none or precision is too low."""
    first, second = parse(one), parse(two)
    return compare(first, second) if first and second else None


def days_in_month(year: int, month: int) -> int:
    """Return how many days a month has."""
    return calendar.monthrange(year, month)[1]


_UNITS = {
    "year": "year",
    "month": "month",
    "week": "week",
    "day": "day",
    "hour": "hour",
    "minute": "minute",
    "second": "second",
    "millisecond": "millisecond",
    "a": "year",
    "mo": "month",
    "wk": "week",
    "d": "day",
    "h": "hour",
    "min": "minute",
    "s": "second",
    "ms": "millisecond",
}


def is_duration(unit: str) -> bool:
    """Tell whether a unit is one of time."""
    return unit in _UNITS or unit.rstrip("s") in _UNITS


def add(moment: Temporal, amount: Decimal, unit: str) -> Temporal | None:
    """Add a calendar duration; None where the unit is none or the result is out of range."""
    name = _UNITS.get(unit) or _UNITS.get(unit.rstrip("s"))
    if name is None:
        return None
    try:
        return _add_clock(moment, amount, name) if moment.is_time else _add_date(moment, amount, name)
    except (ValueError, OverflowError):
        return None


_SECONDS: dict[str, Decimal] = {
    "week": Decimal(604800),
    "day": Decimal(86400),
    "hour": Decimal(3600),
    "minute": Decimal(60),
    "second": Decimal(1),
    "millisecond": Decimal("0.001"),
}


def _add_clock(moment: Temporal, amount: Decimal, unit: str) -> Temporal | None:
    if unit not in ("hour", "minute", "second", "millisecond"):
        return None
    filled = [*moment.parts, 0, 0][:3]
    total = (Decimal(filled[0]) * 3600 + Decimal(filled[1]) * 60 + Decimal(filled[2]) + amount * _SECONDS[unit]) % 86400
    parts = (int(total // 3600), int(total % 3600 // 60), total % 60)
    return Temporal(parts[: len(moment.parts)], True)


def _add_date(moment: Temporal, amount: Decimal, unit: str) -> Temporal | None:
    parts = list(moment.parts)
    if unit in ("year", "month"):
        months = int(amount) * (12 if unit == "year" else 1)
        if len(parts) == 1:
            years = abs(months) // 12 * (1 if months >= 0 else -1)
            return Temporal((int(parts[0]) + years,), False, moment.offset, is_date=moment.is_date)
        index = int(parts[0]) * 12 + int(parts[1]) - 1 + months
        parts[0], parts[1] = divmod(index, 12)[0], index % 12 + 1
        if len(parts) > 2:
            parts[2] = min(int(parts[2]), days_in_month(int(parts[0]), int(parts[1])))
        return Temporal(tuple(parts), False, moment.offset, is_date=moment.is_date)
    filled = [*parts, *(1, 1, 1, 0, 0, 0)[len(parts) :]] if len(parts) < 6 else parts
    second = Decimal(filled[5])
    whole = int(second)
    year, month, day, hour, minute = (int(part) for part in filled[:5])
    start = datetime(year, month, day, hour, minute, min(whole, 59), tzinfo=UTC)
    seconds = (
        Decimal(int(amount)) * _SECONDS[unit] if unit not in ("second", "millisecond") else amount * _SECONDS[unit]
    )
    total = seconds + (second - whole)
    moved = start + timedelta(seconds=int(total // 1))
    fraction = (total % 1).quantize(second) if second.as_tuple().exponent else total // 1 * 0
    result: tuple[int | Decimal, ...] = (
        moved.year,
        moved.month,
        moved.day,
        moved.hour,
        moved.minute,
        moved.second + fraction,
    )
    return Temporal(result[: len(parts)], False, moment.offset, is_date=moment.is_date)
