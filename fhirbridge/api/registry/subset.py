"""Parts of resources: what ``_summary`` and ``_elements`` leave of one, with what R4 says it must never lack.

Source: http://hl7.org/fhir/R4/search.html#elements, #summary. What is mandatory, and what belongs to a summary, the
definitions of R4 say. Every part is tagged SUBSETTED.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

from fhirbridge import fhirjson
from fhirbridge.elements import coding
from fhirbridge.errors import Resource
from fhirbridge.validation.node import Model
from fhirbridge.validation.tree import Element

SUBSETTED = coding("http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "SUBSETTED")

_ALWAYS = ("resourceType", "id", "meta", "implicitRules", "_implicitRules", "modifierExtension")

Kept = dict[str, "Kept | None"]
"""Which properties stay; None is the whole of one, else what stays of it."""


class Subsets:
    """Makes parts of resources; ``model`` gives R4's definitions once they are needed."""

    def __init__(self, model: Callable[[], Model]) -> None:
        self._model = model
        self._kept = lru_cache(maxsize=512)(self._made)

    def elements(self, body: bytes, type_: str, names: tuple[str, ...]) -> bytes:
        """Return a resource with these elements (``name``, or ``Type.name`` for one type) and the mandatory ones."""
        mine = frozenset(name.removeprefix(f"{type_}.") for name in names)
        return self._cut(body, self._kept(type_, "elements", mine))

    def summary(self, body: bytes, type_: str, mode: str) -> bytes:
        """Return the ``true``, ``text`` or ``data`` summary of a resource."""
        if mode == "data":
            resource = fhirjson.loads(body)
            return _tagged({name: value for name, value in resource.items() if name != "text"})
        return self._cut(body, self._kept(type_, mode, frozenset()))

    def _cut(self, body: bytes, kept: Kept) -> bytes:
        """Return what is kept; it no longer follows its profiles, so it does not say that it does."""
        part = _part(fhirjson.loads(body), kept)
        part["meta"] = {name: value for name, value in part.get("meta", {}).items() if name != "profile"}
        return _tagged(part)

    def _made(self, type_: str, mode: str, names: Collection[str]) -> Kept:
        kept: Kept = dict.fromkeys(_ALWAYS)
        root = self._model().snapshots.type_tree(type_)
        for child in root.children.values() if root else ():
            stem = child.name.removesuffix("[x]")
            chosen = mode == "text" and stem == "text"
            if mode == "true":
                _summarise(child, kept)
            elif chosen or child.min > 0 or stem in names or not names.isdisjoint(child.keys):  # type: ignore[attr-defined]
                kept.update(dict.fromkeys(_properties(child)))
        return kept


def _summarise(child: Element, kept: Kept) -> None:
    if not (child.definition.get("isSummary") or child.min > 0):
        return
    inside: Kept | None = None
    if child.children and not child.is_choice:
        inside = dict.fromkeys(("id", "extension", "modifierExtension"))
        for grandchild in child.children.values():
            _summarise(grandchild, inside)
    kept.update(dict.fromkeys(_properties(child), inside))


def _properties(child: Element) -> list[str]:
    return [name for key in child.keys for name in (key, f"_{key}")]


def _part(value: Any, kept: Kept) -> Any:
    made = {}
    for name, found in value.items():
        if name not in kept:
            continue
        inside = kept[name]
        if inside is None:
            made[name] = found
        elif isinstance(found, list):
            parts = [part for one in found if (part := _part(one, inside) if isinstance(one, dict) else one)]
            if parts:
                made[name] = parts
        elif isinstance(found, dict) and (part := _part(found, inside)):
            made[name] = part
    return made


def _tagged(resource: Resource) -> bytes:
    meta = resource.get("meta") or {}
    tags = [tag for tag in meta.get("tag", ()) if tag != SUBSETTED]
    return fhirjson.dumps({**resource, "meta": {**meta, "tag": [*tags, SUBSETTED]}})
