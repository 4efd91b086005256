"""The order in which resources can be sent one by one: each after those it refers to."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from fhirbridge.sync.naming import references
from fhirbridge.sync.planning import Planned


def by_dependency(part: Sequence[Planned]) -> list[Planned]:
    """Return the same resources, each behind those of them that it refers to; deletions stay in their order, last.

    Resources that refer to each other in a circle are left as they were: no order would do.
    """
    kept = {one.name: one for one in part if one.content is not None}
    rest = [one for one in part if one.content is None]
    graph = {name: [to for to in references(one.content) if to in kept and to != name] for name, one in kept.items()}
    try:
        return [kept[name] for name in TopologicalSorter(graph).static_order()] + rest
    except CycleError:
        return list(part)
