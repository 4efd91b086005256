"""search: what of a type is released and matches, by GET or by POST to _search. http://hl7.org/fhir/R4/http.html#search"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fhirbridge.api.registry import answers, bundles, paging
from fhirbridge.api.registry.answers import Answer
from fhirbridge.api.registry.read import part
from fhirbridge.api.registry.scoped import scoped
from fhirbridge.api.registry.service import Asking
from fhirbridge.release.cells import Count
from fhirbridge.release.kinds import PUBLIC
from fhirbridge.search.query import Query, parse, self_query
from fhirbridge.search.refused import SearchError
from fhirbridge.store.releases import Released, State

MOST_INCLUDED = 5_000
"""Resources that includes may add to a page; a search for more is refused, since its page could not be whole."""
OF_PAGE, OF_PERSON, OF_QUESTION = 2_048, 256, 20
"""Bytes that remembering takes, about: of any page, of each person on it, and of each byte of the question, read."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found of one page, ready to be answered with: its entries in one piece, and whose they are."""

    entries: bytes
    records: int
    people: Mapping[str, int]
    count: Count | None
    after: str | None
    """The id after which the next page begins; None at the end."""


def search_type(asking: Asking, type: str) -> Answer:
    """Return a page of what matches, with what the includes add, links to itself and to the next page, and the total.

    A page is remembered as long as nothing of its release and nobody's Consent changes, and answered from memory
    then. Raises SearchError, InsufficientScope, Expired for a page of a state that is kept no longer.
    """
    asking.require("search_type", type)
    question, service = asking.question, asking.service
    query = parse(
        type,
        question.query,
        service.around(),
        form=question.form,
        strict=question.strict,
        limits=paging.bounds(service.limits, question.query),
        others=(paging.PAGE,),
    )
    _check(query)
    at, after = paging.read(query.others.get(paging.PAGE), asking.position)
    within = scoped(query, asking.access)
    with service.releases.state(asking.agreement.id, at) as state:
        if query.summary == "count" or query.count == 0:
            found = Found(b"", 0, {}, state.count(within), None)
        else:
            found = _remembered(asking, state, within, after)
    return _answer(asking, query, found, paging.marked(at, found.after) if found.after else None)


def _remembered(asking: Asking, state: State, query: Query, after: str | None) -> Found:
    """Return what was found when the same was asked of the same state of the release, or find it."""
    pages = asking.service.pages
    if state.stamp is None:
        return _found(asking, state, query, after)
    about = query.filters, query.includes, query.sort, query.count, query.total, query.summary, query.elements
    question = state.stamp, query.type, about, after
    found = pages.get(question)
    if found is None:
        found = _found(asking, state, query, after)
        asked = len(asking.question.query) + len(asking.question.form)
        weight = OF_PAGE + len(found.entries) + OF_PERSON * len(found.people) + OF_QUESTION * asked
        pages.put(question, found, weight)
    return found


def _found(asking: Asking, state: State, query: Query, after: str | None) -> Found:
    page = state.search(query, after=after, count=query.count or asking.service.page)
    added = list[Released]()
    if query.includes and page.matches:
        added = state.included(query, page.matches, limit=MOST_INCLUDED)
    persons = answers.people(page.matches)
    count = None
    if query.total != "none":
        only = after is None and page.after is None  # its matches are all there are, and there to be counted
        of_people = None if query.type in PUBLIC else len(persons)
        count = Count(len(page.matches), of_people) if only else state.count(query)
    entries = _entries(asking, query, page.matches, added)
    return Found(b",".join(entries), len(entries), persons + answers.people(added), count, page.after)


def _check(query: Query) -> None:
    if query.includes and query.summary == "text":
        raise SearchError(
            "_summary", "text", "includes and a summary of texts do not go together", "Leave one out.", "invalid"
        )


def _entries(asking: Asking, query: Query, matches: Sequence[Released], added: Sequence[Released]) -> list[bytes]:
    base = asking.service.base
    typed = tuple(name for name in query.elements if "." in name)
    return [
        *(
            bundles.found(base, one.type, one.id, part(asking, one, query.summary, query.elements), "match")
            for one in matches
        ),
        *(
            bundles.found(base, one.type, one.id, part(asking, one, query.summary, _of(typed, one.type)), "include")
            for one in added
        ),
    ]


def _answer(asking: Asking, query: Query, found: Found, next_: str | None) -> Answer:
    base, asked = asking.service.base, self_query(query)
    shown = asked or f"_count={asking.service.page}"
    links = [("self", f"{base}/{query.type}?{shown}")]
    if next_:
        links.append(("next", f"{base}/{query.type}?{asked}{'&' if asked else ''}{paging.PAGE}={next_}"))
    entries = [found.entries] if found.entries else []
    body, total_at = bundles.bundle("searchset", entries, links, asking.service.now())
    return Answer(body=body, records=found.records, people=found.people, count=found.count, total_at=total_at)


def _of(names: tuple[str, ...], type_: str) -> tuple[str, ...]:
    return tuple(name for name in names if name.startswith(f"{type_}."))
