"""Small JSON Schemas: a primitive, equal to a fixed value, carrying a pattern, pointing at certain types."""

from __future__ import annotations

from typing import Any

from fhirbridge.validation.primitives import MAX_STRING, PRIMITIVES
from fhirbridge.validation.snapshot import Snapshots

Schema = dict[str, Any] | bool
NEVER = False
"""The schema that refuses everything: the walker has to look."""

_ID = r"[A-Za-z0-9\-.]{1,64}"
_UNLIMITED = ("base64Binary", "xhtml")
_FAST_URI = (
    r"(?:[^\x00-\x20\xa0uo#][^\x00-\x20\xa0]*|urn:[^\x00-\x20\xa0ou][^\x00-\x20\xa0]*"
    r"|urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+"
    r"|urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
)
_FAST_CANONICAL = r"https?://[^\x00-\x20\xa0]+"
_MANY = 4
"""Choices with more types than this are first asked how many properties there are at all."""


def all_of(parts: list[Schema]) -> Schema:
    """Join schemas that must all accept."""
    if any(part is NEVER for part in parts):
        return NEVER
    kept = [part for part in parts if part is not True]
    return kept[0] if len(kept) == 1 else {"allOf": kept} if kept else True


def primitive(code: str) -> Schema:
    """The schema of a primitive's JSON value."""
    rule = PRIMITIVES[code]
    if rule.json == "integer":
        return {"type": "integer", "minimum": rule.low, "maximum": rule.high, "x-whole": True}
    if rule.json != "string":
        return {"type": rule.json}
    regex = _FAST_CANONICAL if code == "canonical" else _FAST_URI if code in ("uri", "url") else rule.regex
    limit = {} if code in _UNLIMITED else {"maxLength": MAX_STRING}
    return {"type": "string", "pattern": f"^(?:{regex})$", **limit}


def at_most_one(keys: list[str], required: list[str]) -> Schema:
    """No two of these properties together; an object with but one property more than it must have is fine at once."""
    each: list[Schema] = [{"required": [k]} for k in keys]
    told: list[Schema] = [{"oneOf": each}, {"not": {"anyOf": each}}]
    return {"anyOf": told if len(keys) <= _MANY else [{"maxProperties": len(required) + 1}, *told]}


def with_resource_type(body: dict[str, Any], kind: str) -> dict[str, Any]:
    """Let the object carry its resourceType, which no element describes."""
    body["properties"]["resourceType"] = {"const": kind}
    body["required"] = ["resourceType", *body.get("required", [])]
    return body


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


def apart(one: Schema, two: Schema) -> bool:
    """Tell whether two schemas surely never accept the same value: they ask for different constants somewhere."""
    if not isinstance(one, dict) or not isinstance(two, dict):
        return False
    if "const" in one and "const" in two:
        return bool(one["const"] != two["const"])
    first, second = one.get("properties", {}), two.get("properties", {})
    both = {*one.get("required", ()), *two.get("required", ())} & first.keys() & second.keys()
    return any(apart(first[key], second[key]) for key in both)


def reference_schema(snapshots: Snapshots, targets: tuple[str, ...]) -> Schema:
    """Accept a Reference whose literal names an allowed type, or names none; the rest is for the walker."""
    kinds: set[str] = set()
    for target in targets:
        structure = snapshots.definitions.structure(target)
        kinds.add(str(structure.get("type")) if structure else "Resource")
    if not kinds or kinds & {"Resource", "DomainResource"}:
        # a stated type must fit the literal's, and #id a contained resource: the walker looks
        literal = r"^[^#\x00-\x20\xa0][^\x00-\x20\xa0]*$"
        return {"not": {"required": ["type"]}, "properties": {"reference": {"pattern": literal}}}
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
        "pattern": rf"^(?:(?:https?://[^#?\x00-\x20\xa0]*/)?(?:{kinds})/{_ID}(?:/_history/{_ID})?|urn:(?:uuid|oid):[^\x00-\x20\xa0/]*)$",
    }
