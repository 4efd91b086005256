"""What R4 asks of a resource because of its type, beyond what its StructureDefinition says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fhirbridge.errors import Resource
from fhirbridge.validation import bundles, contained, measures, profile_rules, responses
from fhirbridge.validation.tree import STRUCTURES

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.walker import Walker


def check(walker: Walker, node: Node) -> None:
    """Check a resource's contained resources, and what is asked of its type alone."""
    contained.check(walker, node)
    asked = CHECKS.get(node.type)
    if asked is not None:
        kept, walker.profile = walker.profile, STRUCTURES + node.type
        asked(walker, node)
        walker.profile = kept


CHECKS: dict[str, Callable[[Walker, Node], None]] = {
    "Bundle": bundles.check,
    "MeasureReport": measures.check,
    "QuestionnaireResponse": responses.check,
    "StructureDefinition": profile_rules.check,
}

_HOLDERS = ("Bundle", "Parameters")


def needs_walker(resource: Resource) -> bool:
    """Tell whether no schema can decide: the resource holds others, or is checked against another."""
    kind = resource.get("resourceType")
    if kind == "QuestionnaireResponse":
        return "questionnaire" in resource
    return kind in _HOLDERS or kind in CHECKS
