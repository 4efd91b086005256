"""The difference of two resources, field by field, and putting a single field from one into the other.

A field is named by its path: ``valueQuantity.value``, ``component[1].code.text``. Lists of one length are gone into,
item by item; a list that grew or shrank is one field, because its items cannot be told apart by their places.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fhirbridge.errors import Resource

ABSENT = object()
"""Stands for a value that is not there; FHIR's JSON has no other word for it."""

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field and its values in both resources; ``ABSENT`` where there is none."""

    path: str
    old: Any
    new: Any

    def as_dict(self) -> dict[str, Any]:
        """Return path, old and new as plain JSON values; what is absent is left out."""
        shown = {"path": self.path, "old": self.old, "new": self.new}
        return {name: value for name, value in shown.items() if value is not ABSENT}


def differences(old: Resource, new: Resource) -> tuple[FieldChange, ...]:
    """Return the fields in which two resources differ, in the order of the new one. 5.50 and 5.5 differ."""
    return tuple(_walk(old, new, ""))


def _walk(old: Any, new: Any, path: str) -> Iterator[FieldChange]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*new, *(name for name in old if name not in new)]:
            here = f"{path}.{name}" if path else name
            yield from _walk(old.get(name, ABSENT), new.get(name, ABSENT), here)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _walk(before, after, f"{path}[{place}]")
    elif not same(old, new):
        yield FieldChange(path, old, new)


def same(one: Any, other: Any) -> bool:
    """Say whether two values are written alike: 5.50 is not 5.5, and True is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and str(one) == str(other)


def value_at(resource: Resource, path: str) -> Any:
    """Return the value of a field, ``ABSENT`` where there is none."""
    found: Any = resource
    for step in _steps(path):
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError):
            return ABSENT
    return found


def with_value(resource: Resource, path: str, value: Any) -> Resource:
    """Return the resource with another value in one field (``ABSENT`` takes it away); the given one is not changed.

    A field whose parents are not there cannot be put anywhere: the resource is returned as it is.
    """
    changed: Resource = _put(resource, list(_steps(path)), value)
    return changed


def _put(tree: Any, steps: list[str | int], value: Any) -> Any:
    step, rest = steps[0], steps[1:]
    if isinstance(tree, dict) and isinstance(step, str):
        below = value if not rest else _put(tree.get(step), rest, value)
        if below is ABSENT or below is None:
            return {name: kept for name, kept in tree.items() if name != step}
        return {**tree, step: below}
    if isinstance(tree, list) and isinstance(step, int) and step < len(tree):
        below = value if not rest else _put(tree[step], rest, value)
        return [*tree[:step], *([] if below is ABSENT else [below]), *tree[step + 1 :]]
    return tree


def _steps(path: str) -> Iterator[str | int]:
    for name, place in _STEP.findall(path):
        yield name or int(place)
