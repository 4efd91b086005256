"""The columns of a view's rows: their types, and what found items are worth in them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Any, Literal

from fhirbridge.validation.fhirpath import types
from fhirbridge.validation.fhirpath.check import Kinds
from fhirbridge.validation.fhirpath.temporal import Temporal
from fhirbridge.validation.node import Model, Node
from fhirbridge.validation.primitives import PRIMITIVES

Family = Literal["boolean", "integer", "decimal", "text", "complex", "any"]
"""How a type's values look in a row: bool, int, Decimal or int, str, dict or list, any of them."""
Value = Any
"""bool, int, Decimal, str, a dict for an element of a complex type, a list for a collection, or None."""

_FAMILIES: dict[str, Family] = {
    "boolean": "boolean",
    **dict.fromkeys(("integer", "integer64", "positiveInt", "unsignedInt"), "integer"),
    "decimal": "decimal",
}
_SYSTEM = {"Boolean": "boolean", "Integer": "integer", "Decimal": "decimal", "String": "string", "Date": "date"}
_SYSTEM |= {"DateTime": "dateTime", "Time": "time", "bool": "boolean", "int": "integer", "str": "string"}


@dataclass(frozen=True, slots=True)
class Field:
    """One column of the rows: ``type`` is a FHIR type's name, declared or worked out, '' where nobody can tell."""

    name: str
    type: str
    family: Family
    collection: bool
    description: str


def family(type_: str) -> Family:
    """Return the family of a type's name."""
    if not type_:
        return "any"
    if type_ in PRIMITIVES or type_ == "integer64":
        return _FAMILIES.get(type_, "text")
    return "complex"


def declared(written: str, model: Model) -> str | None:
    """Return the name of the type that a column declares by name or URL, None if R4 has no such type."""
    name = written.rpartition("/")[2].removeprefix("FHIR.")
    if name.startswith("System."):
        return _SYSTEM.get(name.removeprefix("System."))
    if name == "integer64" or model.is_type(name.partition(".")[0]):
        return name
    return None


def told(kinds: Kinds) -> str:
    """Return the one type that an expression may find, '' where it is open."""
    names = {_SYSTEM.get(kind.type.removeprefix("System."), kind.type) for kind in kinds or ()}
    return names.pop() if len(names) == 1 else ""


def value(item: Any) -> Value:
    """Return what an item is worth in a row. Raises ValueError, in words, for what no row can hold."""
    if isinstance(item, Node):
        return _plain(item.value)
    if isinstance(item, Temporal):
        return types.as_text(item)
    if isinstance(item, bool | int | Decimal | str):
        return item
    raise ValueError("finds no value of FHIR but an answer of FHIRPath's own. Add what to take of it, such as .value")


def _plain(found: Any) -> Value:
    """Return a float, which only a caller's own dict can hold, as the decimal that it is written as."""
    return Decimal(str(found)) if isinstance(found, float) and isfinite(found) else found


def fits(found: Value, wanted: Family) -> bool:
    """Tell whether a value is one of a family."""
    match wanted:
        case "boolean":
            return isinstance(found, bool)
        case "integer":
            return isinstance(found, int) and not isinstance(found, bool)
        case "decimal":
            return isinstance(found, int | Decimal) and not isinstance(found, bool)
        case "text":
            return isinstance(found, str)
        case "complex":
            return isinstance(found, dict | list)
        case _:
            return True
