"""Compiles a FHIRPath tree to closures ``run(env, items) -> items``."""

# ruff: noqa: ARG005  (every closure takes (env, focus), whether it needs them or not)
from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

from fhirbridge.errors import ProfileError
from fhirbridge.validation.fhirpath import temporal, types
from fhirbridge.validation.fhirpath.environment import Body, Env, Run
from fhirbridge.validation.fhirpath.functions import FUNCTIONS
from fhirbridge.validation.fhirpath.grammar import Tree
from fhirbridge.validation.fhirpath.operators import ACTS, LOGIC
from fhirbridge.validation.fhirpath.values import (
    EvaluationError,
    Items,
    Quantity,
    TypeInfo,
    is_number,
    single,
    truth,
)
from fhirbridge.validation.node import Node

CONSTANTS = {
    "ucum": "http://unitsofmeasure.org",
    "sct": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
}


def compile_tree(tree: Tree) -> Run:
    """Return the closure for a tree. Raises ProfileError for a function or variable that does not exist."""
    return _BUILDERS[tree[0]](*tree[1:])


def _literal(value: Any) -> Run:
    items = [value]
    return lambda env, focus: items


def _moment(text: str) -> Run:
    found = temporal.parse(text[1:], time=True) if text.startswith("T") else temporal.parse(text.removesuffix("T"))
    if found is None:
        raise ProfileError(f"@{text} is not a date or time.")
    if text.endswith("T"):
        found = temporal.Temporal(found.parts, False, None, text)
    items: Items = [found]
    return lambda env, focus: items


def _empty() -> Run:
    return lambda env, focus: []


def _quantity(value: Decimal, unit: str) -> Run:
    items: Items = [Quantity(value, unit)]
    return lambda env, focus: items


def _constant(name: str) -> Run:
    if name in ("resource", "rootResource", "context"):
        return lambda env, focus: list(getattr(env, name))
    if name in CONSTANTS:
        return _literal(CONSTANTS[name])
    if name.startswith("vs-"):
        return _literal("http://hl7.org/fhir/ValueSet/" + name[3:])
    if name.startswith("ext-"):
        return _literal("http://hl7.org/fhir/StructureDefinition/" + name[4:])
    raise ProfileError(f"%{name} is not a variable that an invariant has.")


def _variable(name: str) -> Run:
    if name == "$this":
        return lambda env, focus: env.this
    attribute = name[1:]
    return lambda env, focus: getattr(env, attribute)


def _path(on: Tree | None, name: str) -> Run:
    if on is None and name[:1].isupper():
        return partial(_type_or_child, name)
    if on is None:
        return partial(_children, name)
    before = compile_tree(on)

    def run(env: Env, focus: Items) -> Items:
        return _children(name, env, before(env, focus))

    return run


def _type_or_child(name: str, env: Env, focus: Items) -> Items:
    if len(focus) == 1 and isinstance(focus[0], Node) and types.is_a(env, focus[0], name):
        return focus
    return _children(name, env, focus)


def _children(name: str, env: Env, focus: Items) -> Items:
    found: Items = []
    for item in focus:
        if isinstance(item, Node):
            found.extend(env.model.children(item, name))
        elif isinstance(item, TypeInfo) and name in ("name", "namespace"):
            found.append(getattr(item, name))
    return found


def _call(on: Tree | None, name: str, arguments: list[Tree]) -> Run:
    function = FUNCTIONS.get(name)
    if function is None:
        raise ProfileError(f"FHIRPath has no function {name}() that an invariant may use.")
    low, high, body = function
    if not low <= len(arguments) <= high:
        raise ProfileError(f"FHIRPath's {name}() takes {low} to {high} arguments, found {len(arguments)}.")
    if name == "sort":
        arguments = [part for key in arguments for part in _sort_key(key)]
    return _apply(on, body, arguments)


def _apply(on: Tree | None, body: Body, arguments: list[Tree]) -> Run:
    """Return a call of a function that stands in the tree itself: how others add functions that no invariant has."""
    compiled = [_literal(a[1]) if a[0] == "type" else compile_tree(a) for a in arguments]
    before = compile_tree(on) if on is not None else None
    if before is None:
        return lambda env, focus: body(env, focus, *compiled)
    return lambda env, focus: body(env, before(env, focus), *compiled)


def _sort_key(tree: Tree) -> tuple[Tree, Tree]:
    """Return what to sort by and whether downwards: in ``sort(-family)`` the minus is no arithmetic."""
    return (tree[1], ("literal", True)) if tree[0] == "minus" else (tree, ("literal", False))


def _index(on: Tree, position: Tree) -> Run:
    before, at = compile_tree(on), compile_tree(position)

    def run(env: Env, focus: Items) -> Items:
        items, number = before(env, focus), single(at(env, focus))
        return items[number : number + 1] if isinstance(number, int) and number >= 0 else []

    return run


def _minus(inner: Tree) -> Run:
    before = compile_tree(inner)

    def run(env: Env, focus: Items) -> Items:
        value = single(before(env, focus))
        if value is None:
            return []
        if isinstance(value, Quantity):
            return [Quantity(-value.value, value.unit)]
        if not is_number(value):
            raise EvaluationError(f"{value} has no negative")
        return [-value]

    return run


def _is(inner: Tree, name: str) -> Run:
    before = compile_tree(inner)

    def run(env: Env, focus: Items) -> Items:
        items = before(env, focus)
        if len(items) > 1:
            raise EvaluationError("`is` takes one item")
        return [types.is_a(env, items[0], name)] if items else []

    return run


def _as(inner: Tree, name: str) -> Run:
    before = compile_tree(inner)
    return lambda env, focus: [item for item in before(env, focus) if types.is_taken_as(env, item, name)]


def _op(operator: str, left: Tree, right: Tree) -> Run:
    one, two = compile_tree(left), compile_tree(right)
    if operator in LOGIC:
        decide = LOGIC[operator]

        def logic(env: Env, focus: Items) -> Items:
            first = truth(one(env, focus))
            answer = decide(first, lambda: truth(two(env, focus)))
            return [] if answer is None else [answer]

        return logic
    act = ACTS[operator]
    return lambda env, focus: act(one(env, focus), two(env, focus))


_BUILDERS: dict[str, Callable[..., Run]] = {
    "literal": _literal,
    "moment": _moment,
    "empty": _empty,
    "quantity": _quantity,
    "constant": _constant,
    "variable": _variable,
    "path": _path,
    "call": _call,
    "apply": _apply,
    "index": _index,
    "minus": _minus,
    "is": _is,
    "as": _as,
    "op": _op,
    "type": _literal,
}
