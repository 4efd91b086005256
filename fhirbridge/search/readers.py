"""Index rows of one value, for every FHIR type that a search parameter can point to.

Source: the tables of http://hl7.org/fhir/R4/search.html, a row for a pair of parameter kind and data type. A reader is
given the value as JSON has it and adds its rows; what is not of the type's form adds nothing, and nothing raises.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from fhirbridge.elements import UCUM
from fhirbridge.search import moments, numbers, scaling
from fhirbridge.search.folding import folded
from fhirbridge.search.parameters import Kind
from fhirbridge.search.rows import DateRow, QuantityRow, ReferenceRow, Rows, StringRow, TokenRow, UriRow

Reader = Callable[[Any, int, Rows], None]
"""Takes a value, its part and the rows to add to."""
Names = tuple[str, ...]
"""The codes of the parameters that share a path."""


def reader(kind: Kind, type_: str, names: Names, zone: dt.tzinfo, only: str | None = None) -> Reader:
    """Return the reader of a FHIR type for parameters of a kind. Raises KeyError where R4 has no such pair."""
    if kind == "token":
        return _TOKENS[type_](names)
    if kind == "date":
        return _dates(_SPANS[type_], names, zone)
    if kind == "string":
        return _strings(names, _TEXTS[type_])
    if kind == "reference":
        return _references(names, only)
    return {"quantity": _quantities, "number": _plain_numbers, "uri": _uris}[kind](names)


def _text(value: Any, element: str) -> str:
    """Return an element that is a string, '' where it is none."""
    found = value.get(element) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def _items(value: dict[str, Any], element: str) -> list[Any]:
    found = value.get(element)
    return found if isinstance(found, list) else []


def _codings(names: Names) -> Reader:
    def read(value: Any, part: int, rows: Rows) -> None:
        _coding(value, names, part, rows)

    return read


def _coding(value: Any, names: Names, part: int, rows: Rows) -> str:
    """Add a Coding; return its display."""
    if not isinstance(value, dict):
        return ""
    display = _text(value, "display")
    text = folded(display) if display else ""
    system, code = _text(value, "system"), _text(value, "code")
    for name in names:
        rows.tokens.append(TokenRow(name, part, system, code, text))
    return display


def _concepts(names: Names) -> Reader:
    def read(value: Any, part: int, rows: Rows) -> None:
        if not isinstance(value, dict):
            return
        shown = {_coding(coding, names, part, rows) for coding in _items(value, "coding")}
        text = _text(value, "text")
        if text and text not in shown:
            for name in names:
                rows.tokens.append(TokenRow(name, part, "", "", folded(text)))

    return read


def _identifiers(names: Names) -> Reader:
    def read(value: Any, part: int, rows: Rows) -> None:
        if not isinstance(value, dict):
            return
        text = _text(value.get("type"), "text")
        system, code = _text(value, "system"), _text(value, "value")
        for name in names:
            rows.tokens.append(TokenRow(name, part, system, code, folded(text) if text else ""))

    return read


def _contacts(names: Names) -> Reader:
    def read(value: Any, part: int, rows: Rows) -> None:
        if found := _text(value, "value"):
            for name in names:
                rows.tokens.append(TokenRow(name, part, "", found, ""))

    return read


def _words(names: Names) -> Reader:
    def read(value: Any, part: int, rows: Rows) -> None:
        if isinstance(value, str):
            for name in names:
                rows.tokens.append(TokenRow(name, part, "", value, ""))

    return read


def _booleans(names: Names) -> Reader:
    def read(value: Any, part: int, rows: Rows) -> None:
        if isinstance(value, bool):
            for name in names:
                rows.tokens.append(TokenRow(name, part, "", "true" if value else "false", ""))

    return read


_TOKENS: dict[str, Callable[[Names], Reader]] = {
    "Coding": _codings, "CodeableConcept": _concepts, "Identifier": _identifiers, "ContactPoint": _contacts,
    "code": _words, "string": _words, "id": _words, "uri": _words, "boolean": _booleans,
}  # fmt: skip


def _dates(span: Callable[[Any, dt.tzinfo], moments.Span | None], names: Names, zone: dt.tzinfo) -> Reader:
    def read(value: Any, part: int, rows: Rows) -> None:
        found = span(value, zone)
        if found is not None:
            for name in names:
                rows.dates.append(DateRow(name, part, *found))

    return read


def _moment(value: Any, zone: dt.tzinfo) -> moments.Span | None:
    return moments.span(value, zone) if isinstance(value, str) else None


def _instant(value: Any, zone: dt.tzinfo) -> moments.Span | None:
    return moments.instant(value, zone) if isinstance(value, str) else None


def _period(value: Any, zone: dt.tzinfo) -> moments.Span | None:
    """Return a Period's span, open where it has no start or no end."""
    if not isinstance(value, dict):
        return None
    start, end = _moment(value.get("start"), zone), _moment(value.get("end"), zone)
    if start is None and end is None:
        return None
    return start[0] if start else moments.FIRST, end[1] if end else moments.LAST


