"""Checks a FHIRPath expression against the types of R4 without running it: names that no element has, and the like.

Running an expression is lenient (a path that leads nowhere is empty); this is what finds an author's misspelling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fhirbridge.errors import ProfileError, Resource
from fhirbridge.validation.fhirpath.compiler import compile_tree
from fhirbridge.validation.fhirpath.grammar import Tree, parse
from fhirbridge.validation.node import Model
from fhirbridge.validation.primitives import PRIMITIVES
from fhirbridge.validation.tree import Element


@dataclass(frozen=True, eq=False)
class Kind:
    """One type an item may have: its name, and the element that describes its children (None: it has none)."""

    type: str
    shape: Element | None = None


Kinds = tuple[Kind, ...] | None
"""What an expression may find; None where nobody can tell."""

_SAME = frozenset(
    {
        *("where", "first", "last", "tail", "skip", "take", "single", "distinct", "trace", "intersect", "exclude"),
        *("sort", "combine", "union", "getValue"),
    }
)
_PER_ITEM = frozenset(["where", "select", "all", "exists", "repeat", "sort", "aggregate", "trace"])
_ORDERED = frozenset(["first", "last", "tail", "skip", "take"])
_UNORDERED = frozenset(["children", "descendants"])


def check(expression: str, model: Model, *starts: Element) -> None:
    """Raise ProfileError where an expression started at an element, any of several, cannot mean anything.

    A start is the root of a type or a profile, or an element within whose properties the expression names.
    """
    _check(expression, model, tuple(Kind(start.path.rpartition(".")[2], start) for start in starts))


def problems(model: Model, structure: Resource) -> Iterator[str]:
    """Yield, one sentence each, what is wrong with the invariants that a profile adds."""
    url = str(structure.get("url"))
    added = structure.get("differential", {}).get("element", ())
    keys = {rule.get("key") for element in added for rule in element.get("constraint", ())}
    root = model.snapshots.tree(url) if keys else None
    for element in root.walk() if root else ():
        for rule in element.constraints:
            if rule.get("key") in keys and rule.get("expression"):
                try:
                    _check(str(rule["expression"]), model, _kinds(model, element, root))
                except ProfileError as error:
                    yield f"{url}: invariant {rule['key']} of {element.id}: {error}"


def found(tree: Tree, expression: str, model: Model, this: Kinds) -> Kinds:
    """Return what a tree may find, started at one of these; raise ProfileError where it cannot mean anything."""
    return _Checker(model, expression).find(tree, this)


def _kinds(model: Model, element: Element, root: Element | None) -> tuple[Kind, ...]:
    if element is root:
        return (Kind(element.path, element),)
    leaf = model.snapshots.type_tree("Element")
    return tuple(
        Kind(ref.code if ref else element.name, leaf if ref and ref.code in PRIMITIVES else model.shape(element, ref))
        for ref in element.types or (None,)
    )


def _check(expression: str, model: Model, kinds: tuple[Kind, ...]) -> None:
    tree = parse(expression)
    compile_tree(tree)
    _Checker(model, expression).find(tree, kinds)


class _Checker:
    def __init__(self, model: Model, expression: str) -> None:
        self.model, self.expression = model, expression

    def find(self, tree: Tree, this: Kinds) -> Kinds:
        """Return what a tree may find, started at ``this``."""
        kind = tree[0]
        if kind == "path":
            return self._path(tree, this)
        if kind == "call":
            return self._call(tree, this)
        if kind == "index":
            self._ordered(tree[1], "[…]")
            self.find(tree[2], this)
            return self.find(tree[1], this)
        if kind in ("is", "as"):
            self.find(tree[1], this)
            return self._typed(tree[2]) if kind == "as" else (Kind("System.Boolean"),)
        if kind == "op":
            return self._operator(tree, this)
        if kind == "minus":
            return self.find(tree[1], this)
        if kind == "variable":
            return this if tree[1] == "$this" else None
        if kind == "literal":
            return (Kind("System.Boolean" if isinstance(tree[1], bool) else "System." + type(tree[1]).__name__),)
        return None

    def _fault(self, what: str) -> ProfileError:
        return ProfileError(f"FHIRPath {self.expression!r}: {what}.")

    def _path(self, tree: Tree, this: Kinds) -> Kinds:
        _, on, name = tree
        before = this if on is None else self.find(on, this)
        if on is None and name[:1].isupper() and self.model.is_type(name):
            if before is not None and not any(self._is(kind, name) for kind in before):
                raise self._fault(f"starts at {name}, but stands on {_named(before)}")
            return before
        if before is None:
            return None
        found = [kind for one in before for kind in self._children(one, name)]
        if (
            not found
            and before
            and not any(self.model.is_resource(kind.type) and kind.shape is None for kind in before)
        ):
            raise self._fault(f"{_named(before)} has no {name}")
        return tuple({(kind.type, id(kind.shape)): kind for kind in found}.values()) or None

    def _children(self, kind: Kind, name: str) -> list[Kind]:
        rows = kind.shape.access.get(name, ()) if kind.shape is not None else ()
        found = []
        for _, _, child, ref in rows:
            code = ref.code if ref is not None else "BackboneElement"
            if self.model.is_resource(code):
                found.append(Kind(code))
            else:
                shape = self._shape(code) if code in PRIMITIVES else self.model.shape(child, ref)
                found.append(Kind(code, shape))
        return found

    def _shape(self, code: str) -> Element | None:
        return self.model.snapshots.type_tree("Element" if code in PRIMITIVES else code)

    def _typed(self, name: str) -> Kinds:
        space, _, bare = name.rpartition(".")
        if space == "System" or not self.model.is_type(bare):
            return None
        return None if self.model.is_resource(bare) and bare.endswith("Resource") else (Kind(bare, self._shape(bare)),)

    def _is(self, kind: Kind, name: str) -> bool:
        if kind.type == name or name in ("Resource", "DomainResource", "Element", "BackboneElement"):
            return True
        return kind.type in ("Resource", "DomainResource")

    def _operator(self, tree: Tree, this: Kinds) -> Kinds:
        _, operator, left, right = tree
        one, two = self.find(left, this), self.find(right, this)
        if operator == "|":
            return None if one is None or two is None else one + two
        if operator in ("+", "-", "*", "/", "div", "mod", "&"):
            return None
        return (Kind("System.Boolean"),)

    def _call(self, tree: Tree, this: Kinds) -> Kinds:
        _, on, name, arguments = tree
        before = this if on is None else self.find(on, this)
        if name in _ORDERED and on is not None:
            self._ordered(on, f"{name}()")
        if name in ("ofType", "as"):
            return self._typed(arguments[0][1]) if arguments[0][0] == "type" else None
        if name == "extension":
            return (Kind("Extension", self._shape("Extension")),)
        inside = before if name in _PER_ITEM or (name == "iif" and on is not None) else this
        if name == "repeat":
            inside = None  # what it finds is its own input again
        found = [self.find(argument, inside) for argument in arguments if argument[0] != "type"]
        if name == "iif":
            return self._branches(found)
        if name == "select":
            return found[0]
        if name in ("union", "combine"):
            return None if before is None or found[0] is None else before + found[0]
        return before if name in _SAME else None

    def _branches(self, found: list[Kinds]) -> Kinds:
        test = found[0]
        if test and all(kind.type.startswith("System.") and kind.type != "System.Boolean" for kind in test):
            raise self._fault("iif() needs a Boolean to decide by")
        return None

    def _ordered(self, on: Tree, what: str) -> None:
        if on[0] == "call" and on[2] in _UNORDERED:
            raise self._fault(f"{what} on {on[2]}(), which has no order")


def _named(kinds: tuple[Kind, ...]) -> str:
    names = (kind.shape.path if kind.shape and kind.type == "BackboneElement" else kind.type for kind in kinds)
    return " or ".join(dict.fromkeys(names))
