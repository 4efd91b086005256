"""Follows references inside what is at hand (contained, bundled) and tells what a literal points at."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from fhirbridge.errors import Resource

_LITERAL = re.compile(
    r"(?P<base>(?:https?|urn)://?[^#?]*/|https?:/[^#?]*/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})"
    r"(?:/_history/[A-Za-z0-9\-.]{1,64})?(?:#.*)?"
)


@dataclass
class Surroundings:
    """What references can be resolved against: the containing resource, and the Bundle's entries by fullUrl."""

    container: Resource
    entries: dict[str, Resource] = field(default_factory=dict)
    unnamed: dict[str, Resource] = field(default_factory=dict)
    """The resources by ``Type/id``, for references from an entry that does not say where it lives."""
    base: str = ""
    """Where the containing entry lives (its fullUrl up to ``Type/id``), for relative references."""
    urls: dict[int, str] = field(default_factory=dict)
    """The fullUrl of each entry's resource, by its id()."""
    bundled: frozenset[int] = frozenset()
    """The id() of each entry's resource, whether it says where it lives or not."""

    @cached_property
    def _contained(self) -> dict[str, Resource]:
        """The container's resources by id; of two with one id the first."""
        found = self.container.get("contained")
        inside = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        return {one["id"]: one for one in reversed(inside) if isinstance(one.get("id"), str)}

    def within(self, resource: Resource) -> Surroundings:
        """Return the surroundings of a Bundle entry's resource."""
        url = self.urls.get(id(resource))
        parts = _LITERAL.fullmatch(url) if url else None
        unnamed = self.unnamed if url is None else {}
        base = parts["base"] or "" if parts else ""
        return Surroundings(resource, self.entries, unnamed, base, self.urls, self.bundled)

    def of(self, resource: Resource) -> Surroundings:
        """Return the surroundings of a resource that a reference led to: its own if it is an entry, else these."""
        return self.within(resource) if id(resource) in self.bundled else self

    def misnamed(self, reference: str) -> Resource | None:
        """Return the entry that a relative reference from one named by a UUID seems to mean: ``Type/uuid``."""
        _, slash, uuid = reference.partition("/")
        if not slash or self.base or self.urls.get(id(self.container), "")[:4] != "urn:":
            return None
        return self.entries.get("urn:uuid:" + uuid)

    def resolve(self, reference: str) -> Resource | None:
        """Return the resource a reference names, if it is at hand (R4, "Resolving references in Bundles").

        A relative one is looked for where the referring entry lives; one to a version only fits that version.
        """
        if reference.startswith("#"):
            if reference == "#":
                return self.container
            return self._contained.get(reference[1:])
        plain, _, version = reference.partition("/_history/")
        if version and (exact := self.entries.get(reference if ":" in reference else self.base + reference)):
            return exact
        found = self.entries.get(plain if ":" in plain else self.base + plain, self.unnamed.get(plain))
        if found is None:
            return self.entries.get(reference)
        own = _version(found)
        return None if version and own and version != own else found


def _version(resource: Resource) -> str:
    meta = resource.get("meta")
    found = meta.get("versionId") if isinstance(meta, dict) else None
    return found if isinstance(found, str) else ""


def surroundings(resource: Resource) -> Surroundings:
    """Return what references in a resource can be resolved against; a Bundle's entries by fullUrl and by Type/id."""
    entries: dict[str, Resource] = {}
    unnamed: dict[str, Resource] = {}
    urls: dict[int, str] = {}
    if resource.get("resourceType") == "Bundle":
        listed = resource.get("entry")
        for entry in listed if isinstance(listed, list) else ():
            inner = entry.get("resource") if isinstance(entry, dict) else None
            if not isinstance(inner, dict):
                continue
            if isinstance(inner.get("id"), str):
                unnamed.setdefault(f"{inner.get('resourceType')}/{inner['id']}", inner)
            if isinstance(entry.get("fullUrl"), str):
                entries[entry["fullUrl"]] = inner
                urls[id(inner)] = entry["fullUrl"]
                entries.setdefault(f"{entry['fullUrl']}/_history/{_version(inner)}", inner)
    bundled = frozenset(id(one) for one in (*entries.values(), *unnamed.values()))
    return Surroundings(resource, entries, unnamed, urls=urls, bundled=bundled)


def literal(reference: str) -> dict[str, str | None] | None:
    """Return a literal reference's parts (``base``, ``type``, ``id``), or None where it is not such a URL."""
    found = _LITERAL.fullmatch(reference)
    return found.groupdict() if found else None


def literal_type(reference: str) -> str | None:
    """Return the resource type that a literal reference's URL names, or None (urn:uuid:, #id, a foreign URL)."""
    found = _LITERAL.fullmatch(reference)
    return found["type"] if found else None
