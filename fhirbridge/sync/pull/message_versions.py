"""Which of two messages about one result is the later one, and what one means that says only that a value is final."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace

from fhirbridge.sync.pull.incoming import Incoming, SourceStatus

_RANKS: dict[SourceStatus, int] = {
    "registered": 0, "preliminary": 1, "unknown": 2, "final": 2, "corrected": 3, "amended": 3, "cancelled": 3,
    "entered-in-error": 4,
}  # fmt: skip
_OFFSET = re.compile(r"(T.*?)([+-][0-9]{2}:[0-9]{2})$", re.ASCII)


def version_of(status: str, sent: str | None, control_id: str) -> str:
    """Return what tells a result's versions apart: OBX-11, MSH-7 and MSH-10."""
    return f"{status} {sent or '-'} {control_id}"


def outdated(new: Incoming, before: Incoming) -> bool:
    """Tell whether a message that comes now says less than what came before: it was overtaken on its way.

    The report's times decide (OBR-22, else MSH-7); of equal ones the status that comes later in a result's life; and
    then the times of the messages. In doubt what comes later counts.
    """
    told = _compared(new.updated, before.updated) if bool(new.issued) == bool(before.issued) else 0
    if told == 0:
        told = _RANKS[new.status] - _RANKS[before.status]
    if told == 0:
        told = _compared(_sent(new), _sent(before))
    return told < 0


def completed(new: Incoming, before: Incoming) -> Incoming:
    """Return a result whose status alone was sent (OBX-11 ``U`` without a value) with the value it had before."""
    return replace(
        new,
        value=before.value, unit=before.unit, absent=before.absent, interpretation=before.interpretation,
        collected=new.collected or before.collected, method=new.method or before.method,
        notes=tuple(dict.fromkeys((*before.notes, *new.notes))),
    )  # fmt: skip


def names_no_value(result: Incoming) -> bool:
    """Tell whether a result only says that the value sent before is final now."""
    return result.version.startswith("U ") and result.value is None


def _sent(result: Incoming) -> str | None:
    sent = result.version.split(" ")[1]
    return None if sent == "-" else sent


def _compared(one: str | None, other: str | None) -> int:
    """Return -1, 0 or 1 as one time is earlier, equal or later, as far as both are known to the same precision."""
    if one is None or other is None:
        return 0
    moments = _moment(one), _moment(other)
    if moments[0] is not None and moments[1] is not None:
        return (moments[0] > moments[1]) - (moments[0] < moments[1])
    local = [_OFFSET.sub(r"\1", text) for text in (one, other)]
    length = min(map(len, local))
    return (local[0][:length] > local[1][:length]) - (local[0][:length] < local[1][:length])


def _moment(text: str) -> dt.datetime | None:
    """Return an instant; None for a time without an offset or without seconds, which is no instant."""
    if not _OFFSET.search(text) or text.count(":") < 3:
        return None
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:  # a leap second
        return None
