"""A view, compiled: resources in, rows out.

The order of rows and columns is that of the specification's algorithm
(https://sql-on-fhir.org/ig/latest/StructureDefinition-ViewDefinition.html#processing-algorithm).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from fhirbridge.errors import ProfileError, Resource
from fhirbridge.validation.fhirpath.check import Kind, Kinds
from fhirbridge.validation.fhirpath.environment import Env, Run
from fhirbridge.validation.fhirpath.values import Items, single
from fhirbridge.validation.node import Model
from fhirbridge.views.columns import Field, Value, declared, family, fits, told, value
from fhirbridge.views.definition import Column, Definition, Select, read
from fhirbridge.views.expressions import expression, reason
from fhirbridge.views.faults import ViewError

Row = tuple[Value, ...]

MOST_ROWS = 100_000
"""Rows that one resource may make, so that selects side by side cannot multiply without end."""


@dataclass(frozen=True, slots=True)
class _Cell:
    """One column, compiled."""

    view: str
    column: Column
    field: Field
    run: Run

    def value(self, env: Env, focus: Items) -> Value:
        """Return what the column holds for one element. Raises ViewError: fhirpath, several-values, value-type."""
        env.this = env.context = focus
        try:
            found = [value(item) for item in self.run(env, focus)]
        except (ProfileError, RecursionError) as error:
            raise self.fault(env, "fhirpath", f"{self.column.path!r} {reason(error)}") from error
        except ValueError as error:
            raise self.fault(env, "value-type", f"{self.column.path!r} {error}") from error
        found = [one for one in found if one is not None]
        if not all(fits(one, self.field.family) for one in found):
            raise self.fault(env, "value-type", f"{self.column.path!r} finds what is no {self.field.type}")
        if self.column.collection:
            return found
        if len(found) > 1:
            raise self.fault(
                env,
                "several-values",
                f"{self.column.path!r} finds {len(found)} values. Add .first(), or collection: true, or a forEach",
            )
        return found[0] if found else None

    def fault(self, env: Env, rule: str, message: str) -> ViewError:
        return ViewError(self.view, f"{self.column.place} {self.column.name}", rule, f"{_named(env)}: {message}")


@dataclass(frozen=True, slots=True)
class _Part:
    """One select, compiled."""

    view: str
    select: Select
    runs: tuple[Run, ...]
    cells: tuple[_Cell, ...]
    selects: tuple[_Part, ...]
    unions: tuple[_Part, ...]
    width: int

    def rows(self, env: Env, item: Any) -> list[Row]:
        """Return the rows that the select makes at one element."""
        if self.select.step is None:
            return self._at(env, item)
        found = self._repeated(env, item) if self.select.step == "repeat" else self._stepped(env, item, self.runs[0])
        if not found and self.select.step == "forEachOrNull":
            return [(None,) * self.width]
        return [row for one in found for row in self._at(env, one)]

    def _at(self, env: Env, item: Any) -> list[Row]:
        focus = [item]
        rows: list[Row] = [tuple(cell.value(env, focus) for cell in self.cells)]
        for select in self.selects:
            rows = self._times(env, rows, select.rows(env, item))
        if self.unions:
            rows = self._times(env, rows, [row for union in self.unions for row in union.rows(env, item)])
        return rows

    def _times(self, env: Env, rows: list[Row], others: list[Row]) -> list[Row]:
        if len(rows) * len(others) > MOST_ROWS:
            raise self._fault(env, "too-many-rows", f"it would make more than {MOST_ROWS:,} rows. Split the view")
        return [row + other for row in rows for other in others]

    def _stepped(self, env: Env, item: Any, run: Run) -> Items:
        env.this = env.context = [item]
        try:
            return run(env, env.this)
        except (ProfileError, RecursionError) as error:
            raise self._fault(env, "fhirpath", reason(error)) from error

    def _repeated(self, env: Env, item: Any) -> Items:
        """Return what the paths find, and what they find from there, and so on; each before what lies below it."""
        found: Items = []
        waiting = [one for run in self.runs for one in self._stepped(env, item, run)][::-1]
        while waiting:
            one = waiting.pop()
            found.append(one)
            if len(found) > MOST_ROWS:
                raise self._fault(env, "too-many-rows", "repeat does not end")
            waiting += [below for run in self.runs for below in self._stepped(env, one, run)][::-1]
        return found

    def _fault(self, env: Env, rule: str, message: str) -> ViewError:
        step = f".{self.select.step}" if self.select.step else ""
        return ViewError(self.view, f"{self.select.place}{step}", rule, f"{_named(env)}: {message}")


class View:
    """A ViewDefinition that can be run. ``View.of`` makes one; it keeps nothing between resources."""

    def __init__(self, definition: Definition, model: Model) -> None:
        self.definition, self._model = definition, model
        self.name, self.resource = definition.name, definition.resource
        if not (model.is_resource(self.resource) and model.root({"resourceType": self.resource})):
            raise self._fault("resource", "structure", f"{self.resource} is no resource type of FHIR R4")
        top: Kinds = (Kind(self.resource, model.snapshots.type_tree(self.resource)),)
        self._wheres = [self._where(n, path, top) for n, path in enumerate(definition.wheres)]
        self._part = self._compiled(definition.select, top)
        self.fields = tuple(cell.field for cell in _cells(self._part))
        """The columns, in the order of a row's values."""

    @classmethod
    def of(cls, source: Any, model: Model, name: str = "without a name") -> View:
        """Read and compile a ViewDefinition. Raises ViewError, which names the place and the rule."""
        return cls(read(source, name), model)

    def rows(self, resource: Resource) -> list[Row]:
        """Return a resource's rows: [] for one of another type, or that a where leaves out. Raises ViewError."""
        root = self._model.root(resource) if resource.get("resourceType") == self.resource else None
        if root is None:
            return []
        env = Env(self._model, [root], [root], [root], this=[root])
        if not all(self._holds(n, run, env) for n, run in enumerate(self._wheres)):
            return []
        return self._part.rows(env, root)

    def table(self, resources: Iterable[Resource]) -> Iterator[Row]:
        """Yield the rows of resources, one resource in memory at a time. Raises ViewError."""
        for resource in resources:
            yield from self.rows(resource)

    def _fault(self, place: str, rule: str, message: str) -> ViewError:
        return ViewError(self.name, place, rule, message)

    def _where(self, number: int, path: str, top: Kinds) -> Run:
        place = f"where[{number}].path"
        made = expression(path, self.definition.constants, self._model, top, partial(self._fault, place))
        if made.kinds and not any(kind.type in ("boolean", "System.Boolean", "System.bool") for kind in made.kinds):
            raise self._fault(place, "where-boolean", f"{path!r} finds no Boolean. Compare it, or add .exists()")
        return made.run

    def _holds(self, number: int, run: Run, env: Env) -> bool:
        place = f"where[{number}].path"
        env.this = env.context = env.resource
        try:
            found = single(run(env, env.resource))
        except (ProfileError, RecursionError) as error:
            raise self._fault(place, "fhirpath", f"{_named(env)}: {reason(error)}") from error
        if found is None or isinstance(found, bool):
            return found is True
        raise self._fault(place, "where-boolean", f"{_named(env)}: it finds no Boolean. Compare it, or add .exists()")

    def _compiled(self, select: Select, this: Kinds) -> _Part:
        constants, runs, kinds = self.definition.constants, list[Run](), this
        for path in select.paths:
            place = f"{select.place}.{select.step}"
            # what repeat finds is its own start again, so only its first step can be checked
            made = expression(path, constants, self._model, this, partial(self._fault, place))
            runs.append(made.run)
            kinds = None if select.step == "repeat" else made.kinds
        cells = tuple(self._cell(column, kinds) for column in select.columns)
        selects = tuple(self._compiled(inner, kinds) for inner in select.selects)
        unions = tuple(self._compiled(inner, kinds) for inner in select.unions)
        width = len(cells) + sum(part.width for part in selects) + (unions[0].width if unions else 0)
        return _Part(self.name, select, tuple(runs), cells, selects, unions, width)

    def _cell(self, column: Column, this: Kinds) -> _Cell:
        fault = partial(self._fault, f"{column.place}.path")
        made = expression(column.path, self.definition.constants, self._model, this, fault)
        type_ = told(made.kinds) if column.type is None else declared(column.type, self._model)
        if type_ is None:
            raise self._fault(f"{column.place}.type", "type", f"{column.type} is no type of FHIR R4")
        field = Field(column.name, type_, family(type_), column.collection, column.description)
        return _Cell(self.name, column, field, made.run)


def _cells(part: _Part) -> Iterator[_Cell]:
    yield from part.cells
    for inner in part.selects:
        yield from _cells(inner)
    if part.unions:
        yield from _cells(part.unions[0])


def _named(env: Env) -> str:
    found = env.resource[0]
    return f"{found.type}/{found.value.get('id', '?')}"
