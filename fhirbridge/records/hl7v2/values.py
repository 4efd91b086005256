"""OBX-5 as parts of its type; whatever shows that fields have shifted, or that parts are missing, is refused."""

from __future__ import annotations

from fhirbridge.records.hl7v2.datatypes import concept, joined
from fhirbridge.records.hl7v2.segments import Segment
from fhirbridge.records.hl7v2.shifts import is_number, is_unit, whole_unit
from fhirbridge.records.hl7v2.types import Concept, Value

TYPES = frozenset({
    "AD", "CE", "CF", "CK", "CN", "CNE", "CP", "CWE", "CX", "DR", "DT", "DTM", "ED", "EI", "EIP", "FC", "FT", "HD",
    "ICD", "ID", "IS", "JCC", "LA1", "LA2", "MA", "MO", "NA", "NDL", "NM", "PL", "PN", "PPN", "PT", "QIP", "QSC",
    "RCD", "RI", "RP", "SI", "SN", "SPD", "ST", "TM", "TN", "TS", "TX", "VH", "VID", "XAD", "XCN", "XON", "XPN",
    "XTN",
})  # fmt: skip
"""HL7 tables 0125 and 0440."""
TEXTS = frozenset({"ST", "TX", "FT"})
CODED = frozenset({"CE", "CWE", "CNE", "CF"})
KEPT = TEXTS | CODED | {"NM", "SN", "DT", "TM", "TS", "DTM", "ID", "IS", "SI", "NA"}
"""Types whose content is handed on; documents, names and addresses are not."""

_COMPARATORS = frozenset({"", "<", ">", "<=", ">=", "=", "<>"})
_BETWEEN = frozenset({"", "-", "+", "/", ".", ":"})
_SHIFTED = "Check how many separators the segment has, and that those within texts are escaped."


def value_of(segment: Segment) -> Value | None:
    """Return OBX-5 by the type in OBX-2, None where it is empty. Raises Faulty."""
    kind = segment.first(2).upper()
    if kind and kind not in TYPES:
        raise segment.fault("value-type", "OBX-2 is no value type of HL7", "Give NM, SN, ST, TX, CE or CWE.", 2)
    raw = segment.raw(5)
    if not any(part.strip() not in ("", '""') for parts in raw for part in parts):
        return None
    if not kind:
        raise segment.fault(
            "value-type", "OBX-5 has a value, but OBX-2 does not say of which type", "Fill OBX-2, or empty OBX-5.", 2
        )
    if kind not in KEPT:
        return Value(kind)
    if kind in TEXTS:
        marks = segment.header.separators
        texts = [segment.text(joined(parts, marks), 5, strip=kind == "ST") for parts in raw]
        value = Value(kind, tuple((text,) for text in texts))
    else:
        value = Value(kind, tuple(tuple(segment.text(part, 5) for part in parts) for parts in raw))
    _check(segment, value)
    return value


def unit_of(segment: Segment) -> Concept | None:
    """Return OBX-6. Raises Faulty where it holds a number or a range."""
    found = segment.repetitions(6)
    components = whole_unit(found[0]) if found else []
    if components and is_number(components[0]):
        raise segment.fault("shifted", "OBX-6 holds a number where a unit belongs", _SHIFTED, 6)
    return concept(components)


def range_of(segment: Segment) -> str:
    """Return OBX-7. Raises Faulty where it holds a unit."""
    text = "~".join(joined(parts, segment.header.separators) for parts in segment.repetitions(7))
    if is_unit(text):
        raise segment.fault("shifted", "OBX-7 holds a unit where a reference range belongs", _SHIFTED, 7)
    return text


def _check(segment: Segment, value: Value) -> None:
    if value.kind in ("NM", "SN") and len(value.repetitions) > 1:
        raise _parts(segment, "OBX-5 repeats, but one number was announced", "Send one OBX for each value.")
    first = value.repetitions[0]
    if value.kind == "NM" and any(first[1:]):
        raise _parts(segment, "OBX-5 has several components, but an NM has one", "Send it as SN, or escape its caret.")
    if value.kind == "SN":
        _check_structured(segment, first)
    if value.kind in ("NM", "SN", "ST") and any(map(is_unit, first)):
        raise segment.fault("shifted", "OBX-5 holds a unit where a value belongs", _SHIFTED, 5)


def _check_structured(segment: Segment, parts: tuple[str, ...]) -> None:
    comparator, first, between, second = [*parts, "", "", "", ""][:4]
    if comparator not in _COMPARATORS or between not in _BETWEEN or any(parts[4:]):
        raise _parts(
            segment,
            "OBX-5 is not comparator ^ number ^ separator ^ number, as an SN is",
            "Write ^40, <^10, ^10^-^20 or ^1^:^128; send text as ST.",
        )
    if not any(character.isdigit() for character in first) or (second and not any(map(str.isdigit, second))):
        raise _parts(segment, "OBX-5 has no number, which an SN has", "Send text as ST.")


def _parts(segment: Segment, message: str, remedy: str) -> Exception:
    return segment.fault("value-parts", message, remedy, 5)
