"""FHIRPath's functions: existence, filtering, subsetting, combining and FHIR's own."""

# ruff: noqa: ARG001, ARG005  (every function of the table takes the environment, whether it needs it or not)
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from fhirbridge.validation import bindings
from fhirbridge.validation.fhirpath import convert, strings, temporal, types
from fhirbridge.validation.fhirpath.values import EvaluationError, Items, equal, key, single, text_of, truth
from fhirbridge.validation.narrative import is_allowed
from fhirbridge.validation.node import Model, Node

if TYPE_CHECKING:
    from fhirbridge.validation.walker import Walker

_REPEAT_LIMIT = 100_000


@dataclass
class Env:
    """What an expression can see: the model, ``%resource`` and its kin, and ``$this``."""

    model: Model
    resource: Items
    rootResource: Items  # noqa: N815  (FHIRPath's own name)
    context: Items
    walker: Walker | None = None
    this: Items = field(default_factory=list)
    index: Items = field(default_factory=list)
    total: Items = field(default_factory=list)


Run = Callable[[Env, Items], Items]
Body = Callable[..., Items]


def each(env: Env, items: Items, run: Run) -> list[Items]:
    """Run an expression with ``$this`` set to each item in turn."""
    this, index = env.this, env.index
    answers = []
    try:
        for number, item in enumerate(items):
            env.this, env.index = one, _ = [item], [number]
            answers.append(run(env, one))
    finally:
        env.this, env.index = this, index
    return answers


def _where(env: Env, items: Items, test: Run) -> Items:
    return [item for item, answer in zip(items, each(env, items, test), strict=True) if truth(answer)]


def _exists(env: Env, items: Items, test: Run | None = None) -> Items:
    return [bool(_where(env, items, test) if test else items)]


def _all(env: Env, items: Items, test: Run) -> Items:
    return [all(truth(answer) is True for answer in each(env, items, test))]


def _booleans(items: Items) -> list[Any]:
    return [single([item]) for item in items]


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


def _argument(env: Env, run: Run) -> Items:
    return run(env, env.this)


def _intersect(env: Env, items: Items, other: Run) -> Items:
    kept = _keys(_argument(env, other))
    return _distinct(env, [item for item in items if key(item) in kept])


def _exclude(env: Env, items: Items, other: Run) -> Items:
    dropped = _keys(_argument(env, other))
    return [item for item in items if key(item) not in dropped]


def _single(env: Env, items: Items) -> Items:
    if len(items) > 1:
        raise EvaluationError(f"single() found {len(items)} items")
    return items


def _number(env: Env, run: Run) -> int:
    value = single(_argument(env, run))
    if not isinstance(value, int):
        raise EvaluationError(f"a whole number is needed here, found {value}")
    return value


def _iif(env: Env, items: Items, test: Run, then: Run, otherwise: Run | None = None) -> Items:
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


def _has_value(env: Env, items: Items) -> Items:
    return [
        len(items) == 1 and not (isinstance(items[0], Node) and (items[0].value is None or not items[0].is_primitive))
    ]


def _extension(env: Env, items: Items, url: Run) -> Items:
    wanted = text_of(_argument(env, url))
    extensions = [e for item in items if isinstance(item, Node) for e in env.model.children(item, "extension")]
    return [e for e in extensions if isinstance(e.value, dict) and e.value.get("url") == wanted]


def _resolve(env: Env, items: Items) -> Items:
    found: Items = []
    for item in items:
        value = item.value if isinstance(item, Node) else item
        literal = value.get("reference") if isinstance(value, dict) else value
        target = env.walker.around.resolve(literal) if env.walker and isinstance(literal, str) else None
        node = env.model.root(target) if target else None
        found.extend([node] if node else [])
    return found


def _member_of(env: Env, items: Items, url: Run) -> Items:
    canonical = text_of(_argument(env, url))
    if len(items) != 1 or canonical is None or env.walker is None:
        return []
    expansion = env.walker.terminology.expansion(canonical)
    item = items[0]
    if expansion is None:
        raise EvaluationError(f"the value set {canonical} is not loaded")
    node = item if isinstance(item, Node) else Node(item, "code", None, "")
    return [bindings.in_value_set(node, expansion) is not False]


