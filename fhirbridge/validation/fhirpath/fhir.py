"""The functions FHIR adds to FHIRPath (https://hl7.org/fhir/R4/fhirpath.html#functions)."""

# ruff: noqa: ARG001  (every function of the table takes the environment, whether it needs it or not)
from __future__ import annotations

from fhirbridge.validation import bindings
from fhirbridge.validation.fhirpath.environment import Body, Env, Run, argument
from fhirbridge.validation.fhirpath.values import EvaluationError, Items, text_of
from fhirbridge.validation.narrative import is_allowed
from fhirbridge.validation.node import Node


def _has_value(env: Env, items: Items) -> Items:
    return [
        len(items) == 1 and not (isinstance(items[0], Node) and (items[0].value is None or not items[0].is_primitive))
    ]


def _get_value(env: Env, items: Items) -> Items:
    return items if _has_value(env, items)[0] else []


def _extension(env: Env, items: Items, url: Run) -> Items:
    wanted = text_of(argument(env, url))
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
    canonical = text_of(argument(env, url))
    if len(items) != 1 or canonical is None or env.walker is None:
        return []
    expansion = env.walker.terminology.expansion(canonical)
    item = items[0]
    if expansion is None:
        raise EvaluationError(f"the value set {canonical} is not loaded")
    node = item if isinstance(item, Node) else Node(item, "code", None, "")
    return [bindings.in_value_set(node, expansion) is not False]


def _conforms_to(env: Env, items: Items, url: Run) -> Items:
    canonical = text_of(argument(env, url))
    if len(items) != 1 or canonical is None or env.walker is None:
        return []
    tree = env.model.snapshots.tree(canonical)
    if tree is None:
        raise EvaluationError(f"the profile {canonical} is not loaded")
    node = items[0]
    return [isinstance(node, Node) and tree.path == node.type and env.walker.conforms(node, canonical)]


def _html(env: Env, items: Items) -> Items:
    return [all(isinstance(item, Node) and isinstance(item.value, str) and is_allowed(item.value) for item in items)]


def _check_modifiers(env: Env, items: Items, *urls: Run) -> Items:
    known = {text_of(argument(env, url)) for url in urls}
    for item in items:
        for extension in env.model.children(item, "modifierExtension") if isinstance(item, Node) else ():
            url = extension.value.get("url") if isinstance(extension.value, dict) else None
            if url not in known:
                raise EvaluationError(f"the modifier extension {url} is not understood")
    return items


FHIR: dict[str, tuple[int, int, Body]] = {
    "hasValue": (0, 0, _has_value),
    "getValue": (0, 0, _get_value),
    "extension": (1, 1, _extension),
    "resolve": (0, 0, _resolve),
    "checkModifiers": (1, 64, _check_modifiers),
    "memberOf": (1, 1, _member_of),
    "conformsTo": (1, 1, _conforms_to),
    "htmlChecks": (0, 0, _html),
    "htmlchecks": (0, 0, _html),
}
"""Name: fewest and most arguments, and what it does."""
