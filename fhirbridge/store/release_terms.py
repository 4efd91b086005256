"""What the values of a search say of the index's rows, in SQL: one function for each kind of row.

``fhirbridge.search.matching`` says the same of one row in Python; a property test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, false, func, or_

from fhirbridge.search.filters import Match
from fhirbridge.search.folding import folded
from fhirbridge.search.values import (
    CodesValue,
    DateValue,
    QuantityValue,
    ReferenceValue,
    StringValue,
    TokenValue,
    UriValue,
    Value,
)
from fhirbridge.store.release_index import SHORT, micros

Condition = ColumnElement[bool]
Columns = Any
"""Columns of a table or of an alias, by name."""


def of_term(term: Columns, one: Match, dialect: str) -> Condition:
    """Say of a row of ``release_term`` whether it has one of the values."""
    return _any(_term(term, value, dialect) for value in one.values)


def of_date(span: Columns, values: Sequence[Value]) -> Condition:
    """Say of a row of ``release_date`` whether it has one of the values."""
    return _any(_date(span, value) for value in values if isinstance(value, DateValue))


def of_quantity(number: Columns, values: Sequence[Value]) -> Condition:
    """Say of a row of ``release_quantity`` whether it has one of the values."""
    return _any(_quantity(number, value) for value in values if isinstance(value, QuantityValue))


def _any(found: Iterable[Condition]) -> Condition:
    return or_(false(), *found)


def _term(term: Columns, value: Value, dialect: str) -> Condition:
    match value:
        case TokenValue(system, code):
            of_system = [] if system is None else [term.system == system]
            return and_(*([] if code is None else [_whole(term, term.code, code)]), *of_system)
        case CodesValue(codes):
            return _codes(term, codes)
        case StringValue():
            return _text(term, value, dialect)
        case ReferenceValue(_, _, str(url)):
            return _whole(term, term.text, url)
        case ReferenceValue(type_, str(id), _):
            of_type = [] if type_ is None else [term.system == type_]
            return and_(_whole(term, term.code, id), *of_type)
        case UriValue(text):
            return _whole(term, term.code, text)
    return false()


def _whole(term: Columns, column: ColumnElement[str], text: str) -> Condition:
    """Say whether a column is a text whose beginning is in the index."""
    return and_(term.short == text[:SHORT], column == text)


def _codes(term: Columns, codes: Iterable[tuple[str, str]]) -> Condition:
    by_system: dict[str, list[str]] = {}
    for system, code in sorted(codes):
        by_system.setdefault(system, []).append(code)
    return _any(
        and_(term.system == system, term.short.in_([code[:SHORT] for code in some]), term.code.in_(some))
        for system, some in by_system.items()
    )


def _text(term: Columns, value: StringValue, dialect: str) -> Condition:
    text = value.text
    if value.how == "exact":
        return and_(term.short == folded(text)[:SHORT], term.code == text)
    if value.how == "contains":
        inside = func.strpos if dialect == "postgresql" else func.instr
        return inside(term.text, text) > 0
    return and_(term.short >= text[:SHORT], func.substr(term.text, 1, len(text)) == text)


def _date(span: Columns, value: DateValue) -> Condition:
    low, high = micros(value.low), micros(value.high)
    begins: ColumnElement[int] = span.low
    ends: ColumnElement[int] = span.high
    contained = and_(begins >= low, ends <= high)
    match value.prefix:
        case "eq":
            return and_(contained, begins <= high)
        case "ne":
            return or_(begins < low, ends > high)
        case "gt":
            return ends > high
        case "lt":
            return begins < low
        case "ge":
            return or_(ends > high, contained)
        case "le":
            return or_(begins < low, contained)
        case "sa":
            return begins >= high
        case "eb":
            return and_(ends <= low, begins <= low)
        case "ap":
            return and_(begins < high, ends > low)


def _quantity(number: Columns, value: QuantityValue) -> Condition:
    if value.scale is not None:
        return and_(number.scale == value.scale, _number(number.scaled_low, number.scaled_high, value))
    said = [_number(number.low, number.high, value)]
    if value.system is not None:
        said.append(number.system == value.system)
    if value.code is not None:
        read = [] if value.system is not None else [number.unit == value.code]
        said.append(or_(number.code == value.code, *read))
    return and_(*said)


def _number(low: ColumnElement[float], high: ColumnElement[float], value: QuantityValue) -> Condition:
    match value.prefix:
        case "eq":
            return and_(low >= value.low, high <= value.high, low <= value.high)
        case "ne":
            return or_(low < value.low, high > value.high)
        case "gt":
            return high > value.at
        case "lt":
            return low < value.at
        case "ge":
            return high >= value.at
        case "le":
            return low <= value.at
        case "sa":
            return low > value.at
        case "eb":
            return high < value.at
        case "ap":
            return and_(low <= value.high, high >= value.low)