def _conforms_to(env: Env, items: Items, url: Run) -> Items:
    canonical = text_of(_argument(env, url))
    if len(items) != 1 or canonical is None or env.walker is None:
        return []
    tree = env.model.snapshots.tree(canonical)
    if tree is None:
        raise EvaluationError(f"the profile {canonical} is not loaded")
    node = items[0]
    return [isinstance(node, Node) and tree.path == node.type and env.walker.conforms(node, canonical)]


def _html(env: Env, items: Items) -> Items:
    return [all(isinstance(item, Node) and isinstance(item.value, str) and is_allowed(item.value) for item in items)]


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
    "subsetOf": (1, 1, lambda env, items, other: [_keys(items) <= _keys(_argument(env, other))]),
    "supersetOf": (1, 1, lambda env, items, other: [_keys(items) >= _keys(_argument(env, other))]),
    "count": (0, 0, lambda env, items: [len(items)]),
    "distinct": (0, 0, _distinct),
    "isDistinct": (0, 0, lambda env, items: [len(_keys(items)) == len(items)]),
    "where": (1, 1, _where),
    "select": (1, 1, _select),
    "repeat": (1, 1, _repeat),
    "ofType": (1, 1, _of_type),
    "as": (1, 1, _of_type),
    "is": (1, 1, _is),
    "not": (0, 0, _not),
    "single": (0, 0, _single),
    "first": (0, 0, lambda env, items: items[:1]),
    "last": (0, 0, lambda env, items: items[-1:]),
    "tail": (0, 0, lambda env, items: items[1:]),
    "skip": (1, 1, lambda env, items, n: items[max(0, _number(env, n)) :]),
    "take": (1, 1, lambda env, items, n: items[: max(0, _number(env, n))]),
    "intersect": (1, 1, _intersect),
    "exclude": (1, 1, _exclude),
    "union": (1, 1, lambda env, items, other: _distinct(env, [*items, *_argument(env, other)])),
    "combine": (1, 1, lambda env, items, other: [*items, *_argument(env, other)]),
    "iif": (2, 3, _iif),
    "trace": (1, 2, lambda env, items, *_: items),
    "children": (0, 0, _children),
    "descendants": (0, 0, _descendants),
    "aggregate": (1, 2, _aggregate),
    "type": (0, 0, lambda env, items: [types.info(item) for item in items]),
    "hasValue": (0, 0, _has_value),
    "getValue": (0, 0, lambda env, items: items if _has_value(env, items)[0] else []),
    "extension": (1, 1, _extension),
    "resolve": (0, 0, _resolve),
    "memberOf": (1, 1, _member_of),
    "conformsTo": (1, 1, _conforms_to),
    "htmlChecks": (0, 0, _html),
    "htmlchecks": (0, 0, _html),
    "now": (0, 0, _now),
    "today": (0, 0, _today),
    "timeOfDay": (0, 0, _time_of_day),
    "equals": (
        1,
        1,
        lambda env, items, other: [v for v in [equal(items, _argument(env, other))] if v is not None],
    ),
}


def _with_text(body: Callable[..., Any]) -> Body:
    """A string function: empty where the text or an argument is; anything but one string is an error."""

    def run(env: Env, items: Items, *arguments: Run) -> Items:
        text = text_of(items)
        told = [single(_argument(env, a)) for a in arguments]
        if text is None or any(v is None for v in told):
            return []
        found = body(text, *told)
        return found if isinstance(found, list) else [] if found is None else [found]

    return run


def _with_value(body: Callable[..., Any]) -> Body:
    """A conversion or a piece of mathematics on one value: empty for empty."""

    def run(env: Env, items: Items, *arguments: Run) -> Items:
        value = single(items)
        told = [single(_argument(env, a)) for a in arguments]
        if value is None or any(v is None for v in told):
            return []
        found = body(value, *told)
        return [] if found is None else [found]

    return run


def _join(env: Env, items: Items, separator: Run | None = None) -> Items:
    between = text_of(_argument(env, separator)) if separator else ""
    return [(between or "").join(str(text_of([item])) for item in items)] if items else []


FUNCTIONS |= {name: (low, high, _with_text(body)) for name, (low, high, body) in strings.STRINGS.items()}
FUNCTIONS |= {name: (low, high, _with_value(body)) for name, (low, high, body) in convert.CONVERSIONS.items()}
FUNCTIONS["join"] = (0, 1, _join)
__all__ = ["FUNCTIONS", "Decimal", "Env", "Run"]
