"""Expands value sets without a network: enough to decide whether a code is in, out, or cannot be told."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fhirbridge.errors import Resource
from fhirbridge.validation import ucum
from fhirbridge.validation.concepts import abstract, concepts, filtered
from fhirbridge.validation.formats import MISNAMED, ROOTS, shaped
from fhirbridge.validation.packages import Definitions

HL7 = ("http://hl7.org/", "http://terminology.hl7.org/")
"""Where the code systems of the base definitions live, nearly all of them."""


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
            return None if self.unknown or any(shaped(s, code) for s in self.open) else False
        if code in self.codes.get(system, ()):
            return True
        if system in self.caseless and code.lower() in self.codes.get(system + "#lower", ()):
            return True
        if system in self.open:
            return None if shaped(system, code) else False
        return None if self.unknown else False


class Terminology:
    """Value sets by canonical URL, expanded from the loaded packages when first asked for."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self._known: dict[str, Expansion | None] = {}
        self._systems: dict[str, frozenset[str] | None] = {}
        self._caseless: set[str] = set()
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
        if system == ucum.SYSTEM:
            return ucum.is_unit(code)
        codes = self.codes_of(system)
        if codes is None:
            return None
        return code in codes or (system in self._caseless and code.lower() in codes)

    def problem(self, system: str, code: str) -> str | None:
        """Say what is wrong with a Coding's system and code, or None if nothing can be said to be."""
        if self.system_has(system, code) is False:
            return f"The code system {system} has no code {code!r}."
        if re.match(MISNAMED, system):
            known = next(root for root in ROOTS if system.startswith(root))
            return f"{system} is no code system; the one meant is {known}."
        if self.is_value_set(system):
            return f"{system} is a value set, not a code system."
        found = self.definitions.code_system(system)
        if found is not None and found.get("content") == "supplement":
            return f"{system} only supplements {found.get('supplements')}, whose URI belongs here."
        return None

    def is_value_set(self, uri: str) -> bool:
        """Tell whether a URI is a value set's and no code system's."""
        return self.definitions.value_set(uri) is not None and self.definitions.code_system(uri) is None

    def codes_of(self, system: str) -> frozenset[str] | None:
        """Return all codes of a code system that is wholly loaded, else None."""
        if system not in self._systems:
            if self.definitions.code_system(system) is None:
                return None
            self._systems[system] = self._codes(system)
        return self._systems[system]

    def whole_systems(self) -> list[str]:
        """Return the code systems (and what is mistaken for one) outside HL7's address space that can be judged."""
        loaded = {*self.definitions.urls("CodeSystem"), *self.definitions.urls("ValueSet")}
        return sorted({ucum.SYSTEM, *(u for u in loaded if not u.startswith(HL7))})

    def _codes(self, system: str) -> frozenset[str] | None:
        found = self.definitions.code_system(system)
        if found is None or found.get("content") != "complete" or "concept" not in found:
            return None
        if found.get("compositional"):
            return None
        codes = {str(concept.get("code")) for concept, _ in concepts(found)}
        if found.get("caseSensitive") is not True:
            self._caseless.add(system)
            codes |= {code.lower() for code in codes}
        return frozenset(codes)

    def expanded(self, value_set: Resource) -> Expansion:
        """Return the expansion of a value set that is at hand, as a contained one is; a broken one lets all through."""
        try:
            with self._lock:
                return self._expand(value_set)
        except (AttributeError, KeyError, TypeError):
            return Expansion(unknown=True)

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
        rows = list(concepts(found))
        for rule in clause.get("filter", ()):
            kept = filtered(rows, rule, found)
            if kept is None:
                return Expansion(open={system})
            rows = kept
        codes = {concept["code"] for concept, _ in rows if not abstract(concept)}
        if found.get("caseSensitive") is False:
            return Expansion({system: codes, system + "#lower": {c.lower() for c in codes}}, caseless={system})
        return Expansion({system: codes})


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
