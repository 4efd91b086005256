"""Checks rules that R4 states in words about definitions: code systems, value sets, maps, questionnaires, searches."""

# ruff: noqa: ARG001  (every rule takes the walker, whether it needs it or not, as in invariants.py)
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fhirbridge.errors import ProfileError
from fhirbridge.validation.datatype_rules import is_absolute
from fhirbridge.validation.fhirpath.check import check
from fhirbridge.validation.fhirpath.grammar import parse

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.walker import Walker


def count(walker: Walker, node: Node) -> bool:
    """Compare a complete CodeSystem's count with its concepts."""
    count = node.value.get("count")
    if node.value.get("content") != "complete" or not isinstance(count, int) or "concept" not in node.value:
        return True
    return count == sum(1 for _ in _concepts(node.value))


def _concepts(value: Any) -> Iterator[Any]:
    found = value.get("concept") if isinstance(value, dict) else None
    for concept in found if isinstance(found, list) else ():
        yield concept
        yield from _concepts(concept)


def supplement(walker: Walker, node: Node) -> bool:
    """Tell whether a CodeSystem that names what it supplements says so in its content, and the reverse."""
    return bool(node.value.get("content") == "supplement") is ("supplements" in node.value)


def absent(walker: Walker, node: Node) -> bool:
    """Tell whether a CodeSystem that says it is not here has no concepts."""
    return node.value.get("content") != "not-present" or "concept" not in node.value


def composite(walker: Walker, node: Node) -> bool:
    """Tell whether a composite SearchParameter has two components or more."""
    return node.value.get("type") != "composite" or len(_listed(node.value, "component")) > 1


def searched(walker: Walker, node: Node) -> bool:
    """Tell whether each part of a SearchParameter's expression finds something in one of its base types."""
    expression, bases = node.value.get("expression"), node.value.get("base")
    if not isinstance(expression, str) or not isinstance(bases, list):
        return True
    trees = [walker.snapshots.type_tree(base) for base in bases if isinstance(base, str)]
    known = [tree for tree in trees if tree is not None]
    if not known or len(known) < len(bases):
        return True
    try:
        check(expression, walker.model, *known)
    except ProfileError:
        return False
    return True


def included(walker: Walker, node: Node) -> bool:
    """Tell whether a ValueSet's systems are absolute and no value sets."""
    compose = node.value.get("compose")
    for part in ("include", "exclude") if isinstance(compose, dict) else ():
        for clause in _listed(compose, part):
            system = clause.get("system")
            if isinstance(system, str) and (not is_absolute(system) or walker.terminology.is_value_set(system)):
                return False
    return True


def mapped(walker: Walker, node: Node) -> bool:
    """Tell whether a ConceptMap's codes are in the systems that are loaded whole."""
    for group in _listed(node.value, "group"):
        for element in _listed(group, "element"):
            if _is_strange(walker, group.get("source"), element.get("code")):
                return False
            targets = _listed(element, "target")
            if any(_is_strange(walker, group.get("target"), target.get("code")) for target in targets):
                return False
    return True


def _is_strange(walker: Walker, system: Any, code: Any) -> bool:
    return isinstance(system, str) and isinstance(code, str) and walker.terminology.system_has(system, code) is False


def links(walker: Walker, node: Node) -> bool:
    """Tell whether every enableWhen of a Questionnaire names an item that is there."""
    items = list(_items(node.value))
    known = [item.get("linkId") for item in items]  # a list: what stands there need not be text
    return all(rule.get("question") in known for item in items for rule in _listed(item, "enableWhen"))


def _items(value: Any) -> Iterator[dict[str, Any]]:
    for item in _listed(value, "item"):
        yield item
        yield from _items(item)


def parsed(walker: Walker, node: Node) -> bool:
    """Tell whether a SearchParameter's expression is FHIRPath."""
    expression = node.value.get("expression")
    try:
        return not isinstance(expression, str) or bool(parse(expression))
    except ProfileError:
        return False


def _listed(value: Any, name: str) -> list[dict[str, Any]]:
    found = value.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
