"""Rules for contained resources (http://hl7.org/fhir/R4/references.html#contained)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fhirbridge.validation import narrative_links

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.walker import Walker

_LINKS = frozenset({"uri", "url", "canonical"})


def check(walker: Walker, node: Node) -> None:
    """Refuse contained resources without an id of their own: nothing could tell them apart."""
    seen: set[str] = set()
    found = node.value.get("contained")
    for number, inner in enumerate(found) if isinstance(found, list) else ():
        id_ = inner.get("id") if isinstance(inner, dict) else ""
        path = f"{node.path}.contained[{number}]"
        if id_ is None:
            walker.error("required", "contained-id", "A contained resource must have an id.", path, "Give it one.")
        elif isinstance(id_, str) and id_ in seen:
            text = f"Another contained resource has the id {id_} already."
            walker.error("duplicate", "contained-id", text, f"{path}.id", "Give each an id of its own.")
        elif isinstance(id_, str):
            seen.add(id_)


def all_referred_to(walker: Walker, node: Node) -> bool:
    """Tell whether every contained resource is referred to from elsewhere, or refers to its container (dom-3).

    The published expression lets a resource refer to itself; its text says "from elsewhere".
    """
    inside = [child for child in walker.model.children(node, "contained") if isinstance(child.value, dict)]
    owners: dict[str, set[int | None]] = defaultdict(set)
    """Who says each reference: contained resources by their number, the container as None."""
    for text in _links(walker, node):
        owners[text].add(None)
    for number, child in enumerate(inside):
        for text in _links(walker, child):
            owners[text].add(number)
    named = [owners[f"#{child.value.get('id')}"] for child in inside]
    return all(number in owners["#"] or len(by) > (number in by) for number, by in enumerate(named))


def _links(walker: Walker, node: Node) -> Iterator[str]:
    """Yield the local references in a node, contained resources apart."""
    if node.type in _LINKS and isinstance(node.value, str) and node.value.startswith("#"):
        yield node.value
    if node.type == "xhtml" and isinstance(node.value, str):
        yield from (f"#{id_}" for id_ in narrative_links.local(node.value))
    if node.type == "Reference" and isinstance(node.value, dict):
        reference = node.value.get("reference")
        if isinstance(reference, str) and reference.startswith("#"):
            yield reference
    for child in walker.model.children(node):
        if not (isinstance(child.value, dict) and "resourceType" in child.value):
            yield from _links(walker, child)
