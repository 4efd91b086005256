"""Expands value sets without a network: enough to decide whether a code is in, out, or cannot be told."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fhirbridge.errors import Resource
from fhirbridge.validation.packages import Definitions

HL7 = ("http://hl7.org/", "http://terminology.hl7.org/")
"""Where the code systems of the base definitions live, nearly all of them."""

FORMATS = {
    "urn:ietf:bcp:13": re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+*-]*(\s*;.*)?"),
    "urn:ietf:bcp:47": re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*"),
    "urn:iso:std:iso:4217": re.compile(r"[A-Z]{3}"),
}
"""Code systems too large or too foreign to list, whose codes at least have a shape."""


@dataclass
class Expansion:
    """Codes by system, and the systems of which any code may be in (they cannot be listed offline)."""

    codes: dict[str, set[str]] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    unknown: bool = False
    """True where even the systems cannot be told: then nothing can be said to be out."""
    caseless: set[str] = field(default_factory=set)

    def has(self, system: str | None, code: str) -> bool | None:
        """Tell whether a code is in (True), out (False), or not to be told (None)."""
        if system is None:
            if any(code in codes for codes in self.codes.values()):
                return True
            return None if self.unknown or any(_shaped(s, code) for s in self.open) else False
        if code in self.codes.get(system, ()):
            return True
        if system in self.caseless and code.lower() in self.codes.get(system + "#lower", ()):
            return True
        if system in self.open:
            return None if _shaped(system, code) else False
        return None if self.unknown else False


def _shaped(system: str, code: str) -> bool:
    pattern = FORMATS.get(system)
    return pattern is None or pattern.fullmatch(code) is not None


class Terminology:
    """Value sets by canonical URL, expanded from the loaded packages when first asked for."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self._known: dict[str, Expansion | None] = {}
        self._systems: dict[str, frozenset[str] | None] = {}
        self._opened: set[str] = set()
        self._lock = threading.RLock()

    def expansion(self, canonical: str) -> Expansion | None:
        """Return the expansion, or None if no such ValueSet is loaded."""
        if canonical in self._known:
            return self._known[canonical]
        with self._lock:
            if canonical in self._opened:  # a set that includes itself adds nothing to itself
                return Expansion()
            self._opened.add(canonical)
            try:
                found = self.definitions.value_set(canonical)
                expanded = self._expand(found) if found else None
            finally:
                self._opened.discard(canonical)
            if not self._opened:  # what was read inside another set may have met a circle: it is read again when asked
                self._known[canonical] = expanded
            return expanded

    def system_has(self, system: str, code: str) -> bool | None:
        """Tell whether a code system has a code; None where the system is not wholly loaded."""
        codes = self.codes_of(system)
        return None if codes is None else code in codes

    def codes_of(self, system: str) -> frozenset[str] | None:
        """Return all codes of a code system that is wholly loaded, else None."""
        if system not in self._systems:
            self._systems[system] = self._codes(system)
        return self._systems[system]

    def whole_systems(self) -> list[str]:
        """Return the code systems outside HL7's own address space that may be loaded whole."""
        return sorted(u for u in self.definitions.urls("CodeSystem") if not u.startswith(HL7))

    def _codes(self, system: str) -> frozenset[str] | None:
        found = self.definitions.code_system(system)
        if found is None or found.get("content") != "complete" or "concept" not in found:
            return None
        if found.get("caseSensitive") is not True or found.get("compositional"):
            return None
        return frozenset(str(concept.get("code")) for concept, _ in _concepts(found))

    def _expand(self, value_set: Resource) -> Expansion:
        result = Expansion()
        compose = value_set.get("compose")
        if compose:
            for include in compose.get("include", ()):
                _union(result, self._clause(include))
            for exclude in compose.get("exclude", ()):
                _remove(result, self._clause(exclude))
        elif "expansion" in value_set:
            for item in _contains(value_set["expansion"]):
                if item.get("code") and not item.get("abstract"):
                    result.codes.setdefault(item.get("system", ""), set()).add(item["code"])
        else:
            result.unknown = True
        return result

    def _clause(self, clause: dict[str, Any]) -> Expansion:
        """One include or exclude: its own codes, cut down to those that every named value set has too."""
        parts = [self.expansion(c) or Expansion(unknown=True) for c in clause.get("valueSet", ())]
        if "system" in clause:
            parts.append(self._of_system(clause))
        whole = parts[0] if parts else Expansion()
        for part in parts[1:]:
            whole = _intersection(whole, part)
        return whole

    def _of_system(self, clause: dict[str, Any]) -> Expansion:
        system = clause["system"]
        if clause.get("concept"):
            return Expansion({system: {c["code"] for c in clause["concept"]}})
        found = self.definitions.code_system(f"{system}|{clause['version']}" if "version" in clause else system)
        found = found or self.definitions.code_system(system)
        if found is None or found.get("content") not in ("complete", None) or "concept" not in found:
            return Expansion(open={system})
        rows = list(_concepts(found))
        for rule in clause.get("filter", ()):
            kept = _filtered(rows, rule, found)
            if kept is None:
                return Expansion(open={system})
            rows = kept
        codes = {concept["code"] for concept, _ in rows if not _abstract(concept)}
        if found.get("caseSensitive") is False:
            return Expansion({system: codes, system + "#lower": {c.lower() for c in codes}}, caseless={system})
        return Expansion({system: codes})


Row = tuple[dict[str, Any], tuple[str, ...]]


def _concepts(system: Resource, above: tuple[str, ...] = ()) -> Iterator[Row]:
    """Yield every concept with the codes above it."""
    for concept in system.get("concept", ()):
        parents = tuple(
            p["valueCode"]
            for p in concept.get("property", ())
            if p.get("code") in ("parent", "subsumedBy") and "valueCode" in p
        )
        yield concept, above + parents
        yield from _concepts(concept, (*above, concept.get("code", "")))


def _abstract(concept: dict[str, Any]) -> bool:
    return any(
        p.get("code") in ("notSelectable", "abstract") and p.get("valueBoolean") is True
        for p in concept.get("property", ())
    )


def _filtered(rows: list[Row], rule: dict[str, Any], system: Resource) -> list[Row] | None:
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


def _contains(expansion: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in expansion.get("contains", ()):
        yield item
        yield from _contains(item)


def _union(into: Expansion, other: Expansion) -> None:
    for system, codes in other.codes.items():
        into.codes.setdefault(system, set()).update(codes)
    into.open |= other.open
    into.caseless |= other.caseless
    into.unknown = into.unknown or other.unknown


def _remove(from_: Expansion, other: Expansion) -> None:
    for system, codes in other.codes.items():
        from_.codes.get(system, set()).difference_update(codes)


def _intersection(one: Expansion, two: Expansion) -> Expansion:
    result = Expansion(unknown=one.unknown and two.unknown, caseless=one.caseless & two.caseless)
    for system in {*one.codes, *two.codes, *one.open, *two.open}:
        first, second = one.codes.get(system), two.codes.get(system)
        loose_one, loose_two = one.unknown or system in one.open, two.unknown or system in two.open
        if first is not None and second is not None:
            result.codes[system] = first & second
        elif first is not None and loose_two:
            result.codes[system] = set(first)
        elif second is not None and loose_one:
            result.codes[system] = set(second)
        elif loose_one and loose_two:
            result.open.add(system)
    return result
