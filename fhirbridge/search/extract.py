"""Makes the index rows of a resource: one walk over it along the paths of all its parameters at once.

The paths of a type are laid together into one tree of closures when the indexer is made, so that an element is looked
up once however many parameters point to it. A path that does not fit the resource adds no row; nothing raises.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fhirbridge.errors import Resource
from fhirbridge.search.parameters import Catalogue, Kind, Parameter, Path, Step
from fhirbridge.search.readers import Reader, reader
from fhirbridge.search.rows import Rows, TokenRow
from fhirbridge.search.table import CATALOGUE

PARTS = frozenset({"component", "characteristic"})
"""Elements whose repetitions are told apart, for composite parameters."""

_Leaf = tuple[Kind, str, str | None]
"""Kind of parameter, FHIR type, and the one type referred to."""


@dataclass(slots=True)
class _Node:
    """What to do with an element: read it as it is, and go into its own elements."""

    leaves: dict[_Leaf, list[str]] = field(default_factory=dict)
    children: dict[Step, _Node] = field(default_factory=dict)

    def add(self, steps: tuple[Step, ...], leaf: _Leaf, code: str) -> None:
        if not steps:
            self.leaves.setdefault(leaf, []).append(code)
        else:
            self.children.setdefault(steps[0], _Node()).add(steps[1:], leaf, code)


class Indexer:
    """Makes the index rows of resources. ``zone`` is the time zone of civil dates, the study's own."""

    def __init__(self, zone: dt.tzinfo, catalogue: Catalogue = CATALOGUE) -> None:
        self._walks = {type_: _walker(catalogue.of(type_), zone) for type_ in catalogue.types}

    def rows(self, resource: Resource) -> Rows:
        """Return every index row of a resource as it is released; none for a type that is not served."""
        rows = Rows()
        walk = self._walks.get(resource.get("resourceType", ""))
        if walk is not None:
            walk(resource, 0, rows)
        return rows


def _walker(parameters: tuple[Parameter, ...], zone: dt.tzinfo) -> Reader:
    root, computed = _Node(), list[Reader]()
    for parameter in parameters:
        for path in parameter.paths:
            if path.type == "exists":
                computed.append(_existence(path, parameter.code))
            else:
                root.add(path.steps, (parameter.kind, path.type, path.only), parameter.code)
    walk = _compiled(root, zone)
    if not computed:
        return walk

    def both(resource: Any, part: int, rows: Rows) -> None:
        walk(resource, part, rows)
        for read in computed:
            read(resource, part, rows)

    return both


def _compiled(node: _Node, zone: dt.tzinfo) -> Reader:
    """Return the closure that does what a node says."""
    todo = [
        reader(kind, type_, tuple(names), zone, only) for (kind, type_, only), names in node.leaves.items()
    ]  # fmt: skip
    if node.children:
        by_name: dict[str, list[tuple[tuple[str, str] | None, Reader]]] = {}
        for step, child in node.children.items():
            by_name.setdefault(step.name, []).append((step.where, _compiled(child, zone)))
        todo.append(_inside([(name, _chosen(found), name in PARTS) for name, found in by_name.items()]))
    if len(todo) == 1:
        return todo[0]

    def several(value: Any, part: int, rows: Rows) -> None:
        for read in todo:
            read(value, part, rows)

    return several


def _inside(elements: list[tuple[str, Reader, bool]]) -> Reader:
    """Return what goes through the elements of an object, and through each item where there are several."""

    def read(value: Any, part: int, rows: Rows) -> None:
        if not isinstance(value, dict):
            return
        for name, go, parted in elements:
            found = value.get(name)
            if found is None:
                continue
            if not isinstance(found, list):
                go(found, part, rows)
            elif parted:
                for number, item in enumerate(found, 1):
                    go(item, number, rows)
            else:
                for item in found:
                    go(item, part, rows)

    return read


def _chosen(found: list[tuple[tuple[str, str] | None, Reader]]) -> Reader:
    """Return what reads an item by those paths whose condition it meets."""
    if len(found) == 1 and found[0][0] is None:
        return found[0][1]
    always = [read for where, read in found if where is None]
    conditional: dict[str, dict[str, Reader]] = {}
    for where, read in found:
        if where is not None:
            conditional.setdefault(where[0], {})[where[1]] = read

    def choose(value: Any, part: int, rows: Rows) -> None:
        for read in always:
            read(value, part, rows)
        if isinstance(value, dict):
            for key, readers in conditional.items():
                told = value.get(key)
                chosen = readers.get(told) if isinstance(told, str) else None
                if chosen is not None:
                    chosen(value, part, rows)

    return choose


def _existence(path: Path, code: str) -> Callable[[Any, int, Rows], None]:
    """Return what says whether a choice element is there and not false, such as ``Patient.deceased``."""
    name = path.steps[0].name

    def read(resource: Any, part: int, rows: Rows) -> None:
        found = [value for key, value in resource.items() if key.startswith(name)]
        there = any(value is not False and value is not None for value in found)
        rows.tokens.append(TokenRow(code, part, "", "true" if there else "false", ""))

    return read
