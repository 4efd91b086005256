"""Keeps a search within the types that a token opens: also where it follows references, or adds what they point to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from fhirbridge.api.authorising import Access, InsufficientScope
from fhirbridge.search.filters import Chain, Filter, Has
from fhirbridge.search.query import Query
from fhirbridge.search.results import Include
from fhirbridge.search.table import CATALOGUE


def scoped(query: Query, access: Access) -> Query:
    """Return what of a search a client may ask: nothing of a type that it may not search is found out by it.

    A chain goes on over the types that are open, an include adds these alone. Raises InsufficientScope for a filter
    that rests on closed types only.
    """
    if not query.includes and not any(isinstance(one, Chain | Has) for one in query.filters):
        return query  # it keeps to its own type
    open_ = frozenset(access.types("search_type"))
    shown = frozenset(access.types("read")) & open_
    if shown.issuperset(access.agreement.types):
        return query
    filters = tuple(_filter(one, open_) for one in query.filters)
    return replace(
        query, filters=filters, includes=tuple(one for given in query.includes for one in _within(given, shown))
    )


def _filter(one: Filter, open_: Collection[str]) -> Filter:
    if isinstance(one, Has):
        _require(one.type in open_, one.type)
        return replace(one, filter=_filter(one.filter, open_))
    if isinstance(one, Chain):
        targets = tuple((type_, _filter(inner, open_)) for type_, inner in one.targets if type_ in open_)
        _require(bool(targets), " or ".join(type_ for type_, _ in one.targets))
        return replace(one, targets=targets)
    return one


def _require(may: bool, type_: str) -> None:
    if not may:
        raise InsufficientScope(f"This token does not allow search_type of {type_}. Ask for a scope that does.")


def _within(given: Include, shown: Collection[str]) -> list[Include]:
    """Return an include as it is for open types: none, itself, or one for each open type that it may add."""
    if given.reverse:
        return [given] if given.source in shown else []
    if given.target is not None:
        return [given] if given.target in shown else []
    parameter = CATALOGUE.find(given.source, given.code)
    targets = [type_ for type_ in sorted(shown) if parameter is not None and parameter.may_point_to(type_)]
    return [replace(given, target=type_) for type_ in targets]
