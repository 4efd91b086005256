"""Cutting what is pending of one compartment into bundles that a server takes in one go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fhirbridge.store import Stored

_ENTRY_BYTES = 250
"""What an entry's request and fullUrl add to the resource, at most: three times type and id, and their names."""


def split(pending: Iterable[Stored], *, entries: int, size: int) -> Iterator[list[Stored]]:
    """Yield the resources in their order, in parts of at most ``entries`` resources and ``size`` bytes.

    A resource that is larger by itself goes alone: the server shall say whether it takes it.
    """
    part: list[Stored] = []
    weight = 0
    for one in pending:
        its_weight = len(one.body) + _ENTRY_BYTES
        if part and (len(part) == entries or weight + its_weight > size):
            yield part
            part, weight = [], 0
        part.append(one)
        weight += its_weight
    if part:
        yield part
