"""FHIRPath's conversions and mathematics on single values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from fhirbridge.validation.fhirpath import temporal, units
from fhirbridge.validation.fhirpath.temporal import Temporal
from fhirbridge.validation.fhirpath.types import as_text
from fhirbridge.validation.fhirpath.values import EvaluationError, Quantity, is_number, reduced

_TRUE, _FALSE = (
    frozenset({"true", "t", "yes", "y", "1", "1.0"}),
    frozenset({"false", "f", "no", "n", "0", "0.0"}),
)
_QUANTITY = re.compile(r"(?P<value>[+-]?\d+(?:\.\d+)?)\s*(?:'(?P<unit>[^']+)'|(?P<word>[a-zA-Z]+))?")


def to_boolean(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if is_number(value):
        return True if value == 1 else False if value == 0 else None
    if isinstance(value, str):
        return True if value.lower() in _TRUE else False if value.lower() in _FALSE else None
    return None


def to_integer(value: Any) -> int | None:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"[+-]?\d+", value) else None


def to_decimal(value: Any) -> Decimal | None:
    if isinstance(value, (bool, int, Decimal)):
        return Decimal(value)
    return Decimal(value) if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d+)?", value) else None


def _to_date(value: Any) -> Temporal | None:
    text = as_text(value) if isinstance(value, (str, Temporal)) else None
    found = temporal.parse(text.partition("T")[0]) if text else None
    return None if found is None or found.is_time or not _real(found) else found


def _to_datetime(value: Any) -> Temporal | None:
    found = value if isinstance(value, Temporal) else temporal.parse(value) if isinstance(value, str) else None
    if found is None or found.is_time or not _real(found):
        return None
    return Temporal(found.parts, False, found.offset, found.text)


def _to_time(value: Any) -> Temporal | None:
    found = (
        value if isinstance(value, Temporal) else temporal.parse(value, time=True) if isinstance(value, str) else None
    )
    return found if found is not None and found.is_time and _real(found) else None


def _real(moment: Temporal) -> bool:
    limits = (23, 59, 60) if moment.is_time else (9999, 12, 31, 23, 59, 60)
    return all(part <= limit for part, limit in zip(moment.parts, limits, strict=False))


def to_quantity(value: Any, unit: str | None = None) -> Quantity | None:
    found = _quantity(value)
    if found is None or unit is None or unit == found.unit:
        return found
    (dimension, amount), (wanted, factor) = reduced(found), units.reduced(unit)
    return Quantity(amount / factor, unit) if dimension == wanted else None


def _quantity(value: Any) -> Quantity | None:
    if isinstance(value, bool):
        return Quantity(Decimal(int(value)), "1")
    if is_number(value):
        return Quantity(Decimal(value), "1")
    if isinstance(value, Quantity):
        return value
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if found is None or (found["word"] and not units.is_calendar(found["word"])):
        return None
    return Quantity(Decimal(found["value"]), found["unit"] or found["word"] or "1")


def _number(value: Any) -> Decimal:
    if not is_number(value):
        raise EvaluationError(f"{value} is not a number")
    return Decimal(value)


def _abs(value: Any) -> Any:
    return (
        Quantity(abs(value.value), value.unit)
        if isinstance(value, Quantity)
        else abs(value if is_number(value) else _number(value))
    )


def _floating(body: Callable[..., Decimal]) -> Callable[..., Decimal | None]:
    def run(*values: Any) -> Decimal | None:
        try:
            return body(*map(_number, values))
        except (InvalidOperation, ValueError, ZeroDivisionError, OverflowError):
            return None

    return run


def _round(value: Any, places: int = 0) -> Decimal:
    return _number(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and 0 <= exponent < 1000:
        return base**exponent
    return _floating(lambda b, e: b**e)(base, exponent)


def _checks(body: Callable[..., Any]) -> Callable[..., bool]:
    return lambda value, *more: body(value, *more) is not None


_TO: dict[str, tuple[int, int, Callable[..., Any]]] = {
    "Boolean": (0, 0, to_boolean),
    "Integer": (0, 0, to_integer),
    "Decimal": (0, 0, to_decimal),
    "String": (0, 0, as_text),
    "Date": (0, 0, _to_date),
    "DateTime": (0, 0, _to_datetime),
    "Time": (0, 0, _to_time),
    "Quantity": (0, 1, to_quantity),
}

CONVERSIONS: dict[str, tuple[int, int, Callable[..., Any]]] = {
    **{"to" + name: row for name, row in _TO.items()},
    **{"convertsTo" + name: (low, high, _checks(body)) for name, (low, high, body) in _TO.items()},
    "abs": (0, 0, _abs),
    "ceiling": (0, 0, lambda v: math.ceil(_number(v))),
    "floor": (0, 0, lambda v: math.floor(_number(v))),
    "truncate": (0, 0, lambda v: math.trunc(_number(v))),
    "round": (0, 1, _round),
    "exp": (0, 0, _floating(lambda v: v.exp())),
    "ln": (0, 0, _floating(lambda v: v.ln())),
    "log": (1, 1, _floating(lambda v, b: v.ln() / b.ln())),
    "power": (1, 1, _power),
    "sqrt": (0, 0, _floating(lambda v: v.sqrt())),
}
"""Name: fewest and most arguments, and what it does."""
