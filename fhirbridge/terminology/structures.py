"""Reads results that come in fields: FHIR's Quantity, and HL7 v2's structured numeric (SN).

Sources: http://hl7.org/fhir/R4/datatypes.html#Quantity; HL7 v2.5.1, chapter 2A, SN.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from fhirbridge.elements import UCUM
from fhirbridge.terminology.glyphs import plain
from fhirbridge.terminology.numerals import DIGITS
from fhirbridge.terminology.readings import COMPARATORS, Comparator, Reading, unreadable

_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?", re.ASCII)
_LOGARITHM = re.compile(r"[\[{]?(?:log|lg)", re.IGNORECASE)


def read_quantity(quantity: object) -> Reading:
    """Read a FHIR Quantity as ``fhirjson`` parsed it (numbers are int or Decimal). Never raises.

    ``text`` is the Quantity in words. The code counts as a unit only under the system of UCUM.
    """
    if not isinstance(quantity, Mapping):
        return unreadable("", "it is no Quantity")
    value, comparator = quantity.get("value"), quantity.get("comparator")
    unit, code = _string(quantity.get("unit")), _string(quantity.get("code"))
    text = " ".join(str(part) for part in (comparator, value, unit or code) if part is not None)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return unreadable(text, "the Quantity has no value that is a decimal number")
    if comparator is not None and comparator not in COMPARATORS:
        return unreadable(text, "FHIR R4 has no such comparator")
    number = Decimal(value)
    problem = _problem(number, comparator)
    if problem:
        return unreadable(text, problem)
    ucum = code if quantity.get("system") == UCUM else None
    return Reading(
        kind="censored" if comparator else "number", text=text, rule="Quantity", value=number, comparator=comparator,
        unit=unit, unit_code=ucum, logarithm=bool(_LOGARITHM.match(unit or "") or _LOGARITHM.match(ucum or "")),
    )  # fmt: skip


def read_structured(
    comparator: str | None, number1: str | None, separator: str | None = None, number2: str | None = None
) -> Reading:
    """Read the four components of an SN, each as text or absent: ``("<", "10", None, None)``. Never raises."""
    parts = [plain(part) if isinstance(part, str) else "" for part in (comparator, number1, separator, number2)]
    text = "^".join(parts).rstrip("^")
    sign, first, mark, second = parts
    if not first and not second:
        return unreadable(text, "the SN has no number")
    if not _NUMBER.fullmatch(first) or (second and not _NUMBER.fullmatch(second)):
        return unreadable(text, "a component of the SN is no number as HL7 writes them")
    if sign not in ("", "=", *COMPARATORS):
        return unreadable(text, "the SN's comparator has no counterpart in FHIR")
    beyond: Comparator | None = sign if sign in COMPARATORS else None
    low, high = Decimal(first), Decimal(second) if second else None
    problem = _problem(low, beyond) or (_problem(high, None) if high is not None else None)
    if problem:
        return unreadable(text, problem)
    if mark == "+" and high is None and beyond is None and low in (1, 2, 3, 4):
        return Reading(kind="ordinal", text=text, rule="SN grade", answer="positive", grade=int(low))
    if not mark and high is None:
        return Reading(kind="censored" if beyond else "number", text=text, rule="SN", value=low, comparator=beyond)
    if high is None or (mark == "-" and (low >= high or beyond)):
        return unreadable(text, "the SN's two numbers and its separator make no range, ratio or titre")
    if mark == "-":
        return Reading(kind="range", text=text, rule="SN range", value=low, upper=high)
    if mark == ":" and low == 1:
        return Reading(kind="titre", text=text, rule="SN titre", value=low, upper=high, comparator=beyond)
    if mark in ("/", ":") and high:
        return Reading(kind="ratio", text=text, rule="SN ratio", value=low, upper=high, comparator=beyond)
    return unreadable(text, "the SN's two numbers and its separator make no range, ratio or titre")


def _problem(number: Decimal, comparator: str | None) -> str | None:
    if not number.is_finite():
        return "it is no finite number"
    if abs(number.adjusted()) > DIGITS or len(number.as_tuple().digits) > DIGITS:
        return f"it has more than {DIGITS} digits or orders of magnitude"
    if comparator == "<" and number <= 0:
        return "it lies below zero"
    return None


def _string(value: Any) -> str | None:
    return plain(value) or None if isinstance(value, str) else None
