"""Checks extensions: their URL, the profile it names, and whether they may stand where they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirbridge.validation.primitives import PRIMITIVES
from fhirbridge.validation.tree import Element

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.walker import Walker

EXTENSION = "http://hl7.org/fhir/StructureDefinition/Extension"


def check(walker: Walker, node: Node, element: Element, shape: Element) -> None:
    """Check one extension that its element's slices have not already bound to a profile."""
    url = node.value.get("url") if isinstance(node.value, dict) else None
    if not isinstance(url, str):
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
        return
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
    contexts = structure.get("context")
    if not contexts:
        return
    places = _places(walker, _above(node.path))
    if not any(_fits(context, places) for context in contexts):
        allowed = ", ".join(str(c.get("expression")) for c in contexts)
        here = " / ".join(sorted(p for p in places if p[:1].isupper()))
        walker.error(
            "structure",
            "extension-context",
            f"{url} may not be used on {here}; allowed on: {allowed}.",
            node.path,
        )


def _fits(context: dict[str, Any], places: set[str]) -> bool:
    kind, expression = context.get("type"), str(context.get("expression", ""))
    if kind == "extension":
        return "extension:" + expression in places
    if kind != "element":
        return True  # a FHIRPath context is not evaluated here; refusing what we did not check would be worse
    return expression.partition("#")[2] in places if "#" in expression else expression in places


def _above(path: str) -> str:
    return path.rpartition(".")[0]


def _places(walker: Walker, path: str) -> set[str]:
    """Return every name for the element that carries an extension: its path, its type and what they specialise."""
    steps = path[len(walker.anchor.path) :].strip(".").split(".") if path != walker.anchor.path else []
    node = walker.anchor
    places: set[str] = set()
    names = [walker.anchor.type]
    for step in steps:
        key, _, _ = step.partition("[")
        found = None
        for child in walker.model.children(node):
            if child.path == f"{node.path}.{step}":
                found = child
                break
        if found is None:
            return {"Element"}
        if "resourceType" in (found.value if isinstance(found.value, dict) else {}):
            names = [found.type]
        else:
            stem = next((c.name for c in (node.shape.children.values() if node.shape else ()) if key in c.keys), key)
            base = [found.type] if node.type not in ("BackboneElement", "Element") and node.type[:1].isupper() else []
            names = [f"{n}.{s}" for n in names for s in {stem, key, stem.removesuffix("[x]")}]
            if base and node.type not in names:
                names += [f"{node.type}.{s}" for s in {stem, key, stem.removesuffix("[x]")}]
        if found.type == "Extension":
            places = {"extension:" + str(found.value.get("url"))} if isinstance(found.value, dict) else set()
        node = found
    places |= {*names, node.type}
    if isinstance(node.value, dict) and "resourceType" in node.value:
        places |= {"Resource", "DomainResource"}
    else:
        places |= {"Element"} | ({"BackboneElement"} if node.type == "BackboneElement" else set())
    if node.type in PRIMITIVES:
        places |= {_PARENTS.get(node.type, node.type)}
    if node.type in _PARENTS:
        places.add(_PARENTS[node.type])
    return places


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
