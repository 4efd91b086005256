"""Reads FHIR references as servers write them: relative, absolute, versioned, or ``urn:uuid:`` within a Bundle."""

from __future__ import annotations

from typing import Any

_UUID = "urn:uuid:"


def id_of(reference: Any, kind: str, feed: str) -> str | None:
    """Return the id of the resource of this type that a Reference names at this server, else None.

    A ``urn:uuid:`` names a resource whose id is that UUID; a resource at another server, of another type, or one that
    is contained or named by an identifier alone is none.
    """
    literal = reference.get("reference") if isinstance(reference, dict) else None
    if not isinstance(literal, str):
        return None
    if literal.startswith(_UUID):
        return literal.removeprefix(_UUID) or None
    parts = literal.removeprefix(feed.rstrip("/") + "/").split("/")
    if len(parts) == 4 and parts[2] == "_history":
        parts = parts[:2]
    return parts[1] if len(parts) == 2 and parts[0] == kind and parts[1] else None
