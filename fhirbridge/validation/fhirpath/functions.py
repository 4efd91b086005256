"""FHIRPath's functions: existence, filtering, subsetting and combining; the table of all functions."""

# ruff: noqa: ARG001, ARG005  (every function of the table takes the environment, whether it needs it or not)
from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fhirbridge.validation.fhirpath import convert, strings, temporal, types
from fhirbridge.validation.fhirpath.environment import Body, Env, Run, argument, each, number, with_value
from fhirbridge.validation.fhirpath.fhir import FHIR
from fhirbridge.validation.fhirpath.later import LATER
from fhirbridge.validation.fhirpath.values import EvaluationError, Items, equal, key, single, text_of, truth
from fhirbridge.validation.node import Node

_REPEAT_LIMIT = 100_000


def _where(env: Env, items: Items, test: Run) -> Items:
    return [item for item, answer in zip(items, each(env, items, test), strict=True) if truth(answer)]


def _exists(env: Env, items: Items, test: Run | None = None) -> Items:
    return [bool(_where(env, items, test) if test else items)]


def _all(env: Env, items: Items, test: Run) -> Items:
    return [all(truth(answer) is True for answer in each(env, items, test))]


def _booleans(items: Items) -> list[Any]:
    found = [single([item]) for item in items]
    if not all(isinstance(value, bool) for value in found):
        raise EvaluationError("allTrue() and its kin take Booleans")
    return found


def _select(env: Env, items: Items, run: Run) -> Items:
    return [found for answer in each(env, items, run) for found in answer]


def _repeat(env: Env, items: Items, run: Run) -> Items:
    found: Items = []
    seen: set[Any] = set()
    fresh = items
    while fresh:
        following: Items = []
        for item in _select(env, fresh, run):
            mark = item.path if isinstance(item, Node) else key(item)
            if mark not in seen:
                seen.add(mark)
                following.append(item)
        found.extend(following)
        if len(found) > _REPEAT_LIMIT:
            raise EvaluationError("repeat() does not end")
        fresh = following
    return found


def _of_type(env: Env, items: Items, type_: Run) -> Items:
    name = type_(env, items)[0]
    return [item for item in items if types.is_just(env, item, name)]


def _as(env: Env, items: Items, type_: Run) -> Items:
    name = type_(env, items)[0]
    return [item for item in items if types.is_taken_as(env, item, name)]


def _is(env: Env, items: Items, type_: Run) -> Items:
    if len(items) > 1:
        raise EvaluationError("is() takes one item")
    return [types.is_a(env, items[0], type_(env, items)[0])] if items else []


def _not(env: Env, items: Items) -> Items:
    value = truth(items)
    return [] if value is None else [not value]


def _distinct(env: Env, items: Items) -> Items:
    return list({key(item): item for item in reversed(items)}.values())[::-1]


def _keys(items: Items) -> set[Any]:
    return {key(item) for item in items}


def _intersect(env: Env, items: Items, other: Run) -> Items:
    kept = _keys(argument(env, other))
    return _distinct(env, [item for item in items if key(item) in kept])


def _exclude(env: Env, items: Items, other: Run) -> Items:
    dropped = _keys(argument(env, other))
    return [item for item in items if key(item) not in dropped]


def _single(env: Env, items: Items) -> Items:
    if len(items) > 1:
        raise EvaluationError(f"single() found {len(items)} items")
    return items


def _iif(env: Env, items: Items, test: Run, then: Run, otherwise: Run | None = None) -> Items:
    if len(items) > 1:
        raise EvaluationError("iif() takes one item")
    this, env.this = env.this, items or env.this
    try:
        if truth(test(env, items)):
            return then(env, items)
        return otherwise(env, items) if otherwise else []
    finally:
        env.this = this


def _descendants(env: Env, items: Items) -> Items:
    found: Items = []
    level = items
    while level:
        level = _children(env, level)
        found.extend(level)
    return found


def _children(env: Env, items: Items) -> Items:
    return [child for item in items if isinstance(item, Node) for child in env.model.children(item)]


