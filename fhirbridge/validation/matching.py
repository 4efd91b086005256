"""Decides whether a value equals a fixed value or carries a pattern."""

from __future__ import annotations

from decimal import Decimal
from typing import Any


def same(expected: Any, value: Any) -> bool:
    """Tell whether a value is exactly a fixed[x]: the same properties, the same order, numbers by value."""
    if isinstance(expected, dict):
        return (
            isinstance(value, dict)
            and expected.keys() == value.keys()
            and all(same(v, value[k]) for k, v in expected.items())
        )
    if isinstance(expected, list):
        return isinstance(value, list) and len(expected) == len(value) and all(map(same, expected, value))
    return _equal(expected, value)


def carries(pattern: Any, value: Any) -> bool:
    """Tell whether a value has all that a pattern[x] has; every item of a pattern's array must be found somewhere."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(k in value and carries(v, value[k]) for k, v in pattern.items())
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(carries(p, v) for v in value) for p in pattern)
    return _equal(pattern, value)


def _equal(expected: Any, value: Any) -> bool:
    if isinstance(expected, bool) or isinstance(value, bool):
        return expected is value
    if isinstance(expected, (int, float, Decimal)):
        return isinstance(value, (int, float, Decimal)) and Decimal(str(expected)) == Decimal(str(value))
    return bool(expected == value)
