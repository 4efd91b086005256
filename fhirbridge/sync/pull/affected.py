"""Which of a subject's results a judgement can move, where only some of them changed.

Results move one another only within an analyte, and there only on one day or within one visit: those of a day may say
the same or contradict each other, and of those in a visit's window one is picked, and one fills it. So what changed is
judged with all of its analyte that shares a day or a visit with it, as it was read before or as it is read now. Where a
person gave a result another visit than its own, it has two, and its analyte is judged whole; where another analyte, its
subject is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from fhirbridge.protocol.slots import FollowUp
from fhirbridge.protocol.windows import Candidate as Dated
from fhirbridge.protocol.windows import placements
from fhirbridge.store.outlines import Outline
from fhirbridge.sync.pull.cases import Context
from fhirbridge.sync.pull.incoming import Incoming
from fhirbridge.sync.pull.meaning import mean

_AWAITS_ITS_DAY = "place: future"
"""The reason of a result that lies in the future: its place changes as days go by."""

Spot = tuple[str, str]
"""An analyte, and a day or a visit that results of it can share."""


def stirred(outlined: Sequence[Outline], came: Collection[int]) -> list[Outline]:
    """Return what must be judged in any case; ``came`` are the arrivals of this run."""
    return [
        one
        for one in outlined
        if one.judged is None or one.judged < one.arrival or one.arrival in came or _AWAITS_ITS_DAY in one.reasons
    ]


def separable(outlined: Sequence[Outline]) -> bool:
    """Say whether some of a subject's results can be judged without the others."""
    return not any("analyte" in one.overridden for one in outlined)


def spots(read: Iterable[Incoming], follow_up: FollowUp, context: Context) -> set[Spot]:
    """Return where results lie that are judged for themselves, by what they say now."""
    dated = []
    for one in read:
        analyte = mean(one, context.laboratories, context.study).analyte
        if analyte is not None:
            dated.append(Dated(key=one.reference, item=analyte.name, when=one.collected))
    placed = placements(context.study.schedule, follow_up, dated, context.today)
    days = {(one.item, one.date.isoformat()) for one in placed if one.date is not None}
    return days | {(one.item, one.visit) for one in placed if one.inside}


def beside(outlined: Sequence[Outline], moving: Collection[Outline], now: Collection[Spot]) -> list[Outline]:
    """Return what must be judged with what moves, which lies at these spots now."""
    shared = {*now, *(spot for one in moving for spot in _spots(one))}
    analytes = {analyte for analyte, _ in shared}
    whole = {one.analyte for one in outlined if "visit" in one.overridden} & analytes
    taken = {one.arrival for one in moving}
    return [
        one
        for one in outlined
        if one.arrival not in taken and (one.analyte in whole or not shared.isdisjoint(_spots(one)))
    ]


def _spots(one: Outline) -> list[Spot]:
    return [(one.analyte, place) for place in (one.day, one.visit) if place is not None and one.analyte]
