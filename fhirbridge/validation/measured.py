"""Compares quantities by UCUM (https://ucum.org/ucum): 10 kg and 10000 g are the same."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fhirbridge.validation import ucum
from fhirbridge.validation.fhirpath.units import reduced


def is_number(value: Any) -> bool:
    """Tell whether a JSON value is a number (true and false are none)."""
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def compare(one: dict[str, Any], two: dict[str, Any]) -> int | None:
    """Return -1, 0 or 1 as the first quantity is below, at or above the second; None where they do not compare."""
    first, second = one.get("value"), two.get("value")
    if not (is_number(first) and is_number(second)):
        return None
    left, right = Decimal(str(first)), Decimal(str(second))
    same = (one.get("system"), one.get("code")) == (two.get("system"), two.get("code"))
    if not same:
        factors = _factors(one, two)
        if factors is None:
            return None
        left, right = left * factors[0], right * factors[1]
    return (left > right) - (left < right)


def _factors(one: dict[str, Any], two: dict[str, Any]) -> tuple[Decimal, Decimal] | None:
    codes = one.get("code"), two.get("code")
    if one.get("system") != ucum.SYSTEM or two.get("system") != ucum.SYSTEM or not all(map(_is_unit, codes)):
        return None
    (dimension, factor), (other, against) = reduced(str(codes[0])), reduced(str(codes[1]))
    return (factor, against) if dimension == other else None


def _is_unit(code: Any) -> bool:
    return isinstance(code, str) and ucum.is_unit(code)
