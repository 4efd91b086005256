"""Reads a ViewDefinition into a tree of its parts, and refuses one that is not formed as the specification says.

Source: https://sql-on-fhir.org/ig/latest/StructureDefinition-ViewDefinition.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from fhirbridge.views.constants import Constants, constant_value
from fhirbridge.views.faults import ViewError

Step = Literal["forEach", "forEachOrNull", "repeat"]

STEPS: tuple[Step, ...] = ("forEach", "forEachOrNull", "repeat")
_SQL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_EVERYWHERE = frozenset({"id", "extension", "modifierExtension", "description"})
_SELECT = _EVERYWHERE | {"column", "select", "unionAll", *STEPS}
_COLUMN = _EVERYWHERE | {"name", "path", "type", "collection", "tag"}
_STATES = ("draft", "active", "retired", "unknown")
_DEEPEST = 32


@dataclass(frozen=True, slots=True)
class Column:
    """One column as it is written; ``type`` is None where none is declared."""

    name: str
    path: str
    type: str | None
    collection: bool
    description: str
    place: str


@dataclass(frozen=True, slots=True)
class Select:
    """One select: how it steps on from the element at hand (``step``, ``paths``), and what it takes there."""

    place: str
    step: Step | None
    paths: tuple[str, ...]
    columns: tuple[Column, ...]
    selects: tuple[Select, ...]
    unions: tuple[Select, ...]

    def found(self) -> Iterator[Column]:
        """Yield the columns of its rows, in their order; of a union those of its first branch."""
        yield from self.columns
        for inner in self.selects:
            yield from inner.found()
        if self.unions:
            yield from self.unions[0].found()


@dataclass(frozen=True, slots=True)
class Definition:
    """A ViewDefinition; ``wheres`` are FHIRPath expressions, ``select`` holds its top selects."""

    name: str
    title: str
    description: str
    resource: str
    constants: Constants
    wheres: tuple[str, ...]
    select: Select


def read(source: Any, name: str = "without a name") -> Definition:
    """Return a ViewDefinition as its parts; ``name`` is what to call one that does not say. Raises ViewError."""
    if isinstance(source, dict) and isinstance(source.get("name"), str):
        name = source["name"]
    reader = _Reader(name)
    if not isinstance(source, dict):
        raise reader.fault("ViewDefinition", "structure", "it is no JSON object. Give a ViewDefinition as JSON")
    return reader.definition(source)


class _Reader:
    def __init__(self, name: str) -> None:
        self.name = name

    def fault(self, place: str, rule: str, message: str) -> ViewError:
        return ViewError(self.name, place, rule, message)

    def definition(self, source: dict[str, Any]) -> Definition:
        kind = source.get("resourceType", "ViewDefinition")
        if not isinstance(kind, str) or kind.rpartition("/")[2] != "ViewDefinition":
            raise self.fault("resourceType", "structure", "it is no ViewDefinition")
        if "name" in source:
            self.sql_name(source["name"], "name")
        if source.get("status", "active") not in _STATES:
            raise self.fault("status", "structure", f"a status is one of {', '.join(_STATES)}")
        tops = self.items(source, "select", "")
        if not tops:
            raise self.fault("select", "structure", "it selects nothing. Give at least one select with a column")
        selects = tuple(self.select(one, f"select[{n}]", 1) for n, one in enumerate(tops))
        made = Definition(
            name=self.name,
            title=str(source.get("title") or self.name),
            description=str(source.get("description") or ""),
            resource=self.text(source, "resource", ""),
            constants=self.constants(source),
            wheres=tuple(
                self.text(one, "path", f"where[{n}].") for n, one in enumerate(self.items(source, "where", ""))
            ),
            select=Select("ViewDefinition", None, (), (), selects, ()),
        )
        self.no_duplicates(made.select)
        return made

    def constants(self, source: dict[str, Any]) -> Constants:
        found: Constants = {}
        for number, one in enumerate(self.items(source, "constant", "")):
            place = f"constant[{number}]"
            name = self.sql_name(one.get("name"), f"{place}.name")
            if name in found:
                raise self.fault(f"{place}.name", "constant", f"the constant {name} is there twice")
            try:
                found[name] = constant_value(one)
            except ValueError as error:
                raise self.fault(place, "constant", f"%{name} {error}") from error
        return found

    def select(self, source: dict[str, Any], place: str, depth: int) -> Select:
        if depth > _DEEPEST:
            raise self.fault(place, "structure", f"selects are nested deeper than {_DEEPEST}")
        self.known(source, _SELECT, place)
        parts = {
            name: tuple(
                self.select(one, f"{place}.{name}[{n}]", depth + 1)
                for n, one in enumerate(self.items(source, name, f"{place}."))
            )
            for name in ("select", "unionAll")
        }
        columns = tuple(
            self.column(one, f"{place}.column[{n}]") for n, one in enumerate(self.items(source, "column", f"{place}."))
        )
        step, paths = self.step(source, place)
        if not (columns or parts["select"] or parts["unionAll"]):
            raise self.fault(place, "structure", "it has no column, no select and no unionAll. Give it one of them")
        made = Select(place, step, paths, columns, parts["select"], parts["unionAll"])
        self.same_columns(made)
        return made

    def step(self, source: dict[str, Any], place: str) -> tuple[Step | None, tuple[str, ...]]:
        asked = [name for name in STEPS if name in source]
        if len(asked) > 1:
            raise self.fault(place, "structure", f"{' and '.join(asked)} cannot stand together. Keep one of them")
        if not asked:
            return None, ()
        if asked[0] != "repeat":
            return asked[0], (self.text(source, asked[0], f"{place}."),)
        paths = source["repeat"]
        if not isinstance(paths, list) or not paths or not all(isinstance(path, str) and path for path in paths):
            raise self.fault(f"{place}.repeat", "structure", "repeat is a list of FHIRPath expressions")
        return "repeat", tuple(paths)

    def column(self, source: dict[str, Any], place: str) -> Column:
        self.known(source, _COLUMN, place)
        type_, collection = source.get("type"), source.get("collection", False)
        if type_ is not None and not (isinstance(type_, str) and type_):
            raise self.fault(f"{place}.type", "structure", "a type is the name or URL of a FHIR type")
        if not isinstance(collection, bool):
            raise self.fault(f"{place}.collection", "structure", "collection is true or false")
        return Column(
            name=self.sql_name(source.get("name"), f"{place}.name"),
            path=self.text(source, "path", f"{place}."),
            type=type_,
            collection=collection,
            description=str(source.get("description") or ""),
            place=place,
        )

    def known(self, source: dict[str, Any], names: frozenset[str], place: str) -> None:
        unknown = sorted(name for name in source if name.removeprefix("_") not in names)
        if unknown:
            wanted = ", ".join(sorted(names - _EVERYWHERE))
            raise self.fault(
                f"{place}.{unknown[0]}", "structure", f"there is no such element here. Write one of {wanted}"
            )

    def items(self, source: dict[str, Any], name: str, place: str) -> list[dict[str, Any]]:
        found = source.get(name, [])
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise self.fault(f"{place}{name}", "structure", "it is to be a list of objects")
        return found

    def text(self, source: dict[str, Any], name: str, place: str) -> str:
        found = source.get(name)
        if not isinstance(found, str) or not found.strip():
            raise self.fault(f"{place}{name}", "structure", "it is to be a text, and none is there")
        return found

    def sql_name(self, found: Any, place: str) -> str:
        if not isinstance(found, str) or not _SQL_NAME.fullmatch(found):
            raise self.fault(
                place, "sql-name", f"{found!r} cannot name it. Begin with a letter, go on with letters, digits and _"
            )
        return found

    def no_duplicates(self, select: Select) -> None:
        seen: dict[str, Column] = {}
        for column in select.found():
            if column.name in seen:
                first = seen[column.name].place
                raise self.fault(
                    f"{column.place}.name",
                    "duplicate-column",
                    f"{column.name} is a column already, at {first}. Rename one",
                )
            seen[column.name] = column

    def same_columns(self, select: Select) -> None:
        """Refuse a union whose branches differ in the names, the order or the declared types of their columns."""
        if not select.unions:
            return
        first = list(select.unions[0].found())
        for branch in select.unions[1:]:
            found = list(branch.found())
            names, others = [one.name for one in first], [one.name for one in found]
            if names != others:
                raise self.fault(
                    branch.place,
                    "union-columns",
                    f"its columns are {', '.join(others)}, those of the first branch {', '.join(names)}. "
                    "Give every branch the same columns in the same order",
                )
            for one, other in zip(first, found, strict=True):
                if one.collection != other.collection or (one.type and other.type and one.type != other.type):
                    raise self.fault(
                        other.place,
                        "union-columns",
                        f"{other.name} is of another type than at {one.place}. Make them one",
                    )
