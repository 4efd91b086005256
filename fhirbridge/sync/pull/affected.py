"""What a judgement can move, where only some of a subject's results changed.

Results move one another only within an analyte, and there only on one day or within one visit: those of a day may say
the same or contradict each other, and of those in a visit's window one is picked, and one fills it. So what changed is
judged with all of its analyte that shares a day or a visit with it, as it was read before or as it is read now. Where a
person gave a result another analyte or visit than its own, it has two, and its subject is judged whole.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhirbridge.protocol.slots import FollowUp
from fhirbridge.protocol.windows import Candidate as Dated
from fhirbridge.protocol.windows import placements
from fhirbridge.store.outlines import Outline, Spot
from fhirbridge.sync.pull.cases import Context
from fhirbridge.sync.pull.meaning import Meaning


def spots(before: Iterable[Outline], now: Iterable[Meaning], follow_up: FollowUp, context: Context) -> set[Spot]:
    """Return where results that are judged for themselves lay, and where they lie by what they mean now."""
    dated = [
        Dated(key=one.incoming.reference, item=one.analyte.name, when=one.incoming.collected)
        for one in now
        if one.analyte is not None
    ]
    placed = placements(context.study.schedule, follow_up, dated, context.today)
    days = {(one.item, one.date.isoformat()) for one in placed if one.date is not None}
    visits = {(one.item, one.visit) for one in placed if one.inside}
    return days | visits | {spot for one in before for spot in one.spots}
