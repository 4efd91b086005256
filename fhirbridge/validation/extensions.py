"""Checks extensions: their URL, the profile it names, and whether they may stand where they do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fhirbridge.errors import ProfileError
from fhirbridge.validation.fhirpath import evaluate
from fhirbridge.validation.primitives import PRIMITIVES
from fhirbridge.validation.tree import STRUCTURES, Element

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.walker import Walker

_TYPED = re.compile(r"\.value[A-Z]\w*")
EXTENSION = "http://hl7.org/fhir/StructureDefinition/Extension"


MENDED = {
    STRUCTURES + "structuredefinition-fhir-type": {"ElementDefinition.type"},
    STRUCTURES + "regex": {"ElementDefinition.type"},
    STRUCTURES + "structuredefinition-normative-version": {"DomainResource", "ElementDefinition"},
}
"""Places where R4 itself uses its extensions though their contexts name others; later versions put that right."""


def check(walker: Walker, node: Node, element: Element, shape: Element) -> None:
    """Check one extension that its element's slices have not already bound to a profile."""
    url = node.value.get("url") if isinstance(node.value, dict) else None
    if not isinstance(url, str):
        if isinstance(node.value, dict) and "url" not in node.value and "_url" in node.value:
            text = "An extension's url is a value; an extension cannot stand for it."
            walker.error("required", "extension-url", text, f"{node.path}.url", "Say which extension it is.")
        return
    modifier = element.name == "modifierExtension"
    nested = (
        ".extension[" in node.path
        and _above(node.path).endswith("]")
        and ".extension[" in _above(node.path)[-len("extension[000]") - 1 :]
    )
    if ":" not in url:
        if not nested:
            walker.error("structure", "extension-url", f"The extension URL {url} is not absolute.", f"{node.path}.url")
        elif element.slice_name is None and element.slices and element.path.startswith("Extension."):
            text = f"{element.home} has no part {url}; it has {', '.join(element.slices)}."
            walker.error("structure", "extension-url", text, f"{node.path}.url")
        return
    if "|" in url:
        text = f"The extension URL {url} carries a version."
        walker.error("structure", "extension-url", text, f"{node.path}.url", "Name the extension without a version.")
    structure = walker.snapshots.definitions.structure(url)
    if structure is None:
        if element.slice_name is None:
            _unknown(walker, node, url, modifier)
        return
    if structure.get("type") != "Extension":
        walker.error(
            "structure",
            "extension-url",
            f"{url} is not an extension but a {structure.get('type')}.",
            f"{node.path}.url",
        )
        return
    tree = walker.snapshots.tree(url)
    if tree is not None and shape.home != tree.home:
        walker.against(node, tree)
    if tree is not None:
        _check_modifier(walker, node, tree, modifier, url)
    _check_context(walker, node, structure, url)


def _unknown(walker: Walker, node: Node, url: str, modifier: bool) -> None:
    if modifier:
        text = f"The modifier extension {url} is not known, so what it changes cannot be understood."
        walker.error("extension", "extension-unknown", text, node.path, "Load the package that defines it.", "warning")
    else:
        walker.error(
            "extension",
            "extension-unknown",
            f"The extension {url} is not known and was not checked.",
            node.path,
            "Load the package that defines it.",
            "information",
        )


def _check_modifier(walker: Walker, node: Node, tree: Element, modifier: bool, url: str) -> None:
    if bool(tree.definition.get("isModifier")) != modifier:
        right = "modifierExtension" if tree.definition.get("isModifier") else "extension"
        walker.error("structure", "extension-modifier", f"{url} must be in {right}.", node.path)


def _check_context(walker: Walker, node: Node, structure: dict[str, Any], url: str) -> None:
    contexts, invariants = structure.get("context"), structure.get("contextInvariant", ())
    if not contexts and not invariants:
        return
    carrier, places = _places(walker, _above(node.path))
    for expression in invariants:
        if carrier is not None and not _holds(walker, carrier, _about(expression, url)):
            text = f"{url} may not be used here: {expression} is not true."
            walker.error("structure", "extension-context", text, node.path)
    if MENDED.get(url, set()) & places:
        return
    if contexts and not any(_fits(walker, context, places, _above(node.path)) for context in contexts):
        allowed = ", ".join(str(c.get("expression")) for c in contexts)
        here = " / ".join(sorted(p for p in places if p[:1].isupper()))
        walker.error(
            "structure",
            "extension-context",
            f"{url} may not be used on {here}; allowed on: {allowed}.",
            node.path,
        )


