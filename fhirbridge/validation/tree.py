"""The tree of elements that a StructureDefinition's snapshot spells out as a list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fhirbridge.errors import ProfileError, Resource

UNBOUNDED = 1 << 30
STRUCTURES = "http://hl7.org/fhir/StructureDefinition/"
_FHIR_TYPE = STRUCTURES + "structuredefinition-fhir-type"
_PROFILE_ELEMENT = STRUCTURES + "elementdefinition-profile-element"


@dataclass(frozen=True, slots=True)
class TypeRef:
    """One type an element may have: its code, the profiles on it, and where a Reference may point and how."""

    code: str
    profiles: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    aggregation: tuple[str, ...] = ()
    versioning: str = ""


@dataclass
class Element:
    """One element of a snapshot with its children and slices; ``definition`` is the ElementDefinition."""

    definition: dict[str, Any]
    name: str
    slice_name: str | None = None
    children: dict[str, Element] = field(default_factory=dict)
    slices: dict[str, Element] = field(default_factory=dict)
    home: str = ""
    """URL of the StructureDefinition the element belongs to."""

    @property
    def path(self) -> str:
        return str(self.definition["path"])

    @property
    def id(self) -> str:
        return str(self.definition.get("id") or self.path)

    @cached_property
    def min(self) -> int:
        return int(self.definition.get("min", 0))

    @cached_property
    def max(self) -> int:
        return bound(self.definition.get("max", "*"))

    @cached_property
    def is_array(self) -> bool:
        """Whether JSON writes it as an array: what the type's own definition says, not the profile's."""
        return bound(self.definition.get("base", {}).get("max", self.definition.get("max", "1"))) > 1

    @cached_property
    def is_choice(self) -> bool:
        return self.name.endswith("[x]")

    @cached_property
    def types(self) -> tuple[TypeRef, ...]:
        if self.definition.get("base", {}).get("path", self.path) == "Resource.id":
            return (TypeRef("id"),)  # R4 publishes it as a string; its text and every validator say id
        return tuple(type_ref(t) for t in self.definition.get("type", ()))

    @cached_property
    def keys(self) -> dict[str, TypeRef | None]:
        """The JSON properties that carry this element, each with its type (None: by content reference)."""
        if self.is_choice:
            stem = self.name[:-3]
            return {stem + t.code[0].upper() + t.code[1:]: t for t in self.types}
        return {self.name: self.types[0] if self.types else None}

    @cached_property
    def properties(self) -> dict[str, tuple[Element, TypeRef | None]]:
        """JSON property of a child: the child and the type that the property's name says."""
        return {key: (child, ref) for child in self.children.values() for key, ref in child.keys.items()}

    @cached_property
    def holders(self) -> dict[str, str]:
        """JSON property of a child, or of its ``_`` sibling: the child's name."""
        return {name: child.name for child in self.children.values() for key in child.keys for name in (key, "_" + key)}

    @cached_property
    def limits(self) -> tuple[tuple[str, Any], ...]:
        """minValue[x] and maxValue[x]."""
        return tuple((k, v) for k, v in self.definition.items() if k.startswith(("minValue", "maxValue")))

    @cached_property
    def access(self) -> dict[str, list[tuple[str, str, Element, TypeRef | None]]]:
        """Child by FHIRPath name (``value`` for value[x]): its JSON properties, their ``_`` siblings, its types."""
        return {
            child.name.removesuffix("[x]"): [(key, "_" + key, child, ref) for key, ref in child.keys.items()]
            for child in self.children.values()
        }

    @cached_property
    def fixed(self) -> Any:
        return _prefixed(self.definition, "fixed")

    @cached_property
    def pattern(self) -> Any:
        return _prefixed(self.definition, "pattern")

    @cached_property
    def constraints(self) -> tuple[dict[str, Any], ...]:
        return tuple(self.definition.get("constraint", ()))

    @property
    def min_length(self) -> int:
        """The fewest characters a value may have: R4 says it in an extension."""
        told = (e for e in self.definition.get("extension", ()) if e.get("url") == STRUCTURES + "minLength")
        return next((int(e.get("valueInteger", 0)) for e in told), 0)

    @property
    def binding(self) -> dict[str, Any] | None:
        found = self.definition.get("binding")
        return found if isinstance(found, dict) and found.get("valueSet") else None

    @property
    def slicing(self) -> dict[str, Any] | None:
        return self.definition.get("slicing")

    def copy(self) -> Element:
        """Return a copy whose parts can be changed without changing this one."""
        children = {name: child.copy() for name, child in self.children.items()}
        slices = {name: child.copy() for name, child in self.slices.items()}
        return Element(dict(self.definition), self.name, self.slice_name, children, slices, self.home)

    def walk(self) -> Iterator[Element]:
        """Yield this element, what is below it, and its slices, in snapshot order."""
        yield self
        for child in self.children.values():
            yield from child.walk()
        for sliced in self.slices.values():
            yield from sliced.walk()


