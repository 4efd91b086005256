"""Applies profiles: those that a resource claims or is asked to fit, and those of an element's type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fhirbridge.validation.tree import STRUCTURES

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.tree import Element, TypeRef
    from fhirbridge.validation.walker import Walker


def to_resource(walker: Walker, node: Node, profiles: Iterable[str]) -> None:
    """Check a resource against the profiles named, those its meta names, and its base type if none holds that."""
    applied = False
    everywhere = walker.snapshots.definitions.everywhere(node.type)
    for canonical in dict.fromkeys([*profiles, *_meta_profiles(node), *everywhere]):
        applied = _profile(walker, node, canonical) or applied
    if not applied:
        walker.profile = STRUCTURES + node.type
        tree = walker.snapshots.type_tree(node.type)
        if tree is not None:
            walker.against(node, tree)


def _profile(walker: Walker, node: Node, canonical: str) -> bool:
    """Check against one profile; tell whether that has checked the base type too."""
    tree = walker.snapshots.tree(canonical)
    walker.profile = canonical
    if tree is None:
        _unknown(walker, canonical, node.path)
        return False
    if tree.path not in (node.type, "Resource", "DomainResource"):
        text = f"{canonical} is a profile on {tree.path}, but this is a {node.type}."
        walker.error("invalid", "profile-type", text, node.path)
        return False
    walker.against(node, tree)
    return tree.path == node.type


def _meta_profiles(node: Node) -> list[str]:
    meta = node.value.get("meta")
    named = meta.get("profile") if isinstance(meta, dict) else None
    return [p for p in named if isinstance(p, str)] if isinstance(named, list) else []


def _unknown(walker: Walker, canonical: str, path: str, severity: str = "warning") -> None:
    text = f"The profile {canonical} is not loaded, so it was not checked."
    walker.error("not-found", "profile-unknown", text, path, "Load the package that defines it.", severity)


def to_value(walker: Walker, node: Node, ref: TypeRef, shape: Element) -> None:
    """Check a value against the profile of its element's type; of several it must conform to one.

    Where a profile demands another that is not loaded, conformance to it cannot be said. An unknown extension is let
    pass as it is anywhere else.
    """
    wanted = [p for p in ref.profiles if shape.home != p.partition("|")[0]]
    if len(ref.profiles) == 1 and wanted:
        tree = walker.snapshots.tree(wanted[0])
        if tree is None:
            severity = "warning" if node.type == "Extension" else "error"
            _unknown(walker, wanted[0], node.path, severity)
        else:
            walker.against(node, tree)
    elif len(ref.profiles) > 1:
        one_of(walker, node, ref.profiles)


def one_of(walker: Walker, node: Node, profiles: tuple[str, ...]) -> None:
    """Refuse a value that conforms to none of several profiles."""
    if not any(walker.conforms(node, profile) for profile in profiles):
        text = f"{node.path} conforms to none of {', '.join(profiles)}."
        walker.error("structure", "type-profile", text, node.path)
