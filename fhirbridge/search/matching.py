"""Says by the book whether a resource matches: slow, plain, and what every faster search must agree with.

Source: http://hl7.org/fhir/R4/search.html#prefix for the meaning of each prefix on ranges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fhirbridge.search.filters import Chain, Filter, Has, Index, Match, Missing
from fhirbridge.search.query import LIMITS, Query
from fhirbridge.search.results import Include, SortKey
from fhirbridge.search.rows import DateRow, QuantityRow, ReferenceRow, Rows, StringRow, TokenRow, UriRow
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

Row = TokenRow | DateRow | StringRow | ReferenceRow | QuantityRow | UriRow
Key = tuple[str, str]
"""Type and id."""
Indexed = Mapping[Key, Rows]
"""The index of all resources there are."""


def matching(query: Query, index: Indexed) -> list[Key]:
    """Return the resources that match, in the order that is asked for, then by id."""
    found = [key for key in index if key[0] == query.type and all(meets(one, key, index) for one in query.filters)]
    found.sort(key=lambda key: key[1])
    for sort_key in reversed(query.sort):
        with_value = [(place, key) for key in found if (place := position(sort_key, index[key])) is not None]
        without = [key for key in found if position(sort_key, index[key]) is None]
        with_value.sort(key=lambda pair: pair[0], reverse=sort_key.descending)
        found = [key for _, key in with_value] + without
    return found


def included(query: Query, found: Iterable[Key], index: Indexed, depth: int = LIMITS.include_depth) -> list[Key]:
    """Return what the includes add to a page of matches: nothing twice, and nothing that is on the page already."""
    latest = list(found)
    seen, added = set(latest), list[Key]()
    for turn in range(depth):
        wanted = [one for one in query.includes if one.iterate or not turn]
        latest = list(
            dict.fromkeys(
                other for one in wanted for key in latest for other in _reached(one, key, index) if other not in seen
            )
        )
        seen.update(latest)
        added += latest
    return added


def _reached(one: Include, key: Key, index: Indexed) -> Iterable[Key]:
    """Return the resources that one include finds from a resource."""
    if one.reverse:
        if one.target not in (None, key[0]):
            return []
        return [
            other
            for other, rows in index.items()
            if other[0] == one.source and any(row.param == one.code and row[2:4] == key for row in rows.references)
        ]
    if key[0] != one.source:
        return []
    targets = [(row.type, row.id) for row in index[key].references if row.param == one.code]
    return [target for target in targets if target in index and one.target in (None, target[0])]


def position(key: SortKey, rows: Rows) -> str | float | None:
    """Return what a resource is sorted by: its least value going up, its greatest going down; None without one.

    A period counts by its begin both ways: by their ends all that goes on would be alike.
    """
    places: list[str] | list[float]
    match key.kind:
        case "date":
            places = [row.low for row in rows.dates if row.param == key.code]
        case "quantity" | "number":
            numbers = [row for row in rows.quantities if row.param == key.code]
            places = [row.high if key.descending else row.low for row in numbers]
        case "string":
            places = [row.folded for row in rows.strings if row.param == key.code]
        case "reference":
            places = [f"{row.type}/{row.id}{row.url}" for row in rows.references if row.param == key.code]
        case "uri":
            places = [row.value for row in rows.uris if row.param == key.code]
        case _:
            places = [row.code or row.text for row in rows.tokens if row.param == key.code]
    return (max(places) if key.descending else min(places)) if places else None


def meets(one: Filter, key: Key, index: Indexed) -> bool:
    """Tell whether a resource meets a filter."""
    rows = index[key]
    if isinstance(one, Match):
        return any(_value(row, one) for row in _rows(rows, one.index, one.code)) is not one.negated
    if isinstance(one, Missing):
        return (not any(True for _ in _rows(rows, one.index, one.code))) is one.missing
    if isinstance(one, Chain):
        return any(
            (type_, row.id) in index and meets(inner, (type_, row.id), index)
            for type_, inner in one.targets
            for row in rows.references
            if row.param == one.code and row.type == type_
        )
    if isinstance(one, Has):
        return any(
            meets(one.filter, other, index)
            for other, found in index.items()
            if other[0] == one.type and any(row.param == one.code and row[2:4] == key for row in found.references)
        )
    return any(_together(matches, rows) for matches in one.alternatives)


def _together(matches: tuple[Match, ...], rows: Rows) -> bool:
    parts = [{row.part for row in _rows(rows, one.index, one.code) if _value(row, one)} for one in matches]
    return bool(set.intersection(*parts))


def _rows(rows: Rows, index: Index, code: str) -> Iterable[Row]:
    tables: dict[Index, Iterable[Row]] = {
        "token": rows.tokens, "text": rows.tokens, "date": rows.dates, "string": rows.strings,
        "reference": rows.references, "quantity": rows.quantities, "uri": rows.uris,
    }  # fmt: skip
    return (row for row in tables[index] if row.param == code)


def _value(row: Row, one: Match) -> bool:
    return any(row_matches(row, value) for value in one.values)


def row_matches(row: Row, value: Value) -> bool:
    """Tell whether one row has one value."""
    match row, value:
        case TokenRow(), TokenValue():
            return (value.system in (None, row.system)) and (value.code in (None, row.code))
        case TokenRow(), CodesValue():
            return (row.system, row.code) in value.codes
        case TokenRow(), StringValue():
            return _text(row.text, row.text, value)
        case StringRow(), StringValue():
            return _text(row.folded, row.exact, value)
        case DateRow(), DateValue():
            return _date(row, value)
        case ReferenceRow(), ReferenceValue():
            if value.url is not None:
                return row.url == value.url
            return row.id == value.id and value.type in (None, row.type)
        case QuantityRow(), QuantityValue():
            return _quantity(row, value)
        case UriRow(), UriValue():
            return row.value == value.value
    return False


def _text(folded: str, exact: str, value: StringValue) -> bool:
    if value.how == "exact":
        return exact == value.text
    return value.text in folded if value.how == "contains" else folded.startswith(value.text)


def _date(row: DateRow, value: DateValue) -> bool:
    """Compare two half-open spans."""
    contained = value.low <= row.low and row.high <= value.high
    match value.prefix:
        case "eq":
            return contained
        case "ne":
            return not contained
        case "gt":
            return row.high > value.high
        case "lt":
            return row.low < value.low
        case "ge":
            return row.high > value.high or contained
        case "le":
            return row.low < value.low or contained
        case "sa":
            return row.low >= value.high
        case "eb":
            return row.high <= value.low
        case "ap":
            return row.low < value.high and value.low < row.high


def _quantity(row: QuantityRow, value: QuantityValue) -> bool:
    """Compare a closed interval with a number; a unit that can be scaled is compared in its base."""
    if value.scale is not None:
        if row.scale != value.scale or row.scaled_low is None or row.scaled_high is None:
            return False
        return _number(row.scaled_low, row.scaled_high, value)
    if value.system is not None and value.system != row.system:
        return False
    if value.code is not None and value.code != row.code and (value.system is not None or value.code != row.unit):
        return False
    return _number(row.low, row.high, value)


def _number(low: float, high: float, value: QuantityValue) -> bool:
    contained = value.low <= low and high <= value.high
    match value.prefix:
        case "eq":
            return contained
        case "ne":
            return not contained
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
            return low <= value.high and value.low <= high
