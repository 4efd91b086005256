"""Takes the pieces of an R4 Observation apart: value[x], codes, effective[x]; nothing here trusts its input.

http://hl7.org/fhir/R4/observation.html. Extensions and ids inside a value are left out: they may hold anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhirbridge import fhirjson
from fhirbridge.elements import Element
from fhirbridge.terminology.codes import ABSENT_REASON
from fhirbridge.terminology.laboratories import ReportedCode
from fhirbridge.terminology.texts import read_text

KINDS = (
    "valueQuantity", "valueCodeableConcept", "valueString", "valueBoolean", "valueInteger", "valueRange",
    "valueRatio", "valueSampledData", "valueTime", "valueDateTime", "valuePeriod",
)  # fmt: skip
NOT_KEPT = "(not kept)"
_LONGEST_VALUE = 20_000
_LONGEST_NAME = 300


def value_of(holder: Element) -> dict[str, Any] | None:
    """Return ``{"valueQuantity": {…}}`` as sent, without extensions; None where no value is given.

    Two values, which R4 forbids, come back as two. Of a kind that R4 does not have, and of a value beyond 20,000
    bytes (a scan, a curve), only the name is kept.
    """
    found: dict[str, Any] = {}
    for name, value in holder.items():
        if name.startswith("value") and name[5:6].isupper() and value is not None:
            bare = _bare(value) if name in KINDS else NOT_KEPT
            found[name] = bare if len(fhirjson.dumps(bare)) <= _LONGEST_VALUE else NOT_KEPT
    return dict(sorted(found.items())) or None


def codes_of(concept: object) -> tuple[ReportedCode, ...]:
    """Return the codes of a CodeableConcept, each once, in their order; a code without a system is the sender's own."""
    codes = [
        ReportedCode(text_of(coding, "system"), code, text_of(coding, "display"))
        for coding in elements(concept, "coding")
        if (code := text_of(coding, "code"))
    ]
    return tuple(dict.fromkeys(codes))


def text_of(holder: object, name: str) -> str | None:
    """Return a string element, cut to what a name may need; None where it is absent, empty or no string."""
    value = holder.get(name) if isinstance(holder, dict) else None
    return value.strip()[:_LONGEST_NAME] or None if isinstance(value, str) else None


def elements(holder: object, name: str) -> Iterator[Element]:
    """Yield the objects of a repeating element; what is no object is passed over."""
    values = holder.get(name) if isinstance(holder, dict) else None
    yield from (value for value in values if isinstance(value, dict)) if isinstance(values, list) else ()


def absent_of(holder: Element) -> str | None:
    """Return dataAbsentReason as a code: FHIR's own, else another, else its text where every word of that is known."""
    reason = holder.get("dataAbsentReason")
    if not isinstance(reason, dict):
        return None
    codes = codes_of(reason)
    own = [code.code for code in codes if code.system == ABSENT_REASON]
    text = text_of(reason, "text") or next((code.display for code in codes if code.display), None)
    said = text if text and read_text(text).kind == "no result" else None
    return own[0] if own else said or (codes[0].code if codes else "unknown")


def collected_of(observation: Element) -> str | None:
    """Return when the specimen was taken: effective[x], else the time of a contained Specimen; never ``issued``.

    A Period within one day is its start; a longer one is only as precise as both its ends agree (a month, a year),
    because no day of it is more the specimen's than another. A Timing counts with a single event.
    """
    stated = _moment(observation, "effective")
    if stated or any(name.startswith("effective") for name in observation):
        return stated
    taken = [
        moment
        for resource in elements(observation, "contained")
        if resource.get("resourceType") == "Specimen"
        and isinstance(resource.get("collection"), dict)
        and (moment := _moment(resource["collection"], "collected"))
    ]
    return taken[0] if len(taken) == 1 else None


def _moment(holder: Element, name: str) -> str | None:
    direct = text_of(holder, f"{name}DateTime") or text_of(holder, f"{name}Instant")
    if direct:
        return direct
    period, timing = holder.get(f"{name}Period"), holder.get(f"{name}Timing")
    if isinstance(period, dict):
        return _within(text_of(period, "start"), text_of(period, "end"))
    events = timing.get("event") if isinstance(timing, dict) else None
    return events[0] if isinstance(events, list) and len(events) == 1 and isinstance(events[0], str) else None


def _within(start: str | None, end: str | None) -> str | None:
    if start is None or end is None or start[:10] == end[:10]:
        return start
    for length in (7, 4):
        if start[:length] == end[:length]:
            return start[:length]
    return None


def _bare(value: Any) -> Any:
    """Return a value without extensions, ids and the underscored twins of primitives."""
    if isinstance(value, dict):
        return {
            name: _bare(part)
            for name, part in value.items()
            if name not in ("extension", "id") and not name.startswith("_")
        }
    return [_bare(part) for part in value] if isinstance(value, list) else value
