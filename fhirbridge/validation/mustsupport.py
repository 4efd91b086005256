"""Which elements that a profile marks mustSupport were never there in the resources seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fhirbridge.errors import ProfileError, Resource
from fhirbridge.validation import slicing
from fhirbridge.validation.node import Node
from fhirbridge.validation.references import surroundings
from fhirbridge.validation.tree import Element
from fhirbridge.validation.validator import Validator
from fhirbridge.validation.walker import Walker


@dataclass(slots=True)
class Seen:
    """One profile: how many resources were of it, and which of its mustSupport elements none of them had."""

    resources: int = 0
    missing: list[str] = field(default_factory=list)


class MustSupport:
    """Looks at resources one after the other and remembers, per profile, what has not been met yet."""

    def __init__(self, validator: Validator) -> None:
        self._validator = validator
        self.profiles: dict[str, Seen] = {}

    def look(self, resource: Resource, profiles: Iterable[str] = ()) -> None:
        """Note what a resource has of each profile: those given and, in Bundle entries too, those its meta names."""
        for canonical in dict.fromkeys([*profiles, *_meta_profiles(resource)]):
            self._against(resource, canonical)
        entries = resource.get("entry") if resource.get("resourceType") == "Bundle" else None
        for entry in entries if isinstance(entries, list) else ():
            inner = entry.get("resource") if isinstance(entry, dict) else None
            if isinstance(inner, dict):
                self.look(inner)

    def merge(self, others: dict[str, Seen]) -> None:
        """Add what was seen elsewhere: missing is what was missing here and there."""
        for canonical, other in others.items():
            seen = self.profiles.setdefault(canonical, Seen(missing=other.missing))
            seen.resources += other.resources
            seen.missing = [one for one in seen.missing if one in other.missing]

    def as_dict(self) -> list[dict[str, Any]]:
        """Return what is missing, for reports."""
        return [
            {"profile": url, "resources": seen.resources, "neverPresent": seen.missing}
            for url, seen in sorted(self.profiles.items())
        ]

    def _against(self, resource: Resource, canonical: str) -> None:
        try:
            tree = self._validator.snapshots.tree(canonical)
        except ProfileError:
            return  # validating says so
        root = self._validator.model.root(resource)
        if tree is None or root is None or tree.path != root.type:
            return
        if canonical not in self.profiles:
            marked = dict.fromkeys(e.id for e in tree.walk() if e.definition.get("mustSupport") is True)
            self.profiles[canonical] = Seen(missing=list(marked))
        seen = self.profiles[canonical]
        seen.resources += 1
        if seen.missing:
            met: set[str] = set()
            walker = Walker(self._validator.model, self._validator.terminology, surroundings(resource), root)
            _visit(walker, Node(resource, root.type, tree, root.type), tree, met)
            seen.missing = [one for one in seen.missing if one not in met]


def _visit(walker: Walker, node: Node, element: Element, met: set[str]) -> None:
    """Note the element, then what is below it as far as the profile itself goes."""
    met.add(element.id)
    content = node.value
    if not isinstance(content, dict):
        return
    for child in element.children.values():
        items = [
            item
            for key, ref in child.keys.items()
            if key in content or "_" + key in content
            for item in walker.model.items(content, key, child, ref, node)
        ]
        if not items:
            continue
        met.add(child.id)
        assigned = _assigned(walker, child, items) if child.slices else {}
        for item in items:
            for rules in [child, *assigned.get(id(item), ())]:
                _visit(walker, item, rules, met)


def _assigned(walker: Walker, child: Element, items: list[Node]) -> dict[int, list[Element]]:
    """Return each item's slices; what slicing finds wrong is the validator's to tell."""
    found: dict[int, list[Element]] = {}
    walker.quiet(lambda quiet: found.update(slicing.check(quiet, child, items, "")))
    return found


def _meta_profiles(resource: Resource) -> list[str]:
    meta = resource.get("meta")
    named = meta.get("profile") if isinstance(meta, dict) else None
    return [one for one in named if isinstance(one, str)] if isinstance(named, list) else []
