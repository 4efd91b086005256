"""Whether a value that people entered and one that was pulled say the same, and in what they differ if not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Literal

from fhirbridge.records.build import civil
from fhirbridge.records.types import ResultFacts
from fhirbridge.records.values import Censored, LabValue, Number

Agreement = Literal[
    "exact", "other date", "missing", "limit", "detected or not", "rounded", "power of ten", "other value"
]

AGREEMENTS: dict[Agreement, str] = {
    "exact": "the same value of the same day",
    "other date": "the same value, of another day",
    "missing": "one of the two gives no value, only a reason why there is none",
    "limit": "the same number, but only one of the two lies beyond a limit, or beyond it on the other side",
    "detected or not": "one says not detected where the other gives a number or a limit",
    "rounded": "the number with fewer digits is the other one rounded",
    "power of ten": "the same digits with the point elsewhere, as when a unit was mistaken",
    "other value": "another value altogether",
}
"""In what two values may differ: error classes, the worst reading of each pair being its only one."""


def agreement(entered: ResultFacts, pulled: ResultFacts) -> Agreement:
    """Return how a value that was entered compares with one that was pulled, for one subject, analyte and visit."""
    if entered.value is None or pulled.value is None:
        return "exact" if entered.value is pulled.value else "missing"
    if entered.value == pulled.value:
        return "exact" if civil(entered.collected) == civil(pulled.collected) else "other date"
    return _difference(entered.value, pulled.value)


def twins(entered: Iterable[ResultFacts], pulled: ResultFacts, unscheduled: str) -> Iterator[ResultFacts]:
    """Yield the values that were entered for what was pulled: same analyte and visit, or unscheduled on that day."""
    for one in entered:
        same_day = civil(one.collected) == civil(pulled.collected)
        if one.analyte == pulled.analyte and one.visit == pulled.visit and (same_day or one.visit != unscheduled):
            yield one


def _difference(one: LabValue, other: LabValue) -> Agreement:
    first, second = _number(one), _number(other)
    if first is None or second is None:
        return "detected or not" if (first is None) != (second is None) else "other value"
    if first == second:
        return "limit"
    if type(one) is not type(other):
        return "other value"
    if _rounds(first, second) or _rounds(second, first):
        return "rounded"
    return "power of ten" if _digits(first) == _digits(second) else "other value"


def _number(value: LabValue) -> Decimal | None:
    return value.value if isinstance(value, Number | Censored) else None


def _digits(value: Decimal) -> tuple[int, ...]:
    return value.normalize().as_tuple().digits


def _rounds(short: Decimal, full: Decimal) -> bool:
    """Tell whether one number is another, rounded to the digits it is written with."""
    step = Decimal(1).scaleb(int(short.as_tuple().exponent))
    return abs(full - short) * 2 <= step and len(short.as_tuple().digits) < len(full.as_tuple().digits)