def _fits(walker: Walker, context: dict[str, Any], places: set[str], above: str) -> bool:
    kind, expression = context.get("type"), str(context.get("expression", ""))
    if kind == "extension":
        return "extension:" + expression in places
    if kind == "fhirpath":
        try:
            found = evaluate.evaluate(expression, walker.resource_node, walker)
        except ProfileError:
            return False
        return any(getattr(item, "path", None) == above for item in found)
    return expression.partition("#")[2] in places if "#" in expression else expression in places


def _about(expression: str, url: str) -> str:
    """Write what R4's context invariants say of the extension itself (``%extension.valueInteger``) as FHIRPath."""
    return _TYPED.sub(".value", expression.replace("%extension", f"extension.where(url = '{url}')"))


def _holds(walker: Walker, carrier: Node, expression: str) -> bool:
    try:
        return evaluate.holds(expression, carrier, walker)
    except ProfileError:
        return False


def _above(path: str) -> str:
    return path.rpartition(".")[0]


def _places(walker: Walker, path: str) -> tuple[Node | None, set[str]]:
    """Return the element that carries an extension and all its names: path, type and what they specialise."""
    steps = path[len(walker.anchor.path) :].strip(".").split(".") if path != walker.anchor.path else []
    node = walker.anchor
    places: set[str] = set()
    names = _lineage(walker.anchor.type)
    for step in steps:
        key, _, _ = step.partition("[")
        found = None
        for child in walker.model.children(node):
            if child.path == f"{node.path}.{step}":
                found = child
                break
        if found is None:
            return None, {"Element"}
        if "resourceType" in (found.value if isinstance(found.value, dict) else {}):
            names = _lineage(found.type)
        else:
            rule = next((c for c in (node.shape.children.values() if node.shape else ()) if key in c.keys), None)
            stem = rule.name if rule else key
            base = [found.type] if node.type not in ("BackboneElement", "Element") and node.type[:1].isupper() else []
            names = [f"{n}.{s}" for n in names for s in {stem, key, stem.removesuffix("[x]")}]
            if base and node.type not in names:
                names += [f"{node.type}.{s}" for s in {stem, key, stem.removesuffix("[x]")}]
            reference = rule.definition.get("contentReference") if rule else None
            names += [reference.rpartition("#")[2]] if reference else []  # item.item is an item
        if found.type == "Extension":
            places = {"extension:" + str(found.value.get("url"))} if isinstance(found.value, dict) else set()
        node = found
    places |= {*names, node.type}
    places |= {"Element"}  # which stands for every place, resources too
    if isinstance(node.value, dict) and "resourceType" in node.value:
        places |= {"Resource", "DomainResource"}
    elif node.type == "BackboneElement":
        places |= {"BackboneElement"}
    if node.type in PRIMITIVES:
        places |= {_PARENTS.get(node.type, node.type)}
    if node.type in _PARENTS:
        places.add(_PARENTS[node.type])
    return node, places


def _lineage(type_: str) -> list[str]:
    """Return a resource type's name and those of the types that it specialises."""
    return [type_, "Resource"] if type_ in _NO_DOMAIN else [type_, "DomainResource", "Resource"]


_NO_DOMAIN = frozenset({"Bundle", "Binary", "Parameters"})
_PARENTS = {
    "code": "string",
    "id": "string",
    "markdown": "string",
    "canonical": "uri",
    "url": "uri",
    "oid": "uri",
    "uuid": "uri",
    "unsignedInt": "integer",
    "positiveInt": "integer",
    "Age": "Quantity",
    "Count": "Quantity",
    "Distance": "Quantity",
    "Duration": "Quantity",
    "Timing": "BackboneElement",
    "Dosage": "BackboneElement",
    "ElementDefinition": "BackboneElement",
}
