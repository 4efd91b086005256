"""Writes resources as FHIR XML, in the order of elements that R4's own definitions have: http://hl7.org/fhir/R4/xml.html.

Numbers keep the digits they came with, which is why no library writes them: fhir.resources makes 5.5 of 5.50 and 10.0
of 10.
"""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

from fhirbridge.errors import InputError, Resource
from fhirbridge.validation.node import Model, Node

_MARKS = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;"}
_SPACES = {9: "&#9;", 10: "&#10;", 13: "&#13;"}
_ILLEGAL = dict.fromkeys(
    [*(n for n in range(32) if n not in _SPACES), 0xFFFE, 0xFFFF, *range(0xD800, 0xE000)], "\ufffd"
)
_ESCAPES = _MARKS | _SPACES | _ILLEGAL
_DIV = '<div xmlns="http://www.w3.org/1999/xhtml"'


def written(resource: Resource, model: Model) -> bytes:
    """Return a resource as an XML document. Raises InputError for what is no resource of R4."""
    node = model.root(resource)
    if node is None:
        raise InputError("not a resource of FHIR R4, so it has no XML.")
    out = ['<?xml version="1.0" encoding="UTF-8"?>']
    _resource(node, model, out, ' xmlns="http://hl7.org/fhir"')
    return "".join(out).encode()


def _resource(node: Node, model: Model, out: list[str], namespace: str = "") -> None:
    out.append(f"<{node.type}{namespace}>")
    _children(node, model, out, frozenset())
    out.append(f"</{node.type}>")


def _children(node: Node, model: Model, out: list[str], attributes: frozenset[str]) -> None:
    """Write the elements of an object in the order of its definition; ``attributes`` are written already."""
    content = node.ext if node.is_primitive else node.value
    if node.shape is None or not isinstance(content, dict):
        return
    for rows in node.shape.access.values():
        for key, sibling, child, ref in rows:
            if (key in content or sibling in content) and key not in attributes:
                for one in model.items(content, key, child, ref, node):
                    _element(key, one, model, out)


def _element(name: str, node: Node, model: Model, out: list[str]) -> None:
    value = node.value
    if node.type == "xhtml":
        out.append(_narrative(value))
    elif node.is_primitive:
        _primitive(name, node, model, out)
    elif isinstance(value, dict) and "resourceType" in value:
        out.append(f"<{name}>")
        _resource(node, model, out)
        out.append(f"</{name}>")
    elif isinstance(value, dict):
        as_attributes = frozenset({"id", "url"} if node.type == "Extension" else {"id"})
        told = "".join(
            f' {key}="{_text(value[key])}"' for key in ("id", "url") if key in as_attributes and key in value
        )
        out.append(f"<{name}{told}>")
        _children(node, model, out, as_attributes)
        out.append(f"</{name}>")


def _primitive(name: str, node: Node, model: Model, out: list[str]) -> None:
    ext = node.ext if isinstance(node.ext, dict) else {}
    told = f' id="{_text(ext["id"])}"' if "id" in ext else ""
    if node.value is not None:
        told += f' value="{_text(node.value)}"'
    if "extension" not in ext:
        out.append(f"<{name}{told}/>")
        return
    out.append(f"<{name}{told}>")
    _children(node, model, out, frozenset({"id"}))
    out.append(f"</{name}>")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).translate(_ESCAPES)


def _narrative(value: Any) -> str:
    """Return a narrative's div as it is, if it is XML of its own; else its text."""
    text = str(value)
    try:
        if text.startswith("<div"):  # so there is no DOCTYPE that could declare entities
            expat.ParserCreate().Parse(text, True)
            return text
    except expat.ExpatError:
        pass
    return f"{_DIV}>{text.translate(_MARKS | _ILLEGAL)}</div>"
