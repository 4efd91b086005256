"""What ties results together: the identity that a correction keeps, and the order that a reflex order follows from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from fhirbridge.records.hl7v2.types import Authority, Identity, Number, Order


def identified(order: Order, sender: str) -> Order:
    """Return an order whose results have their identities, as far as the order has a number."""
    number = order.filler or order.placer
    if number is None:
        return order
    if number.authority != Authority():
        sender = ""
    seen: Counter[tuple[str, str, str]] = Counter()
    lost = list(order.lost)
    results = []
    for result in order.results:
        # What was set aside keeps its place, so that the others keep theirs when it comes again, mended.
        while lost and lost[0].line < result.line:
            seen[lost[0].code or "", lost[0].system, lost[0].sub_id] += 1
            lost.pop(0)
        key = (result.code.first.code or result.code.first.text, result.code.first.system, result.sub_id)
        results.append(replace(result, identity=Identity(sender, number, *key, seen[key])))
        seen[key] += 1
    return replace(order, results=tuple(results))


def linked(orders: Sequence[Order]) -> tuple[Order, ...]:
    """Return a patient's orders, each parent pointing at the order and result it means where they are among them."""
    return tuple(
        replace(order, parent=replace(order.parent, order=at, result=_result(order, orders[at])))
        if order.parent is not None and (at := _order(order, orders)) is not None
        else order
        for order in orders
    )


def _order(child: Order, orders: Sequence[Order]) -> int | None:
    """Return which order a parent means: that of its filler number, else that of its placer number."""
    parent = child.parent
    if parent is None:
        return None
    for told, of in ((parent.filler, "filler"), (parent.placer, "placer")):
        if told is not None:
            for at, order in enumerate(orders):
                if order is not child and same(told, getattr(order, of)):
                    return at
    return None


def _result(child: Order, order: Order) -> int | None:
    parent = child.parent
    if parent is None or parent.code is None:
        return None
    wanted = {coding.code for coding in parent.code.codings}
    of_code = [
        at for at, result in enumerate(order.results) if wanted & {coding.code for coding in result.code.codings}
    ]
    # Some senders write the code's text where the sub-id belongs; a code that is there once needs none.
    fitting = [at for at in of_code if order.results[at].sub_id == parent.sub_id] or of_code
    return fitting[0] if len(fitting) == 1 else None


def same(one: Number, other: Number | None) -> bool:
    """Tell whether two numbers are one: equal values, and no authority that contradicts the other's."""
    if other is None or one.value != other.value:
        return False
    mine, others = one.authority, other.authority
    if mine.universal_id and others.universal_id:
        return mine.universal_id == others.universal_id
    return not (mine.name and others.name) or mine.name == others.name
