"""Moving FHIR's dates by days: http://hl7.org/fhir/R4/datatypes.html#dateTime, in every precision it allows."""

from __future__ import annotations

import datetime as dt
import re

_MOMENT = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?P<time>T(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]{1,9})?"
    r"(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9]))?",
    re.ASCII,
)
_PARTIAL = re.compile(r"(?P<year>[0-9]{4})(?:-(?P<month>[0-9]{2}))?", re.ASCII)


def shifted(moment: str, days: int, *, partial: bool = True) -> str | None:
    """Return a date, dateTime or instant so many days later, as precise as it was; None for what is none.

    Time of day and offset stay as written, so that the time between two moments of one person stays the same to the
    fraction of a second. Of a month or year the middle day is moved, and with ``partial`` unset nothing is returned.
    """
    if whole := _MOMENT.fullmatch(moment):
        try:
            later = dt.date.fromisoformat(whole["day"]) + dt.timedelta(days)
        except (ValueError, OverflowError):
            return None
        return later.isoformat() + (whole["time"] or "")
    known = _PARTIAL.fullmatch(moment)
    if known is None or (days and not partial):
        return None
    try:
        middle = dt.date(int(known["year"]), int(known["month"] or 7), 15 if known["month"] else 2)
        later = middle + dt.timedelta(days)
    except (ValueError, OverflowError):
        return None
    return later.isoformat()[: len(moment)]
