"""Says in JSON Schema which codes an element may have: required bindings, and code systems that are loaded whole."""

from __future__ import annotations

from fhirbridge.validation.formats import FORMATS, MISNAMED
from fhirbridge.validation.primitives import PRIMITIVES
from fhirbridge.validation.shapes import NEVER, Schema
from fhirbridge.validation.terminology import HL7, Expansion, Terminology

WITH_CODE = frozenset({"Coding", "Quantity", "Age", "Count", "Distance", "Duration"})
"""Types that name a code system and a code of it."""
WITH_CODES: Schema = {
    "properties": {"coding": {"items": {"anyOf": [{"required": ["code"]}, {"not": {"required": ["system"]}}]}}}
}
"""A concept whose codings do not name a system alone."""


def bound(terminology: Terminology, value_set: str, code: str) -> Schema:
    """Return what a required binding lets through of a value of type ``code``."""
    expansion = terminology.expansion(value_set)
    if expansion is None or expansion.unknown:
        return True
    if code in PRIMITIVES:
        if expansion.open - FORMATS.keys():
            return True
        codes = sorted({c for s, found in expansion.codes.items() if not s.endswith("#lower") for c in found})
        shapes: list[Schema] = [{"pattern": f"^(?:{FORMATS[s].pattern})$"} for s in sorted(expansion.open)]
        listed: list[Schema] = [{"enum": codes}] if codes else []
        return {"anyOf": [*listed, *shapes]} if listed or shapes else NEVER
    if code == "CodeableConcept":
        return {"required": ["coding"], "properties": {"coding": {"contains": _coding(expansion)}}}
    if code == "Coding":
        return _coding(expansion)
    return {"if": {"required": ["code"]}, "then": _coding(expansion)}


def known_code(terminology: Terminology) -> Schema:
    """Have a Coding's system and code looked up (in Python) where something is known of that system."""
    named: Schema = {"enum": terminology.whole_systems()}
    addressed: list[Schema] = [{"pattern": pattern} for pattern in (*("^" + address for address in HL7), MISNAMED)]
    loaded: Schema = {"required": ["system"], "properties": {"system": {"anyOf": [*addressed, named]}}}
    return {"if": loaded, "then": {"x-code": True}}


def _coding(expansion: Expansion) -> Schema:
    systems = {s: codes for s, codes in expansion.codes.items() if not s.endswith("#lower") and s}
    listed: list[Schema] = [
        {
            "properties": {"system": {"const": s}, "code": {"enum": sorted(codes)}},
            "required": ["system", "code"],
        }
        for s, codes in sorted(systems.items())
    ]
    whole = expansion.open - FORMATS.keys()  # a code system whose codes have a shape is left to the walker
    listed += [{"properties": {"system": {"const": s}}, "required": ["system", "code"]} for s in sorted(whole)]
    return {"type": "object", "anyOf": listed} if listed else NEVER
