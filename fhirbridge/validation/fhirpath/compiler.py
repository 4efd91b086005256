"""Compiles a FHIRPath tree to closures ``run(env, items) -> items``."""

# ruff: noqa: ARG005  (every closure takes (env, focus), whether it needs them or not)
from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

from fhirbridge.errors import ProfileError
from fhirbridge.validation.fhirpath import temporal, types
from fhirbridge.validation.fhirpath.functions import FUNCTIONS, Env, Run
from fhirbridge.validation.fhirpath.grammar import Tree
from fhirbridge.validation.fhirpath.values import (
    EvaluationError,
    Items,
    Quantity,
    TypeInfo,
    equal,
    equivalent,
    is_number,
    key,
    order,
    reduced,
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
    compiled = [_literal(a[1]) if a[0] == "type" else compile_tree(a) for a in arguments]
    before = compile_tree(on) if on is not None else None
    if before is None:
        return lambda env, focus: body(env, focus, *compiled)
    return lambda env, focus: body(env, before(env, focus), *compiled)


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
    return lambda env, focus: [item for item in before(env, focus) if types.is_just(env, item, name)]


def _op(operator: str, left: Tree, right: Tree) -> Run:
    one, two = compile_tree(left), compile_tree(right)
    if operator in _LOGIC:
        decide = _LOGIC[operator]

        def logic(env: Env, focus: Items) -> Items:
            first = truth(one(env, focus))
            answer = decide(first, lambda: truth(two(env, focus)))
            return [] if answer is None else [answer]

        return logic
    act = _ACTS[operator]
    return lambda env, focus: act(one(env, focus), two(env, focus))


def _and(a: bool | None, b: Callable[[], bool | None]) -> bool | None:
    if a is False:
        return False
    other = b()
    return other if a or other is False else None


def _or(a: bool | None, b: Callable[[], bool | None]) -> bool | None:
    if a is True:
        return True
    other = b()
    return other if a is False or other is True else None


def _xor(a: bool | None, b: Callable[[], bool | None]) -> bool | None:
    other = b()
    return None if a is None or other is None else a != other


def _implies(a: bool | None, b: Callable[[], bool | None]) -> bool | None:
    if a is False:
        return True
    other = b()
    return other if a or other is True else None


_LOGIC = {"and": _and, "or": _or, "xor": _xor, "implies": _implies}


def _answer(value: bool | None) -> Items:
    return [] if value is None else [value]


def _negated(value: bool | None) -> Items:
    return [] if value is None else [not value]


def _ordered(test: Callable[[int], bool], a: Items, b: Items) -> Items:
    found = order(a, b)
    return [] if found is None else [test(found)]


def _union(a: Items, b: Items) -> Items:
    return list({key(item): item for item in reversed([*a, *b])}.values())[::-1]


def _in(a: Items, b: Items) -> Items:
    if not a:
        return []
    if len(a) > 1:
        raise EvaluationError("`in` takes one item on its left")
    return [key(a[0]) in {key(item) for item in b}]


def _plus(sign: int, a: Items, b: Items) -> Items:
    x, y = single(a), single(b)
    if x is None or y is None:
        return []
    if isinstance(x, temporal.Temporal) and isinstance(y, Quantity):
        if y.unit in ("a", "mo") or not temporal.is_duration(y.unit):
            raise EvaluationError(f"{y.unit} is no calendar duration to add to a date")
        moved = temporal.add(x, sign * y.value, y.unit)
        return [] if moved is None else [moved]
    if isinstance(x, str) and isinstance(y, str) and sign > 0:
        return [x + y]
    if isinstance(x, Quantity) and isinstance(y, Quantity):
        if x.unit == y.unit:
            return [Quantity(x.value + sign * y.value, x.unit)]
        (unit, first), (other, second) = reduced(x), reduced(y)
        return [Quantity(first + sign * second, unit)] if unit == other else []
    if is_number(x) and is_number(y):
        return [x + sign * y]
    raise EvaluationError(f"{x} and {y} do not add")


def _product(operator: str, a: Items, b: Items) -> Items:
    x, y = single(a), single(b)
    if x is None or y is None:
        return []
    if isinstance(x, Quantity) or isinstance(y, Quantity):
        return _quantities(operator, x, y)
    if not (is_number(x) and is_number(y)):
        raise EvaluationError(f"{x} and {y} are not numbers")
    if operator == "*":
        return [x * y]
    if y == 0:
        return []
    if operator == "/":
        return [Decimal(x) / Decimal(y)]
    if operator == "div":
        return [int(Decimal(x) / Decimal(y))]
    left = Decimal(x) % Decimal(y)
    return [int(left) if isinstance(x, int) and isinstance(y, int) else left]


def _quantities(operator: str, x: Any, y: Any) -> Items:
    one = x if isinstance(x, Quantity) else Quantity(Decimal(x), "1")
    two = y if isinstance(y, Quantity) else Quantity(Decimal(y), "1")
    if operator == "*":
        units = [u for u in (one.unit, two.unit) if u != "1"]
        unit = f"{units[0]}2" if len(units) == 2 and units[0] == units[1] else ".".join(units) or "1"
        return [Quantity(one.value * two.value, unit)]
    if operator == "/" and two.value:
        unit = "1" if one.unit == two.unit else one.unit if two.unit == "1" else f"{one.unit}/{two.unit}"
        return [Quantity(one.value / two.value, unit)]
    return []


def _joined(a: Items, b: Items) -> Items:
    def part(items: Items) -> str:
        value = single(items)
        return "" if value is None else types.as_text(value) or ""

    return [part(a) + part(b)]


_ACTS: dict[str, Callable[[Items, Items], Items]] = {
    "=": lambda a, b: _answer(equal(a, b)),
    "!=": lambda a, b: _negated(equal(a, b)),
    "~": lambda a, b: [equivalent(a, b)],
    "!~": lambda a, b: [not equivalent(a, b)],
    "<": partial(_ordered, lambda found: found < 0),
    ">": partial(_ordered, lambda found: found > 0),
    "<=": partial(_ordered, lambda found: found <= 0),
    ">=": partial(_ordered, lambda found: found >= 0),
    "|": _union,
    "in": _in,
    "contains": lambda a, b: _in(b, a),
    "+": partial(_plus, 1),
    "-": partial(_plus, -1),
    "&": _joined,
    "*": partial(_product, "*"),
    "/": partial(_product, "/"),
    "div": partial(_product, "div"),
    "mod": partial(_product, "mod"),
}

_BUILDERS: dict[str, Callable[..., Run]] = {
    "literal": _literal,
    "moment": _moment,
    "empty": _empty,
    "quantity": _quantity,
    "constant": _constant,
    "variable": _variable,
    "path": _path,
    "call": _call,
    "index": _index,
    "minus": _minus,
    "is": _is,
    "as": _as,
    "op": _op,
    "type": _literal,
}
