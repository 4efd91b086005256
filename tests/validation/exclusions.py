"""Which cases the differential test sets apart: by what is in the case, before anybody's verdict is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fhirbridge.errors import Resource
from fhirbridge.validation import Validator
from fhirbridge.validation.bindings import limits
from fhirbridge.validation.formats import FORMATS
from fhirbridge.validation.node import Node
from fhirbridge.validation.references import Surroundings, literal_type, surroundings
from fhirbridge.validation.tree import STRUCTURES, Element, TypeRef

_ANY = frozenset({"Resource", "DomainResource"})

Place = tuple[Node, Element, TypeRef | None, Surroundings]
Rule = Callable[[Validator, Resource, Resource | None], bool]


def terminology(validator: Validator, case: Resource, origin: Resource | None) -> bool:
    """(a) A code was put where the binding is to MIME types, languages or currencies.

    HAPI cannot expand those value sets offline: their code systems (BCP 13, BCP 47, ISO 4217) are grammars or lists
    kept by others, of which R4 has no CodeSystem. An example as it was published is judged whole.
    """
    return origin is not None and not _open_codes(validator, case) <= _open_codes(validator, origin)


def known_to_differ(validator: Validator, case: Resource, origin: Resource | None) -> bool:
    """(b) What tests/hapi/README.md says that HAPI does not look at.

    A reference whose URL (or, without one, ``type``) names a type that its element may not point at, if the target is
    not at hand; and a markdown longer than its element's maxLength.
    """
    return any(_strays(validator, *place) or _too_long(*place) for place in _places(validator, case))


def _open_codes(validator: Validator, resource: Resource) -> set[tuple[str, str]]:
    found = set()
    for node, element, _, _ in _places(validator, resource):
        binding = element.binding or {}
        sets = limits(binding) + ([binding["valueSet"]] if binding.get("strength") == "required" else [])
        for expansion in filter(None, map(validator.terminology.expansion, sets)):
            if expansion.open & FORMATS.keys():
                found |= {(element.path, code) for code in _codes(node.value)}
    return found


def _codes(value: Any) -> Iterator[str]:
    """Yield every text in a code, Coding or CodeableConcept: systems and texts too, so that more is apart, not less."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _codes(inner)


def _strays(validator: Validator, node: Node, element: Element, ref: TypeRef | None, around: Surroundings) -> bool:
    if node.type != "Reference" or not isinstance(node.value, dict) or ref is None or not ref.targets:
        return False
    literal = node.value.get("reference")
    named = literal_type(literal) if isinstance(literal, str) else node.value.get("type")
    if not isinstance(named, str) or (isinstance(literal, str) and around.resolve(literal) is not None):
        return False
    kinds = {(validator.definitions.structure(target) or {}).get("type") for target in ref.targets}
    return not kinds & {named, None, *_ANY}


def _too_long(node: Node, element: Element, ref: TypeRef | None, around: Surroundings) -> bool:
    limit = element.definition.get("maxLength")
    return bool(limit) and node.type == "markdown" and isinstance(node.value, str) and len(node.value) > limit


def _places(validator: Validator, resource: Any) -> Iterator[Place]:
    """Yield every value of a resource with its element, under its type and under each profile it names."""
    root = validator.model.root(resource) if isinstance(resource, dict) else None
    if root is None:
        return
    meta = resource.get("meta")
    named = meta.get("profile") if isinstance(meta, dict) else None
    for canonical in [STRUCTURES + root.type, *(named if isinstance(named, list) else ())]:
        tree = validator.snapshots.tree(canonical) if isinstance(canonical, str) else None
        if tree is not None and tree.path == root.type:
            shaped = Node(resource, root.type, tree, root.path)
            yield from _below(validator, shaped, surroundings(resource))


def _below(validator: Validator, node: Node, around: Surroundings) -> Iterator[Place]:
    content = node.ext if node.is_primitive else node.value
    if node.shape is None or not isinstance(content, dict):
        return
    for element in node.shape.children.values():
        for key, ref in element.keys.items():
            for item in validator.model.items(content, key, element, ref, node):
                yield item, element, ref, around
                bundled = isinstance(item.value, dict) and id(item.value) in around.urls
                inner = _defined(validator, item)
                yield from _below(validator, inner, around.within(item.value) if bundled else around)


def _defined(validator: Validator, item: Node) -> Node:
    """Return an extension under the definition that its URL names, where that is loaded; anything else as it is."""
    url = item.value.get("url") if item.type == "Extension" and isinstance(item.value, dict) else None
    structure = validator.definitions.structure(url) if isinstance(url, str) else None
    if structure is None or structure.get("type") != "Extension":
        return item
    return Node(item.value, "Extension", validator.snapshots.tree(str(url)), item.path)
