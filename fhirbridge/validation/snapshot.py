"""Generates snapshots from differentials (https://hl7.org/fhir/R4/profiling.html) and refuses broken profiles."""

from __future__ import annotations

import threading
from typing import Any

from fhirbridge.errors import ProfileError, Resource
from fhirbridge.validation import stated
from fhirbridge.validation.differential import Steps, forget, merge, relabel, sliceness, told, with_steps
from fhirbridge.validation.packages import Definitions
from fhirbridge.validation.tree import STRUCTURES, Element, TypeRef, grow, segments


class Snapshots:
    """Trees of elements for any StructureDefinition, generated when first asked for.

    ``problems`` lists what a profile's author should mend although it can be used, one sentence each.
    """

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.problems: list[str] = []
        self._trees: dict[str, Element] = {}
        self._making: list[str] = []
        self._lock = threading.RLock()

    def tree(self, canonical: str) -> Element | None:
        """Return the root element for a canonical URL, or None if nothing by that name is loaded.

        Raises ProfileError, naming the element, where the profile contradicts its base.
        """
        found = self._trees.get(canonical)
        if found is not None:
            return found
        with self._lock:  # or another thread's half-made profile would look like a circle
            return self._trees.get(canonical) or self._begin(canonical)

    def _begin(self, canonical: str) -> Element | None:
        structure = self.definitions.structure(canonical)
        if structure is None:
            return None
        url, _, part = canonical.partition("#")
        if part:
            whole = self.tree(url)
            return next((element for element in whole.walk() if element.id == part), whole) if whole else None
        if canonical in self._making:
            raise ProfileError(f"{canonical} is circular: {' → '.join([*self._making, canonical])}.")
        self._making.append(canonical)
        try:
            tree = self._make(structure)
            stated.add(tree, is_resource=structure.get("kind") == "resource" and tree.path != "Resource")
            self._trees[canonical] = tree
        finally:
            self._making.pop()
        return self._trees[canonical]

    def made(self) -> list[str]:
        """Return the canonical URLs of the trees made so far."""
        return list(self._trees)

    def type_tree(self, code: str) -> Element | None:
        """Return the root element of a base type by its name (``Quantity``, ``Observation``)."""
        return self.tree(code if ":" in code else STRUCTURES + code)

    def check(self, structure: Resource) -> None:
        """Raise ProfileError, naming the element, where a StructureDefinition contradicts its (loaded) base."""
        base = structure.get("baseDefinition")
        loaded = isinstance(base, str) and self.definitions.structure(base) is not None
        if structure.get("derivation") == "constraint" and loaded and isinstance(structure.get("url"), str):
            self._make({key: value for key, value in structure.items() if key != "snapshot"})

    def snapshot(self, canonical: str) -> Resource | None:
        """Return the StructureDefinition with its snapshot filled in."""
        tree = self.tree(canonical)
        structure = self.definitions.structure(canonical)
        if tree is None or structure is None:
            return None
        return {**structure, "snapshot": {"element": [told(element) for element in tree.walk()]}}

    def _make(self, structure: Resource) -> Element:
        url = str(structure["url"])
        differential = structure.get("differential", {}).get("element", [])
        if structure.get("derivation") != "constraint" or not differential:
            if "snapshot" in structure or structure.get("derivation") != "constraint":
                return grow(structure)
        elif "snapshot" in structure and url.startswith(STRUCTURES):
            return grow(structure)
        base_url = structure.get("baseDefinition")
        base = self.tree(base_url) if base_url else None
        if base is None or base_url is None:
            raise ProfileError(f"{url}: its base {base_url} is not loaded. Load the package that defines it.")
        if structure.get("type") != base.path:
            raise ProfileError(f"{url}: type {structure.get('type')} differs from its base's type {base.path}.")
        root = base.copy()
        for element in root.walk():
            element.home = url
        self._note_order(url, root, differential)
        work = [(self._normal(root, segments(d, url)), d) for d in with_steps(differential)]
        for steps, definition in sorted(work, key=lambda item: sliceness(item[0])):
            self._apply(url, root, steps, definition)
        relabel(root, root.path, root.path)
        return root

    def _apply(self, url: str, root: Element, steps: Steps, definition: dict[str, Any]) -> None:
        label = str(definition.get("id") or definition["path"])
        at = root
        for name, sliced in steps:
            self._unfold(at, label)
            found = at.children.get(name)
            if found is None:
                raise ProfileError(f"{url}: element {label} does not exist: {at.path} has no {name}.")
            at = self._slice(url, found, sliced, label) if sliced else found
        if definition["path"].split(".")[0] != root.path:
            raise ProfileError(f"{url}: element {label} does not exist in a {root.path}.")
        merge(url, label, at, definition, self.problems)

    def _slice(self, url: str, element: Element, sliced: str, label: str) -> Element:
        """Find or begin a slice; a reslice (``a/b``) begins as a copy of the slice it divides."""
        if sliced in element.slices:
            return element.slices[sliced]
        ancestor = element.slices.get(sliced.rpartition("/")[0], element)
        if element.is_choice and not element.slicing:
            element.definition["slicing"] = {
                "discriminator": [{"type": "type", "path": "$this"}],
                "ordered": False,
                "rules": "open",
            }
        elif not element.slicing and element.definition.get("type", [{}])[0].get("code") == "Extension":
            element.definition["slicing"] = {
                "discriminator": [{"type": "value", "path": "url"}],
                "ordered": False,
                "rules": "open",
            }
        elif not element.slicing and not ancestor.slicing:
            raise ProfileError(
                f"{url}: element {label} is a slice, but {element.path} has no slicing. Say the discriminator."
            )
        begun = ancestor.copy()
        begun.slices, begun.slice_name = {}, sliced
        begun.definition.pop("slicing", None)
        begun.definition["sliceName"] = sliced
        begun.definition["min"] = 0
        if element.is_choice:
            self._choose_type(element, begun, sliced)
        element.slices[sliced] = begun
        return begun

    def _choose_type(self, element: Element, begun: Element, sliced: str) -> None:
        stem = element.name[:-3]
        kept = [t for t in element.definition.get("type", []) if sliced == stem + t["code"][0].upper() + t["code"][1:]]
        if kept:
            begun.definition["type"] = kept
            forget(begun)

    def _unfold(self, element: Element, label: str) -> None:
        """Give an element the children that its type (or content reference) defines, so they can be constrained."""
        if element.children:
            return
        source = self.shape_of(element)
        if source is None:
            raise ProfileError(f"{element.home}: element {label} goes into {element.path}, whose type cannot be told.")
        if element.home and source.path.split(".")[0] == source.path and element.path == source.path:
            return
        element.children = {name: child.copy() for name, child in source.children.items()}
        for child in element.children.values():
            for below in child.walk():
                below.home = element.home

    def shape_of(self, element: Element, ref: TypeRef | None = None) -> Element | None:
        """Return the element whose children describe this one: itself, its content reference, or its type."""
        if element.children:
            return self._overlaid(element, ref) if ref and element.is_choice and len(element.types) > 1 else element
        reference = element.definition.get("contentReference")
        if reference:
            return self._referenced(str(reference))
        refs = [ref] if ref else list(element.types)
        profiles = {p for r in refs for p in r.profiles}
        if len(refs) == 1 and len(profiles) == 1:
            tree = self.tree(profiles.pop())
            if tree is not None:
                return tree
        codes = {r.code for r in refs}
        return self.type_tree(codes.pop() if len(codes) == 1 else "Element")

    def _overlaid(self, element: Element, ref: TypeRef) -> Element:
        """One type of a choice of which a profile says what all its types have (``value[x].extension``)."""
        whole = self.type_tree(ref.code)
        if whole is None:
            return element
        shape = whole.copy()
        shape.children |= element.children
        return shape

    def _referenced(self, reference: str) -> Element | None:
        """Follow ``#Observation.referenceRange`` to the base type's element (not to a profile's)."""
        path = reference.rpartition("#")[2]
        at = self.type_tree(path.split(".")[0])
        for name in path.split(".")[1:]:
            at = at.children.get(name) if at else None
        return at

    def _normal(self, root: Element, steps: Steps) -> Steps:
        """Rewrite ``valueQuantity`` as the slice ``value[x]:valueQuantity`` wherever the tree says it is a choice."""
        at: Element | None = root
        done: Steps = []
        for name, sliced in steps:
            shape = self.shape_of(at) if at is not None else None
            child = shape.children.get(name) if shape else None
            if shape is not None and child is None and sliced is None:
                for choice in shape.children.values():
                    if choice.is_choice and name in choice.keys:
                        name, sliced, child = choice.name, name, choice
                        break
            done.append((name, sliced))
            at = child
            if child is not None and sliced:
                at = child.slices.get(sliced, _narrowed(child, sliced))
        return done

    def _note_order(self, url: str, root: Element, differential: list[dict[str, Any]]) -> None:
        """Flag a differential that leaves the base's order: HAPI's snapshot generator silently drops such elements."""
        order = {element.path: number for number, element in enumerate(root.walk()) if element.slice_name is None}
        latest = -1
        for definition in differential:
            path = str(definition.get("path"))
            position = order.get(path)
            if position is None or definition.get("sliceName") or ":" in str(definition.get("id")):
                continue
            if position < latest:
                self.problems.append(f"{url}: {path} stands after elements that follow it in the base; HAPI drops it.")
            latest = max(latest, position)


def _narrowed(choice: Element, sliced: str) -> Element:
    """A choice as one of its types, to look further down a path."""
    ref = choice.keys.get(sliced)
    if ref is None:
        return choice
    return Element(
        {**choice.definition, "type": [{"code": ref.code, "profile": list(ref.profiles)}]},
        choice.name,
        home=choice.home,
    )
