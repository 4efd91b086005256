"""search: what of a type is released and matches, by GET or by POST to _search. http://hl7.org/fhir/R4/http.html#search"""

from __future__ import annotations

from collections.abc import Sequence

from fhirbridge.api.registry import answers, bundles, paging
from fhirbridge.api.registry.answers import Answer
from fhirbridge.api.registry.read import part
from fhirbridge.api.registry.scoped import scoped
from fhirbridge.api.registry.service import Asking
from fhirbridge.release.cells import Count
from fhirbridge.release.kinds import PUBLIC
from fhirbridge.search.query import Query, parse, self_query
from fhirbridge.search.refused import SearchError
from fhirbridge.store.releases import Page, Released, State

MOST_INCLUDED = 5_000
"""Resources that includes may add to a page; a search for more is refused, since its page could not be whole."""


def search_type(asking: Asking, type: str) -> Answer:
    """Return a page of what matches, with what the includes add, links to itself and to the next page, and the total.

    Raises SearchError, InsufficientScope, Expired for a page of a state that is kept no longer.
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
    count, added = None, list[Released]()
    with service.releases.state(asking.agreement.id, at) as state:
        if query.summary == "count" or query.count == 0:
            page, count = Page([], None), state.count(within)
        else:
            page = state.search(within, after=after, count=query.count or service.page)
            if query.total != "none":
                count = _count(state, within, page, whole=after is None and page.after is None)
            if within.includes and page.matches:
                added = state.included(within, page.matches, limit=MOST_INCLUDED)
    return _answer(asking, query, page.matches, added, count, paging.marked(at, page.after) if page.after else None)


def _check(query: Query) -> None:
    if query.includes and query.summary == "text":
        raise SearchError(
            "_summary", "text", "includes and a summary of texts do not go together", "Leave one out.", "invalid"
        )


def _count(state: State, query: Query, page: Page, *, whole: bool) -> Count:
    """Count all matches; those of an only page are there to be counted."""
    if whole:
        people = None if query.type in PUBLIC else len(answers.people(page.matches))
        return Count(len(page.matches), people)
    return state.count(query)


def _answer(
    asking: Asking,
    query: Query,
    matches: Sequence[Released],
    added: Sequence[Released],
    count: Count | None,
    next_: str | None,
) -> Answer:
    base = asking.service.base
    entries = [
        bundles.found(base, one.type, one.id, part(asking, one, query.summary, query.elements), "match")
        for one in matches
    ]
    typed = tuple(name for name in query.elements if "." in name)
    entries += [
        bundles.found(base, one.type, one.id, part(asking, one, query.summary, _of(typed, one.type)), "include")
        for one in added
    ]
    asked = self_query(query)
    shown = asked or f"_count={asking.service.page}"
    links = [("self", f"{base}/{query.type}?{shown}")]
    if next_:
        links.append(("next", f"{base}/{query.type}?{asked}{'&' if asked else ''}{paging.PAGE}={next_}"))
    body, total_at = bundles.bundle("searchset", entries, links, asking.service.now())
    return Answer(
        body=body,
        records=len(entries),
        people=answers.people((*matches, *added)),
        count=count,
        total_at=total_at,
    )


def _of(names: tuple[str, ...], type_: str) -> tuple[str, ...]:
    return tuple(name for name in names if name.startswith(f"{type_}."))
