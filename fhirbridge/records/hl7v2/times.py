"""HL7 time stamps (TS) as ISO 8601 texts of the same precision."""

from __future__ import annotations

import datetime as dt
import re

_STAMP = re.compile(
    r"([0-9]{4})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:\.([0-9]{1,6}))?)?)?)?)?)?"
    r"(?:([+-])([0-9]{2}):?([0-9]{2}))?",
    re.ASCII,
)


def iso(stamp: str) -> str:
    """Return ``20260330081500+0800`` as ``2026-03-30T08:15:00+08:00``, ``202603`` as ``2026-03``.

    An offset without a time is dropped, and an hour alone gets its minute zero. Raises ValueError for what is no time
    stamp, or a time that does not exist.
    """
    found = _STAMP.fullmatch(stamp)
    if found is None:
        raise ValueError("is no time stamp (YYYYMMDDhhmmss+ZZzz, from the left as far as known)")
    year, month, day, hour, minute, second, fraction, sign, *offset = found.groups()
    try:
        dt.datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0))  # noqa: DTZ001
    except ValueError:
        raise ValueError("is a time that does not exist") from None
    if int(second or 0) > 60 or (sign and (int(offset[0]) > 14 or int(offset[1]) > 59)):
        raise ValueError("is a time that does not exist")
    date = "-".join(part for part in (year, month, day) if part)
    if hour is None:
        return date
    time = f"{hour}:{minute or '00'}" + (f":{second}" if second else "") + (f".{fraction}" if fraction else "")
    return f"{date}T{time}" + (f"{sign}{offset[0]}:{offset[1]}" if sign else "")
