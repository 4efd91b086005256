"""Numbers as intervals: what a resource's number may be, and what a search's number means.

Source: http://hl7.org/fhir/R4/search.html#number. An interval is closed and of floats; an open end is the float next
to it. Digits are read as decimals and turned into floats once, which never changes the order of two numbers.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import NamedTuple

LARGEST = Decimal("1E300")


class Interval(NamedTuple):
    """From ``low`` to ``high``, both included."""

    low: float
    high: float


def possible(value: Decimal, comparator: str | None) -> Interval | None:
    """Return what a value with FHIR's comparator may be: ``<10`` is anything below 10. None for no such comparator."""
    if not value.is_finite() or abs(value) > LARGEST:
        return None
    number = float(value)
    match comparator:
        case None:
            return Interval(number, number)
        case "<":
            return Interval(-math.inf, math.nextafter(number, -math.inf))
        case "<=":
            return Interval(-math.inf, number)
        case ">":
            return Interval(math.nextafter(number, math.inf), math.inf)
        case ">=":
            return Interval(number, math.inf)
    return None


def implied(value: Decimal) -> tuple[Decimal, Decimal]:
    """Return the range that a number's digits imply: 100 is from 99.5 up to, but without, 100.5.

    The specification's own example for ``1e2`` (95 to 105) contradicts its rule of significant figures; the rule is
    followed: one figure, 50 to 150.
    """
    exponent = value.as_tuple().exponent
    half = Decimal(5).scaleb((exponent if isinstance(exponent, int) else 0) - 1)
    return value - half, value + half


def nearby(value: Decimal) -> tuple[Decimal, Decimal]:
    """Return a tenth of the value to either side."""
    tenth = abs(value) / 10
    return value - tenth, value + tenth


def below(value: Decimal) -> float:
    """Return the last float below a bound that itself is not included."""
    return math.nextafter(float(value), -math.inf)
