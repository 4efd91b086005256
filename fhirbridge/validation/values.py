"""Checks single values: the format of primitives, fixed values, patterns, lengths and ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirbridge.validation import bindings
from fhirbridge.validation.matching import carries, same
from fhirbridge.validation.node import Node
from fhirbridge.validation.primitives import PRIMITIVES, problem, shown

if TYPE_CHECKING:
    from fhirbridge.validation.tree import Element
    from fhirbridge.validation.walker import Walker


def primitive(walker: Walker, node: Node, element: Element) -> bool:
    """Check a primitive's format, its extensions and its rules; tell whether its value can be looked at further."""
    if node.value is not None:
        wrong = problem(node.type, node.value)
        if wrong:
            walker.error(
                "value",
                f"type-{node.type}",
                f"{node.path}: {wrong}.",
                node.path,
                PRIMITIVES[node.type].remedy,
            )
            return False
        if isinstance(node.value, str) and node.value != node.value.strip() and node.type in ("string", "markdown"):
            walker.error(
                "value",
                "whitespace",
                f"{node.path} begins or ends with a space.",
                node.path,
                "Trim it.",
                "warning",
            )
    if node.ext is not None:
        shape = walker.snapshots.type_tree("xhtml" if node.type == "xhtml" else "Element")
        if shape is not None:
            walker.properties(Node(None, node.type, shape, node.path, node.ext), shape)
    if node.value is None and element.definition.get("base", {}).get("path") == "Resource.id":
        walker.error("required", "type-id", "A resource's id is a value; an extension cannot stand for it.", node.path)
    if node.value is None and not (isinstance(node.ext, dict) and node.ext.get("extension")):
        walker.error("invariant", "ele-1", f"{node.path} has neither a value nor an extension.", node.path)
    walker.constraints(node, element.constraints)
    return True


def check(walker: Walker, node: Node, element: Element) -> None:
    """Check a value against what its element fixes and limits."""
    if element.fixed is not None and not isinstance(element.fixed, dict) and node.ext is not None:
        _check_bare(walker, node, element)
    if node.value is None:
        return
    if element.fixed is not None and not same(element.fixed, node.value):
        walker.error(
            "value",
            "fixed",
            f"{element.id} must be {shown(element.fixed)}, not {shown(node.value)}.",
            node.path,
        )
    if element.pattern is not None and not carries(element.pattern, node.value):
        walker.error(
            "value",
            "pattern",
            f"{element.id} must carry {shown(element.pattern)}, but is {shown(node.value)}.",
            node.path,
        )
    limit = element.definition.get("maxLength")
    if limit and isinstance(node.value, str) and len(node.value) > limit:
        walker.error(
            "too-long",
            "max-length",
            f"{element.id} may have {limit} characters, has {len(node.value)}.",
            node.path,
        )
    shortest = element.min_length
    if shortest and isinstance(node.value, str) and len(node.value) < shortest:
        text = f"{element.id} must have {shortest} characters or more, has {len(node.value)}."
        walker.error("value", "min-length", text, node.path)
    bindings.check_range(walker, node, element)


def _check_bare(walker: Walker, node: Node, element: Element) -> None:
    """Refuse extensions on a value that is fixed: it must be exactly that value, and a fixed value has none."""
    if node.value is None or (isinstance(node.ext, dict) and "extension" in node.ext):
        text = f"{element.id} must be {shown(element.fixed)} and nothing else, but has an extension."
        walker.error("value", "fixed", text, node.path, "Take the extension away.")