def bound(text: str) -> int:
    """Return an ElementDefinition.max as a number."""
    return UNBOUNDED if text == "*" else int(text)


def grow(structure: Resource) -> Element:
    """Build the tree of a snapshot. Raises ProfileError where an element has no parent."""
    url = str(structure.get("url", "?"))
    elements = structure.get("snapshot", {}).get("element", [])
    if not elements:
        raise ProfileError(f"{url} has no snapshot and no base to make one from.")
    root = Element(dict(elements[0]), elements[0]["path"], home=url)
    for definition in elements[1:]:
        place(root, definition, segments(definition, url), url)
    return root


def segments(definition: dict[str, Any], url: str) -> list[tuple[str, str | None]]:
    """Split an element's id (or path and sliceName) into (name, slice) steps below the root."""
    path = definition.get("path")
    if not isinstance(path, str) or not path:
        raise ProfileError(f"{url}: an element without a path.")
    steps = [tuple(step.partition(":")[::2]) for step in str(definition.get("id") or "").split(".")]
    names = path.split(".")
    if [name for name, _ in steps] != names:
        steps = [(name, "") for name in names]
        if definition.get("sliceName"):
            steps[-1] = (names[-1], definition["sliceName"])
    return [(name, sliced or None) for name, sliced in steps[1:]]


def place(root: Element, definition: dict[str, Any], steps: list[tuple[str, str | None]], url: str) -> None:
    """Hang one snapshot element where its id says."""
    at = root
    for name, sliced in steps[:-1]:
        following = at.children.get(name)
        if following is not None and sliced and following.slice_name != sliced:
            following = following.slices.get(sliced)
        if following is None:
            raise ProfileError(
                f"{url}: element {definition.get('id') or definition['path']} has no parent in the snapshot."
            )
        at = following
    name, sliced = steps[-1]
    element = Element(dict(definition), name, sliced, home=url)
    if sliced is None:
        at.children[name] = element
    elif name in at.children:
        at.children[name].slices[sliced] = element
    elif url.startswith(STRUCTURES):
        at.children[name] = element  # two profiles of R4 itself (catalog, familymemberhistory-genetic) forget the base
    else:
        raise ProfileError(f"{url}: slice {definition.get('id')} of an element that the snapshot lacks.")


def type_ref(given: dict[str, Any]) -> TypeRef:
    """Read one ``ElementDefinition.type``; FHIRPath's own types are taken for the FHIR types they stand for."""
    code = str(given.get("code", ""))
    if code.startswith("http://hl7.org/fhirpath/"):
        named = [
            e.get("valueUrl") or e.get("valueUri") for e in given.get("extension", ()) if e.get("url") == _FHIR_TYPE
        ]
        code = str(named[0]) if named else code.rpartition(".")[2].lower()
    elif code.startswith(STRUCTURES):
        code = code[len(STRUCTURES) :]
    targets = tuple(given.get("targetProfile", ()))
    return TypeRef(
        code, _profiles(given), targets, tuple(given.get("aggregation", ())), str(given.get("versioning", ""))
    )


def _profiles(given: dict[str, Any]) -> tuple[str, ...]:
    """Return the profiles on a type, each with the element meant (``url#id``) where only that of the profile counts."""
    found = list(given.get("profile", ()))
    for number, beside in enumerate(given.get("_profile", ())):
        told = beside.get("extension", ()) if isinstance(beside, dict) else ()
        part = next((e.get("valueString") for e in told if e.get("url") == _PROFILE_ELEMENT), None)
        if part and number < len(found) and found[number]:
            found[number] = f"{found[number]}#{part}"
    return tuple(found)


def _prefixed(definition: dict[str, Any], prefix: str) -> Any:
    for key, value in definition.items():
        if key.startswith(prefix) and key[len(prefix) :][:1].isupper():
            return value
    return None
