"""What type an item is, which types it also is, and conversions between System types."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from fhirbridge.validation.fhirpath import units
from fhirbridge.validation.fhirpath.temporal import Temporal
from fhirbridge.validation.fhirpath.values import EvaluationError, Quantity, TypeInfo
from fhirbridge.validation.node import Node

if TYPE_CHECKING:
    from fhirbridge.validation.fhirpath.environment import Env

_SYSTEM = frozenset(["Boolean", "Integer", "Decimal", "String", "Date", "DateTime", "Time", "Quantity", "Any"])


def system_type(value: Any) -> str:
    """Return the System type's name of a value that is no node."""
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, int):
        return "Integer"
    if isinstance(value, Decimal):
        return "Decimal"
    if isinstance(value, Temporal):
        return "Time" if value.is_time else "Date" if value.is_date else "DateTime"
    if isinstance(value, Quantity):
        return "Quantity"
    return "String" if isinstance(value, str) else "Any"


def info(item: Any) -> TypeInfo:
    """Return what ``type()`` says of an item."""
    return TypeInfo("FHIR", item.type) if isinstance(item, Node) else TypeInfo("System", system_type(item))


def is_a(env: Env, item: Any, name: str) -> bool:
    """Tell whether an item is of a type or of one that specialises it; FHIR's names first, then System's."""
    space, _, bare = name.rpartition(".")
    if not isinstance(item, Node):
        return space in ("", "System") and bare == system_type(item)
    if space not in ("", "FHIR"):
        return False
    kind: str | None = item.type
    while kind:
        if kind == bare:
            return True
        kind = _parent(env, kind)
    return _known(env, bare)


def _known(env: Env, name: str) -> bool:
    """Return False for the name of a type. Raises EvaluationError for a name that is none."""
    if name not in _SYSTEM and not env.model.is_type(name):
        raise EvaluationError(f"{name} is not a type of FHIR R4")
    return False


def is_just(env: Env, item: Any, name: str) -> bool:
    """The same for ``as`` and ``ofType``: there a code is no string (the official tests say so)."""
    if isinstance(item, Node) and item.is_primitive:
        return name in (item.type, "FHIR." + item.type) or _known(env, name.rpartition(".")[2])
    return is_a(env, item, name)


def is_taken_as(env: Env, item: Any, name: str) -> bool:
    """The same for ``as`` alone, where a System type's bare name means FHIR's type of that name too.

    Published R4 invariants say ``value as String``, and HL7's validator reads them so.
    """
    meant = name in _SYSTEM and isinstance(item, Node) and item.type == name[0].lower() + name[1:]
    return meant or is_just(env, item, name)


def _parent(env: Env, kind: str) -> str | None:
    structure = env.model.snapshots.definitions.structure("http://hl7.org/fhir/StructureDefinition/" + kind)
    above = structure.get("baseDefinition") if structure else None
    return str(above).rpartition("/")[2] if above else None


def as_text(value: Any) -> str | None:
    """Return what ``toString()`` gives, None where a value has no text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Quantity):
        return f"{value.value:f} {value.unit}" if units.is_calendar(value.unit) else f"{value.value:f} '{value.unit}'"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Temporal):
        return value.text or written(value)
    return str(value) if isinstance(value, (str, int)) else None


def written(moment: Temporal) -> str:
    """Write a date or time that was worked out, not read."""
    parts = list(moment.parts)
    if moment.is_time:
        clock, date = parts, ""
    else:
        date, clock = "-".join(f"{int(p):0{4 if n == 0 else 2}d}" for n, p in enumerate(parts[:3])), parts[3:]
    pieces = [f"{int(p):02d}" for p in clock[:2]]
    if len(clock) > 2:
        second = Decimal(clock[2])
        pieces.append(f"{int(second):02d}" + f"{second % 1:f}"[1:])  # as many decimals as were written
    zone = ""
    if moment.offset is not None and clock:
        sign, minutes = ("-" if moment.offset < 0 else "+"), abs(moment.offset)
        zone = "Z" if not moment.offset else f"{sign}{minutes // 60:02d}:{minutes % 60:02d}"
    return date + ("T" if date and pieces else "") + ":".join(pieces) + zone
