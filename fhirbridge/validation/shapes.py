"""Small JSON Schemas: equal to a fixed value, carrying a pattern, pointing at certain types."""

from __future__ import annotations

from typing import Any

from fhirbridge.validation.snapshot import Snapshots

Schema = dict[str, Any] | bool

_ID = r"[A-Za-z0-9\-.]{1,64}"


def equals(value: Any) -> Schema:
    """Accept exactly a fixed[x]."""
    if isinstance(value, dict):
        return {
            "type": "object",
            "properties": {k: equals(v) for k, v in value.items()},
            "required": list(value),
            "additionalProperties": False,
        }
    if isinstance(value, list):
        return {
            "type": "array",
            "prefixItems": [equals(v) for v in value],
            "minItems": len(value),
            "maxItems": len(value),
        }
    return {"const": value}


def patterned(value: Any) -> Schema:
    """Accept what carries a pattern[x]."""
    if isinstance(value, dict):
        return {
            "type": "object",
            "properties": {k: patterned(v) for k, v in value.items()},
            "required": list(value),
        }
    if isinstance(value, list):
        found: list[Schema] = [{"contains": patterned(v)} for v in value]
        return (
            {"type": "array", **found[0]}
            if len(found) == 1 and isinstance(found[0], dict)
            else {"type": "array", "allOf": found}
        )
    return {"const": value}


def reference_schema(snapshots: Snapshots, targets: tuple[str, ...]) -> Schema:
    """Accept a Reference whose literal names an allowed type, or names none; the rest is for the walker."""
    kinds: set[str] = set()
    for target in targets:
        structure = snapshots.definitions.structure(target)
        kinds.add(str(structure.get("type")) if structure else "Resource")
    if not kinds or kinds & {"Resource", "DomainResource"}:
        return {"not": {"required": ["type"]}}  # a stated type must fit the literal's: the walker compares them
    ordered = sorted(kinds)
    stated: list[Schema] = [
        {"properties": {"type": {"const": k}, "reference": _literal(k)}, "required": ["type"]} for k in ordered
    ]
    unstated: Schema = {
        "not": {"required": ["type"]},
        "properties": {"reference": _literal("|".join(ordered))},
    }
    return {"anyOf": [unstated, *stated]}


def _literal(kinds: str) -> Schema:
    return {
        "type": "string",
        "pattern": rf"^(?:(?:https?://[^#?\x00-\x20]*/)?(?:{kinds})/{_ID}(?:/_history/{_ID})?|urn:(?:uuid|oid):[^\x00-\x20/]*)$",
    }
