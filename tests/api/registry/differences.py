"""Why HAPI and this service find different things: each rule makes our own plain reading read as HAPI does.

A disagreement is explained by rules if the plain reading of the specification (``fhirbridge.search.matching``), changed
by exactly these rules, finds what HAPI finds, resource by resource. docs/conformance.md says of each who is right.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from typing import Any
from urllib.parse import quote

from fhirbridge.elements import UCUM, Element
from fhirbridge.errors import Resource
from fhirbridge.search.extract import Indexer
from fhirbridge.search.filters import Chain, Filter, Has, Match, Missing, Together
from fhirbridge.search.matching import Indexed, included, matching
from fhirbridge.search.moments import read, written
from fhirbridge.search.query import Query, parse
from fhirbridge.search.rows import Rows
from fhirbridge.search.table import CATALOGUE, SERVED
from fhirbridge.search.values import DateValue, QuantityValue, Surroundings, Value
from tests.api.registering import BASE
from tests.api.registry.comparing import Found

MOST = 3
"""Rules that one search may need."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that HAPI does otherwise: with the resources before they are read, their rows, or the search."""

    name: str
    text: Callable[[str], str] | None = None
    resource: Callable[[Resource], Resource] | None = None
    rows: Callable[[Rows], Rows] | None = None
    query: Callable[[Query], Query] | None = None


class Readings:
    """What our own plain reading of the specification finds among these resources, with rules and without."""

    def __init__(self, resources: Sequence[Resource], around: Surroundings) -> None:
        self._resources, self._around = resources, around
        self._index = lru_cache(maxsize=256)(self._indexed)

    def found(self, asked: str, rules: frozenset[Rule] = frozenset()) -> Found:
        """Return what ``Type?query`` finds."""
        index = self._index(frozenset(one for one in rules if one.resource or one.rows))
        for rule in rules:
            asked = rule.text(asked) if rule.text else asked
        type_, _, raw = asked.partition("?")
        query = self._query(type_, raw, rules)
        matches = tuple(matching(query, index))
        return Found(matches, frozenset(included(query, matches, index)) - frozenset(matches))

    def explained(self, asked: str, theirs: Found, rules: Sequence[Rule]) -> frozenset[Rule] | None:
        """Return the fewest rules by which we would find what HAPI finds; None where there are none."""
        for number in range(1, MOST + 1):
            for some in combinations(rules, number):
                if alike(self.found(asked, frozenset(some)), theirs):
                    return frozenset(some)
        return None

    def _query(self, type_: str, raw: str, rules: Iterable[Rule]) -> Query:
        query = parse(type_, raw.encode(), self._around)
        for rule in rules:
            query = rule.query(query) if rule.query else query
        return query

    def _indexed(self, rules: frozenset[Rule]) -> Indexed:
        indexer, index = Indexer(self._around.zone), {}
        for resource in self._resources:
            changed = resource
            for rule in rules:
                changed = rule.resource(changed) if rule.resource else changed
            rows = indexer.rows(changed)
            for rule in rules:
                rows = rule.rows(rows) if rule.rows else rows
            index[resource["resourceType"], resource["id"]] = rows
        return index


def alike(one: Found, other: Found) -> bool:
    """Tell whether two searches found the same, whatever the order."""
    return set(one.matches) == set(other.matches) and one.added == other.added


