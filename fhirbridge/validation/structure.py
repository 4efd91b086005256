"""Checks a JSON object's bones before its values: unknown properties, arrays, nulls, cardinality."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from fhirbridge.validation.primitives import PRIMITIVES, shown
from fhirbridge.validation.tree import STRUCTURES, Element, TypeRef

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.walker import Walker


def unknown(walker: Walker, node: Node, content: dict[str, Any], shape: Element) -> None:
    """Refuse properties that the type has not, and types that a choice may not have here."""
    for key in content:
        if key in shape.properties:
            continue
        if key == "resourceType" and node.type == content[key] and walker.model.root(content):
            continue
        told = shape.properties.get(key[1:]) if key.startswith("_") else None
        if told is not None and told[1] is not None and told[1].code in PRIMITIVES:
            continue
        path = f"{node.path}.{key}"
        choice = next(
            (c for c in shape.children.values() if c.is_choice and key.lstrip("_").startswith(c.name[:-3])),
            None,
        )
        if choice is not None:
            allowed = ", ".join(choice.keys)
            walker.error(
                "structure",
                "choice-type",
                f"{choice.path} may not be {key} here; allowed: {allowed}.",
                path,
            )
            continue
        near = difflib.get_close_matches(key, shape.properties, 1)
        remedy = f"Did you mean {near[0]}?" if near else "Remove it, or say it in an extension."
        walker.error("structure", "unknown-element", f"{shape.path} has no element {key}.", path, remedy)


def cardinality(walker: Walker, count: int, element: Element, path: str, label: str) -> None:
    """Compare how often an element (or slice) is there with its min and max."""
    if element.min <= count <= element.max:
        return
    kept, walker.element = walker.element, label
    if count < element.min:
        walker.error(
            "required",
            "min",
            f"{label} must be there at least {element.min} time(s), found {count}.",
            path,
            f"Add {label}." if element.fixed is None else f"Add {label}: {shown(element.fixed)}.",
        )
    if count > element.max:
        wording = (
            "must not be there" if element.max == 0 else f"may be there at most {element.max} time(s), found {count}"
        )
        walker.error("structure", "max", f"{label} {wording}.", path, "Remove it." if element.max == 0 else "")
    walker.element = kept


def well_shaped(
    walker: Walker, content: dict[str, Any], key: str, child: Element, ref: TypeRef | None, above: str
) -> bool:
    """Check array against object, emptiness and nulls before anything looks inside."""
    fine = True
    primitive = ref is not None and ref.code in PRIMITIVES
    for name in (key, "_" + key):
        if name not in content:
            continue
        value, path = content[name], f"{above}.{name}"
        if value is None:
            walker.error("structure", "null", f"{path} is null.", path, "Leave the property out.")
        elif child.is_array != isinstance(value, list):
            wanted, got = ("a JSON array", "a single value") if child.is_array else ("a single value", "a JSON array")
            walker.error("structure", "array", f"{path} must be {wanted}, not {got}.", path)
        elif value == []:
            walker.error("structure", "array", f"{path} is an empty array.", path, "Leave the property out.")
        else:
            fine = _no_stray_nulls(walker, content, name, key, primitive, path) and fine
            continue
        fine = False
    return fine


def _no_stray_nulls(walker: Walker, content: dict[str, Any], name: str, key: str, primitive: bool, path: str) -> bool:
    """A null in an array stands only where the sibling array (``_name``) has something."""
    value = content[name]
    if not isinstance(value, list) or None not in value:
        return True
    other = content.get("_" + key if name == key else key)
    fine = True
    for number, item in enumerate(value):
        paired = isinstance(other, list) and number < len(other) and other[number] is not None
        if item is None and not (primitive and paired):
            walker.error(
                "structure",
                "null",
                f"{path}[{number}] is null.",
                f"{path}[{number}]",
                "Leave the item out.",
            )
            fine = False
    return fine


def not_a_resource(walker: Walker, value: Any, path: str) -> None:
    """Say why a value is not a resource of R4."""
    kind = value.get("resourceType") if isinstance(value, dict) else None
    if kind is None:
        walker.error(
            "structure",
            "resource-type",
            "A resource is a JSON object with a resourceType.",
            path or "Resource",
        )
        return
    known = [u[len(STRUCTURES) :] for u in walker.snapshots.definitions.urls() if u.startswith(STRUCTURES)]
    near = difflib.get_close_matches(str(kind), [k for k in known if k[:1].isupper()], 1)
    remedy = f"Did you mean {near[0]}?" if near else ""
    walker.error(
        "structure",
        "resource-type",
        f"{shown(kind)} is not a resource type of FHIR R4.",
        path or "Resource",
        remedy,
    )
