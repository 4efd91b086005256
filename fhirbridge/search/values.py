"""What the value of a search parameter says: prefixes, precision, tokens, references, quantities with units.

Source: http://hl7.org/fhir/R4/search.html#ptypes. A value is read once into numbers and texts that compare with the
index as they stand, so that whoever runs the search need not know the grammar.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal, cast

from fhirbridge.elements import UCUM
from fhirbridge.search import moments, numbers, scaling
from fhirbridge.search.folding import folded
from fhirbridge.search.parameters import Parameter
from fhirbridge.search.refused import SearchError
from fhirbridge.search.splitting import plain, split

Prefix = Literal["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]
PREFIXES: tuple[Prefix, ...] = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")

_PREFIXED = re.compile(r"(?P<prefix>[A-Za-z]{2})?(?P<rest>.*)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
_RELATIVE = re.compile(
    r"(?P<type>[A-Z][A-Za-z]{1,63})/(?P<id>[A-Za-z0-9\-.]{1,64})(?P<version>/_history/.+)?", re.ASCII
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+", re.ASCII)
_BOOLEAN_SYSTEMS = (
    "http://hl7.org/fhir/special-values",
    "http://terminology.hl7.org/CodeSystem/special-values",
)  # fmt: skip

ValueSets = Callable[[str], frozenset[tuple[str, str]] | None]
"""The (system, code) pairs of a value set by its canonical URL; None where it is not known."""


def _no_value_sets(_: str) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a value's meaning depends on: the civil time zone, this instant, the server's own base URL, value sets."""

    zone: dt.tzinfo
    now: dt.datetime
    base: str | None = None
    value_sets: ValueSets = _no_value_sets


@dataclass(frozen=True, slots=True)
class TokenValue:
    """A code or identifier. ``system`` None is any system, '' is none at all; ``code`` None is any code."""

    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class CodesValue:
    """The codes of a value set, as (system, code)."""

    codes: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class DateValue:
    """A span of time, half-open, as the index has it; with ``ap`` it is already widened."""

    prefix: Prefix
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class StringValue:
    """A text: folded, or as it stands where it must be met ``exact``."""

    how: Literal["starts", "contains", "exact"]
    text: str


@dataclass(frozen=True, slots=True)
class ReferenceValue:
    """A resource by type and id (``type`` None: any type), or else by ``url``."""

    type: str | None
    id: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class QuantityValue:
    """A number: ``at`` for gt, lt, ge, le, sa and eb; the closed interval ``low`` to ``high`` for eq, ne and ap.

    With ``scale`` all three are in that base, to be compared with the rows' scaled numbers. Else ``system`` None is
    any, and ``code`` is the unit's code, or without a system its code or what people read; None is any unit.
    """

    prefix: Prefix
    at: float
    low: float
    high: float
    system: str | None = None
    code: str | None = None
    scale: str | None = None


@dataclass(frozen=True, slots=True)
class UriValue:
    """A URI, whole."""

    value: str


Value = TokenValue | CodesValue | DateValue | StringValue | ReferenceValue | QuantityValue | UriValue


def token(text: str, parameter: Parameter, name: str) -> TokenValue:
    """Read ``code``, ``system|code``, ``|code`` or ``system|``."""
    system: str | None
    parts = [plain(part) for part in split(text, "|")]
    if len(parts) > 2 or not any(parts):
        raise SearchError(
            name, text, "a token is code, system|code, |code or system|", "Write a | that belongs to the code as \\|."
        )
    system, code = parts if len(parts) == 2 else (None, parts[0])
    if parameter.boolean:
        if code not in ("true", "false") or system not in (None, "", *_BOOLEAN_SYSTEMS):
            raise SearchError(name, text, "its values are true and false", "Ask for one of them.")
        return TokenValue("" if system else system, code)
    if system and system == parameter.system:
        system = ""
    return TokenValue(system, code or None)


def codes(text: str, parameter: Parameter, name: str, known: ValueSets) -> CodesValue:
    """Read the canonical URL of a value set for ``:in``."""
    found = known(plain(text))
    if found is None:
        raise SearchError(
            name, text, "this value set is not known here", "Name one of this server's own value sets by its URL.",
            "not-supported",
        )  # fmt: skip
    if parameter.system is not None:
        found = frozenset(("", code) for system, code in found if system == parameter.system)
    return CodesValue(found)


