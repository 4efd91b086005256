"""A value in a resource together with its type and place: what the walker checks and FHIRPath navigates."""

from __future__ import annotations

from typing import Any

from fhirbridge.validation.primitives import PRIMITIVES
from fhirbridge.validation.snapshot import Snapshots
from fhirbridge.validation.tree import Element, TypeRef

_RESOURCES = frozenset({"Resource", "DomainResource"})


class Node:
    """``value`` is None for a primitive that has only extensions; ``ext`` is the content of its ``_name`` sibling.

    ``shape`` is the element whose children describe the value's properties (None for a primitive with no
    extensions to look at); ``path`` is the FHIRPath location.
    """

    __slots__ = ("_above", "_path", "ext", "shape", "type", "value")

    def __init__(
        self,
        value: Any,
        type_: str,
        shape: Element | None,
        path: str,
        ext: Any = None,
        above: Node | None = None,
    ) -> None:
        self.value = value
        self.ext = ext
        self.type = type_
        self.shape = shape
        self._path = path
        self._above = above

    @property
    def path(self) -> str:
        """The FHIRPath location, put together only when somebody asks (most nodes are never reported)."""
        if self._above is not None:
            self._path, self._above = f"{self._above.path}.{self._path}", None
        return self._path

    @property
    def is_primitive(self) -> bool:
        return self.type in PRIMITIVES

    def __repr__(self) -> str:
        return f"<{self.type} {self.path}>"


class Model:
    """Makes nodes: knows which type every property has. One per set of definitions."""

    def __init__(self, snapshots: Snapshots) -> None:
        self.snapshots = snapshots
        self._shapes: dict[tuple[int, str], Element | None] = {}
        self._keep: list[Element] = []
        self._resources: dict[str, bool] = {}
        self._types: dict[str, bool] = {}

    def root(self, resource: dict[str, Any], path: str = "") -> Node | None:
        """Return the node of a resource, or None if its resourceType is not a resource type of R4."""
        kind = resource.get("resourceType")
        if not isinstance(kind, str) or not kind[:1].isupper():
            return None
        structure = self.snapshots.definitions.structure("http://hl7.org/fhir/StructureDefinition/" + kind)
        if structure is None or structure.get("kind") != "resource" or structure.get("abstract"):
            return None
        return Node(resource, kind, self.snapshots.type_tree(kind), path or kind)

    def is_resource(self, code: str) -> bool:
        """Tell whether a type code names a resource type, abstract ones included."""
        if code not in self._resources:
            structure = self.snapshots.definitions.structure("http://hl7.org/fhir/StructureDefinition/" + code)
            self._resources[code] = code in _RESOURCES or (structure or {}).get("kind") == "resource"
        return self._resources[code]

    def is_type(self, code: str) -> bool:
        """Tell whether a name is that of a type of R4: a resource, a datatype or a primitive."""
        if code not in self._types:
            structure = self.snapshots.definitions.structure("http://hl7.org/fhir/StructureDefinition/" + code)
            self._types[code] = structure is not None and structure.get("derivation") != "constraint"
        return self._types[code]

    def shape(self, element: Element, ref: TypeRef | None) -> Element | None:
        """Return the element that describes an element's properties, given the type it has here."""
        key = (id(element), ref.code if ref else "")
        if key not in self._shapes:
            self._keep.append(element)
            self._shapes[key] = self.snapshots.shape_of(element, ref)
        return self._shapes[key]

    def node(self, value: Any, ext: Any, element: Element, ref: TypeRef | None, step: str, above: Node) -> Node:
        """Return the node for one value of an element; ``step`` is its part of the path below ``above``."""
        code = ref.code if ref else _own_type(element)
        if code in PRIMITIVES:
            shape = self.snapshots.type_tree("Element") if ext is not None else None
            return Node(value, code, shape, step, ext, above)
        if isinstance(value, dict) and "resourceType" in value and self.is_resource(code):
            found = self.root(value, f"{above.path}.{step}")
            if found is not None:
                return found
        return Node(value, code, self.shape(element, ref), step, None, above)

    def children(self, node: Node, name: str | None = None) -> list[Node]:
        """Return the nodes of one child element by its FHIRPath name (``value`` for value[x]), or of all."""
        shape = node.shape
        if shape is None:
            return []
        content = node.ext if node.type in PRIMITIVES else node.value
        if content.__class__ is not dict:
            return []
        rows = (
            shape.access.get(name, ()) if name is not None else [row for rows in shape.access.values() for row in rows]
        )
        found: list[Node] = []
        for key, sibling, child, ref in rows:
            if key in content or sibling in content:
                found += self.items(content, key, child, ref, node)
        return found

    def items(self, content: dict[str, Any], key: str, child: Element, ref: TypeRef | None, above: Node) -> list[Node]:
        """Return the nodes of one JSON property, each array item with its counterpart in the ``_name`` sibling."""
        value, ext = content.get(key), content.get("_" + key)
        if value.__class__ is not list and ext.__class__ is not list:
            return [] if value is None and ext is None else [self.node(value, ext, child, ref, key, above)]
        values = value if isinstance(value, list) else []
        exts = ext if isinstance(ext, list) else []
        found: list[Node] = []
        for number in range(max(len(values), len(exts))):
            one = values[number] if number < len(values) else None
            other = exts[number] if number < len(exts) else None
            if one is not None or other is not None:
                found.append(self.node(one, other, child, ref, f"{key}[{number}]", above))
        return found


def _own_type(element: Element) -> str:
    return element.types[0].code if element.types else "BackboneElement"
