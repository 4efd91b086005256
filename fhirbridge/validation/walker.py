"""Walks a resource beside its profile and explains every rule it breaks; the authority on what is valid."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fhirbridge.errors import ProfileError
from fhirbridge.validation import (
    applied,
    bindings,
    by_type,
    extensions,
    invariants,
    slicing,
    structure,
    targets,
    values,
)
from fhirbridge.validation.node import Model, Node
from fhirbridge.validation.outcome import Issue
from fhirbridge.validation.primitives import PRIMITIVES, shown
from fhirbridge.validation.references import Surroundings
from fhirbridge.validation.terminology import Terminology
from fhirbridge.validation.tree import Element, TypeRef

MAX_DEPTH = 100
RESOURCES = frozenset({"Resource", "DomainResource"})


class Walker:
    """One validation of one resource. ``issues`` grows as it goes; ``quiet`` sub-walks only answer yes or no."""

    def __init__(self, model: Model, terminology: Terminology, around: Surroundings, root: Node) -> None:
        self.model = model
        self.snapshots = model.snapshots
        self.terminology = terminology
        self.around = around
        self.root = root
        self.resource_node = root
        self.anchor = root
        """Where extension contexts are read from: the root, or the resource a reference led to."""
        self.issues: list[Issue] = []
        self.profile = ""
        self.element = ""
        """Id of the element being looked at, its slice named."""
        self.visiting: set[tuple[int, str]] = set()
        self.depth = 0

    def error(self, code: str, rule: str, text: str, path: str, remedy: str = "", severity: str = "error") -> None:
        """Note one finding under the profile being applied."""
        self.issues.append(Issue(severity, code, rule, text, path, self.profile, remedy, self.element))

    def quiet(self, check: Callable[[Walker], None]) -> bool:
        """Run a check aside and tell whether it found no error."""
        kept, self.issues = self.issues, []
        profile, element = self.profile, self.element
        try:
            check(self)
            return not any(issue.severity == "error" for issue in self.issues)
        finally:
            self.issues, self.profile, self.element = kept, profile, element

    def conforms(self, node: Node, canonical: str) -> bool:
        """Tell whether a node conforms to a profile; one already being looked at does (cycles end there)."""
        mark = (id(node.value), canonical)
        if mark in self.visiting:
            return True
        tree = self.snapshots.tree(canonical)
        if tree is None:
            return True
        self.visiting.add(mark)
        kept = self.anchor, self.resource_node, self.around
        if isinstance(node.value, dict) and "resourceType" in node.value:
            node = Node(node.value, node.type, node.shape, node.type)
            self.around = self.around.of(node.value)
            self.anchor = self.resource_node = node
        try:
            return self.quiet(lambda walker: walker.against(node, tree))
        finally:
            self.visiting.discard(mark)
            self.anchor, self.resource_node, self.around = kept

    def resource(self, value: Any, path: str, profiles: Iterable[str] = (), around: Surroundings | None = None) -> None:
        """Check a resource against its base type, the profiles named, and the known ones its meta names."""
        node = self.model.root(value, path) if isinstance(value, dict) else None
        if node is None:
            structure.not_a_resource(self, value, path)
            return
        kept = self.around, self.profile, self.resource_node
        self.around, self.resource_node = around or self.around, node
        by_type.check(self, node)
        applied.to_resource(self, node, profiles)
        self.around, self.profile, self.resource_node = kept

    def against(self, node: Node, tree: Element) -> None:
        """Check a node against the root of a type or profile."""
        kept, self.profile = (self.profile, self.element), tree.home or self.profile
        self.element = tree.id
        shaped = Node(node.value, node.type, tree, node.path, node.ext)
        self.properties(shaped, tree)
        self.constraints(shaped, tree.constraints)
        self.profile, self.element = kept

    def properties(self, node: Node, shape: Element) -> None:
        """Check the properties of an object, or of a primitive's ``_name`` sibling, one by one."""
        content = node.ext if node.is_primitive else node.value
        if not isinstance(content, dict):
            self.error("structure", "object", f"{node.path} must be a JSON object, not {shown(content)}.", node.path)
            return
        if not content:
            self.error("structure", "ele-1", f"{node.path} is an empty object.", node.path, "Leave the element out.")
            return
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.error("too-long", "depth", f"Nested more than {MAX_DEPTH} deep.", node.path, severity="error")
        else:
            structure.unknown(self, node, content, shape)
            kept = self.element
            there = {shape.holders.get(key) for key in content}
            for child in shape.children.values():
                if child.name in there or child.min or child.slices:  # nothing can be wrong with any other
                    self.element = child.id
                    self._child(node, content, child)
            self.element = kept
        self.depth -= 1

    def _child(self, node: Node, content: dict[str, Any], child: Element) -> None:
        items: list[Node] = []
        present = 0
        for key, ref in child.keys.items():
            if key in content or "_" + key in content:
                present += 1
                if structure.well_shaped(self, content, key, child, ref, node.path):
                    items.extend(self.model.items(content, key, child, ref, node))
        if child.is_choice and present > 1:
            named = ", ".join(k for k in child.keys if k in content or "_" + k in content)
            self.error(
                "structure",
                "choice-type",
                f"{child.path} may be there once, but is: {named}.",
                f"{node.path}.{child.name[:-3]}",
            )
        count = max(len(items), 1 if present else 0)
        structure.cardinality(self, count, child, f"{node.path}.{child.name}", child.id)
        if not items:
            if child.slices:
                slicing.check(self, child, [], node.path)
            return
        assigned = slicing.check(self, child, items, node.path) if child.slices else {}
        for item in items:
            for rules in assigned.get(id(item)) or [child]:
                self.element = rules.id
                self.item(item, rules)

    def item(self, node: Node, element: Element) -> None:
        """Check one value of an element: type, content, and every rule the element carries."""
        ref = next((t for t in element.types if t.code == node.type or t.code in RESOURCES), None)
        if ref is None and element.types and not self._special(element):
            allowed = ", ".join(dict.fromkeys(t.code for t in element.types))
            self.error(
                "structure",
                "type",
                f"{element.id} may not be a {node.type} here; allowed: {allowed}.",
                node.path,
            )
            return
        if node.type in PRIMITIVES:
            fine = values.primitive(self, node, element)
        elif ref is not None and self.model.is_resource(ref.code):
            self._nested_resource(node, ref)
            fine = isinstance(node.value, dict)
        else:
            fine = self._complex(node, element, ref)
        if not fine:
            return  # a value of the wrong JSON type has been refused; its content says nothing
        values.check(self, node, element)
        bindings.check(self, node, element)
        if node.type == "Reference" and ref is not None:
            targets.check(self, node, ref, element)
        elif node.type == "canonical" and ref is not None and isinstance(node.value, str):
            targets.check_canonical(self, node, ref, element)

    def _special(self, element: Element) -> bool:
        return element.types[0].code in ("Element", "BackboneElement")

    def _nested_resource(self, node: Node, ref: TypeRef) -> None:
        around = None
        if not node.path.rpartition(".")[2].startswith("contained"):
            around = self.around.within(node.value)
        choice = ref.profiles if len(ref.profiles) > 1 else ()
        self.resource(node.value, node.path, () if choice else ref.profiles, around)
        if choice and isinstance(node.value, dict):
            applied.one_of(self, node, choice)

    def _complex(self, node: Node, element: Element, ref: TypeRef | None) -> bool:
        shape = self.model.shape(element, ref)
        if shape is None:
            self.error(
                "not-supported",
                "type-unknown",
                f"The type {node.type} is not loaded, so {node.path} was not checked.",
                node.path,
            )
            return False
        shaped = Node(node.value, node.type, shape, node.path)
        self.properties(shaped, shape)
        if not isinstance(node.value, dict):
            return False
        type_root = self.snapshots.type_tree(node.type)
        rules = [
            *element.constraints,
            *(shape.constraints if shape is not element else ()),
            *(type_root.constraints if type_root else ()),
        ]
        self.constraints(shaped, {rule["key"]: rule for rule in rules}.values())
        if ref is not None:
            applied.to_value(self, shaped, ref, shape)
        if node.type == "Extension":
            extensions.check(self, shaped, element, shape)
        return True

    def constraints(self, node: Node, rules: Iterable[dict[str, Any]]) -> None:
        """Check the invariants that stand on a node."""
        for rule in rules:
            try:
                passed = invariants.passes(self, node, rule)
            except ProfileError as error:
                self.error("exception", rule["key"], f"{rule['key']} could not be evaluated: {error}", node.path)
                continue
            if not passed:
                severity = invariants.severity(rule)
                kept, self.profile = self.profile, rule.get("source") or self.profile
                self.error(
                    "invariant",
                    rule["key"],
                    f"{rule['key']}: {rule.get('human', rule.get('expression'))}",
                    node.path,
                    severity=severity,
                )
                self.profile = kept
