"""``$everything`` of a Patient, a ResearchSubject or a ResearchStudy: all that is released of it, in pages.

http://hl7.org/fhir/R4/patient-operation-everything.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from urllib.parse import quote

from flask import Blueprint, request
from werkzeug.exceptions import Gone, NotFound

from fhirbridge.api.registry import answers, bundles, paging, parameters
from fhirbridge.api.registry.answers import Answer
from fhirbridge.api.registry.parameters import Given
from fhirbridge.api.registry.people import person_of
from fhirbridge.api.registry.service import ID, Asking, Service, prefix
from fhirbridge.release.agreement import TYPES
from fhirbridge.release.cells import Count
from fhirbridge.release.kinds import PUBLIC
from fhirbridge.search import results
from fhirbridge.search.query import Query, parse
from fhirbridge.search.refused import SearchError
from fhirbridge.search.splitting import encoded
from fhirbridge.store.releases import Released

FOCAL = ("Patient", "ResearchSubject", "ResearchStudy")
"""The types that it can be asked of."""
PAGE = 200
"""Resources on a page where the client names no number."""
LONGEST = 8_192
"""Bytes of a request."""

KINDS = {
    "start": ("valueDate", "valueDateTime", "valueString"),
    "end": ("valueDate", "valueDateTime", "valueString"),
    "_since": ("valueInstant", "valueDateTime", "valueString"),
    "_type": ("valueCode", "valueString"),
    "_count": ("valueInteger", "valuePositiveInt", "valueString"),
}
_DATED = {"Observation": "date", "DiagnosticReport": "date", "Provenance": "target:Observation.date"}
"""How the day of care of a type is searched by; the others have none and are not left out by it."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What is asked for: of whom (None: of the whole study), which types in their order, which of their resources."""

    person: str | None
    types: tuple[str, ...]
    queries: dict[str, Query]


def everything(asking: Asking, type: str, id: str) -> Answer:
    """Return a page of everything. Raises NotFound, Gone, InsufficientScope, SearchError, Expired."""
    asking.require("everything", type)
    service, given = asking.service, _given(asking)
    once = _once(given, strict=asking.question.strict)
    at, after = paging.read(once.get(paging.PAGE), asking.position)
    extent = _extent(asking, type, _focus(asking, type, id), given, once)
    count = results.count(once["_count"], service.limits.count) if "_count" in once else PAGE
    found = list(islice(_found(asking, extent, at, after), count + 1)) if count else []
    shown = found[:count]
    entries = [
        bundles.found(service.base, one.type, one.id, one.body or b"", "include" if _beside(extent, one) else "match")
        for one in shown
    ]
    address = f"{service.base}/{type}/{quote(id)}/$everything"
    kept = [encoded(name, value) for name, value in given if name in KINDS]
    links = [("self", f"{address}?{'&'.join(kept or [f'_count={PAGE}'])}")]
    if len(found) > count and shown:
        mark = paging.marked(at, f"{shown[-1].type}/{shown[-1].id}")
        links.append(("next", f"{address}?{'&'.join([*kept, f'{paging.PAGE}={mark}'])}"))
    body, total_at = bundles.bundle("searchset", entries, links, service.now())
    return Answer(
        body=body,
        records=len(shown),
        people=answers.people(shown),
        count=_count(asking, extent, at),
        total_at=total_at,
    )


def routes(service: Service) -> Blueprint:
    """Return the routes of the operation."""
    made, base = Blueprint("everything", __name__), prefix(service.base)
    for type_ in FOCAL:

        def ask(asking: Asking, id: str, type_: str = type_) -> Answer:
            return everything(asking, type_, id)

        view = service.view("operation", ask, operation="everything")
        made.add_url_rule(f"{base}/{type_}/<id>/$everything", f"everything-{type_}", view, methods=["GET", "POST"])
    return made


def _given(asking: Asking) -> Given:
    """Return the parameters of URL and body."""
    found = parameters.from_url(asking.question.query, LONGEST)
    if request.method == "POST":
        found += parameters.from_body(parameters.body(LONGEST, asking.service.model), asking.service.base, KINDS)[0]
    return [(name, value) for name, value in found if value]