def _aggregate(env: Env, items: Items, run: Run, start: Run | None = None) -> Items:
    kept = env.total
    env.total = start(env, items) if start else []
    try:
        for item in items:
            env.total = each(env, [item], run)[0]
        return env.total
    finally:
        env.total = kept


def _now(env: Env, items: Items) -> Items:
    return [temporal.parse(datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00"))]


def _today(env: Env, items: Items) -> Items:
    return [temporal.parse(datetime.now(UTC).strftime("%Y-%m-%d"))]


def _time_of_day(env: Env, items: Items) -> Items:
    return [temporal.parse(datetime.now(UTC).strftime("%H:%M:%S"), time=True)]


def _sum_of_truth(test: Callable[[list[Any]], bool]) -> Body:
    return lambda env, items: [test(_booleans(items))]


FUNCTIONS: dict[str, tuple[int, int, Body]] = {
    "empty": (0, 0, lambda env, items: [not items]),
    "exists": (0, 1, _exists),
    "all": (1, 1, _all),
    "allTrue": (0, 0, _sum_of_truth(lambda found: all(v is True for v in found))),
    "anyTrue": (0, 0, _sum_of_truth(lambda found: any(v is True for v in found))),
    "allFalse": (0, 0, _sum_of_truth(lambda found: all(v is False for v in found))),
    "anyFalse": (0, 0, _sum_of_truth(lambda found: any(v is False for v in found))),
    "subsetOf": (1, 1, lambda env, items, other: [_keys(items) <= _keys(argument(env, other))]),
    "supersetOf": (1, 1, lambda env, items, other: [_keys(items) >= _keys(argument(env, other))]),
    "count": (0, 0, lambda env, items: [len(items)]),
    "distinct": (0, 0, _distinct),
    "isDistinct": (0, 0, lambda env, items: [len(_keys(items)) == len(items)]),
    "where": (1, 1, _where),
    "select": (1, 1, _select),
    "repeat": (1, 1, _repeat),
    "ofType": (1, 1, _of_type),
    "as": (1, 1, _as),
    "is": (1, 1, _is),
    "not": (0, 0, _not),
    "single": (0, 0, _single),
    "first": (0, 0, lambda env, items: items[:1]),
    "last": (0, 0, lambda env, items: items[-1:]),
    "tail": (0, 0, lambda env, items: items[1:]),
    "skip": (1, 1, lambda env, items, n: items[max(0, number(env, n)) :]),
    "take": (1, 1, lambda env, items, n: items[: max(0, number(env, n))]),
    "intersect": (1, 1, _intersect),
    "exclude": (1, 1, _exclude),
    "union": (1, 1, lambda env, items, other: _distinct(env, [*items, *argument(env, other)])),
    "combine": (1, 1, lambda env, items, other: [*items, *argument(env, other)]),
    "iif": (2, 3, _iif),
    "trace": (1, 2, lambda env, items, *_: items),
    "children": (0, 0, _children),
    "descendants": (0, 0, _descendants),
    "aggregate": (1, 2, _aggregate),
    "type": (0, 0, lambda env, items: [types.info(item) for item in items]),
    "now": (0, 0, _now),
    "today": (0, 0, _today),
    "timeOfDay": (0, 0, _time_of_day),
    "equals": (
        1,
        1,
        lambda env, items, other: [v for v in [equal(items, argument(env, other))] if v is not None],
    ),
}


def _join(env: Env, items: Items, separator: Run | None = None) -> Items:
    between = text_of(argument(env, separator)) if separator else ""
    return [(between or "").join(str(text_of([item])) for item in items)] if items else []


FUNCTIONS["join"] = (0, 1, _join)
FUNCTIONS |= {name: (low, high, with_value(body, text_of)) for name, (low, high, body) in strings.STRINGS.items()}
FUNCTIONS |= {name: (low, high, with_value(body)) for name, (low, high, body) in convert.CONVERSIONS.items()}
FUNCTIONS |= FHIR | LATER
