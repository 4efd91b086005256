"""Checks rules that R4 states in words about datatypes, and about the ids of any resource's elements."""

# ruff: noqa: ARG001  (every rule takes the walker, whether it needs it or not, as in invariants.py)
from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fhirbridge.validation import ucum

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.walker import Walker

URIS = "urn:ietf:rfc:3986"
"""System of identifiers that are URIs."""


def content_of(value: Any) -> bytes | None:
    """The bytes of an Attachment; None where the base64 is wrong, which is an error of its own."""
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(data, str):
        return None
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except ValueError:  # bad base64, and characters that are not even ASCII
        return None


def size(walker: Walker, node: Node) -> bool:
    """Compare an Attachment's size with its data."""
    content = content_of(node.value)
    size = node.value.get("size") if content is not None else None
    return content is None or not isinstance(size, int) or size == len(content)


def hash_(walker: Walker, node: Node) -> bool:
    """Compare an Attachment's hash with its data."""
    content = content_of(node.value)
    told = node.value.get("hash") if content is not None else None
    if content is None or not isinstance(told, str):
        return True
    return "".join(told.split()) == base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode()


def system(walker: Walker, node: Node) -> bool:
    """Tell whether a Coding's or Identifier's system is absolute."""
    system = node.value.get("system") if isinstance(node.value, dict) else None
    return not isinstance(system, str) or is_absolute(system)


def uri(walker: Walker, node: Node) -> bool:
    """Tell whether an identifier that says it is a URI is one."""
    value = node.value if isinstance(node.value, dict) else {}
    told = value.get("value")
    return value.get("system") != URIS or not isinstance(told, str) or is_absolute(told)


def is_absolute(uri: str) -> bool:
    """Tell whether a URI begins with a scheme."""
    scheme, colon, _ = uri.partition(":")
    return bool(colon) and scheme[:1].isalpha() and all(c.isascii() and (c.isalnum() or c in "+.-") for c in scheme)


def security(walker: Walker, node: Node) -> bool:
    """Tell whether no security label comes twice."""
    labels = node.value.get("security") if isinstance(node.value, dict) else None
    if not isinstance(labels, list):
        return True
    told = [(c.get("system"), c.get("code")) for c in labels if isinstance(c, dict) and c.get("code")]
    return len(set(map(repr, told))) == len(told)


def unit(walker: Walker, node: Node) -> bool:
    """Tell whether a quantity's UCUM code is a UCUM unit."""
    value = node.value
    if not isinstance(value, dict) or value.get("system") != ucum.SYSTEM:
        return True
    code = value.get("code")
    return not isinstance(code, str) or ucum.is_unit(code)


def ids(walker: Walker, node: Node) -> bool:
    """Tell whether no two elements of a resource have the same id."""
    seen: set[str] = set()
    for name, value in node.value.items():
        if name in ("snapshot", "differential"):
            seen = set()  # an ElementDefinition's id names its place in one of the two lists
        for id_ in _element_ids(value) if name != "id" else ():
            if id_ in seen:
                return False
            seen.add(id_)
    return True


def _element_ids(value: Any) -> Iterator[str]:
    """Yield the ids of elements; a resource inside (contained, a Bundle's) counts for itself."""
    if isinstance(value, list):
        for item in value:
            yield from _element_ids(item)
    elif isinstance(value, dict) and "resourceType" not in value:
        if isinstance(value.get("id"), str):
            yield value["id"]
        for item in value.values():
            yield from _element_ids(item)
