"""A view's constants (``%name``): their values as FHIRPath's System values, by the type that their element names."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fhirbridge.validation.fhirpath import temporal

Constants = dict[str, Any]
"""System values (bool, int, Decimal, str, Temporal) by the constants' names."""

_TEXTS = ("base64Binary", "canonical", "code", "id", "oid", "string", "uri", "url", "uuid")
_NUMBERS = ("integer", "integer64", "positiveInt", "unsignedInt")
_MOMENTS = ("date", "dateTime", "instant", "time")
TYPES = ("boolean", "decimal", *_TEXTS, *_NUMBERS, *_MOMENTS)
"""What a constant may be."""


def constant_value(source: dict[str, Any]) -> Any:
    """Return the System value of a ``constant``. Raises ValueError, in words, where it has none or not of its type."""
    given = [name for name in source if name.startswith("value")]
    if len(given) != 1:
        raise ValueError("needs exactly one value[x], such as valueString")
    kind, value = given[0].removeprefix("value"), source[given[0]]
    kind = next((name for name in TYPES if name[0].upper() + name[1:] == kind), "")
    if not kind:
        raise ValueError(f"has {given[0]}, which is no type of a constant: {', '.join(TYPES)}")
    found = _read(kind, value)
    if found is None:
        raise ValueError(f"has a {given[0]} that is no {kind}")
    return found


def _read(kind: str, value: Any) -> Any:
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "decimal":
        whole = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        return Decimal(str(value)) if whole else None
    if kind in _NUMBERS:
        return value if isinstance(value, int) and not isinstance(value, bool) else None
    if not isinstance(value, str) or not value:
        return None
    if kind in ("dateTime", "instant"):
        return temporal.parse_datetime(value)
    if kind in _MOMENTS:
        return temporal.parse(value, time=kind == "time")
    return value
