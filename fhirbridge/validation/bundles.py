"""Rules for Bundles that R4 states without an invariant (http://hl7.org/fhir/R4/bundle.html, documents, messaging)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from fhirbridge.validation.primitives import shown
from fhirbridge.validation.references import literal

if TYPE_CHECKING:
    from fhirbridge.errors import Resource
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.walker import Walker

_UNNAMED = frozenset({"batch", "transaction", "batch-response", "transaction-response"})
"""Types of Bundle whose entries may do without a fullUrl: what they hold may not live anywhere yet."""
_COMPOSITION = (
    "subject",
    "encounter",
    "author",
    "custodian",
    "attester.party",
    "event.detail",
    "section.author",
    "section.focus",
    "section.entry",
)


def check(walker: Walker, bundle: Node) -> None:
    """Check every entry's fullUrl, and that a document or message holds what its first entry refers to."""
    kind = bundle.value.get("type")
    listed = bundle.value.get("entry")
    entries = [(n, e) for n, e in enumerate(listed) if isinstance(e, dict)] if isinstance(listed, list) else []
    for number, entry in entries:
        _check_full_url(walker, entry, kind, f"{bundle.path}.entry[{number}]")
    if kind == "searchset":
        _check_found(walker, bundle, entries)
    resources = [(n, e["resource"]) for n, e in entries if isinstance(e.get("resource"), dict)]
    first = resources[0][1] if resources and resources[0][0] == 0 else {}
    place = f"{bundle.path}.entry[0].resource"
    if kind == "document" and first.get("resourceType") == "Composition":
        for path in _COMPOSITION:
            _check_there(walker, first, path, place, "document")
        _check_reached(walker, resources, bundle.path)
    if kind == "message" and first.get("resourceType") == "MessageHeader":
        _check_there(walker, first, "focus", place, "message")


def _check_full_url(walker: Walker, entry: dict[str, Any], kind: Any, path: str) -> None:
    resource, url = entry.get("resource"), entry.get("fullUrl")
    if not isinstance(resource, dict) or not (url is None or isinstance(url, str)):
        return
    if url is None:
        if not (isinstance(kind, str) and kind in _UNNAMED) and "_fullUrl" not in entry:
            _refuse(walker, f"An entry of a {kind} must have a fullUrl.", path, "Say where the resource lives.")
        return
    parts = literal(url)
    if ":" not in url:
        _refuse(
            walker, f"The fullUrl {shown(url)} is not absolute.", f"{path}.fullUrl", "Put the server's base before it."
        )
    elif parts and url.lower().startswith("http") and walker.model.is_resource(parts["type"] or ""):
        named, own = f"{parts['type']}/{parts['id']}", f"{resource.get('resourceType')}/{resource.get('id')}"
        if named != own:
            text = f"The fullUrl {url} ends in {named}, but the resource is {own}."
            _refuse(walker, text, f"{path}.fullUrl", "Make the URL and the resource's type and id agree.")


def _check_found(walker: Walker, bundle: Node, entries: list[tuple[int, dict[str, Any]]]) -> None:
    """Check what a search says it found: of the type searched for, with an id; an outcome is an OperationOutcome."""
    wanted = _searched(walker, bundle.value.get("link"))
    for number, entry in entries:
        search, resource = entry.get("search"), entry.get("resource")
        mode = search.get("mode") if isinstance(search, dict) else None
        if not isinstance(resource, dict):
            continue
        kind, path = resource.get("resourceType"), f"{bundle.path}.entry[{number}].resource"
        if mode == "outcome" and kind != "OperationOutcome":
            text = f"What a search tells of itself is an OperationOutcome, not a {kind}."
            walker.error("invalid", "search-result", text, path)
        if mode == "match" and wanted and kind not in wanted:
            text = f"The search was for {', '.join(sorted(wanted))}, so a {kind} is no match."
            walker.error("invalid", "search-result", text, path, "Say include if it came along.")
        if mode == "match" and "id" not in resource:
            walker.error("required", "search-result", "What a search found has an id.", path)


def _searched(walker: Walker, links: Any) -> set[str]:
    """Return the types that the Bundle's own link says were searched for; none where it does not say."""
    found = [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []
    own = next((link.get("url") for link in found if link.get("relation") == "self"), None)
    if not isinstance(own, str):
        return set()
    where, _, query = own.partition("?")
    named = [value for key, value in parse_qsl(query) if key == "_type"]
    types = [t for value in named for t in value.split(",")] or [where.rstrip("/").rpartition("/")[2]]
    return {type_ for type_ in types if type_ and walker.model.is_resource(type_)}


def _refuse(walker: Walker, text: str, path: str, remedy: str) -> None:
    walker.error("invalid", "entry-full-url", text, path, remedy)


def _check_there(walker: Walker, first: Resource, path: str, place: str, kind: str) -> None:
    """Refuse references of the first entry to what is not in the Bundle."""
    around = walker.around.within(first)
    for found, reference in _at(first, path.split("."), place):
        if not reference.startswith("#") and around.resolve(reference) is None:
            text = f"{reference} is not among the entries, but a {kind} must hold what {path} refers to."
            walker.error("not-found", "entry-missing", text, found, "Add it, or make its fullUrl fit the reference.")


def _at(value: Any, steps: list[str], place: str) -> Iterator[tuple[str, str]]:
    """Yield place and literal of the references at a path; sections hold sections."""
    if not isinstance(value, dict):
        return
    if not steps:
        if isinstance(value.get("reference"), str):
            yield place, value["reference"]
        return
    for name, rest in [(steps[0], steps[1:])] + (
        [("section", steps)] if place.rpartition(".")[2][:8] == "section[" else []
    ):
        below = value.get(name)
        for number, item in enumerate(below) if isinstance(below, list) else ():
            yield from _at(item, rest, f"{place}.{name}[{number}]")
        if isinstance(below, dict):
            yield from _at(below, rest, f"{place}.{name}")


def _check_reached(walker: Walker, resources: list[tuple[int, Resource]], place: str) -> None:
    """Refuse entries that no chain of references, followed either way, joins to the Composition."""
    joined: dict[int, set[int]] = {id(resource): set() for _, resource in resources}
    for _, resource in resources:
        around = walker.around.within(resource)
        for reference in _references(resource):
            target = around.resolve(reference)
            if target is not None and id(target) in joined:
                joined[id(resource)].add(id(target))
                joined[id(target)].add(id(resource))
    reached: set[int] = set()
    waiting = [id(resources[0][1])]
    while waiting:
        at = waiting.pop()
        if at not in reached:
            reached.add(at)
            waiting += joined[at]
    for number, resource in resources:
        if id(resource) not in reached:
            text = f"Nothing joins {place}.entry[{number}] to the Composition, so it does not belong to the document."
            walker.error(
                "structure", "entry-unreachable", text, f"{place}.entry[{number}]", "Refer to it, or remove it."
            )


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for item in value.values():
            yield from _references(item)
