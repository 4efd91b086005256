"""System values: what a typed node is worth in an expression, and when two of them are equal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Any

from fhirbridge import fhirjson
from fhirbridge.errors import ProfileError
from fhirbridge.validation.fhirpath import temporal, units
from fhirbridge.validation.fhirpath.temporal import Temporal
from fhirbridge.validation.node import Node

Items = list[Any]


class EvaluationError(ProfileError):
    """An expression that cannot be evaluated on this input (several items where one is needed, a wrong type)."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit: a UCUM code, or a calendar word such as ``year``."""

    value: Decimal
    unit: str


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """What ``type()`` answers."""

    namespace: str
    name: str


QUANTITIES = frozenset({"Quantity", "Age", "Count", "Distance", "Duration", "SimpleQuantity", "MoneyQuantity"})


def value_of(item: Any) -> Any:
    """Return the system value of an item: bool, int, Decimal, str, Temporal, Quantity, or the node itself."""
    if not isinstance(item, Node):
        return item
    kind, value = item.type, item.value
    if kind in ("dateTime", "instant") and isinstance(value, str):
        return temporal.parse_datetime(value) or value
    if kind == "date" and isinstance(value, str):
        return temporal.parse(value) or value
    if kind == "time" and isinstance(value, str):
        return temporal.parse(value, time=True) or value
    if item.is_primitive:
        told = _exact(value)
        return told if isinstance(told, (str, int, Decimal)) else item
    if kind in QUANTITIES and isinstance(value, dict) and "comparator" not in value:
        amount = _exact(value.get("value"))
        if isinstance(amount, (int, Decimal)):
            return Quantity(Decimal(amount), str(value.get("code") or value.get("unit") or "1"))
    return item


def _exact(value: Any) -> Any:
    """Read a float, which only a caller's own dict can hold, as the decimal that it is written as."""
    return Decimal(str(value)) if value.__class__ is float and isfinite(value) else value


def single(items: Items) -> Any:
    """Return the one item's value, or None for none and for a primitive that has only extensions.

    Raises EvaluationError for several.
    """
    if not items:
        return None
    if len(items) > 1:
        raise EvaluationError(f"one item is needed here, found {len(items)}")
    item = items[0]
    if item.__class__ is Node and item.value is None and item.is_primitive:
        return None
    return value_of(item)


def truth(items: Items) -> bool | None:
    """Evaluate a collection as a Boolean: one item that is not a Boolean counts as true."""
    value = single(items)
    return value if value is None or isinstance(value, bool) else True


def text_of(items: Items) -> str | None:
    """Return the one string, or None. Raises EvaluationError for anything else."""
    value = (
        items[0].value if len(items) == 1 and isinstance(items[0], Node) and items[0].is_primitive else single(items)
    )
    if value is None or isinstance(value, str):
        return value
    raise EvaluationError(f"a string is needed here, found {value}")


def reduced(quantity: Quantity) -> tuple[units.Dimension, Decimal]:
    """Return a quantity in base units, so that equal amounts are equal."""
    dimension, factor = units.reduced(quantity.unit)
    return dimension, quantity.value * factor


def key(item: Any) -> Any:
    """Return something hashable that two equal items share."""
    value = value_of(item)
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, Temporal):
        moved = value.shifted()
        return ("moment", moved.is_time, moved.parts, moved.offset is None)
    if isinstance(value, Quantity):
        return reduced(value)
    if isinstance(value, Node):
        return ("node", fhirjson.canonical(value.value if value.value is not None else value.ext))
    return value


def equal(one: Items, two: Items) -> bool | None:
    """``=``: None (empty) if either side is, or where precision leaves it open."""
    if not one or not two:
        return None
    if len(one) != len(two):
        return False
    for a, b in zip(one, two, strict=True):
        x, y = value_of(a), value_of(b)
        x, y = alike(x, y)
        if isinstance(x, Temporal) and isinstance(y, Temporal):
            order = temporal.compare(x, y)
            if order is None:
                return None if x.is_time == y.is_time else False
            if order:
                return False
        elif key(x) != key(y):
            return None if _calendar_and_clock(x, y) else False
    return True


def _calendar_and_clock(x: Any, y: Any) -> bool:
    """Tell whether one is in calendar years or months, the other in a UCUM unit of time: nobody knows which is more."""
    if not (isinstance(x, Quantity) and isinstance(y, Quantity)):
        return False
    return {reduced(x)[0], reduced(y)[0]} == {units.MONTHS, units.SECONDS}


def alike(x: Any, y: Any) -> tuple[Any, Any]:
    """Read a string as a date where the other side is one (R4's dates arrive as strings from some paths)."""
    if isinstance(x, Temporal) and isinstance(y, str):
        return x, temporal.parse(y, time=x.is_time) or y
    if isinstance(y, Temporal) and isinstance(x, str):
        return temporal.parse(x, time=y.is_time) or x, y
    return x, y


def equivalent(one: Items, two: Items) -> bool:
    """``~``: order, case and spacing do not count; numbers to the lesser precision."""
    if len(one) != len(two):
        return False
    left = list(two)
    for a in one:
        match = next((n for n, b in enumerate(left) if _equivalent(value_of(a), value_of(b))), None)
        if match is None:
            return False
        left.pop(match)
    return True


def _equivalent(x: Any, y: Any) -> bool:
    if isinstance(x, str) and isinstance(y, str):
        return re.sub(r"\s+", " ", x).strip().lower() == re.sub(r"\s+", " ", y).strip().lower()
    if is_number(x) and is_number(y):
        places = min(_places(x), _places(y))
        step = Decimal(1).scaleb(-places)
        return Decimal(x).quantize(step) == Decimal(y).quantize(step)
    if isinstance(x, Quantity) and isinstance(y, Quantity):
        (unit, a), (other, b) = reduced(x), reduced(y)
        return unit == other and _equivalent(a.normalize(), b.normalize())
    if isinstance(x, Temporal) and isinstance(y, Temporal):
        return temporal.compare(x, y) == 0
    return bool(key(x) == key(y))


def is_number(value: Any) -> bool:
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


def _places(value: int | Decimal) -> int:
    exponent = Decimal(value).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def order(one: Items, two: Items) -> int | None:
    """Compare for ``<``: -1, 0, 1, or None (empty). Raises EvaluationError for what has no order."""
    x, y = single(one), single(two)
    if x is None or y is None:
        return None
    x, y = alike(x, y)
    if isinstance(x, Temporal) and isinstance(y, Temporal):
        return temporal.compare(x, y)
    if isinstance(x, Quantity) and isinstance(y, Quantity):
        (unit, a), (other, b) = reduced(x), reduced(y)
        return (a > b) - (a < b) if unit == other else None
    if isinstance(x, Node) or isinstance(y, Node):
        return None
    if (is_number(x) and is_number(y)) or (isinstance(x, str) and isinstance(y, str)):
        return int(x > y) - int(x < y)
    raise EvaluationError(f"{x} and {y} have no order")
