"""The parameters that say not what to find but how to answer: ``_count``, ``_sort``, ``_include``, ``_summary`` …

Source: http://hl7.org/fhir/R4/search.html#return.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fhirbridge.search.parameters import Catalogue, Kind, Parameter
from fhirbridge.search.refused import SearchError, shortened

CHOICES: dict[str, tuple[str, ...]] = {
    "_total": ("none", "estimate", "accurate"),
    "_summary": ("true", "text", "data", "count", "false"),
    "_pretty": ("true", "false"),
}
ONCE = ("_count", "_sort", "_total", "_summary", "_elements", "_format", "_pretty", "_contained")
"""What a search may say once; said twice, nobody can know which is meant."""
INCLUDES = ("_include", "_include:iterate", "_revinclude", "_revinclude:iterate")
RESULTS = frozenset({*ONCE, *INCLUDES, "_containedType"})

_ELEMENT = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}(\.[A-Za-z][A-Za-z0-9]{0,63})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of the order: the least value of a parameter going up, the greatest going down; without one, last."""

    code: str
    kind: Kind
    descending: bool


@dataclass(frozen=True, slots=True)
class Include:
    """Resources to add: those that ``source``'s reference ``code`` points to, or with ``reverse`` those that point.

    ``target`` is the only type to be added (or pointed to), where one is named. With ``iterate`` it holds for added
    resources too.
    """

    source: str
    code: str
    target: str | None
    iterate: bool
    reverse: bool


def choice(name: str, text: str) -> str:
    """Return the value of a parameter that has a few."""
    if text not in CHOICES[name]:
        raise SearchError(name, text, f"it is one of {', '.join(CHOICES[name])}", "Ask for one of them.")
    return text


def count(text: str, most: int) -> int:
    """Return how many matches a page may have; more than the most are not refused but cut."""
    if not (text.isascii() and text.isdigit()):
        raise SearchError("_count", text, "it is a whole number, 0 or more", "Write digits only.")
    return most if len(text.lstrip("0")) > 9 else min(int(text), most)


def elements(text: str) -> tuple[str, ...]:
    """Return the names of the elements to answer with, as they were given."""
    found = tuple(text.split(","))
    for name in found:
        if not _ELEMENT.fullmatch(name):
            raise SearchError("_elements", name, "this is no element's name", "Name elements of the top level.")
    return found


def sort(text: str, type_: str, catalogue: Catalogue) -> Iterator[SortKey]:
    """Yield the keys of ``_sort``, the most important first."""
    for key in text.split(","):
        code = key.removeprefix("-")
        parameter = catalogue.find(type_, code)
        if parameter is None or parameter.kind == "composite":
            raise SearchError("_sort", key, f"{type_} cannot be sorted by this", "Name one of its search parameters.")
        yield SortKey(code, parameter.kind, key.startswith("-"))


def includes(name: str, text: str, type_: str, catalogue: Catalogue) -> Iterator[Include]:
    """Yield what an ``_include`` or ``_revinclude`` adds; ``*`` is every reference of the type, or to it."""
    iterate, reverse = name.endswith(":iterate"), name.startswith("_revinclude")
    source, code, target = (*text.split(":"), "", "")[:3]
    if text.count(":") > 2 or not source:
        raise _wrong(name, text, "it is Type:reference or Type:reference:Type")
    if source == "*":
        found = catalogue.pointing_to(type_) if reverse else catalogue.references(type_)
    elif source not in catalogue.types:
        raise _wrong(name, text, f"there are no {shortened(source)} resources here")
    else:
        found = catalogue.references(source) if code == "*" else _named(name, text, source, code, catalogue)
    if reverse:
        reached = tuple(one for one in found if one.may_point_to(type_))
        if not reached and not iterate:
            raise _wrong(name, text, f"this points to no {type_}")
        found = found if iterate else reached
    for parameter in found:
        if target and not parameter.may_point_to(target):
            if code == "*":
                continue
            raise _wrong(name, text, f"{parameter.code} points to no {shortened(target)}")
        yield Include(parameter.base, parameter.code, target or None, iterate, reverse)


def _named(name: str, text: str, source: str, code: str, catalogue: Catalogue) -> tuple[Parameter, ...]:
    parameter = catalogue.find(source, code)
    if parameter is None or parameter.kind != "reference":
        raise _wrong(name, text, f"{source} has no such reference")
    return (parameter,)


def _wrong(name: str, text: str, rule: str) -> SearchError:
    return SearchError(name, text, rule, "The CapabilityStatement at /metadata names what can be included.")
