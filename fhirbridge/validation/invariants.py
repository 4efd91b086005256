"""Evaluates invariants: the hot ones in plain Python, the rest as compiled FHIRPath; only true passes."""

# ruff: noqa: ARG001  (every rule of the table takes the walker, whether it needs it or not)
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from fhirbridge.validation.fhirpath import evaluate
from fhirbridge.validation.fhirpath.temporal import compare_text
from fhirbridge.validation.narrative import is_allowed

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.walker import Walker

DOM_3 = (
    "contained.where((('#'+id in (%resource.descendants().reference | %resource.descendants().as(canonical) |"
    " %resource.descendants().as(uri) | %resource.descendants().as(url))) or descendants().where(reference = '#')"
    ".exists() or descendants().where(as(canonical) = '#').exists() or descendants().where(as(canonical) = '#')"
    ".exists()).not()).trace('unmatched', id).empty()"
)
REF_1 = (
    "reference.startsWith('#').not() or "
    "(reference.substring(1).trace('url') in %rootResource.contained.id.trace('ids'))"
)

MENDED: dict[str, tuple[str, str]] = {
    "operator = 'exists' implies (answer is Boolean)": (
        "operator = 'exists' implies (answer is boolean)",
        "que-7: System.Boolean never is a FHIR boolean",
    ),
    "enableWhen.count() > 2 implies enableBehavior.exists()": (
        "enableWhen.count() >= 2 implies enableBehavior.exists()",
        "que-12: the text says more than one",
    ),
    "probability is decimal implies (probability as decimal) <= 100": (
        "probability.empty() or (probability is decimal).not() or probability.ofType(decimal) <= 100",
        "ras-2: `as` on a choice that is absent is empty, and empty fails",
    ),
    "clinicalStatus.exists() or verificationStatus.coding.where(system='http://terminology.hl7.org/CodeSystem/condition-ver-status'"
    " and code = 'entered-in-error').exists() or category.select($this='problem-list-item').empty()": (
        "clinicalStatus.exists() or verificationStatus.coding.where(system='http://terminology.hl7.org/CodeSystem/condition-ver-status'"
        " and code = 'entered-in-error').exists() or category.coding.where(code='problem-list-item').empty()",
        "con-3: compares a CodeableConcept with a string",
    ),
    "offset.empty() or (when.exists() and ((when in ('C' | 'CM' | 'CD' | 'CV')).not()))": (
        "offset.empty() or (when.exists() and when.select($this in ('C' | 'CM' | 'CD' | 'CV')).allFalse())",
        "tim-9: `in` takes one item, but when repeats",
    ),
    "fullUrl.contains('/_history/').not()": (
        "fullUrl.exists().not() or fullUrl.contains('/_history/').not()",
        "bdl-8: an absent fullUrl makes it empty, and empty fails",
    ),
    "type = 'document' implies entry.first().resource.is(Composition)": (
        "(type = 'document').not() or entry.first().resource.is(Composition)",
        "bdl-11: written so that an absent type does not decide",
    ),
    "where(use = 'home').empty()": ("where(use = 'home').empty()", "org-2, org-3: as published"),
    "duration.exists() implies duration >= 0": (
        "duration.empty() or duration.hasValue().not() or duration >= 0",
        "tim-4: extension only",
    ),
    "period.exists() implies period >= 0": (
        "period.empty() or period.hasValue().not() or period >= 0",
        "tim-5: extension only",
    ),
}
"""Published R4 expressions that do not say what their text says, by expression: what is run instead, and why."""


def passes(walker: Walker, node: Node, rule: dict[str, Any]) -> bool:
    """Tell whether an invariant holds on a node. Raises ProfileError where the expression cannot be compiled."""
    expression = rule.get("expression")
    if not expression:
        return True
    hot = HOT.get(expression)
    if hot is not None:
        return hot(walker, node)
    return evaluate.holds(mended(expression), node, walker)


def mended(expression: str) -> str:
    """Return the expression to run for a published one."""
    found = MENDED.get(expression)
    return found[0] if found else expression


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
    """Every contained resource is referred to, or refers to its container."""
    inside = _contained(node)
    if not inside:
        return True
    used = set(_texts(node.value))
    return all(f"#{c.get('id')}" in used or "#" in set(_texts(c)) for c in inside)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str) and value.startswith("#"):
        yield value


def _dom_4(walker: Walker, node: Node) -> bool:
    return not any(k in (c.get("meta") or {}) for c in _contained(node) for k in ("versionId", "lastUpdated"))


def _dom_5(walker: Walker, node: Node) -> bool:
    return not any("security" in (c.get("meta") or {}) for c in _contained(node))


def _ref_1(walker: Walker, node: Node) -> bool:
    """A local reference names a contained resource, or the container itself ("#", which the published rule forgets)."""
    reference = node.value.get("reference")
    return (
        not isinstance(reference, str) or not reference.startswith("#") or walker.around.resolve(reference) is not None
    )


def _per_1(walker: Walker, node: Node) -> bool:
    """start <= end; where their precision leaves it open, the years decide (HAPI pads a date to its last moment)."""
    start, end = node.value.get("start"), node.value.get("end")
    if not isinstance(start, str) or not isinstance(end, str):
        return True
    order = compare_text(start, end)
    return order <= 0 if order is not None else start[:4] <= end[:4]


def _narrative(walker: Walker, node: Node) -> bool:
    return not isinstance(node.value, str) or is_allowed(node.value)


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
}
"""Invariants that nearly every resource carries, by their published expression."""
