"""FHIRPath's operators: three-valued logic, comparison, collections, arithmetic with units and dates."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

from fhirbridge.validation.fhirpath import temporal, types, units
from fhirbridge.validation.fhirpath.values import (
    EvaluationError,
    Items,
    Quantity,
    equal,
    equivalent,
    is_number,
    key,
    order,
    reduced,
    single,
)


def _and(a: bool | None, b: Callable[[], bool | None]) -> bool | None:
    if a is False:
        return False
    other = b()
    return other if a or other is False else None


def _or(a: bool | None, b: Callable[[], bool | None]) -> bool | None:
    if a is True:
        return True
    other = b()
    return other if a is False or other is True else None


def _xor(a: bool | None, b: Callable[[], bool | None]) -> bool | None:
    other = b()
    return None if a is None or other is None else a != other


def _implies(a: bool | None, b: Callable[[], bool | None]) -> bool | None:
    if a is False:
        return True
    other = b()
    return other if a or other is True else None


LOGIC = {"and": _and, "or": _or, "xor": _xor, "implies": _implies}


def _answer(value: bool | None) -> Items:
    return [] if value is None else [value]


def _negated(value: bool | None) -> Items:
    return [] if value is None else [not value]


def _ordered(test: Callable[[int], bool], a: Items, b: Items) -> Items:
    found = order(a, b)
    return [] if found is None else [test(found)]


def _union(a: Items, b: Items) -> Items:
    return list({key(item): item for item in reversed([*a, *b])}.values())[::-1]


def _in(a: Items, b: Items) -> Items:
    if not a:
        return []
    if len(a) > 1:
        raise EvaluationError("`in` takes one item on its left")
    return [key(a[0]) in {key(item) for item in b}]


def _plus(sign: int, a: Items, b: Items) -> Items:
    x, y = single(a), single(b)
    if x is None or y is None:
        return []
    if isinstance(x, temporal.Temporal) and isinstance(y, Quantity):
        if y.unit in ("a", "mo") or not temporal.is_duration(y.unit):
            raise EvaluationError(f"{y.unit} is no calendar duration to add to a date")
        moved = temporal.add(x, sign * y.value, y.unit)
        return [] if moved is None else [moved]
    if isinstance(x, str) and isinstance(y, str) and sign > 0:
        return [x + y]
    if isinstance(x, Quantity) and isinstance(y, Quantity):
        if x.unit == y.unit:
            return [Quantity(x.value + sign * y.value, x.unit)]
        (unit, first), (other, second) = reduced(x), reduced(y)
        factor = units.reduced(x.unit)[1]
        return [Quantity((first + sign * second) / factor, x.unit)] if unit == other else []
    if is_number(x) and is_number(y):
        return [x + sign * y]
    raise EvaluationError(f"{x} and {y} do not add")


def _product(operator: str, a: Items, b: Items) -> Items:
    x, y = single(a), single(b)
    if x is None or y is None:
        return []
    if not all(isinstance(value, Quantity) or is_number(value) for value in (x, y)):
        raise EvaluationError(f"{x} and {y} are not numbers")
    if isinstance(x, Quantity) or isinstance(y, Quantity):
        return _quantities(operator, x, y)
    if operator == "*":
        return [x * y]
    if y == 0:
        return []
    if operator == "/":
        return [Decimal(x) / Decimal(y)]
    if operator == "div":
        return [int(Decimal(x) / Decimal(y))]
    left = Decimal(x) % Decimal(y)
    return [int(left) if isinstance(x, int) and isinstance(y, int) else left]


def _quantities(operator: str, x: Any, y: Any) -> Items:
    one = x if isinstance(x, Quantity) else Quantity(Decimal(x), "1")
    two = y if isinstance(y, Quantity) else Quantity(Decimal(y), "1")
    if operator == "*":
        unit = ".".join(u for u in (one.unit, two.unit) if u != "1") or "1"
        return [Quantity(one.value * two.value, unit)]
    if operator == "/" and two.value:
        unit = "1" if one.unit == two.unit else one.unit if two.unit == "1" else f"{one.unit}/({two.unit})"
        return [Quantity(one.value / two.value, unit)]
    return []


def _joined(a: Items, b: Items) -> Items:
    def part(items: Items) -> str:
        value = single(items)
        return "" if value is None else types.as_text(value) or ""

    return [part(a) + part(b)]


ACTS: dict[str, Callable[[Items, Items], Items]] = {
    "=": lambda a, b: _answer(equal(a, b)),
    "!=": lambda a, b: _negated(equal(a, b)),
    "~": lambda a, b: [equivalent(a, b)],
    "!~": lambda a, b: [not equivalent(a, b)],
    "<": partial(_ordered, lambda found: found < 0),
    ">": partial(_ordered, lambda found: found > 0),
    "<=": partial(_ordered, lambda found: found <= 0),
    ">=": partial(_ordered, lambda found: found >= 0),
    "|": _union,
    "in": _in,
    "contains": lambda a, b: _in(b, a),
    "+": partial(_plus, 1),
    "-": partial(_plus, -1),
    "&": _joined,
    "*": partial(_product, "*"),
    "/": partial(_product, "/"),
    "div": partial(_product, "div"),
    "mod": partial(_product, "mod"),
}
