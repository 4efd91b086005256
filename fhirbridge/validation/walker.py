"""Walks a resource beside its profile and explains every rule it breaks; the authority on what is valid."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

from fhirbridge.errors import ProfileError
from fhirbridge.validation import bindings, extensions, invariants, slicing, structure, targets
from fhirbridge.validation.matching import carries, same
from fhirbridge.validation.node import Model, Node
from fhirbridge.validation.outcome import Issue
from fhirbridge.validation.primitives import PRIMITIVES, problem, shown
from fhirbridge.validation.references import Surroundings
from fhirbridge.validation.terminology import Terminology
from fhirbridge.validation.tree import STRUCTURES, Element, TypeRef

MAX_DEPTH = 100
BEST_PRACTICE = STRUCTURES + "elementdefinition-bestpractice"
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
        self.visiting: set[tuple[int, str]] = set()
        self.depth = 0

    def error(self, code: str, rule: str, text: str, path: str, remedy: str = "", severity: str = "error") -> None:
        """Note one finding under the profile being applied."""
        self.issues.append(Issue(severity, code, rule, text, path, self.profile, remedy))

    def quiet(self, check: Callable[[Walker], None]) -> bool:
        """Run a check aside and tell whether it found no error."""
        kept, self.issues = self.issues, []
        profile = self.profile
        try:
            check(self)
            return not any(issue.severity == "error" for issue in self.issues)
        finally:
            self.issues, self.profile = kept, profile

    def conforms(self, node: Node, canonical: str) -> bool:
        """Tell whether a node conforms to a profile; one already being looked at does (cycles end there)."""
        mark = (id(node.value), canonical)
        if mark in self.visiting:
            return True
        tree = self.snapshots.tree(canonical)
        if tree is None:
            return True
        self.visiting.add(mark)
        kept = self.anchor, self.resource_node
        if isinstance(node.value, dict) and "resourceType" in node.value:
            node = Node(node.value, node.type, node.shape, node.type)
            self.anchor = self.resource_node = node
        try:
            return self.quiet(lambda walker: walker.against(node, tree))
        finally:
            self.visiting.discard(mark)
            self.anchor, self.resource_node = kept

    def resource(self, value: Any, path: str, profiles: Iterable[str] = (), around: Surroundings | None = None) -> None:
        """Check a resource against its base type, the profiles named, and the known ones its meta names."""
        node = self.model.root(value, path) if isinstance(value, dict) else None
        if node is None:
            self._not_a_resource(value, path)
            return
        kept = self.around, self.profile, self.resource_node
        self.around, self.resource_node = around or self.around, node
        applied = False
        for canonical in dict.fromkeys([*profiles, *self._meta_profiles(node)]):
            applied = self._profile(node, canonical) or applied
        if not applied:
            self.profile = STRUCTURES + node.type
            tree = self.snapshots.type_tree(node.type)
            if tree is not None:
                self.against(node, tree)
        self.around, self.profile, self.resource_node = kept

    def against(self, node: Node, tree: Element) -> None:
        """Check a node against the root of a type or profile."""
        kept, self.profile = self.profile, tree.home or self.profile
        shaped = Node(node.value, node.type, tree, node.path, node.ext)
        self._properties(shaped, tree)
        self._constraints(shaped, tree.constraints)
        self.profile = kept

    def _profile(self, node: Node, canonical: str) -> bool:
        tree = self.snapshots.tree(canonical)
        self.profile = canonical
        if tree is None:
            self.error(
                "not-found",
                "profile-unknown",
                f"The profile {canonical} is not loaded, so it was not checked.",
                node.path,
                "Load the package that defines it.",
                "warning",
            )
            return False
        if tree.path not in (node.type, "Resource", "DomainResource"):
            self.error(
                "invalid",
                "profile-type",
                f"{canonical} is a profile on {tree.path}, but this is a {node.type}.",
                node.path,
            )
            return False
        self.against(node, tree)
        return tree.path == node.type

    def _meta_profiles(self, node: Node) -> list[str]:
        meta = node.value.get("meta")
        named = meta.get("profile") if isinstance(meta, dict) else None
        return [p for p in named if isinstance(p, str)] if isinstance(named, list) else []

    def _not_a_resource(self, value: Any, path: str) -> None:
        kind = value.get("resourceType") if isinstance(value, dict) else None
        if kind is None:
            self.error(
                "structure",
                "resource-type",
                "A resource is a JSON object with a resourceType.",
                path or "Resource",
            )
            return
        known = [u[len(STRUCTURES) :] for u in self.snapshots.definitions.urls() if u.startswith(STRUCTURES)]
        near = difflib.get_close_matches(str(kind), [k for k in known if k[:1].isupper()], 1)
        remedy = f"Did you mean {near[0]}?" if near else ""
        self.error(
            "structure",
            "resource-type",
            f"{shown(kind)} is not a resource type of FHIR R4.",
            path or "Resource",
            remedy,
        )

    def _properties(self, node: Node, shape: Element) -> None:
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
            for child in shape.children.values():
                self._child(node, content, child)
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
            fine = self._primitive(node, element)
        elif ref is not None and self.model.is_resource(ref.code):
            self._nested_resource(node, ref)
            fine = isinstance(node.value, dict)
        else:
            fine = self._complex(node, element, ref)
        if not fine:
            return  # a value of the wrong JSON type has been refused; its content says nothing
        self._values(node, element)
        bindings.check(self, node, element)
        if node.type == "Reference" and ref is not None:
            targets.check(self, node, ref, element)

    def _special(self, element: Element) -> bool:
        return element.types[0].code in ("Element", "BackboneElement")

    def _primitive(self, node: Node, element: Element) -> bool:
        if node.value is not None:
            wrong = problem(node.type, node.value)
            if wrong:
                self.error(
                    "value",
                    f"type-{node.type}",
                    f"{node.path}: {wrong}.",
                    node.path,
                    PRIMITIVES[node.type].remedy,
                )
                return False
            if isinstance(node.value, str) and node.value != node.value.strip() and node.type in ("string", "markdown"):
                self.error(
                    "value",
                    "whitespace",
                    f"{node.path} begins or ends with a space.",
                    node.path,
                    "Trim it.",
                    "warning",
                )
        if node.ext is not None:
            shape = self.snapshots.type_tree("Element")
            if shape is not None:
                self._properties(Node(None, node.type, shape, node.path, node.ext), shape)
        if node.value is None and not (isinstance(node.ext, dict) and node.ext.get("extension")):
            self.error("invariant", "ele-1", f"{node.path} has neither a value nor an extension.", node.path)
        self._constraints(node, element.constraints)
        return True

    def _nested_resource(self, node: Node, ref: TypeRef) -> None:
        around = None
        if node.path.rpartition(".")[2] == "resource" and self.around.entries:
            around = self.around.within(node.value)
        self.resource(node.value, node.path, ref.profiles, around)

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
        self._properties(shaped, shape)
        if not isinstance(node.value, dict):
            return False
        type_root = self.snapshots.type_tree(node.type)
        rules = [
            *element.constraints,
            *(shape.constraints if shape is not element else ()),
            *(type_root.constraints if type_root else ()),
        ]
        self._constraints(shaped, {rule["key"]: rule for rule in rules}.values())
        if ref is not None:
            self._type_profiles(shaped, ref, shape)
        if node.type == "Extension":
            extensions.check(self, shaped, element, shape)
        return True

    def _type_profiles(self, node: Node, ref: TypeRef, shape: Element) -> None:
        wanted = [p for p in ref.profiles if shape.home != p.partition("|")[0]]
        if len(ref.profiles) == 1 and wanted:
            tree = self.snapshots.tree(wanted[0])
            if tree is None:
                self.error(
                    "not-found",
                    "profile-unknown",
                    f"The profile {wanted[0]} is not loaded, so it was not checked.",
                    node.path,
                    "Load the package that defines it.",
                    "warning",
                )
            else:
                self.against(node, tree)
        elif len(ref.profiles) > 1 and not any(self.conforms(node, p) for p in ref.profiles):
            self.error(
                "structure",
                "type-profile",
                f"{node.path} conforms to none of {', '.join(ref.profiles)}.",
                node.path,
            )

    def _values(self, node: Node, element: Element) -> None:
        if node.value is None:
            return
        if element.fixed is not None and not same(element.fixed, node.value):
            self.error(
                "value",
                "fixed",
                f"{element.id} must be {shown(element.fixed)}, not {shown(node.value)}.",
                node.path,
            )
        if element.pattern is not None and not carries(element.pattern, node.value):
            self.error(
                "value",
                "pattern",
                f"{element.id} must carry {shown(element.pattern)}, but is {shown(node.value)}.",
                node.path,
            )
        limit = element.definition.get("maxLength")
        if limit and isinstance(node.value, str) and len(node.value) > limit:
            self.error(
                "too-long",
                "max-length",
                f"{element.id} may have {limit} characters, has {len(node.value)}.",
                node.path,
            )
        bindings.check_range(self, node, element)

    def _constraints(self, node: Node, rules: Iterable[dict[str, Any]]) -> None:
        for rule in rules:
            try:
                passed = invariants.passes(self, node, rule)
            except ProfileError as error:
                self.error("exception", rule["key"], f"{rule['key']} could not be evaluated: {error}", node.path)
                continue
            if not passed:
                severity = "information" if _is_best_practice(rule) else str(rule.get("severity", "error"))
                kept, self.profile = self.profile, rule.get("source") or self.profile
                self.error(
                    "invariant",
                    rule["key"],
                    f"{rule['key']}: {rule.get('human', rule.get('expression'))}",
                    node.path,
                    severity=severity,
                )
                self.profile = kept


def _is_typed(key: str, stem: str) -> bool:
    name = key.lstrip("_")
    return name.startswith(stem) and name[len(stem) :][:1].isupper()


def _is_best_practice(rule: dict[str, Any]) -> bool:
    """Whether a rule is advice (``dom-6``, a narrative for everything): told as information, as HAPI does."""
    extensions = rule.get("extension", ())
    return any(e.get("url") == BEST_PRACTICE and e.get("valueBoolean") is True for e in extensions)
