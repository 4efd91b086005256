"""Which of a subject's results a judgement can move, where only some of them changed.

Results move one another only within an analyte: they share its windows, fill its visits, and say the same or
contradict each other. So what changed is judged with all that was read as the same analytes, before or now. Where a
person gave a result another analyte than it was read as, it belongs to two, and its subject is judged whole.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fhirbridge.store.outlines import Outline

_AWAITS_ITS_DAY = "place: future"
"""The reason of a result that lies in the future: its place changes as days go by."""


def stirred(outlined: Sequence[Outline], came: Collection[int]) -> list[Outline]:
    """Return what must be judged in any case; ``came`` are the arrivals of this run."""
    return [
        one
        for one in outlined
        if one.judged is None or one.judged < one.arrival or one.arrival in came or _AWAITS_ITS_DAY in one.reasons
    ]


def separable(outlined: Sequence[Outline]) -> bool:
    """Say whether some of a subject's results can be judged without the others."""
    return not any(one.overridden for one in outlined)


def beside(outlined: Sequence[Outline], moving: Collection[Outline], analytes: Collection[str]) -> list[Outline]:
    """Return what must be judged with what moves, which means these analytes now."""
    shared = {*analytes, *(one.analyte for one in moving)} - {""}
    taken = {one.arrival for one in moving}
    return [one for one in outlined if one.analyte in shared and one.arrival not in taken]