def _timing(value: Any, zone: dt.tzinfo) -> moments.Span | None:
    """Return the outer limits of a Timing; what lies between them is not looked at."""
    if not isinstance(value, dict):
        return None
    found = [_moment(event, zone) for event in _items(value, "event")]
    repeat = value.get("repeat")
    found.append(_period(repeat.get("boundsPeriod") if isinstance(repeat, dict) else None, zone))
    spans = [span for span in found if span]
    return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None


_SPANS = {"date": _moment, "dateTime": _moment, "instant": _instant, "Period": _period, "Timing": _timing}


def _strings(names: Names, elements: Names) -> Reader:
    """Read a string, or the string elements of a name or an address, each on its own."""

    def one(text: Any, part: int, rows: Rows) -> None:
        if isinstance(text, str) and text:
            for name in names:
                rows.strings.append(StringRow(name, part, folded(text), text))

    def read(value: Any, part: int, rows: Rows) -> None:
        for element in elements:
            found = value.get(element) if isinstance(value, dict) else None
            for text in found if isinstance(found, list) else (found,):
                one(text, part, rows)

    return read if elements else one


_TEXTS: dict[str, Names] = {
    "string": (),
    "HumanName": ("text", "family", "given", "prefix", "suffix"),
    "Address": ("text", "line", "city", "district", "state", "postalCode", "country"),
}

_NONE = ("", "", "")


@lru_cache(maxsize=65536)
def target(reference: str) -> tuple[str, str, str, str]:
    """Return type, id and URL of a literal reference, and the reference itself where it names a version.

    ``Patient/1`` has type and id, anything else a URL. A contained resource (``#…``) is nothing to be found by.
    """
    if reference.startswith("#"):
        return "", "", "", ""
    where, _, version = reference.partition("/_history/")
    versioned = reference if version else ""
    type_, slash, logical = where.partition("/")
    if slash and logical and "/" not in logical and type_.isalpha():
        return type_, logical, "", versioned
    return "", "", where, versioned


def _references(names: Names, only: str | None) -> Reader:
    identified = _identifiers(tuple(f"{name}:identifier" for name in names))

    def read(value: Any, part: int, rows: Rows) -> None:
        if not isinstance(value, dict):
            return
        literal = value.get("reference")
        type_, logical, url, versioned = target(literal) if isinstance(literal, str) else (*_NONE, "")
        if only is not None and (type_ or _text(value, "type") or _type_in(url)) != only:
            return
        for name in names:
            rows.references.append(ReferenceRow(name, part, type_, logical, url))
            if versioned:
                rows.references.append(ReferenceRow(name, part, "", "", versioned))
        if "identifier" in value:
            identified(value["identifier"], part, rows)

    return read


def _type_in(url: str) -> str:
    """Return the type that the URL of a resource names in its last but one segment."""
    return url.rpartition("/")[0].rpartition("/")[2]


def _quantities(names: Names) -> Reader:
    def read(value: Any, part: int, rows: Rows) -> None:
        if isinstance(value, dict):
            units = _text(value, "system"), _text(value, "code"), _text(value, "unit")
            _number(value.get("value"), value.get("comparator"), units, names, part, rows)

    return read


def _plain_numbers(names: Names) -> Reader:
    def read(value: Any, part: int, rows: Rows) -> None:
        _number(value, None, ("", "", ""), names, part, rows)

    return read


def _number(value: Any, comparator: Any, units: tuple[str, str, str], names: Names, part: int, rows: Rows) -> None:
    """Add what a number may be, and the same in the base of its unit (system, code, text) where that can be scaled."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | float):
        return
    number = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    found = numbers.possible(number, comparator)
    if found is None:
        return
    scale = scaling.scale(units[1]) if units[0] == UCUM and units[1] else None
    scaled = numbers.possible(scaling.scaled(number, scale), comparator) if scale else None
    base, low, high = (scale.base, *scaled) if scale and scaled else ("", None, None)
    for name in names:
        rows.quantities.append(QuantityRow(name, part, *found, str(value), *units, base, low, high))


def _uris(names: Names) -> Reader:
    """Read a URI; a canonical with a version is found without it too."""

    def read(value: Any, part: int, rows: Rows) -> None:
        if not isinstance(value, str) or not value:
            return
        bare = value.partition("|")[0]
        for name in names:
            rows.uris.append(UriRow(name, part, value))
            if bare != value:
                rows.uris.append(UriRow(name, part, bare))

    return read