def _each(node: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """Return a resource with every object in it changed, the inner ones first."""
    if isinstance(node, list):
        return [_each(one, change) for one in node]
    if isinstance(node, dict):
        return change({name: _each(value, change) for name, value in node.items()})
    return node


def _filters(query: Query, change: Callable[[Filter], Filter]) -> Query:
    """Return a search with every filter that looks at rows changed, wherever it stands."""
    return replace(query, filters=tuple(_filter(one, change) for one in query.filters))


def _filter(one: Filter, change: Callable[[Filter], Filter]) -> Filter:
    if isinstance(one, Chain):
        return replace(one, targets=tuple((type_, _filter(inner, change)) for type_, inner in one.targets))
    if isinstance(one, Has):
        return replace(one, filter=_filter(one.filter, change))
    if isinstance(one, Together):
        changed = [[_filter(each, change) for each in matches] for matches in one.alternatives]
        return replace(one, alternatives=tuple(tuple(some) for some in changed))  # type: ignore[arg-type]
    return change(one)


_META = ("_profile", "_security", "_tag")


def _nothing_is_missing(one: Filter) -> Filter:
    return Missing("", "token", True) if isinstance(one, Missing) and one.code in _META else one


def _no_texts(one: Filter) -> Filter:
    return replace(one, values=()) if isinstance(one, Match) and one.index == "text" and one.code in _META else one


def _exact(number: Element) -> Element:
    return {name: value for name, value in number.items() if name != "comparator"} if "value" in number else number


def _whole(rows: Rows) -> Rows:
    return Rows(
        [one._replace(part=0) for one in rows.tokens],
        [one._replace(part=0) for one in rows.dates],
        [one._replace(part=0) for one in rows.strings],
        [one._replace(part=0) for one in rows.references],
        [one._replace(part=0) for one in rows.quantities],
        [one._replace(part=0) for one in rows.uris],
    )


_CODES = "|".join(sorted({one.code for type_ in SERVED for one in CATALOGUE.of(type_) if one.system}))
_BARE = re.compile(rf"(?<=[?&.:])({_CODES})(:not)?=([^&]*)")


def _no_bare_codes(asked: str) -> str:
    def changed(found: re.Match[str]) -> str:
        values = [f"|none-{one[1:]}" if one.startswith("|") else one for one in found[3].split(",")]
        return f"{found[1]}{found[2] or ''}={','.join(values)}"

    return _BARE.sub(changed, asked)


_LABEL = re.compile(r"(?<=[?&.:])(_tag|_security)(:not)?=([^&]*)")


def _any_system(asked: str) -> str:
    return _LABEL.sub(
        lambda found: f"{found[1]}{found[2] or ''}={','.join(one.removeprefix('|') for one in found[3].split(','))}",
        asked,
    )


def _behind_chains(one: Filter) -> Filter:
    """Read what is denied behind a chain as HAPI does: of whatever has the reference at all."""
    if isinstance(one, Has):
        return replace(one, filter=_behind_chains(one.filter))
    if not isinstance(one, Chain):
        return one
    (inner, *_) = [filter for _, filter in one.targets]
    if isinstance(inner, Missing):
        return Missing(one.code, "reference", False) if inner.missing else Match(one.code, "reference", ())
    if isinstance(inner, Match) and inner.negated:
        return replace(one, targets=tuple((type_, inner) for type_ in SERVED))
    return replace(one, targets=tuple((type_, _behind_chains(filter)) for type_, filter in one.targets))


def _chains(query: Query) -> Query:
    return replace(query, filters=tuple(_behind_chains(one) for one in query.filters))


def _coded(rows: Rows) -> Rows:
    return replace(rows, tokens=[one for one in rows.tokens if one.system or one.code])


def _punctuated(rows: Rows) -> Rows:
    return replace(rows, strings=[one._replace(folded=one.exact.casefold()) for one in rows.strings])


def _days(one: Filter) -> Filter:
    if not isinstance(one, Match):
        return one
    changed = [_overlapping(value) if isinstance(value, DateValue) else value for value in one.values]
    return replace(one, values=tuple(changed))


def _overlapping(value: DateValue) -> DateValue:
    """Read ``ge`` as at or after the last day of what is given, and ``le`` as at or before its first."""
    low, high = moved(value.low, 1), moved(value.high, -1)
    if low > value.high:  # it is shorter than a day
        return value
    if value.prefix == "ge":
        return replace(value, prefix="gt", high=high)
    return replace(value, prefix="lt", low=low) if value.prefix == "le" else value


def moved(moment: str, days: int) -> str:
    """Return a moment of the index some days later."""
    at = read(moment)
    return moment if at is None else written(at + dt.timedelta(days=days))


def _first_prefix(one: Filter) -> Filter:
    if not isinstance(one, Match):
        return one
    (first, *_) = [*one.values, None]
    if not isinstance(first, QuantityValue):
        return one
    changed = [replace(value, prefix=first.prefix) for value in one.values if isinstance(value, QuantityValue)]
    return replace(one, values=tuple(changed))


def _unscaled(rows: Rows) -> Rows:
    other = [one._replace(system=_OTHER) if one.system == UCUM else one for one in rows.quantities]
    return replace(rows, quantities=other)


_OTHER = "urn:other"


def _to_the_letter(one: Filter) -> Filter:
    if not isinstance(one, Match):
        return one
    changed = [replace(value, low=value.at, high=value.at) if _equal(value) else value for value in one.values]
    return replace(one, values=tuple(changed))  # type: ignore[arg-type]


def _equal(value: Value) -> bool:
    return isinstance(value, QuantityValue) and value.prefix in ("eq", "ne")


RULES = (
    Rule("absolute URLs of the server's own", text=lambda asked: asked.replace(quote(f"{BASE}/"), quote("urn:none:"))),
    Rule("codes without a system", text=_no_bare_codes),
    Rule("labels without a system", text=_any_system),
    Rule("missing labels", query=lambda query: _filters(query, _nothing_is_missing)),
    Rule("texts of labels", query=lambda query: _filters(query, _no_texts)),
    Rule("what is denied behind a chain", query=_chains),
    Rule("texts without a code", rows=_coded),
    Rule("punctuation", rows=_punctuated),
    Rule("whole days", query=lambda query: _filters(query, _days)),
    Rule("prefixes of several numbers", query=lambda query: _filters(query, _first_prefix)),
    Rule("results beyond a limit", resource=lambda resource: _each(resource, _exact)),
    Rule("units", text=lambda asked: asked.replace(quote(UCUM, safe=""), _OTHER), rows=_unscaled),
    Rule("figures of a number", query=lambda query: _filters(query, _to_the_letter)),
    Rule("parts of one component", rows=_whole),
)
