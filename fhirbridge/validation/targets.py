"""Checks that a Reference points at something its element allows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fhirbridge.validation.primitives import shown
from fhirbridge.validation.references import literal_type
from fhirbridge.validation.tree import STRUCTURES, Element, TypeRef

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.walker import Walker

_ANY = ("Resource", "DomainResource")
_SPACE = re.compile(r"[\x00-\x20\xa0]")
_RELATIVE = re.compile(r"[^/?#:]+/.*")
_SEARCH = re.compile(r"[A-Za-z]+\?.*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


def check(walker: Walker, node: Node, ref: TypeRef, element: Element) -> None:
    """Check target type (from the literal URL, ``type``, contained or bundled resource) and target profile."""
    value = node.value
    if not isinstance(value, dict):
        return
    literal = value.get("reference")
    if isinstance(literal, str):
        _check_form(walker, node, ref, literal)
    found = walker.around.resolve(literal) if isinstance(literal, str) else None
    named = literal_type(literal) if isinstance(literal, str) else None
    meant = walker.around.misnamed(literal) if isinstance(literal, str) and found is None else None
    if named and meant and meant.get("resourceType") != named:
        text = f"{literal} means an entry that is a {meant.get('resourceType')}."
        walker.error("structure", "reference-type", text, f"{node.path}.reference", "Refer to the entry's fullUrl.")
    known = _known_types(walker, ref.targets)
    told = value.get("type") if isinstance(value.get("type"), str) else None
    if told and not _SCHEME.match(told) and not walker.model.is_resource(told):
        text = f"{shown(told)} is no type of resource."  # http://hl7.org/fhir/R4/references-definitions.html#Reference.type
        walker.error("value", "reference-type", text, f"{node.path}.type", "Write a type of FHIR R4, or leave it out.")
        return
    stated = found.get("resourceType") if found else None
    actual = stated if isinstance(stated, str) else named
    if told and actual and told != actual:
        walker.error(
            "structure",
            "reference-type",
            f"{node.path} says type {told}, but points at a {actual}.",
            f"{node.path}.type",
        )
    kind = actual or told
    if found is not None and known is None:
        _check_unknown(walker, node, ref, found)
    if kind is None or not ref.targets or known is None:
        return
    if kind not in known:
        allowed = ", ".join(sorted(known))
        walker.error(
            "structure",
            "reference-target",
            f"{element.id} may not point at a {kind}; allowed: {allowed}.",
            node.path,
        )
    elif found is not None:
        _check_profiles(walker, node, ref, element, found)


def _check_form(walker: Walker, node: Node, ref: TypeRef, literal: str) -> None:
    """Check that a literal is a URL, and of the kind that the element's aggregation and versioning allow."""
    if _SPACE.search(literal):
        walker.error(
            "value", "reference-format", f"{shown(literal)} is not a URL: it has a space.", f"{node.path}.reference"
        )
        return
    if walker.root.type == "Bundle" and not _leads_somewhere(walker, literal):
        text = f"{shown(literal)} is no reference that can be resolved in a Bundle."
        remedy = "Write Type/id, or the fullUrl of the entry that is meant."
        walker.error("value", "reference-format", text, f"{node.path}.reference", remedy)
        return
    held = walker.around.resolve(literal) is not None
    kinds = {"contained"} if literal.startswith("#") else {"referenced", "bundled"} if held else {"referenced"}
    if ref.aggregation and not kinds & set(ref.aggregation):
        text = f"{node.path} is {' and '.join(sorted(kinds))}, but must be {' or '.join(ref.aggregation)}."
        walker.error("structure", "reference-aggregation", text, node.path)
    versioned = "/_history/" in literal
    if (
        "contained" not in kinds
        and ref.versioning in ("specific", "independent")
        and versioned != (ref.versioning == "specific")
    ):
        wanted = "name a version" if ref.versioning == "specific" else "not name a version"
        walker.error("structure", "reference-version", f"{node.path} must {wanted}: {literal}.", node.path)


def _leads_somewhere(walker: Walker, literal: str) -> bool:
    """Tell whether a literal can be resolved in a Bundle (http://hl7.org/fhir/R4/bundle.html#references).

    Absolute, or relative to where the entry lives, as Type/id; in what a server is to do a search may stand for it.
    """
    if literal.startswith("#") or _SCHEME.match(literal) or _RELATIVE.fullmatch(literal):
        return True
    return walker.root.value.get("type") in ("transaction", "batch") and _SEARCH.fullmatch(literal) is not None


def _check_profiles(walker: Walker, node: Node, ref: TypeRef, element: Element, found: dict[str, object]) -> None:
    kind = found.get("resourceType")
    if any(t in (STRUCTURES + str(kind), *(STRUCTURES + a for a in _ANY)) for t in ref.targets):
        return
    target = walker.model.root(found, node.path)
    if target is None:
        return
    fits = any(walker.conforms(target, t) for t in ref.targets if _type_of(walker, t) == kind)
    if not fits:
        text = f"{element.id}: the {kind} it points at conforms to none of {', '.join(ref.targets)}."
        walker.error(
            "structure",
            "reference-profile",
            text,
            node.path,
            f"Validate that {kind} against the profile to see why.",
        )


def _check_unknown(walker: Walker, node: Node, ref: TypeRef, found: dict[str, object]) -> None:
    """Say that a target at hand cannot be judged, where a profile that it might conform to is not loaded."""
    types = {target: _type_of(walker, target) for target in ref.targets}
    missing = [target for target, type_ in types.items() if type_ is None]
    target = walker.model.root(found, node.path)
    if not missing or target is None or set(_ANY) & set(types.values()):
        return
    if not any(walker.conforms(target, canonical) for canonical, type_ in types.items() if type_ == target.type):
        text = f"The profile {missing[0]} is not loaded, so what {node.path} points at was not checked against it."
        walker.error("not-found", "profile-unknown", text, node.path, "Load the package that defines it.")


def _known_types(walker: Walker, targets: tuple[str, ...]) -> set[str] | None:
    """Return the resource types that target profiles allow; None where any is allowed or one is not loaded."""
    kinds = {_type_of(walker, target) for target in targets}
    return None if None in kinds or kinds & set(_ANY) else {str(kind) for kind in kinds}


def _type_of(walker: Walker, target: str) -> str | None:
    structure = walker.snapshots.definitions.structure(target)
    return str(structure["type"]) if structure and structure.get("type") else None


def check_canonical(walker: Walker, node: Node, ref: TypeRef, element: Element) -> None:
    """Refuse a canonical that leads to a loaded definition of a kind the element may not name."""
    known = _known_types(walker, ref.targets) if ref.targets else None
    found = walker.snapshots.definitions.kinds(node.value) if known is not None else set()
    if known is not None and found and not found & known:
        wanted, kind = " or ".join(sorted(known)), ", ".join(sorted(found))
        text = f"{element.id} may name a {wanted}, but {node.value} is a {kind}."
        walker.error("structure", "reference-target", text, node.path)
