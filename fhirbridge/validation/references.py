"""Follows references inside what is at hand (contained, bundled) and tells what a literal points at."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from fhirbridge.errors import Resource

_LITERAL = re.compile(
    r"(?P<base>(?:https?|urn)://?[^#?]*/|https?:/[^#?]*/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})"
    r"(?:/_history/[A-Za-z0-9\-.]{1,64})?(?:#.*)?"
)


@dataclass
class Surroundings:
    """What references can be resolved against: the containing resource, and the Bundle's entries."""

    container: Resource
    entries: dict[str, Resource] = field(default_factory=dict)
    base: str = ""
    """Where the containing entry lives (its fullUrl up to ``Type/id``), for relative references."""
    urls: dict[int, str] = field(default_factory=dict)
    """The fullUrl of each entry's resource, by its id()."""

    def within(self, resource: Resource) -> Surroundings:
        """Return the surroundings of a Bundle entry's resource."""
        parts = _LITERAL.fullmatch(self.urls.get(id(resource), ""))
        return Surroundings(resource, self.entries, parts["base"] or "" if parts else "", self.urls)

    def resolve(self, reference: str) -> Resource | None:
        """Return the resource a reference names, if it is at hand."""
        if reference.startswith("#"):
            if reference == "#":
                return self.container
            return next((c for c in _contained(self.container) if c.get("id") == reference[1:]), None)
        plain = reference.partition("/_history/")[0]
        for candidate in (reference, self.base + plain, plain):
            if candidate in self.entries:
                return self.entries[candidate]
        return None


def surroundings(resource: Resource) -> Surroundings:
    """Return what references in a resource can be resolved against; a Bundle's entries by fullUrl and by Type/id."""
    entries: dict[str, Resource] = {}
    urls: dict[int, str] = {}
    if resource.get("resourceType") == "Bundle":
        for entry in resource.get("entry") or ():
            inner = entry.get("resource") if isinstance(entry, dict) else None
            if not isinstance(inner, dict):
                continue
            if isinstance(inner.get("id"), str):
                entries.setdefault(f"{inner.get('resourceType')}/{inner['id']}", inner)
            if isinstance(entry.get("fullUrl"), str):
                entries[entry["fullUrl"]] = inner
                urls[id(inner)] = entry["fullUrl"]
    return Surroundings(resource, entries, urls=urls)


def literal_type(reference: str) -> str | None:
    """Return the resource type that a literal reference's URL names, or None (urn:uuid:, #id, a foreign URL)."""
    found = _LITERAL.fullmatch(reference)
    return found["type"] if found else None


def _contained(resource: Resource) -> list[dict[str, Any]]:
    found = resource.get("contained")
    return [c for c in found if isinstance(c, dict)] if isinstance(found, list) else []
