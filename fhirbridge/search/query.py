"""Reads a search, as it came in a URL or a form, into what is asked: filters, includes, order, and form of the answer.

Source: http://hl7.org/fhir/R4/search.html. A parameter that is not known is left out, and out of the self link too,
unless strict handling is asked for; a wrong value of a known one is always refused, and so is what has no bound.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from fhirbridge.search import results
from fhirbridge.search.filters import Filter, Reader, UnknownParameter
from fhirbridge.search.parameters import Catalogue
from fhirbridge.search.refused import SearchError
from fhirbridge.search.results import Include, SortKey
from fhirbridge.search.splitting import encoded, pairs, split
from fhirbridge.search.table import CATALOGUE
from fhirbridge.search.values import Surroundings


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one search may ask."""

    characters: int = 8192
    """Of the query and the form together, in bytes as they came."""
    parameters: int = 64
    values: int = 256
    """Values between commas, of all parameters together."""
    includes: int = 16
    sort_keys: int = 8
    depth: int = 4
    """References that a chain may follow."""
    include_depth: int = 4
    """How often an ``:iterate`` is applied to what it added itself."""
    count: int = 1000
    """Matches on a page; a greater ``_count`` is cut to this."""


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Ignored:
    """A parameter that was left out, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A search: all ``filters`` must be met. ``others`` are the parameters that the caller asked to be handed."""

    type: str
    filters: tuple[Filter, ...] = ()
    includes: tuple[Include, ...] = ()
    sort: tuple[SortKey, ...] = ()
    count: int | None = None
    total: str | None = None
    summary: str | None = None
    elements: tuple[str, ...] = ()
    format: str | None = None
    pretty: bool = False
    others: dict[str, str] = field(default_factory=dict)
    ignored: tuple[Ignored, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    """Names and values that count, decoded, in their order."""


def self_query(query: Query) -> str:
    """Return the query string that says what was searched for: without what was ignored, ``_count`` as it was cut."""
    return "&".join(encoded(name, value) for name, value in query.kept)


def parse(
    type_: str,
    raw: bytes,
    around: Surroundings,
    *,
    form: bytes = b"",
    strict: bool = False,
    limits: Limits = LIMITS,
    others: Collection[str] = (),
    catalogue: Catalogue = CATALOGUE,
) -> Query:
    """Read the query string ``raw`` and, of a POST, the ``form``. Raises SearchError."""
    given = _given(raw, form, limits)
    reading = _Reading(type_, Reader(catalogue, around, limits.depth), strict, limits, frozenset(others))
    for name, value in given:
        reading.take(name, value)
    return reading.query()


def _given(raw: bytes, form: bytes, limits: Limits) -> list[tuple[str, str]]:
    """Return names and values, once it is sure that there are not too many of them."""
    if len(raw) + len(form) > limits.characters:
        raise _too_much("the query", f"it is longer than {limits.characters} characters")
    given = [*pairs(raw), *pairs(form)]
    if len(given) > limits.parameters:
        raise _too_much("the query", f"it has more than {limits.parameters} parameters")
    if sum(len(split(value, ",")) for _, value in given) > limits.values:
        raise _too_much("the query", f"it has more than {limits.values} values")
    return given


def _too_much(name: str, rule: str) -> SearchError:
    return SearchError(name, None, rule, "Ask for it in several searches.", "too-costly")


class _Reading:
    """One search while it is read, parameter by parameter."""

    def __init__(self, type_: str, reader: Reader, strict: bool, limits: Limits, others: frozenset[str]) -> None:
        self._type, self._reader, self._strict, self._limits, self._others = type_, reader, strict, limits, others
        self._once: dict[str, str] = {}
        self._filters: list[Filter] = []
        self._includes: list[Include] = []
        self._asked_includes = 0
        self._ignored: list[Ignored] = []
        self._kept: list[tuple[str, str]] = []

    def take(self, name: str, value: str) -> None:
        """Read one parameter. Raises SearchError."""
        if not value:
            self._ignore(SearchError(name, None, "it has no value", "Leave it out, or give it one."))
        elif name in self._others or name in results.ONCE:
            self._take_once(name, value)
        elif name in results.INCLUDES:
            self._include(name, value)
        elif name == "_containedType" or name.partition(":")[0] in results.RESULTS:
            raise SearchError(name, value, "this is not supported", "Leave it out.", "not-supported")
        else:
            try:
                self._filters.append(self._reader.filter(self._type, name, value))
            except UnknownParameter as error:
                self._ignore(error)
            else:
                self._kept.append((name, value))

    def _ignore(self, error: SearchError) -> None:
        if self._strict:
            raise error
        self._ignored.append(Ignored(error.parameter, error.rule))

    def _take_once(self, name: str, value: str) -> None:
        if name in self._once:
            raise SearchError(name, value, "it is given twice", "Give it once.", "invalid")
        self._once[name] = value
        if name == "_contained" and value != "false":
            raise SearchError(name, value, "contained resources are not searched", "Leave it out.", "not-supported")
        if name == "_count":
            value = str(results.count(value, self._limits.count))
        if name not in self._others:
            self._kept.append((name, value))

    def _include(self, name: str, value: str) -> None:
        self._asked_includes += 1
        if self._asked_includes > self._limits.includes:
            raise _too_much(name, f"there are more than {self._limits.includes} of them")
        for found in results.includes(name, value, self._type, self._reader.catalogue):
            if found not in self._includes:
                self._includes.append(found)
        self._kept.append((name, value))

    def query(self) -> Query:
        """Return the search. Raises SearchError."""
        once = self._once
        keys = tuple(results.sort(once["_sort"], self._type, self._reader.catalogue)) if "_sort" in once else ()
        if len(keys) > self._limits.sort_keys:
            raise _too_much("_sort", f"it has more than {self._limits.sort_keys} keys")
        chosen = {name: results.choice(name, once[name]) for name in results.CHOICES if name in once}
        return Query(
            type=self._type,
            filters=tuple(self._filters),
            includes=tuple(self._includes),
            sort=keys,
            count=results.count(once["_count"], self._limits.count) if "_count" in once else None,
            total=chosen.get("_total"),
            summary=chosen.get("_summary"),
            elements=results.elements(once["_elements"]) if "_elements" in once else (),
            format=once.get("_format"),
            pretty=chosen.get("_pretty") == "true",
            others={name: once[name] for name in self._others if name in once},
            ignored=tuple(self._ignored),
            kept=tuple(self._kept),
        )
