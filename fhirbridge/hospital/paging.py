"""Reading a search page after page: links followed as given, never to another server, never in a circle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from fhirbridge.errors import FatalHospitalError, Resource
from fhirbridge.hospital import failures
from fhirbridge.hospital.addresses import origin, shown

SearchParameters = Mapping[str, str] | Iterable[tuple[str, str]]

_ABOUT_THE_RESULT = frozenset(
    {"_sort", "_count", "_include", "_revinclude", "_summary", "_total", "_elements", "_contained", "_containedType"}
    | {"_format", "_pretty"}
)

_BY_FORM = "/_search"
_POST_INSTEAD = (405, 414, 431)
"""What a server answers that takes no search by GET, or no URL of that length."""

AT_A_TIME = 50
"""Ids in one search: with 64 characters each, the URL stays below the 4,000 that any server takes."""


def by_id(ids: Sequence[str], elements: Sequence[str]) -> Iterator[tuple[list[tuple[str, str]], frozenset[str]]]:
    """Yield the parameters of each search that finds resources by id, and the ids that it asks for."""
    asked_for = [("_elements", ",".join(elements))] if elements else []
    for start in range(0, len(ids), AT_A_TIME):
        some = ids[start : start + AT_A_TIME]
        yield [("_id", ",".join(some)), ("_count", str(len(some))), *asked_for], frozenset(some)


@dataclass(frozen=True, slots=True)
class Asked:
    """The request for one page: GET of a URL, or POST of a form to it (http://hl7.org/fhir/R4/search.html#Introduction).

    Repr shows neither, since both may hold the ids of patients.
    """

    url: str = field(repr=False)
    form: str | None = field(default=None, repr=False)

    def posted(self) -> Asked:
        """Return the same search with its parameters in a form instead of the URL."""
        if self.form is not None:
            return self
        path, _, query = self.url.partition("?")
        return Asked(path if path.endswith(_BY_FORM) else f"{path}{_BY_FORM}", query)


def first_page(
    base_url: str, kind: str, params: SearchParameters, *, post: bool = False
) -> tuple[Asked, frozenset[str]]:
    """Return the first request of a search and the names of the parameters that choose its matches."""
    pairs = list(params.items() if isinstance(params, Mapping) else params)
    names = frozenset(name.split(":")[0] for name, _ in pairs) - _ABOUT_THE_RESULT
    asked = Asked(f"{base_url}/{kind}?{urlencode(pairs)}" if pairs else f"{base_url}/{kind}")
    return asked.posted() if post else asked, names


def follow(asked: Asked, chosen_by: frozenset[str], get: Callable[[Asked], Resource], what: str) -> Iterator[Resource]:
    """Yield the matches of every page, asking for a page when the one before is used up.

    A search by GET that the server does not take, or whose URL is too long for it, is asked by POST. Raises
    FatalHospitalError for a page that is no searchset, a parameter the server ignored, a link to another server, a
    circle of links, or an error that the server reports inside a page.
    """
    try:
        page = get(asked)
    except FatalHospitalError as error:
        if asked.form is not None or error.status not in _POST_INSTEAD:
            raise
        asked = asked.posted()
        page = get(asked)
    seen = {asked}
    _check_parameters(page, chosen_by, what, posted=asked.form is not None)
    while True:
        yield from _matches(page, what)
        link = _link(page, "next")
        if link is None:
            return
        following = _following(asked, link, chosen_by)
        if origin(following.url) != origin(asked.url):
            raise FatalHospitalError(
                f"{what}: the next page lies on another server ({shown(following.url)}, not {shown(asked.url)}). "
                "Set the base URL as the server itself names it."
            )
        if following in seen:
            raise FatalHospitalError(f"{what}: the links to next pages run in a circle after {len(seen)} pages.")
        seen.add(following)
        asked, page = following, get(following)


def _following(asked: Asked, link: str, chosen_by: frozenset[str]) -> Asked:
    """Return the request that a next link stands for.

    It is a GET of the link as given, unless the link is one of ``_search``, which only takes POST, or it repeats the
    parameters of a search that was made by POST so that no URL should hold them (sekmet-fhir's do).
    """
    beside = link.startswith(("?", _BY_FORM[1:]))
    url = urljoin(asked.url if beside else asked.url.removesuffix(_BY_FORM), link)
    path, _, query = url.partition("?")
    repeated = {name.split(":")[0] for name, _ in parse_qsl(query)} & chosen_by
    by_form = path.endswith(_BY_FORM) or (asked.form is not None and bool(repeated))
    return Asked(url).posted() if by_form else Asked(url)


def _matches(page: Resource, what: str) -> Iterator[Resource]:
    if page["resourceType"] != "Bundle" or page.get("type") != "searchset":
        raise FatalHospitalError(f"{what}: answered by a {page['resourceType']} that is no searchset.")
    for entry in page.get("entry", []):
        resource = entry.get("resource")
        mode = (entry.get("search") or {}).get("mode", "match")
        if resource is None:
            continue
        if resource["resourceType"] == "OperationOutcome":
            _check_outcome(resource, what)
        elif mode == "match":
            yield resource


def _check_outcome(outcome: Resource, what: str) -> None:
    """Refuse a page whose OperationOutcome says that matches are missing; warnings are let pass."""
    if any(issue.get("severity") in ("fatal", "error") for issue in outcome.get("issue", [])):
        raise FatalHospitalError(f"{what}: {failures.outcome_text(outcome)}", outcome=outcome)


def _check_parameters(page: Resource, chosen_by: frozenset[str], what: str, *, posted: bool) -> None:
    """Compare with the self link, in which a server repeats the parameters that it heeded, if it repeats any.

    After a POST some leave out of the link what was not to be in a URL: what chooses the matches is there or is not.
    """
    repeated = {name.split(":")[0] for name, _ in parse_qsl(urlsplit(_link(page, "self") or "").query)}
    if posted and not repeated & chosen_by:
        return
    if repeated and (ignored := chosen_by - repeated):
        raise FatalHospitalError(f"{what}: the server ignored the search parameter {', '.join(sorted(ignored))}.")


def _link(page: Resource, relation: str) -> str | None:
    return next((link.get("url") for link in page.get("link") or [] if link.get("relation") == relation), None)
