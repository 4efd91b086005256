"""Checks where a narrative's links and images lead, and tells which contained resources they show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import TYPE_CHECKING, Any

from fhirbridge.validation.tree import STRUCTURES

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.walker import Walker

_LINK = re.compile(r"<(?P<tag>a|img)\b[^>]*?\s(?:href|src)\s*=\s*(?:\"(?P<one>[^\"]*)\"|'(?P<two>[^']*)')")
_NAME = re.compile(r"\s(?:id|name)\s*=\s*(?:\"(?P<one>[^\"]*)\"|'(?P<two>[^']*)')")
_NOWHERE = re.compile(r"(?:urn|cid|vbscript|javascript):", re.IGNORECASE)
"""Schemes of links that no reader of a narrative can follow, or that run something."""
_SHOWN = STRUCTURES + "textLink"
"""Joins a part of the text to the element it shows: https://hl7.org/fhir/extensions/StructureDefinition-textLink.html."""


def local(div: str) -> Iterator[str]:
    """Yield the ids that a narrative's links and images point at (``#id``)."""
    for _, target in _links(div):
        if target.startswith("#") and len(target) > 1:
            yield target[1:]


def lead_somewhere(walker: Walker, node: Node) -> bool:
    """Tell whether a Narrative's links can be followed: those to ``#id`` find it in the resource or a narrative of it.

    Without the resource at hand (on the fast path) only the narrative's own ids are known.
    """
    div = node.value.get("div") if isinstance(node.value, dict) else None
    if not isinstance(div, str):
        return True
    if any(tag == "a" and (not target or _NOWHERE.match(target)) for tag, target in _links(div)):
        return False
    wanted = set(local(div)) - set(_names(div))
    return not wanted or wanted <= set(_ids(walker.resource_node.value)) | _contained(walker)


def shows_what_it_says(walker: Walker, node: Node) -> bool:
    """Tell whether what a Narrative's textLink extensions join is there: ids in the text, and elements by ``#id``."""
    div = node.value.get("div") if isinstance(node.value, dict) else None
    told = node.value.get("extension") if isinstance(div, str) else None
    for extension in told if isinstance(told, list) else ():
        parts = extension.get("extension") if isinstance(extension, dict) and extension.get("url") == _SHOWN else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict) and not _is_there(walker, str(div), part):
                return False
    return True


def _is_there(walker: Walker, div: str, part: dict[str, Any]) -> bool:
    if part.get("url") == "htmlid":
        return part.get("valueString") in set(_names(div))
    target = part.get("valueUri")
    if part.get("url") == "data" and isinstance(target, str) and target.startswith("#"):
        return target[1:] in {*_ids(walker.resource_node.value), *_contained(walker)}
    return True


def _contained(walker: Walker) -> set[str]:
    found = walker.around.container.get("contained")
    inside = [one.get("id") for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return {id_ for id_ in inside if isinstance(id_, str)}


def _links(div: str) -> Iterator[tuple[str, str]]:
    for found in _LINK.finditer(div):
        yield found["tag"], unescape(found["one"] if found["one"] is not None else found["two"])


def _names(div: str) -> Iterator[str]:
    for found in _NAME.finditer(div):
        yield found["one"] if found["one"] is not None else found["two"]


def _ids(value: Any) -> Iterator[str]:
    """Yield every id in a resource: its own, its elements', and those in its narratives."""
    if isinstance(value, list):
        for item in value:
            yield from _ids(item)
    elif isinstance(value, dict):
        if isinstance(value.get("id"), str):
            yield value["id"]
        if isinstance(value.get("div"), str):
            yield from _names(value["div"])
        for item in value.values():
            yield from _ids(item)
