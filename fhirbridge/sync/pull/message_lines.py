"""Which OBX of an order are one result: laboratories break a text over several, and put comments beside a number.

Read by itself, a line of a text can say the opposite of the whole (``limit of detection:``, then ``20 IU/mL``). So
lines are joined wherever they may belong together; what is then no single value costs a person's look.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fhirbridge.records.hl7v2.types import Lost, Order, Result, Value

LONG_TEXTS = frozenset({"TX", "FT"})
TEXTS = LONG_TEXTS | {"ST"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """One result with the texts beside it; ``lines`` counts its OBX. ``fault`` says why it cannot be used."""

    result: Result
    remarks: tuple[str, ...] = ()
    lines: int = 1
    fault: str | None = None


def joined(order: Order) -> tuple[Joined, ...]:
    """Return the results of an order, in its order.

    TX and FT of one code are one text, whatever their sub-ids: these often number its lines. ST of one code and one
    sub-id are one text too. Where another value of the same code stands before them, TX and FT are remarks on it.
    """
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in order.results:
        first = result.code.first
        groups.setdefault((first.code or first.text, first.system), []).append(result)
    found = [one for key, group in groups.items() for one in _of_code(group, _lost(order, key, group))]
    return tuple(sorted(found, key=lambda one: one.result.line))


def text_of(value: Value | None) -> str:
    """Return a text value with its repetitions as lines."""
    return "\n".join(parts[0] if parts else "" for parts in value.repetitions) if value is not None else ""


def _lost(order: Order, key: tuple[str, str], group: Sequence[Result]) -> list[Lost]:
    """Return what was set aside that may have belonged to this group: of its code, or unknown and right beside it."""
    lines = {result.line for result in group}
    return [
        one
        for one in order.lost
        if (one.code, one.system) == key or (one.code is None and lines & {one.line - 1, one.line + 1})
    ]


def _of_code(group: list[Result], lost: list[Lost]) -> Iterator[Joined]:
    """Yield the results of one code."""
    texts = [one for one in group if one.value is not None and one.value.kind in LONG_TEXTS]
    blank = [one for one in group if one.value is None] if texts else []
    heads = [one for one in group if one not in texts and one not in blank]
    if texts and not heads:
        yield _one_text(group, lost)
        return
    for at, head in enumerate(heads):
        until = heads[at + 1].line if at + 1 < len(heads) else None
        # What stands before the first value of its code can only be meant for that.
        beside = [one for one in texts if (at == 0 or one.line > head.line) and (until is None or one.line < until)]
        same = [one for one in heads if _is_line(one) and _is_line(head) and one.sub_id == head.sub_id]
        if same and same[0] is not head:
            continue
        body = _one_text(same, [one for one in lost if one.sub_id == head.sub_id or one.code is None]) if same else None
        whole = body or Joined(result=head)
        fault = whole.fault or (_INCOMPLETE if beside and lost else None)
        remarks = tuple(text for one in beside if (text := text_of(one.value).strip()))
        yield replace(whole, remarks=remarks, lines=whole.lines + len(beside), fault=fault)


_INCOMPLETE = "a line of its text was set aside, so what is left may say something else"


def _is_line(result: Result) -> bool:
    return result.value is not None and result.value.kind == "ST"


def _one_text(lines: Sequence[Result], lost: Sequence[Lost]) -> Joined:
    """Return several lines as one text, its first line's result."""
    first = lines[0]
    kinds = [one.value.kind for one in lines if one.value is not None]
    text = "\n".join(text_of(one.value) for one in lines)
    kind = next((kind for kind in kinds if kind in LONG_TEXTS), "ST")
    notes = tuple(note for one in lines for note in one.notes)
    whole = replace(first, value=Value(kind, ((text,),)), notes=notes)
    fault = _INCOMPLETE if lost else None
    if len({one.status for one in lines}) > 1:
        fault = "the lines of its text have different statuses"
    elif len({one.observed for one in lines if one.observed}) > 1:
        fault = "the lines of its text have different times of the specimen"
    return Joined(result=whole, lines=len(lines), fault=fault)
