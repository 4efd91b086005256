"""Walks the concepts of a code system, and keeps those that a value set's filter lets through."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fhirbridge.errors import Resource

Row = tuple[dict[str, Any], tuple[str, ...]]


def concepts(system: Resource, above: tuple[str, ...] = ()) -> Iterator[Row]:
    """Yield every concept with the codes above it."""
    for concept in system.get("concept", ()):
        parents = tuple(
            p["valueCode"]
            for p in concept.get("property", ())
            if p.get("code") in ("parent", "subsumedBy") and "valueCode" in p
        )
        yield concept, above + parents
        yield from concepts(concept, (*above, concept.get("code", "")))


def abstract(concept: dict[str, Any]) -> bool:
    """Tell whether a concept only groups others."""
    return any(
        p.get("code") in ("notSelectable", "abstract") and p.get("valueBoolean") is True
        for p in concept.get("property", ())
    )


def filtered(rows: list[Row], rule: dict[str, Any], system: Resource) -> list[Row] | None:
    """Keep what a filter lets through; None where the filter is one we cannot evaluate."""
    property_, op, value = rule.get("property"), rule.get("op"), str(rule.get("value", ""))
    if op in ("is-a", "descendent-of", "is-not-a") and property_ in ("concept", "code"):
        below = _closure(rows, value)
        if op == "is-not-a":
            return [row for row in rows if row[0]["code"] not in below | {value}]
        return [row for row in rows if row[0]["code"] in below or (op == "is-a" and row[0]["code"] == value)]
    if op == "regex" and property_ in ("code", "concept"):
        return [row for row in rows if re.fullmatch(value, row[0]["code"])]
    if op in ("=", "in", "not-in", "exists"):
        return [row for row in rows if _has_property(row[0], str(property_), str(op), value)]
    del system
    return None


def _closure(rows: list[Row], top: str) -> set[str]:
    parents = {concept["code"]: set(above) for concept, above in rows}
    below: set[str] = set()
    grown = True
    while grown:
        fresh = {c for c, above in parents.items() if c not in below and (top in above or above & below)}
        below |= fresh
        grown = bool(fresh)
    return below


def _has_property(concept: dict[str, Any], name: str, op: str, value: str) -> bool:
    told = [str(v).lower() if isinstance(v, bool) else str(v.get("code") if isinstance(v, dict) else v)
            for p in concept.get("property", ()) if p.get("code") == name
            for k, v in p.items() if k.startswith("value")]  # fmt: skip
    if name in ("code", "display") and name in concept:
        told.append(str(concept[name]))
    if op == "exists":
        return bool(told) == (value == "true")
    wanted = {value} if op == "=" else set(value.split(","))
    return not wanted & set(told) if op == "not-in" else bool(wanted & set(told))
