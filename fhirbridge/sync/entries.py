"""From what a server should hold to the entries of a Bundle: in the server's own ids, and cut into what it takes.

References are written as the server knows their targets (the crosswalk). What is created in the same Bundle under an
id that the server will choose is referred to by its fullUrl, ``urn:uuid:…``
(http://hl7.org/fhir/R4/bundle.html#references).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlencode

from fhirbridge.elements import CANONICAL
from fhirbridge.errors import Resource
from fhirbridge.hospital import conditional_put_entry, create_entry, delete_entry, identifier_query, put_entry
from fhirbridge.sync.naming import Name, references, rewritten
from fhirbridge.sync.planning import Planned
from fhirbridge.sync.strategies import Strategies

OUR_ID_TAG = f"{CANONICAL.removesuffix('/fhir')}/sid/resource"
"""System of the ``meta.tag`` with our id, on resources that have no identifier and whose id the server chooses."""

_ENTRY_BYTES = 250
"""What an entry's request and fullUrl add to the resource, at most: three times type and id, and their names."""


def parts(planned: Iterable[Planned], strategies: Strategies) -> Iterator[list[Planned]]:
    """Yield what is to be sent, in its order, in parts of which each travels in one go.

    A part ends when the server's limits are reached, and before a resource that refers to another in the same part
    whose id is not known yet, unless a transaction resolves that.
    """
    part: list[Planned] = []
    names: set[Name] = set()
    weight, conditional = 0, False
    limits = strategies.limits
    for one in planned:
        its_weight = len(one.delivery.stored.body) + _ENTRY_BYTES
        now_conditional = conditional or is_conditional(one, strategies)
        most = strategies.conditional_entries if now_conditional else limits.entries
        full = len(part) >= most or weight + its_weight > limits.size
        if part and (full or _waits(one, names, strategies)):
            yield part
            part, names, weight = [], set(), 0
            now_conditional = is_conditional(one, strategies)
        part.append(one)
        names.add(one.name)
        weight, conditional = weight + its_weight, now_conditional
    if part:
        yield part


def is_conditional(one: Planned, strategies: Strategies) -> bool:
    """Say whether the server is to look something up before it writes."""
    return (
        one.change.action == "create"
        and one.delivery.server_id is None
        and strategies.of(one.change.type) in ("conditional-create", "conditional-update")
    )


def _waits(one: Planned, names: set[Name], strategies: Strategies) -> bool:
    if strategies.mode == "transaction" or not names:
        return False
    if strategies.mode == "single" and all(strategies.of(kind) == "update" for kind, _ in names):
        return False
    return not names.isdisjoint(references(one.content))


def entry(one: Planned, strategies: Strategies, base_url: str, known: Mapping[Name, str]) -> Resource:
    """Return the Bundle entry that brings the server to what is planned; ``known`` maps our names to its ids."""
    change = one.change
    its_id = change.server_id or change.id
    if one.content is None:
        return delete_entry(change.type, its_id, if_match=change.version)
    content = rewritten(one.content, known)
    strategy = strategies.of(change.type)
    if change.server_id is not None or strategy == "update" or change.action != "create":
        return put_entry({**content, "id": its_id}, base_url=base_url, if_match=change.version)
    content = findable(content, change.id)
    full_url = urn(base_url, change.type, change.id)
    if strategy == "conditional-update":
        return conditional_put_entry(content, query(content, change.id), full_url=full_url)
    if_none_exist = query(content, change.id) if strategy == "conditional-create" else None
    return create_entry(content, full_url=full_url, if_none_exist=if_none_exist)


def findable(content: Resource, id: str) -> Resource:
    """Return the resource with a tag of our id, where it has no identifier to be found by."""
    if _identifier(content) is not None:
        return content
    meta = content.get("meta") or {}
    return {**content, "meta": {**meta, "tag": [*meta.get("tag", []), {"system": OUR_ID_TAG, "code": id}]}}


def query(content: Resource, id: str) -> str:
    """Return the search that finds a resource of ours on a server that gave it another id."""
    name = _identifier(content)
    if name is not None:
        return identifier_query(name)
    return urlencode({"_tag": f"{OUR_ID_TAG}|{id}"})


def urn(base_url: str, kind: str, id: str) -> str:
    """Return the fullUrl of a resource that the server will give an id, the same each time it is sent."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{base_url}/{kind}/{id}')}"


def _identifier(content: Resource) -> Resource | None:
    found = content.get("identifier")
    for one in found if isinstance(found, list) else [found]:
        if isinstance(one, dict) and one.get("system") and one.get("value"):
            return one
    return None
