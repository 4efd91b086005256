"""Says an invariant as JSON Schema where it is only about presence, constants and filters, in three-valued logic.

``_logic(tree, shape, wanted)`` accepts exactly the objects on which the expression is ``wanted`` (true or false);
where it is empty, neither accepts. None means that JSON Schema cannot say it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from fhirbridge.validation.fhirpath.grammar import Tree, parse
from fhirbridge.validation.node import Model
from fhirbridge.validation.primitives import PRIMITIVES
from fhirbridge.validation.tree import Element

Schema = dict[str, Any] | bool
Inner = Callable[[Element | None], "Schema | None"]
"""What must hold of an item, given the shape that describes it (None for a primitive)."""

_LIMITS = {"<": "exclusiveMaximum", "<=": "maximum", ">": "exclusiveMinimum", ">=": "minimum"}
_NUMBERS = frozenset({"decimal", "integer", "unsignedInt", "positiveInt"})
_PLAIN_REGEX = re.compile(
    r"\^(?:(?:\[(?:[a-z](?:-z)?|[A-Z](?:-Z)?|[0-9](?:-9)?|a-f|A-F|2-7|_)+\]|[A-Za-z0-9_/:])(?:\{[0-9]{1,3}\}|[+*?])?)+\$"
)
"""Regular expressions so simple that they mean the same in every dialect (but for a line break at the end)."""
_TEXTS = frozenset({"string", "code", "id", "uri", "url", "canonical", "oid", "uuid", "markdown"})


class Logic:
    """Translates expressions; needs the model to know what type an element has."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def as_schema(self, expression: str, shape: Element) -> Schema | None:
        """Return a schema that accepts exactly where the expression is true, or None where it cannot be said."""
        tree = parse(expression)
        return _matching(tree) or self._logic(tree, shape, wanted=True)

    def _logic(self, tree: Tree, shape: Element | None, *, wanted: bool) -> Schema | None:
        kind = tree[0]
        if kind == "op" and tree[1] in ("and", "or", "implies"):
            return self._joined(tree, shape, wanted=wanted)
        if kind == "op" and tree[1] in ("xor", "=", "!=") and _is_presence(tree[2]) and _is_presence(tree[3]):
            return self._same_presence(tree[2], tree[3], shape, wanted=wanted == (tree[1] == "="))
        if kind == "op" and tree[1] in ("=", "!=", "in", *_LIMITS):
            return self._comparison(tree, shape, wanted=wanted)
        if kind == "call" and tree[2] == "not" and tree[1] is not None:
            return self._logic(tree[1], shape, wanted=not wanted)
        if kind == "call" and tree[1] is not None and tree[2] in ("exists", "empty", "all"):
            return self._presence(tree, shape, wanted=wanted)
        if kind == "call" and tree[2] == "startsWith" and tree[1] is not None and tree[3][0][0] == "literal":
            return self._prefix(tree[1], tree[3][0][1], shape, wanted=wanted)
        if kind == "literal" and isinstance(tree[1], bool):
            return tree[1] == wanted
        return None

    def _joined(self, tree: Tree, shape: Element | None, *, wanted: bool) -> Schema | None:
        one = self._logic(tree[2], shape, wanted=not wanted if tree[1] == "implies" else wanted)
        two = self._logic(tree[3], shape, wanted=wanted)
        if one is None or two is None:
            return None
        return {"allOf" if (tree[1] == "and") == wanted else "anyOf": [one, two]}

    def _presence(self, tree: Tree, shape: Element | None, *, wanted: bool) -> Schema | None:
        _, on, name, arguments = tree
        if len(arguments) > (name != "empty") or (name == "all" and not arguments):
            return None
        if name == "all":
            there = self._some(on, shape, lambda s: _negation(self._logic(arguments[0], s, wanted=True)))
        elif arguments:
            there = self._some(on, shape, lambda s: self._logic(arguments[0], s, wanted=True))
        else:
            there = self._some(on, shape, lambda _: True)
        return there if (name == "exists") == wanted else _negation(there)

    def _same_presence(self, left: Tree, right: Tree, shape: Element | None, *, wanted: bool) -> Schema | None:
        sides = [self._logic(side, shape, wanted=value) for value in (True, False) for side in (left, right)]
        if any(side is None for side in sides):
            return None
        left_true, right_true, left_false, right_false = sides
        pairs = [(left_true, right_true), (left_false, right_false)]
        if not wanted:
            pairs = [(left_true, right_false), (left_false, right_true)]
        return {"anyOf": [{"allOf": list(pair)} for pair in pairs]}

    def _comparison(self, tree: Tree, shape: Element | None, *, wanted: bool) -> Schema | None:
        """One primitive that stands at most once, compared with a literal: absent, it is neither true nor false."""
        _, operator, left, right = tree
        if operator == "=" and left == ("variable", "$this") and right[0] == "literal" and isinstance(right[1], bool):
            return {"const": right[1]} if wanted else {"not": {"const": right[1]}}
        literals = _literals(right)
        code = self._single_primitive(left, shape)
        if code is None or literals is None or (operator != "in" and len(literals) != 1):
            return None
        if not all(_comparable(code, value) for value in literals):
            return None
        test: Schema = {"enum": literals}
        if operator in _LIMITS:
            if code not in _NUMBERS:
                return None
            test = {_LIMITS[operator]: literals[0]}
        positive = wanted == (operator != "!=")
        return self._some(left, shape, lambda _: test if positive else {"not": test})

    def _prefix(self, on: Tree, text: Any, shape: Element | None, *, wanted: bool) -> Schema | None:
        if self._single_primitive(on, shape) not in _TEXTS or not isinstance(text, str):
            return None
        test: Schema = {"pattern": "^" + re.escape(text)}
        return self._some(on, shape, lambda _: test if wanted else {"not": test})

    def _single_primitive(self, tree: Tree, shape: Element | None) -> str | None:
        """Return the type of the primitive at a path without arrays, None if it is not one."""
        if tree[0] != "path" or shape is None:
            return None
        at: Element | None = shape
        if tree[1] is not None:
            above = self._only_child(tree[1], shape)
            at = self.model.shape(above, above.types[0] if above.types else None) if above is not None else None
        child = at.children.get(tree[2]) if at is not None else None
        if child is None or child.is_array or len(child.types) != 1 or child.slices:
            return None
        return child.types[0].code if child.types[0].code in PRIMITIVES else None

    def _only_child(self, tree: Tree, shape: Element) -> Element | None:
        if tree[0] != "path" or tree[1] is not None:
            return None
        child = shape.children.get(tree[2])
        return child if child is not None and not child.is_array and len(child.types) == 1 else None

    def _some(self, tree: Tree, shape: Element | None, inner: Inner) -> Schema | None:
        """Accept where some item that the path finds satisfies ``inner``."""
        if tree[0] == "op" and tree[1] == "|":
            one, two = self._some(tree[2], shape, inner), self._some(tree[3], shape, inner)
            return None if one is None or two is None else {"anyOf": [one, two]}
        if tree[0] == "call" and tree[2] == "where" and tree[1] is not None and len(tree[3]) == 1:
            return self._some(tree[1], shape, lambda s: _both(self._logic(tree[3][0], s, wanted=True), inner(s)))
        if tree[0] == "call" and tree[2] == "ofType" and tree[1] is not None and tree[1][0] == "path":
            return self._step(tree[1], shape, inner, str(tree[3][0][1]).removeprefix("FHIR."))
        return self._step(tree, shape, inner, None) if tree[0] == "path" else None

    def _step(self, tree: Tree, shape: Element | None, inner: Inner, only: str | None) -> Schema | None:
        _, on, name = tree
        if on is not None:
            return self._some(on, shape, lambda s: self._step(("path", None, name), s, inner, only))
        if shape is None:
            return None
        rows = shape.access.get(name)
        if rows is None:
            return None if name[:1].isupper() else False
        found: list[Schema] = []
        for key, _, child, ref in rows:
            code = ref.code if ref is not None else "BackboneElement"
            if only is not None and code != only:
                continue
            below = None if code in PRIMITIVES else self.model.shape(child, ref)
            test = inner(below)
            if test is None:
                return None
            inside: Schema = {"contains": test} if child.is_array and test is not True else test
            found.append({"required": [key]} if inside is True else {"required": [key], "properties": {key: inside}})
        return found[0] if len(found) == 1 else {"anyOf": found} if found else False


