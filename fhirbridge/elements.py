"""Small FHIR elements as plain dicts, so that a mapping reads like the resource it makes."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

Element = dict[str, Any]

UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"

CANONICAL = "https://fhirbridge.github.io/fhir"
"""Root of the canonical URLs of everything in ``profiles/``: ``{CANONICAL}/StructureDefinition/…``."""

STUDY_TAG = "https://fhirbridge.github.io/sid/study"
"""System of the ``meta.tag`` that every pushed resource carries; its code is the study's id."""


def coding(system: str, code: str, display: str | None = None) -> Element:
    """Return a Coding."""
    return {"system": system, "code": code} | ({"display": display} if display else {})


def concept(*codings: Element, text: str | None = None) -> Element:
    """Return a CodeableConcept of these codings, the first being the preferred one."""
    return ({"coding": list(codings)} if codings else {}) | ({"text": text} if text else {})


def identifier(system: str, value: str, *, use: str | None = None, kind: Element | None = None) -> Element:
    """Return an Identifier; ``kind`` is its type, a CodeableConcept."""
    return ({"use": use} if use else {}) | ({"type": kind} if kind else {}) | {"system": system, "value": value}


def reference(resource_type: str, logical_id: str) -> Element:
    """Return a literal Reference ``Type/id``."""
    return {"reference": f"{resource_type}/{logical_id}"}


def quantity(value: Decimal | int, unit: str, code: str, comparator: str | None = None) -> Element:
    """Return a Quantity in UCUM; ``code`` is the exact UCUM string, ``unit`` what a person reads."""
    head: Element = {"value": value} | ({"comparator": comparator} if comparator else {})
    return head | {"unit": unit, "system": UCUM, "code": code}


def when(moment: dt.date | dt.datetime) -> str:
    """Return a FHIR date, or a dateTime to the second where a time is known (which must carry its offset)."""
    if not isinstance(moment, dt.datetime):
        return moment.isoformat()
    if moment.tzinfo is None:
        raise ValueError("a FHIR dateTime with a time needs an offset")
    return moment.isoformat(timespec="seconds")


def instant(moment: dt.datetime) -> str:
    """Return a FHIR instant: UTC to the millisecond and of equal width, so that text sorts as time does.

    Like 2026-11-22T14:49:24.000Z. What lies between two milliseconds is cut off.
    """
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def period(start: dt.date | None, end: dt.date | None) -> Element | None:
    """Return a Period, or None where neither end is known."""
    found = ({"start": when(start)} if start else {}) | ({"end": when(end)} if end else {})
    return found or None


def present(**elements: Any) -> Element:
    """Return the given elements without the absent ones: None, empty lists and empty dicts are left out.

    A trailing underscore is dropped from a name, so that ``class_`` gives ``class``.
    """
    return {name.rstrip("_"): value for name, value in elements.items() if value is not None and value not in ([], {})}
