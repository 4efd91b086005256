"""Says invariants as JSON Schema where that can be done, else names them as Python to be run inside the schema."""

from __future__ import annotations

from typing import Any

from fhirbridge.errors import ProfileError
from fhirbridge.validation import stated
from fhirbridge.validation.compiled import Keyword
from fhirbridge.validation.fhirpath.logic import Logic
from fhirbridge.validation.invariants import DOM_3
from fhirbridge.validation.mended import REF_1, mended
from fhirbridge.validation.node import Model
from fhirbridge.validation.shapes import NEVER, Schema
from fhirbridge.validation.tree import Element

STRUCTURAL = frozenset(
    {
        "hasValue() or (children().count() > id.count())",  # empty objects and values are refused anyway
        "contained.contained.empty()",  # contained resources are refused, so that the walker looks at them
        "contained.meta.versionId.empty() and contained.meta.lastUpdated.empty()",
        "contained.meta.security.empty()",
        DOM_3,
        REF_1,
    }
)
"""Invariants that the rest of the schema already guarantees, by expression."""
_NEEDS_CONTEXT = ("%resource", "%rootResource", "resolve()", "conformsTo", "memberOf", "%context")


class Rules:
    """The invariants of one compilation; ``keywords`` names those that run as Python inside the schema."""

    def __init__(self, model: Model) -> None:
        self.snapshots = model.snapshots
        self.logic = Logic(model)
        self.keywords: dict[str, Keyword] = {}
        self._names: dict[Keyword, str] = {}

    def nested(self, rule: dict[str, Any], element: Element) -> Schema:
        """A rule below the root: as schema, else as Python inside the schema, else refused."""
        told = self.schema(rule, element)
        if told is not None:
            return told
        if rule["expression"] in stated.RUN:
            return stated.schema(rule["expression"], self._python(rule, element))
        expression = mended(str(rule.get("expression")))
        if any(word in expression for word in _NEEDS_CONTEXT):
            return NEVER
        return self._python(rule, element)

    def _python(self, rule: dict[str, Any], element: Element) -> Schema:
        """Name the rule as Python to be run inside the schema."""
        keyword = (element.home, element.id, rule["expression"])
        name = self._names.setdefault(keyword, f"x-fhirpath-{len(self._names)}")
        self.keywords[name] = keyword
        return {name: True}

    def schema(self, rule: dict[str, Any], element: Element) -> Schema | None:
        """A rule as schema, or None where JSON Schema cannot say it."""
        expression = rule.get("expression")
        if not expression or rule.get("severity") != "error" or expression in STRUCTURAL:
            return True
        if expression in stated.RUN:
            return True if expression == stated.IDS else None  # elements with an id are left to the walker anyway
        shape = element if element.children else self.snapshots.shape_of(element)
        try:
            return self.logic.as_schema(mended(expression), shape) if shape else None
        except ProfileError:
            return NEVER
