"""Reading a search page after page: links followed as given, never to another server, never in a circle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from fhirbridge.errors import FatalHospitalError, Resource
from fhirbridge.hospital import failures
from fhirbridge.hospital.addresses import origin, shown

SearchParameters = Mapping[str, str] | Iterable[tuple[str, str]]

_ABOUT_THE_RESULT = frozenset(
    {"_sort", "_count", "_include", "_revinclude", "_summary", "_total", "_elements", "_contained", "_containedType"}
    | {"_format", "_pretty"}
)


AT_A_TIME = 50
"""Ids in one search: with 64 characters each, the URL stays below the 4,000 that any server takes."""


def by_id(ids: Sequence[str], elements: Sequence[str]) -> Iterator[tuple[list[tuple[str, str]], frozenset[str]]]:
    """Yield the parameters of each search that finds resources by id, and the ids that it asks for."""
    asked_for = [("_elements", ",".join(elements))] if elements else []
    for start in range(0, len(ids), AT_A_TIME):
        some = ids[start : start + AT_A_TIME]
        yield [("_id", ",".join(some)), ("_count", str(len(some))), *asked_for], frozenset(some)


def first_page(base_url: str, kind: str, params: SearchParameters) -> tuple[str, frozenset[str]]:
    """Return the URL of a search and the names of the parameters that choose its matches."""
    pairs = list(params.items() if isinstance(params, Mapping) else params)
    names = frozenset(name.split(":")[0] for name, _ in pairs) - _ABOUT_THE_RESULT
    return f"{base_url}/{kind}?{urlencode(pairs)}" if pairs else f"{base_url}/{kind}", names


def follow(url: str, chosen_by: frozenset[str], get: Callable[[str], Resource], what: str) -> Iterator[Resource]:
    """Yield the matches of every page, asking for a page when the one before is used up.

    Raises FatalHospitalError for a page that is no searchset, a parameter the server ignored, a link to another
    server, a circle of links, or an error that the server reports inside a page.
    """
    seen = {url}
    page = get(url)
    _check_parameters(page, chosen_by, what)
    while True:
        yield from _matches(page, what)
        link = _link(page, "next")
        if link is None:
            return
        following = urljoin(url, link)
        if origin(following) != origin(url):
            raise FatalHospitalError(
                f"{what}: the next page lies on another server ({shown(following)}, not {shown(url)}). "
                "Set the base URL as the server itself names it."
            )
        if following in seen:
            raise FatalHospitalError(f"{what}: the links to next pages run in a circle after {len(seen)} pages.")
        seen.add(following)
        url, page = following, get(following)


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


def _check_parameters(page: Resource, chosen_by: frozenset[str], what: str) -> None:
    """Compare with the self link, in which a server repeats the parameters that it heeded, if it repeats any."""
    repeated = {name.split(":")[0] for name, _ in parse_qsl(urlsplit(_link(page, "self") or "").query)}
    if repeated and (ignored := chosen_by - repeated):
        raise FatalHospitalError(f"{what}: the server ignored the search parameter {', '.join(sorted(ignored))}.")


def _link(page: Resource, relation: str) -> str | None:
    return next((link.get("url") for link in page.get("link", []) if link.get("relation") == relation), None)