def _both(one: Schema | None, two: Schema | None) -> Schema | None:
    if one is None or two is None:
        return None
    return one if two is True else two if one is True else {"allOf": [one, two]}


def _matching(tree: Tree) -> Schema | None:
    """``matches('^…$')`` on the value itself, with a regular expression that means the same everywhere."""
    if tree[0] != "call" or tree[1] not in (None, ("variable", "$this")) or tree[2] != "matches":
        return None
    regex = tree[3][0][1] if tree[3][0][0] == "literal" else None
    return {"type": "string", "pattern": regex} if isinstance(regex, str) and _PLAIN_REGEX.fullmatch(regex) else None


def _negation(schema: Schema | None) -> Schema | None:
    return None if schema is None else {"not": schema}


def _literals(tree: Tree) -> list[Any] | None:
    """Return the values of a literal, or of literals joined by ``|``."""
    if tree[0] == "literal" and not isinstance(tree[1], bool):
        return [tree[1]]
    if tree[0] == "minus" and tree[1][0] == "literal" and isinstance(tree[1][1], (int, Decimal)):
        return [-tree[1][1]]
    if tree[0] == "op" and tree[1] == "|":
        one, two = _literals(tree[2]), _literals(tree[3])
        return None if one is None or two is None else one + two
    return None


def _comparable(code: str, value: Any) -> bool:
    return code in _TEXTS if isinstance(value, str) else code in _NUMBERS


def _is_presence(tree: Tree) -> bool:
    if tree[0] == "call" and tree[2] == "not" and tree[1] is not None:
        return _is_presence(tree[1])
    return bool(tree[0] == "call" and tree[1] is not None and tree[2] in ("exists", "empty", "all"))
