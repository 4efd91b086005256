"""Reads the value of an incoming result, of whatever kind it came as; what is not read for certain is unreadable.

docs/harmonisation.md has the readers. Nothing here raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fhirbridge.elements import LOINC, SNOMED, Element
from fhirbridge.sync.pull.incoming import Incoming
from fhirbridge.terminology.concepts import V2_INTERPRETATION, read_coded
from fhirbridge.terminology.numerals import DecimalMark
from fhirbridge.terminology.readings import Absence, Reading, unreadable
from fhirbridge.terminology.structures import read_quantity, read_structured
from fhirbridge.terminology.texts import read_text

_ABSENT: dict[str, Absence] = {
    "temp-unknown": "pending", "not-performed": "not performed", "not-asked": "not performed",
    "not-applicable": "not performed", "not-permitted": "not performed", "error": "failed", "not-a-number": "failed",
    "negative-infinity": "failed", "positive-infinity": "failed",
}  # fmt: skip
"""http://hl7.org/fhir/R4/valueset-data-absent-reason.html; all others are ``not available``."""
WITHHELD: dict[str, Any] = {"withheld": True}
"""In the place of a value that is not kept, because it may be anything (``meaning.without_strange_words``)."""
_TEXTS = ("ST", "TX", "FT")
_CODED = ("CE", "CWE", "CNE", "CF")
_SYSTEMS = {"LN": LOINC, "SCT": SNOMED, "HL70078": V2_INTERPRETATION}
"""Names of coding systems in HL7 v2 (table 0396) under which ``read_coded`` knows answers."""
_SAYS_NO = frozenset({"ND", "NEG", "NR"})
_SAYS_YES = frozenset({"POS", "DET", "RR", "WR"})
_BEYOND = frozenset({"<", ">"})


def read(incoming: Incoming, mark: DecimalMark | None) -> Reading:
    """Read the value; ``mark`` is the decimal mark that the laboratory declares, for texts."""
    value, absent = incoming.value, incoming.absent
    if value is None:
        return _missing(absent) if absent else unreadable("", "there is no value, and no reason why")
    if value == WITHHELD:
        return unreadable("", "its text was withheld while its code was unmapped: look at the source, or pull in full")
    if "hl7v2" in value:
        reading = _message_value(str(value["hl7v2"]), value.get("repetitions"), mark)
    elif len(value) == 1:
        reading = _resource_value(*next(iter(value.items())), mark)
    else:
        reading = unreadable("", "it has two values")
    if absent and reading.kind != "no result":
        return unreadable(reading.text, "it gives a result and says that there is none")
    return reading


def contradicts(reading: Reading, interpretation: Iterable[str]) -> bool:
    """Tell whether the source's own word for a value says another thing than the value that was read.

    Off the scale (``<``, ``>``) belongs to a comparator; not detected and negative belong to no exact number above
    zero's answer, and to no answer of the other side. A negative beside a number is the assay's threshold, not a
    contradiction.
    """
    said = set(interpretation)
    if said & _BEYOND and reading.measured and reading.comparator is None:
        return True
    if said & _SAYS_NO and said & _SAYS_YES:
        return True
    if "ND" in said and reading.measured and reading.value:
        return True
    if reading.answer is None:
        return False
    denied = reading.answer in ("not detected", "negative", "non-reactive")
    return bool(said & (_SAYS_YES if denied else _SAYS_NO)) and reading.answer != "indeterminate"


def _missing(absent: str) -> Reading:
    if absent == "as-text":
        return unreadable("", "its value is in the narrative alone")
    said = read_text(absent).absence
    absence: Absence = _ABSENT.get(absent) or said or "not available"
    return Reading(kind="no result", text=absent, rule="reason for absence", absence=absence)


def _resource_value(name: str, value: Any, mark: DecimalMark | None) -> Reading:
    """Read one ``value[x]`` of FHIR R4."""
    if name == "valueInteger":
        value = {"value": value}
    readers: dict[str, Callable[[Any], Reading]] = {
        "valueQuantity": read_quantity,
        "valueInteger": read_quantity,
        "valueCodeableConcept": read_coded,
        "valueString": lambda text: read_text(text, mark),
    }
    reader = readers.get(name)
    if reader is None:
        return unreadable(_in_words(value), f"a {name.removeprefix('value')} is no single value")
    return reader(value)


def _message_value(kind: str, repetitions: Any, mark: DecimalMark | None) -> Reading:
    """Read OBX-5: its type and, for each repetition, its components."""
    values = [
        [part if isinstance(part, str) else "" for part in one]
        for one in (repetitions if isinstance(repetitions, list | tuple) else ())
        if isinstance(one, list | tuple)
    ]
    text = "\n".join("^".join(one) for one in values)
    if kind in _TEXTS and values:
        return read_text("\n".join(one[0] for one in values if one), mark)
    if len(values) != 1 or not values[0]:
        return unreadable(text, f"an {kind} of {len(values)} values is no single value")
    if kind == "NM":
        return read_text(values[0][0], ".")
    if kind == "SN":
        return read_structured(*[*values[0], *[None] * 4][:4])
    if kind in _CODED:
        return read_coded(_concept(values[0]))
    return unreadable(text, "values of this type are not read")


def _concept(parts: Sequence[str]) -> Element:
    """Return a CE or CWE as a CodeableConcept: two codings of three components, and the original text (CWE.9)."""
    filled = [*parts, *[""] * 9]
    codings = [
        {"system": _SYSTEMS.get(system, system), "code": code, "display": display}
        for code, display, system in (filled[0:3], filled[3:6])
        if code or display
    ]
    return {"coding": codings, "text": filled[8]} if filled[8] else {"coding": codings}


def _in_words(value: Any) -> str:
    """Return a value of many parts as its plain parts, for a person to see."""
    if isinstance(value, dict):
        return " ".join(filter(None, map(_in_words, value.values())))
    if isinstance(value, list):
        return " ".join(filter(None, map(_in_words, value)))
    return str(value)
