"""HL7 v2's compound data types as ours: coded elements, identifiers with their authority, time stamps."""

from __future__ import annotations

from collections.abc import Sequence

from fhirbridge.records.hl7v2.escapes import Separators
from fhirbridge.records.hl7v2.segments import Segment
from fhirbridge.records.hl7v2.times import iso
from fhirbridge.records.hl7v2.types import Authority, Coding, Concept, Number


def concept(components: Sequence[str]) -> Concept | None:
    """Return a CE or CWE: components 1 to 3, 4 to 6, and the original text in 9; None where all are empty."""
    parts = [*components, *[""] * 9][:9]
    codings = tuple(Coding(code, text, system) for code, text, system in (parts[0:3], parts[3:6]) if code or text)
    return Concept(codings, parts[8]) if codings or parts[8] else None


def concept_in(segment: Segment, number: int) -> Concept | None:
    """Return the first coded element of a field."""
    found = concepts_in(segment, number)
    return found[0] if found else None


def concepts_in(segment: Segment, number: int) -> tuple[Concept, ...]:
    """Return all coded elements of a field."""
    return tuple(found for parts in segment.repetitions(number) if (found := concept(parts)) is not None)


def entity(components: Sequence[str]) -> Number | None:
    """Return an EI: number, namespace, universal id and its type; None without a number."""
    parts = [*components, *[""] * 4][:4]
    return Number(parts[0], Authority(parts[1], parts[2], parts[3])) if parts[0] else None


def entity_in(segment: Segment, number: int) -> Number | None:
    """Return the first EI of a field."""
    found = segment.repetitions(number)
    return entity(found[0]) if found else None


def entities_in(segment: Segment, number: int) -> tuple[Number | None, Number | None]:
    """Return an EIP, placer's and filler's number, each of which is an EI of subcomponents."""
    raw = segment.raw(number)
    first = [*(raw[0] if raw else []), "", ""][:2]
    placer, filler = (entity(subparts(segment, whole, number)) for whole in first)
    return placer, filler


def numbers_in(segment: Segment, number: int) -> tuple[Number, ...]:
    """Return all CX of a field: number, assigning authority and identifier type."""
    found = []
    for raw in segment.raw(number):
        parts = [*raw, *[""] * 5][:5]
        value = segment.text(parts[0], number)
        if value:
            authority = authority_of(segment, parts[3], number)
            found.append(Number(value, authority, segment.text(parts[4], number)))
    return tuple(found)


def subparts(segment: Segment, raw: str, number: int) -> list[str]:
    """Return the subcomponents of one component of a field, three at least."""
    parts = [segment.text(part, number) for part in raw.split(segment.header.separators.subcomponent)]
    return [*parts, *[""] * (3 - len(parts))]


def authority_of(segment: Segment, raw: str, number: int) -> Authority:
    """Return an HD that is written as subcomponents."""
    return Authority(*subparts(segment, raw, number)[:3])


def time_in(segment: Segment, number: int) -> str | None:
    """Return a field's time stamp. Raises Faulty where it is none."""
    stamp = segment.first(number)
    if not stamp:
        return None
    try:
        return iso(stamp)
    except ValueError as error:
        raise segment.fault(
            "time", f"{segment.name}-{number} {error}", "Write it as 20260330081500+0800, as far as known.", number
        ) from None


def joined(components: Sequence[str], separators: Separators) -> str:
    """Return what a sender split by not escaping it, put together again; for types without components."""
    return separators.component.join(components)
