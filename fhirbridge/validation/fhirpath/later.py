"""Functions FHIRPath got after N1 (https://build.fhir.org/ig/HL7/FHIRPath): R4 needs none, later profiles may."""

from __future__ import annotations

import base64
import html
import re
from binascii import Error as BinasciiError
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from functools import cmp_to_key
from typing import Any

from fhirbridge.validation.fhirpath.environment import Body, Env, Run, each, with_value
from fhirbridge.validation.fhirpath.temporal import Temporal, days_in_month
from fhirbridge.validation.fhirpath.types import as_text, written
from fhirbridge.validation.fhirpath.values import EvaluationError, Items, Quantity, is_number, order, reduced

_CODECS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "base64": (base64.b64encode, base64.b64decode),
    "urlbase64": (base64.urlsafe_b64encode, base64.urlsafe_b64decode),
    "hex": (base64.b16encode, lambda text: base64.b16decode(text, casefold=True)),
}
_JSON = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f", "\b": "\\b"}
_PLAIN = {written: plain for plain, written in _JSON.items()}
_DIGITS = (4, 2, 2, 2, 2, 2, 3)
"""How many digits each part of a dateTime has: precision counts digits."""


def _encode(text: str, how: str) -> str | None:
    found = _CODECS.get(how)
    written = found[0](text.encode()).decode() if found else None
    return written.lower() if written is not None and how == "hex" else written


def _decode(text: str, how: str) -> str | None:
    found = _CODECS.get(how)
    try:
        return found[1](text.encode()).decode() if found else None
    except (BinasciiError, ValueError) as error:
        raise EvaluationError(f"{text!r} is not {how}") from error


def _escape(text: str, how: str) -> str | None:
    if how == "html":
        return html.escape(text)
    return "".join(_JSON.get(c, c) for c in text) if how == "json" else None


def _unescape(text: str, how: str) -> str | None:
    if how == "html":
        return html.unescape(text)
    return re.sub(r"\\.", lambda m: _PLAIN.get(m[0], m[0]), text, flags=re.DOTALL) if how == "json" else None


def _sort(env: Env, items: Items, *keys: Run) -> Items:
    """Sort by each key in turn; the compiler gives for each whether it runs downwards. What has no key comes first."""
    columns = [(each(env, items, by), down(env, [])[0]) for by, down in zip(keys[::2], keys[1::2], strict=True)]
    columns = columns or [([[item] for item in items], False)]

    def before(a: int, b: int) -> int:
        for found, downwards in columns:
            one, two = found[a], found[b]
            if not (one and two):
                if one or two:
                    return bool(one) - bool(two)
                continue
            sign = order(one, two)
            if sign:
                return -sign if downwards else sign
        return 0

    return [items[n] for n in sorted(range(len(items)), key=cmp_to_key(before))]


def _comparable(one: Any, two: Any) -> bool:
    return isinstance(one, Quantity) and isinstance(two, Quantity) and reduced(one)[0] == reduced(two)[0]


def _precision(value: Any) -> int | None:
    text = as_text(value)
    if text is None or isinstance(value, (bool, str)):
        return None
    if isinstance(value, Temporal):
        return sum(map(str.isdigit, re.sub(r"(Z|[+-]\d{2}:\d{2})$", "", text) if "T" in text else text))
    return len(text.partition(".")[2])


def _low(value: Any, precision: int | None = None) -> Any:
    return _boundary(value, precision, high=False)


def _high(value: Any, precision: int | None = None) -> Any:
    return _boundary(value, precision, high=True)


def _boundary(value: Any, precision: int | None, *, high: bool) -> Any:
    """Return the least or greatest value that reads as this one at the precision it was written with."""
    if isinstance(value, Quantity):
        number = _decimal_boundary(value.value, precision, high=high)
        return None if number is None else Quantity(number, value.unit)
    if isinstance(value, Temporal):
        return _moment_boundary(value, precision, high=high)
    return _decimal_boundary(Decimal(value), precision, high=high) if is_number(value) else None


def _decimal_boundary(value: Decimal, precision: int | None, *, high: bool) -> Decimal | None:
    places = 8 if precision is None else precision
    if not 0 <= places < 32:
        return None
    with localcontext() as context:
        context.prec = 100
        exponent = value.as_tuple().exponent
        half = Decimal(5).scaleb((exponent if isinstance(exponent, int) else 0) - 1)
        bound = value + half if high else value - half
        return bound.quantize(Decimal(1).scaleb(-places), ROUND_CEILING if high else ROUND_FLOOR)


def _moment_boundary(value: Temporal, precision: int | None, *, high: bool) -> Temporal | None:
    sizes = _DIGITS[3:] if value.is_time else _DIGITS
    wanted = precision if precision is not None else 8 if value.is_date else sum(sizes)
    kept = next((n for n in range(1, len(sizes) + 1) if sum(sizes[:n]) == wanted), None)
    if kept is None:
        return None
    parts = _filled(value, high=high)
    if kept < len(sizes):  # seconds and their fraction are one part
        parts = [*parts[: kept - 1], Decimal(int(parts[-1]))] if kept == len(sizes) - 1 else parts[:kept]
    offset = value.offset
    if offset is None and not value.is_time and kept > 3:
        offset = -12 * 60 if high else 14 * 60
    moment = Temporal(tuple(parts), value.is_time, offset, "", value.is_date)
    return Temporal(moment.parts, value.is_time, offset, written(moment), value.is_date)


def _filled(value: Temporal, *, high: bool) -> list[int | Decimal]:
    """Return all parts of a date or time, the missing ones the earliest or latest there are."""
    parts = list(value.parts)
    last: list[int | Decimal] = (
        [23, 59, Decimal("59.999")] if value.is_time else [9999, 12, 31, 23, 59, Decimal("59.999")]
    )
    first: list[int | Decimal] = [0, 0, Decimal("0.000")] if value.is_time else [1, 1, 1, 0, 0, Decimal("0.000")]
    missing = len(parts)
    if missing == len(last) and Decimal(parts[-1]).as_tuple().exponent == 0:
        parts[-1] = Decimal(parts[-1]) + Decimal("0.999" if high else "0.000")
    parts += (last if high else first)[missing:]
    if not value.is_time and missing < 3 and high:
        parts[2] = days_in_month(int(parts[0]), int(parts[1]))
    return parts


LATER: dict[str, tuple[int, int, Body]] = {
    "encode": (1, 1, with_value(_encode)),
    "decode": (1, 1, with_value(_decode)),
    "escape": (1, 1, with_value(_escape)),
    "unescape": (1, 1, with_value(_unescape)),
    "sort": (0, 64, _sort),
    "comparable": (1, 1, with_value(_comparable)),
    "precision": (0, 0, with_value(_precision)),
    "lowBoundary": (0, 1, with_value(_low)),
    "highBoundary": (0, 1, with_value(_high)),
}
"""Name: fewest and most arguments, and what it does."""
