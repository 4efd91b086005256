"""Checks a StructureDefinition as a resource: against its base, its types, and what R4 says of extensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirbridge.errors import ProfileError
from fhirbridge.validation.questionnaires import listed
from fhirbridge.validation.tree import Element

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.walker import Walker

_ANY = ("Resource", "DomainResource", "Element", "BackboneElement")
_VALUES = ("fixed", "pattern")


def check(walker: Walker, node: Node) -> None:
    """Refuse a StructureDefinition that contradicts its base or itself."""
    try:
        walker.snapshots.check(node.value)
    except ProfileError as error:
        walker.error("business-rule", "differential", str(error), f"{node.path}.differential")
    except (AttributeError, KeyError, TypeError, ValueError, IndexError):
        return  # its bones are wrong, and that is said where they are looked at
    _check_kind(walker, node)
    _check_contexts(walker, node)
    _check_url(walker, node)
    base = _tree(walker, node.value.get("baseDefinition"))
    differential = node.value.get("differential")
    for number, definition in listed(differential, "element"):
        place = f"{node.path}.differential.element[{number}]"
        before = _found(base, str(definition.get("path", ""))) if base is not None else None
        _check_types(walker, definition, before, place)
        _check_value(walker, definition, before, place)


def _tree(walker: Walker, canonical: Any) -> Element | None:
    try:
        return walker.snapshots.tree(canonical) if isinstance(canonical, str) else None
    except ProfileError:
        return None


def _found(root: Element, path: str) -> Element | None:
    """Return the base's own element at a path, slices apart; None where it lies inside of a datatype."""
    at: Element | None = root
    for name in path.split(".")[1:]:
        at = at.children.get(name) if at is not None else None
    return at


def _check_kind(walker: Walker, node: Node) -> None:
    value = node.value
    base = walker.snapshots.definitions.structure(value["baseDefinition"]) if _names_base(value) else None
    if base is not None and value.get("derivation") == "constraint" and value.get("kind") != base.get("kind"):
        text = f"A profile on a {base.get('kind')} cannot be of the kind {value.get('kind')}."
        walker.error("business-rule", "sdf-kind", text, f"{node.path}.kind")
    if value.get("kind") == "logical" and value.get("derivation") == "specialization":
        type_ = value.get("type")
        if isinstance(type_, str) and ":" not in type_ and not walker.model.is_type(type_):
            text = f"{type_} is no type of R4: the type of a logical model is an absolute URL."
            walker.error("value", "sdf-kind", text, f"{node.path}.type")


def _names_base(value: dict[str, Any]) -> bool:
    return isinstance(value.get("baseDefinition"), str)


def _check_contexts(walker: Walker, node: Node) -> None:
    """Refuse contexts on what is no extension, and elements that no type has."""
    contexts = listed(node.value, "context")
    if contexts and node.value.get("type") != "Extension":
        text = f"Only an extension has a context, and this is a {node.value.get('type')}."
        walker.error("business-rule", "sdf-context", text, f"{node.path}.context[0]")
        return
    for number, context in contexts:
        expression = context.get("expression")
        if context.get("type") == "element" and isinstance(expression, str) and not _exists(walker, expression):
            text = f"No type of R4 has the element {expression}."
            walker.error("not-found", "sdf-context", text, f"{node.path}.context[{number}].expression")


def _exists(walker: Walker, path: str) -> bool:
    """Tell whether a path is that of a type's element; profiles' elements (with a URL) are not judged."""
    if ":" in path:
        return True
    names = path.split(".")
    if not walker.model.is_type(names[0]) and names[0] not in _ANY:
        return False
    at = walker.snapshots.type_tree(names[0])
    for name in names[1:]:
        shape = walker.snapshots.shape_of(at) if at is not None else None
        below = shape.children if shape is not None else {}
        at = below.get(name) or below.get(name + "[x]") or _choice(below, name)
    return at is not None


def _choice(below: dict[str, Element], name: str) -> Element | None:
    return next((child for child in below.values() if child.is_choice and name in child.keys), None)


def _check_url(walker: Walker, node: Node) -> None:
    """An extension's url is fixed to the URL of its definition."""
    if node.value.get("type") != "Extension" or node.value.get("derivation") != "constraint":
        return
    for number, definition in listed(node.value.get("differential"), "element"):
        fixed = definition.get("fixedUri")
        if definition.get("path") == "Extension.url" and isinstance(fixed, str) and fixed != node.value.get("url"):
            place = f"{node.path}.differential.element[{number}].fixedUri"
            text = f"The extension's url is fixed to {fixed}, but its definition is {node.value.get('url')}."
            walker.error("business-rule", "sdf-extension", text, place, "Make the two agree.")


def _check_types(walker: Walker, definition: dict[str, Any], before: Element | None, place: str) -> None:
    """The profiles of a type are profiles on that type, and targets are among the base's."""
    for number, given in listed(definition, "type"):
        code, path = given.get("code"), f"{place}.type[{number}]"
        for profile in _strings(given.get("profile")):
            found = walker.snapshots.definitions.structure(profile)
            if found is not None and code not in _ANY and found.get("type") != code:
                text = f"{profile} is a profile on {found.get('type')}, but the type here is {code}."
                walker.error("business-rule", "sdf-type", text, path)
        allowed = [t for ref in (before.types if before else ()) if ref.code == code for t in ref.targets]
        for target in _strings(given.get("targetProfile")):
            if allowed and not _narrows(walker, target, allowed):
                text = f"{target} is none of the targets that the base allows: {', '.join(allowed)}."
                walker.error("business-rule", "sdf-type", text, path)


def _narrows(walker: Walker, canonical: str, allowed: list[str]) -> bool:
    """Tell whether a profile is, or rests on, one of those allowed; where a base is not loaded, it may."""
    seen: set[str] = set()
    at: Any = canonical
    while isinstance(at, str) and at not in seen:
        seen.add(at)
        if at.partition("|")[0] in allowed:
            return True
        found = walker.snapshots.definitions.structure(at)
        if found is None:
            return True
        at = found.get("baseDefinition")
    return False


def _check_value(walker: Walker, definition: dict[str, Any], before: Element | None, place: str) -> None:
    """A fixed value or pattern is of one of the element's types."""
    codes = {str(given.get("code")) for _, given in listed(definition, "type")}
    codes = codes or {ref.code for ref in (before.types if before else ())}
    for key in definition:
        stem = next((stem for stem in _VALUES if key.startswith(stem)), "")
        kind = key[len(stem) :]
        if stem and codes and not any(kind == code[:1].upper() + code[1:] for code in map(_plain, codes)):
            text = f"{key} is of none of the types of {definition.get('path')}: {', '.join(sorted(codes))}."
            walker.error("business-rule", "sdf-value", text, f"{place}.{key}")


def _plain(code: str) -> str:
    """FHIRPath's types, of which ids and URLs are, by the name of FHIR's."""
    return code.rpartition("System.")[2] if code.startswith("http:") else code


def _strings(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
