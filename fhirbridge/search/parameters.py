"""What can be searched by: the parameters of R4 for each served type, and the study's own.

Definitions: http://hl7.org/fhir/R4/searchparameter-registry.html. The rows themselves are in ``table``; a row there is
all it takes to add a parameter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["token", "date", "string", "reference", "quantity", "uri", "number", "composite"]

MODIFIERS: dict[Kind, tuple[str, ...]] = {
    "token": ("missing", "not", "text", "in", "not-in"),
    "date": ("missing",),
    "string": ("missing", "exact", "contains"),
    "reference": ("missing", "identifier"),
    "quantity": ("missing",),
    "uri": ("missing",),
    "number": ("missing",),
    "composite": (),
}
"""Modifiers of each kind. A reference also takes the name of a type that it may point to."""

COMMON = "Resource"
"""The base of the parameters that every type has."""


class Step(NamedTuple):
    """One step of a path: an element's name in JSON, and the value that one of its own elements must have."""

    name: str
    where: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Path:
    """Where a parameter's values stand, and of what FHIR type they are; ``only`` is the one type referred to."""

    steps: tuple[Step, ...]
    type: str
    only: str | None = None

    @classmethod
    def of(cls, text: str) -> Path:
        """Read a path such as ``telecom[system=phone].value:string`` or ``subject:Reference(Patient)``."""
        where, _, type_ = text.rpartition(":")
        steps, rest = [], where
        while rest:
            name = rest.partition(".")[0].partition("[")[0]
            rest, condition = rest[len(name) :], None
            if rest.startswith("["):
                inside, _, rest = rest[1:].partition("]")
                key, _, value = inside.partition("=")
                condition = (key, value)
            steps.append(Step(name, condition))
            rest = rest.removeprefix(".")
        type_, _, only = type_.partition("(")
        return cls(tuple(steps), type_, only.rstrip(")") or None)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One search parameter. ``targets`` are the types that a reference may point to; none means any.

    ``system`` is the code system of a code element, which its values do not repeat. ``parts`` are the codes of the
    parameters that a composite is made of.
    """

    base: str
    code: str
    kind: Kind
    paths: tuple[Path, ...]
    url: str
    description: str
    targets: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    system: str | None = None
    expression: str | None = None
    """FHIRPath, for the study's own; R4's definitions hold theirs."""

    @property
    def modifiers(self) -> tuple[str, ...]:
        """The modifiers it takes."""
        return MODIFIERS[self.kind]

    @property
    def boolean(self) -> bool:
        """Whether its values are true and false and nothing else."""
        return bool(self.paths) and all(path.type in ("boolean", "exists") for path in self.paths)

    def may_point_to(self, type_: str) -> bool:
        """Tell whether it is a reference that a resource of this type can be the target of."""
        return self.kind == "reference" and (not self.targets or type_ in self.targets)


class Catalogue:
    """Parameters by type and code; ``types`` are the served types."""

    def __init__(self, rows: tuple[Parameter, ...], types: tuple[str, ...]) -> None:
        self.types = types
        self._by_type = {
            type_: {row.code: row for row in rows if row.base in (type_, COMMON)} for type_ in types
        }  # fmt: skip

    def find(self, type_: str, code: str) -> Parameter | None:
        """Return the parameter of a type by its code, None where there is none."""
        return self._by_type.get(type_, {}).get(code)

    def of(self, type_: str) -> tuple[Parameter, ...]:
        """Return all parameters of a type, the common ones included."""
        return tuple(self._by_type.get(type_, {}).values())

    def references(self, type_: str) -> tuple[Parameter, ...]:
        """Return the parameters of a type that are references."""
        return tuple(row for row in self.of(type_) if row.kind == "reference")

    def pointing_to(self, type_: str) -> tuple[Parameter, ...]:
        """Return the parameters of all types by which they can point to this type."""
        return tuple(row for base in self.types for row in self.references(base) if row.may_point_to(type_))