def _once(given: Given, *, strict: bool) -> dict[str, str]:
    """Return the parameters that may be said once; ``_type`` may be said often, and others are not known."""
    found: dict[str, str] = {}
    for name, value in given:
        if name in found and name != "_type":
            raise SearchError(name, value, "it is given twice", "Give it once.", "invalid")
        if strict and name not in (*KINDS, paging.PAGE, "_format", "_pretty"):
            raise SearchError(name, None, "this is no parameter of $everything", "Leave it out.", "not-supported")
        found[name] = value
    return found


def _focus(asking: Asking, type_: str, id: str) -> str | None:
    """Return whose everything is asked for, None for the whole study. Raises NotFound, Gone."""
    found = asking.service.releases.read(asking.agreement.id, type_, id) if ID.fullmatch(id) else None
    if found is None:
        raise NotFound(f"There is no such {type_} here.")
    if found.body is None:
        raise Gone(f"This {type_} is released no longer.")
    if type_ in PUBLIC:
        return None
    person = person_of(found)
    if person is None:
        raise NotFound(f"There is no such {type_} here.")
    return person


def _extent(asking: Asking, type_: str, person: str | None, given: Given, once: dict[str, str]) -> Extent:
    named = [one.strip() for name, value in given if name == "_type" for one in value.split(",") if one.strip()]
    for one in named:
        if one not in TYPES:
            raise SearchError("_type", one, "there are none of these here", f"Name some of {', '.join(TYPES)}.")
        asking.require("everything", one)
    allowed = asking.access.types("everything")
    chosen = [one for one in TYPES if one in allowed and (not named or one in named)]
    own = [one for one in chosen if person is None or one not in PUBLIC]
    beside = [one for one in chosen if one not in own]
    types = tuple([type_] * (type_ in own) + [one for one in own if one != type_] + beside)
    queries = {one: query for one in types if (query := _query(asking, one, once)) is not None}
    return Extent(person, types, queries)


def _query(asking: Asking, type_: str, once: dict[str, str]) -> Query | None:
    """Return the search that resources of a type must match, None for all."""
    asked = [encoded("_lastUpdated", f"ge{once['_since']}")] if "_since" in once else []
    for name, prefix_ in (("start", "ge"), ("end", "le")):
        if (
            name in once
            and type_ in _DATED
            and (type_ != "Provenance" or asking.access.may("search_type", "Observation"))
        ):
            asked.append(encoded(_DATED[type_], prefix_ + once[name]))
    return parse(type_, "&".join(asked).encode(), asking.service.around(), strict=True) if asked else None


def _found(asking: Asking, extent: Extent, at: int, after: str | None) -> Iterator[Released]:
    """Yield what is asked for, from a mark on."""
    begin, _, id = (after or "").partition("/")
    types = extent.types
    if after is not None:
        if begin not in types or not ID.fullmatch(id):
            raise SearchError(
                paging.PAGE, after, "this is no mark of a page of this", "Follow the next link.", "invalid"
            )
        types = types[types.index(begin) :]
    for number, type_ in enumerate(types):
        yield from _of_type(asking, extent, type_, at, None if number else id or None)


def _of_type(asking: Asking, extent: Extent, type_: str, at: int, after: str | None) -> Iterator[Released]:
    of_person: Sequence[str] | None = None if extent.person is None or type_ in PUBLIC else [extent.person]
    queries = {type_: [extent.queries[type_]]} if type_ in extent.queries else None
    found = asking.service.releases.iterate(
        asking.agreement.id, [type_], at=at, patients=of_person, queries=queries, after=after
    )
    return (one for one in found if one.body is not None)


def _beside(extent: Extent, one: Released) -> bool:
    """Tell whether a resource is not of the person, but of the study that the person's refer to."""
    return extent.person is not None and one.type in PUBLIC


def _count(asking: Asking, extent: Extent, at: int) -> Count | None:
    """Count what is asked for; of one person only where the agreement gives so small a number."""
    if extent.person is not None:
        if asking.agreement.counts.threshold > 1:
            return None
        own = [type_ for type_ in extent.types if type_ not in PUBLIC]
        return Count(sum(1 for type_ in own for _ in _of_type(asking, extent, type_, at, None)), 1)
    releases, agreement = asking.service.releases, asking.agreement.id
    counts = [
        (type_, releases.count(agreement, extent.queries.get(type_) or Query(type=type_), at=at))
        for type_ in extent.types
    ]
    people = [count.people or 0 for type_, count in counts if type_ not in PUBLIC]
    return Count(sum(count.resources for _, count in counts), max(people) if people else None)
