"""Evaluates invariants: the hot ones in plain Python, the rest as compiled FHIRPath; only true passes."""

# ruff: noqa: ARG001  (every rule of the table takes the walker, whether it needs it or not)
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fhirbridge.validation import contained, stated
from fhirbridge.validation.fhirpath import evaluate
from fhirbridge.validation.fhirpath.temporal import compare_text
from fhirbridge.validation.mended import REF_1, mended
from fhirbridge.validation.narrative import is_allowed
from fhirbridge.validation.tree import STRUCTURES

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.walker import Walker

BEST_PRACTICE = STRUCTURES + "elementdefinition-bestpractice"
DOM_3 = (
    "contained.where((('#'+id in (%resource.descendants().reference | %resource.descendants().as(canonical) |"
    " %resource.descendants().as(uri) | %resource.descendants().as(url))) or descendants().where(reference = '#')"
    ".exists() or descendants().where(as(canonical) = '#').exists() or descendants().where(as(canonical) = '#')"
    ".exists()).not()).trace('unmatched', id).empty()"
)


def passes(walker: Walker, node: Node, rule: dict[str, Any]) -> bool:
    """Tell whether an invariant holds on a node. Raises ProfileError where the expression cannot be compiled."""
    expression = rule.get("expression")
    if not expression:
        return True
    hot = HOT.get(expression)
    if hot is not None:
        return hot(walker, node)
    return evaluate.holds(mended(expression), node, walker)


def severity(rule: dict[str, Any]) -> str:
    """Return how bad it is to break a rule; advice (``dom-6``, wants a narrative) is information, as in HAPI."""
    marks = rule.get("extension", ())
    advice = any(mark.get("url") == BEST_PRACTICE and mark.get("valueBoolean") is True for mark in marks)
    return "information" if advice else str(rule.get("severity", "error"))


def _true(walker: Walker, node: Node) -> bool:
    return True


def _ext_1(walker: Walker, node: Node) -> bool:
    value = node.value
    if not isinstance(value, dict):
        return True
    return bool(value.get("extension")) != any(k.startswith(("value", "_value")) for k in value)


def _obs_6(walker: Walker, node: Node) -> bool:
    return "dataAbsentReason" not in node.value or not any(k.startswith(("value", "_value")) for k in node.value)


def _obs_7(walker: Walker, node: Node) -> bool:
    """No value beside a component that has the observation's own code."""
    components = node.value.get("component")
    if not isinstance(components, list):
        return True
    own = _codings(node.value)
    clash = any(coding in own for c in components for coding in _codings(c))
    return not clash or not any(k.startswith(("value", "_value")) for k in node.value)


def _codings(item: Any) -> list[Any]:
    code = item.get("code") if isinstance(item, dict) else None
    found = code.get("coding") if isinstance(code, dict) else None
    return found if isinstance(found, list) else []


def _contained(node: Node) -> list[dict[str, Any]]:
    found = node.value.get("contained")
    return [c for c in found if isinstance(c, dict)] if isinstance(found, list) else []


def _dom_2(walker: Walker, node: Node) -> bool:
    return not any("contained" in c for c in _contained(node))


def _dom_3(walker: Walker, node: Node) -> bool:
    return not _contained(node) or contained.all_referred_to(walker, node)


def _dom_4(walker: Walker, node: Node) -> bool:
    return not any(k in (c.get("meta") or {}) for c in _contained(node) for k in ("versionId", "lastUpdated"))


def _dom_5(walker: Walker, node: Node) -> bool:
    return not any("security" in (c.get("meta") or {}) for c in _contained(node))


def _ref_1(walker: Walker, node: Node) -> bool:
    """A local reference names a contained resource; "#", the container itself, only from inside of it."""
    reference = node.value.get("reference")
    if not isinstance(reference, str) or not reference.startswith("#"):
        return True
    if reference == "#":
        container = walker.around.container
        return "contained" in container and walker.resource_node.value is not container
    return walker.around.resolve(reference) is not None


def _per_1(walker: Walker, node: Node) -> bool:
    """start <= end; where their precision leaves it open, that is not true."""
    start, end = node.value.get("start"), node.value.get("end")
    if not isinstance(start, str) or not isinstance(end, str):
        return True
    order = compare_text(start, end)
    return order is not None and order <= 0


def _narrative(walker: Walker, node: Node) -> bool:
    return isinstance(node.value, str) and is_allowed(node.value)


HOT: dict[str, Callable[[Walker, Node], bool]] = {
    "hasValue() or (children().count() > id.count())": _true,  # ele-1: the walker refuses what is empty itself
    "extension.exists() != value.exists()": _ext_1,
    "dataAbsentReason.empty() or value.empty()": _obs_6,
    "value.empty() or component.code.where(coding.intersect(%resource.code.coding).exists()).empty()": _obs_7,
    "contained.contained.empty()": _dom_2,
    DOM_3: _dom_3,
    "contained.meta.versionId.empty() and contained.meta.lastUpdated.empty()": _dom_4,
    "contained.meta.security.empty()": _dom_5,
    REF_1: _ref_1,
    "start.hasValue().not() or end.hasValue().not() or (start <= end)": _per_1,
    "htmlChecks()": _narrative,
    **stated.RUN,
}
"""Invariants that nearly every resource carries, by their published expression."""

NEEDS_WALKER = frozenset({REF_1}) | stated.NEEDS_WALKER
"""Those of the table that look further than the value they stand on."""