def string(text: str, how: Literal["starts", "contains", "exact"], name: str) -> StringValue:
    """Read a text; punctuation alone is nothing to search by."""
    given = plain(text)
    if how == "exact":
        return StringValue(how, given)
    if not (clean := folded(given)):
        raise SearchError(name, text, "there is no letter or digit in it", "Search for a word, or use :exact.")
    return StringValue(how, clean)


def date(text: str, name: str, around: Surroundings) -> DateValue:
    """Read a date of any precision with or without a prefix."""
    prefix, rest = _prefix(plain(text), name)
    # A plus that was not percent-encoded arrives as a space; no date has one.
    found = moments.span(rest.replace(" ", "+"), around.zone)
    if found is None:
        raise SearchError(
            name, text, "this is no date", "Write 2026, 2026-11, 2026-11-22 or 2026-11-22T14:49:24+08:00."
        )
    low, high = found
    return DateValue(prefix, *(_widened(low, high, around.now) if prefix == "ap" else (low, high)))


def _widened(low: str, high: str, now: dt.datetime) -> moments.Span:
    """Return a span with a tenth of the time between it and now on either side."""
    start, end = moments.read(low), moments.read(high)
    if start is None or end is None:
        return low, high
    gap = (start - now if now < start else now - end if now > end else dt.timedelta()) / 10
    try:
        return moments.written(start - gap), moments.written(end + gap)
    except OverflowError:
        return low, high


def reference(text: str, type_: str | None, name: str, base: str | None) -> ReferenceValue:
    """Read ``id``, ``Type/id`` or a URL; one below the server's own base is as good as ``Type/id``."""
    given = plain(text)
    if base is not None:
        given = given.removeprefix(base.rstrip("/") + "/")
    relative = _RELATIVE.fullmatch(given)
    if relative is not None:
        if type_ not in (None, relative["type"]):
            raise SearchError(name, text, f"the modifier asks for a {type_}", "Let value and modifier say the same.")
        if relative["version"]:
            return ReferenceValue(None, None, given)
        return ReferenceValue(relative["type"], relative["id"], None)
    if _ID.fullmatch(given):
        return ReferenceValue(type_, given, None)
    if _URL.fullmatch(given):
        return ReferenceValue(None, None, given)
    raise SearchError(name, text, "this is no reference", "Write an id, Type/id, or an absolute URL.")


def number(text: str, name: str) -> QuantityValue:
    """Read a number without a unit."""
    return _measured(*_number(text, text, name), None)


def quantity(text: str, name: str) -> QuantityValue:
    """Read ``number``, ``number|system|code`` or ``number||code``, with or without a prefix."""
    parts = [plain(part) for part in split(text, "|")]
    if len(parts) not in (1, 3):
        raise SearchError(name, text, "a quantity is number, number|system|code or number||code", "Give both marks.")
    prefix, value = _number(parts[0], text, name)
    system, code = (parts[1] or None, parts[2] or None) if len(parts) == 3 else (None, None)
    scale = scaling.scale(code) if code and system == UCUM else None
    return _measured(prefix, value, scale, system, code)


def _measured(
    prefix: Prefix, value: Decimal, scale: scaling.Scale | None, system: str | None = None, code: str | None = None
) -> QuantityValue:
    low, high = numbers.implied(value)
    if prefix == "ap":
        near, far = numbers.nearby(value)
        low, high = min(low, near), max(high, far)
    if scale is not None:
        value, low, high = (scaling.scaled(one, scale) for one in (value, low, high))
    # A number with more figures than a float has must still find itself.
    ends = float(low), float(high) if prefix == "ap" else max(numbers.below(high), float(value))
    if scale is not None:
        return QuantityValue(prefix, float(value), *ends, scale=scale.base)
    return QuantityValue(prefix, float(value), *ends, system, code)


def _number(text: str, whole: str, name: str) -> tuple[Prefix, Decimal]:
    prefix, rest = _prefix(text, name)
    try:
        value = Decimal(rest) if _NUMBER.fullmatch(rest) else None
    except InvalidOperation:
        value = None
    if value is None or abs(value) > numbers.LARGEST:
        raise SearchError(name, whole, "this is no number", "Write a decimal number such as 5.40 or 5.4e-3.")
    return prefix, value


def _prefix(text: str, name: str) -> tuple[Prefix, str]:
    """Return the prefix, ``eq`` where there is none, and what follows it."""
    found = _PREFIXED.fullmatch(text)
    given = found["prefix"] if found else None
    if found is None or given is None:
        return "eq", text
    if given not in PREFIXES:
        raise SearchError(name, text, f"there is no prefix {given!r}", f"Prefixes are {', '.join(PREFIXES)}.")
    return cast(Prefix, given), found["rest"]
