"""Names of resources: type and id, in references, and as a server that chooses its own ids knows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fhirbridge.elements import STUDY_TAG
from fhirbridge.errors import Resource
from fhirbridge.store import Store

Name = tuple[str, str]
"""Type and id."""


def references(content: Any) -> Iterator[Name]:
    """Yield type and id of every literal reference ``Type/id``."""
    if isinstance(content, dict):
        if name := _literal(content.get("reference")):
            yield name
        for value in content.values():
            if isinstance(value, dict | list):
                yield from references(value)
    elif isinstance(content, list):
        for item in content:
            yield from references(item)


def rewritten(content: Resource, known: Mapping[Name, str]) -> Resource:
    """Return the resource with its references in the server's terms.

    ``known`` maps our names to the server's id, or to a whole ``urn:uuid:…``.
    """
    return _rewrite(content, known) if known else content


def _rewrite(tree: Any, known: Mapping[Name, str]) -> Any:
    if isinstance(tree, list):
        return [_rewrite(item, known) for item in tree]
    if not isinstance(tree, dict):
        return tree
    changed = {name: _rewrite(value, known) for name, value in tree.items()}
    name = _literal(changed.get("reference"))
    theirs = known.get(name) if name else None
    if name is not None and theirs is not None:
        changed["reference"] = theirs if theirs.startswith("urn:") else f"{name[0]}/{theirs}"
    return changed


def ids_there(store: Store, server: str, names: Iterable[Name]) -> Mapping[Name, str]:
    """Return a server's ids of those of these resources that it knows under another id than ours.

    ``names`` are not gone through where the server knows none so.
    """
    return store.crosswalk(server, list(dict.fromkeys(names))) if store.has_crosswalk(server) else {}


def relative(tree: Any, base_url: str) -> Any:
    """Return content with references to this server as ``Type/id``; some servers write them as whole URLs."""
    if isinstance(tree, list):
        return [relative(item, base_url) for item in tree]
    if not isinstance(tree, dict):
        return tree
    changed = {name: relative(value, base_url) for name, value in tree.items()}
    literal = changed.get("reference")
    if isinstance(literal, str):
        changed["reference"] = literal.removeprefix(f"{base_url}/")
    return changed


def _literal(reference: Any) -> Name | None:
    if not isinstance(reference, str) or reference.startswith("#") or reference.count("/") != 1:
        return None
    kind, id = reference.split("/")
    return kind, id


def is_tagged(resource: Resource, study: str) -> bool:
    """Say whether a server's resource carries the study's tag, and so came from us."""
    tags = (resource.get("meta") or {}).get("tag") or ()
    return any(tag.get("system") == STUDY_TAG and tag.get("code") == study for tag in tags)


def identifiers(resource: Resource) -> set[tuple[str | None, str]]:
    """Return system and value of each business identifier."""
    found = resource.get("identifier") or []
    listed = found if isinstance(found, list) else [found]
    return {(one.get("system"), one["value"]) for one in listed if isinstance(one, dict) and one.get("value")}


def version_of(resource: Resource) -> str | None:
    """Return the server's version of a resource, None where it names none."""
    found = (resource.get("meta") or {}).get("versionId")
    return None if found is None else str(found)
