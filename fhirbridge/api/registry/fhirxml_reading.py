"""Reads FHIR XML into what JSON would have said of the same resource: http://hl7.org/fhir/R4/xml.html.

What R4 does not know is kept under its name, so that whoever judges the resource can tell. Nothing outside the document
is ever looked at: one with a DOCTYPE is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from fhirbridge.errors import InputError, Resource
from fhirbridge.validation import tree
from fhirbridge.validation.node import Model
from fhirbridge.validation.primitives import PRIMITIVES

DEEPEST = 100
"""Elements within each other that are read."""

_FHIR, _XHTML = "http://hl7.org/fhir", "http://www.w3.org/1999/xhtml"
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)


def read(text: bytes, model: Model) -> Resource:
    """Return a resource as JSON has it. Raises InputError for what is no XML, or no resource of R4."""
    return _resource(_Reader().read(text), model)


@dataclass(slots=True)
class _Part:
    """An XML element. ``markup`` is the whole of a narrative's div, as XML of its own."""

    space: str
    name: str
    attributes: dict[str, str]
    parts: list[_Part] = field(default_factory=list)
    markup: str | None = None


class _Reader:
    """Makes parts of a document."""

    def __init__(self) -> None:
        self._open = [_Part("", "", {})]
        self._markup: list[str] = []
        self._inside = 0
        """Elements of a narrative that are open."""

    def read(self, text: bytes) -> _Part:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._text
        try:
            parser.Parse(text, True)
        except expat.ExpatError as error:
            raise InputError(f"not XML: {error}. Send one resource as FHIR XML.") from error
        return self._open[0].parts[0]

    def _doctype(self, *_: Any) -> None:
        raise InputError("this XML has a DOCTYPE, which FHIR XML has not. Leave it out.")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        space, _, local = name.rpartition(" ")
        if len(self._open) + self._inside > DEEPEST:
            raise InputError("this XML is nested too deep to be read. FHIR has no use for that.")
        plain = {key: value for key, value in attributes.items() if " " not in key}
        if self._inside or space == _XHTML:
            shown = {} if self._inside else {"xmlns": _XHTML}
            shown |= plain
            self._markup.append(f"<{local}{''.join(f' {key}={quoteattr(value)}' for key, value in shown.items())}>")
            self._inside += 1
            return
        if space != _FHIR:
            raise InputError(f"the element {local[:40]} is not in the namespace {_FHIR}. Put it there.")
        part = _Part(space, local, plain)
        self._open[-1].parts.append(part)
        self._open.append(part)

    def _end(self, name: str) -> None:
        if not self._inside:
            self._open.pop()
            return
        local = name.rpartition(" ")[2]
        self._markup.append(f"</{local}>")
        self._inside -= 1
        if not self._inside:
            self._open[-1].parts.append(_Part(_XHTML, local, {}, markup="".join(self._markup)))
            self._markup = []

    def _text(self, text: str) -> None:
        if self._inside:
            self._markup.append(escape(text))
        elif text.strip():
            raise InputError("there is text between the elements of this XML. FHIR has its values in attributes.")


def _resource(part: _Part, model: Model) -> Resource:
    node = model.root({"resourceType": part.name})
    if node is None or node.shape is None or part.markup is not None:
        raise InputError(f"{part.name[:40]} is no resource type of FHIR R4.")
    return {"resourceType": part.name} | _object(part, node.shape, model)


def _object(part: _Part, shape: tree.Element | None, model: Model) -> dict[str, Any]:
    """Return the JSON object of an element; ``shape`` describes its children, None where nothing does."""
    found: dict[str, Any] = dict(part.attributes)
    named: dict[str, list[_Part]] = {}
    for one in part.parts:
        named.setdefault(one.name, []).append(one)
    for key, these in named.items():
        known = shape.properties.get(key) if shape is not None else None
        made = [_value(one, known, model) for one in these]
        many = len(made) > 1 or (known is not None and known[0].is_array)
        for name, values in ((key, [value for value, _ in made]), (f"_{key}", [beside for _, beside in made])):
            if any(value is not None for value in values):
                found[name] = values if many else values[0]
    return found


def _value(part: _Part, known: tuple[tree.Element, tree.TypeRef | None] | None, model: Model) -> tuple[Any, Any]:
    """Return the JSON value of an element, and what stands beside it under ``_name``; None for what there is not."""
    if part.markup is not None:
        return part.markup, None
    if known is None:
        return (_object(part, None, model) if part.parts else part.attributes.get("value", part.attributes)), None
    child, ref = known
    code = ref.code if ref else (child.types[0].code if child.types else "BackboneElement")
    if code in PRIMITIVES:
        rest = _Part(part.space, part.name, {k: v for k, v in part.attributes.items() if k != "value"}, part.parts)
        beside = _object(rest, model.snapshots.type_tree("Element"), model)
        return _primitive(code, part.attributes.get("value")), beside or None
    if model.is_resource(code):
        if len(part.parts) != 1:
            raise InputError(f"{part.name} is to hold one resource.")
        return _resource(part.parts[0], model), None
    return _object(part, model.shape(child, ref), model), None


def _primitive(code: str, text: str | None) -> Any:
    """Return a value as JSON has it: text where it is not of the form that its type has, to be refused as such."""
    kind = PRIMITIVES[code].json
    if text is None or kind == "string":
        return text
    if kind == "boolean":
        return {"true": True, "false": False}.get(text, text)
    if _WHOLE.fullmatch(text):
        return int(text)
    return Decimal(text) if kind == "number" and _NUMBER.fullmatch(text) else text
