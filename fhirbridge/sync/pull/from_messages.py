"""Reads the results of HL7 v2 messages into results that name no patient.

HL7 v2.5.1, chapter 7 (OBR, OBX) and table 0085; FHIR's status: http://hl7.org/fhir/R4/valueset-observation-status.html.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fhirbridge.records.hl7v2.shifts import is_unit
from fhirbridge.records.hl7v2.types import Concept, Message, Number, Order, Patient, Result, sampled
from fhirbridge.sync.pull import remarks
from fhirbridge.sync.pull.fhir_values import NOT_KEPT
from fhirbridge.sync.pull.incoming import BY_MESSAGE, Incoming, SetAside, SourceStatus
from fhirbridge.sync.pull.message_lines import TEXTS, Joined, joined, text_of
from fhirbridge.sync.pull.message_versions import version_of
from fhirbridge.sync.pull.recognising import LaboratoryNames
from fhirbridge.terminology.laboratories import ReportedCode
from fhirbridge.terminology.v2_codes import is_local, system_of

STATUSES: dict[str, SourceStatus] = {
    "C": "corrected",  # replaces a result that was final
    "D": "entered-in-error",  # the record is deleted: what it said is not to be used
    "F": "final",
    "I": "registered",  # the specimen is in the laboratory, results are pending
    "N": "cancelled",  # it was not asked for: there is none and there will be none
    "P": "preliminary",
    "R": "preliminary",  # entered, and nobody has verified it yet
    "S": "preliminary",  # partial
    "U": "final",  # became final without being sent again: the value is the one sent before
    "W": "entered-in-error",  # wrong, for example another patient's
    "X": "cancelled",  # results cannot be obtained
}
"""Table 0085 without ``O``, a detail of the order, which is no result."""

REFLEX = "follows from an earlier result (reflex order)"
"""The remark on results of an order that was made because of another one's result."""

_ABSENT = {"N": "not-asked", "X": "not-performed"}
"""Why there is no value, even where something stands in its place (FHIR's data-absent-reason)."""
_ABSENT_IF_EMPTY = {
    **dict.fromkeys("CF", "unknown"),
    **dict.fromkeys("IPRS", "temp-unknown"),
}
_POINTS_BACK = frozenset("CDUW")
"""Statuses of results that are about one that was sent before."""
_LONGEST = 20_000
_OFFSET = re.compile(r"[+-][0-9]{2}:[0-9]{2}$", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Senders:
    """What the laboratories' files call those who sent or performed a result.

    ``names`` is the setting ``hl7_laboratories``: a laboratory's name by the number or name of who performed the test
    (OBX-23, else OBX-15), or by ``application^facility``, facility or application of the message.
    """

    names: Mapping[str, str]
    laboratories: LaboratoryNames

    def laboratory(self, message: Message, result: Result, codes: Sequence[ReportedCode]) -> str:
        """Return the laboratory's name, empty where none is known: who performed a test goes before who tells of it."""
        performer = [result.laboratory.value] if result.laboratory else []
        performer += [result.laboratory_name] if result.laboratory_name else []
        application, facility = _name(message.application), _name(message.facility)
        sender = [name for name in (f"{application}^{facility}", facility, application) if name.strip("^")]
        for known in (performer, sender):
            named = next((self.names[name] for name in known if name in self.names), "")
            if found := named or self.laboratories.of(codes, known):
                return found
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one result of a message became; ``lines`` is how many OBX it was, the first at ``line``."""

    result: Incoming | SetAside
    line: int
    lines: int


def feed_of(message: Message) -> str:
    """Return what the results of a sender come by: ``hl7v2 LIS^LAB``."""
    return f"{BY_MESSAGE}{_name(message.application)}^{_name(message.facility)}"


def results(message: Message, patient: Patient, senders: Senders) -> tuple[Taken, ...]:
    """Return the results of one patient of a message, in its order; every OBX is in exactly one of them."""
    seen = Counter[str]()
    found = []
    for whose, one in [(order, one) for order in patient.orders for one in joined(order)]:
        result = incoming(message, whose, one, senders)
        if isinstance(result, Incoming):
            seen[result.reference] += 1
            if (times := seen[result.reference]) > 1:
                # Laboratories give several orders one number, and the same test may stand under two of them.
                result = replace(result, reference=f"{result.reference}|again {times}")
        found.append(Taken(result=result, line=one.result.line, lines=one.lines))
    return tuple(found)


def incoming(message: Message, order: Order, one: Joined, senders: Senders) -> Incoming | SetAside:
    """Return one result, or why it is set aside. Never raises."""
    result = one.result
    if result.status == "O":
        return SetAside(why="not collected", detail="it is a detail of the order, and no result")
    if one.fault is not None:
        return SetAside(why="unusable", detail=one.fault)
    if result.identity is None and result.status in _POINTS_BACK:
        return SetAside(
            why="unusable", detail="its order has no number (OBR-2, OBR-3), so the result it changes is not known"
        )
    codes = _codes(result.code)
    local = next((coding.text for coding in result.code.codings if coding.text and is_local(coding.system)), None)
    notes = [*one.remarks, *(note.text for note in (*result.notes, *order.notes))]
    issued = _at(order.reported, message)
    value = _value(result)
    return Incoming(
        feed=feed_of(message),
        reference=_reference(message, order, result),
        version=version_of(result.status, message.sent, message.control_id),
        updated=issued or message.sent,
        status=_status(order, result),
        laboratory=senders.laboratory(message, result, codes),
        codes=codes,
        label=local
        or next((coding.text for coding in result.code.codings if coding.text), result.code.original)
        or None,
        value=value,
        unit=_unit(result.unit),
        absent=_ABSENT.get(result.status) or (_ABSENT_IF_EMPTY.get(result.status) if value is None else None),
        collected=_at(sampled(order, result), message),
        issued=issued,
        method="; ".join(filter(None, (method.first.text or method.first.code for method in result.methods))) or None,
        notes=(
            *remarks.kept(notes),
            *([REFLEX] if order.parent is not None and order.parent.order is not None else []),
        ),
        interpretation=result.flags,
    )


def _status(order: Order, result: Result) -> SourceStatus:
    """Return a result's status; of a value under an order that was cancelled (OBR-25) nobody knows what it is."""
    status = STATUSES[result.status]
    if order.status == "X" and result.value is not None and status in ("preliminary", "final", "corrected"):
        return "unknown"
    return status


def _value(result: Result) -> dict[str, object] | None:
    """Return OBX-5 as sent; repetitions of a text are its lines."""
    value = result.value
    if value is None:
        return None
    repetitions = [list(parts) for parts in value.repetitions]
    if value.kind in TEXTS:
        text = text_of(value).strip()
        if not text:
            return None
        repetitions = [[text]]
    if sum(len(part) for parts in repetitions for part in parts) > _LONGEST:
        repetitions = [[NOT_KEPT]]
    return {"hl7v2": value.kind, "repetitions": repetitions}


def _codes(concept: Concept) -> tuple[ReportedCode, ...]:
    """Return the codes of a test; the sender's own have no system.

    A coding system that HL7 does not list is the sender's own as well, as long as no other coding claims to be.
    """
    claimed = any(coding.code and is_local(coding.system) for coding in concept.codings)
    found = []
    for coding in concept.codings:
        if coding.code:
            system = system_of(coding.system)
            if system is not None and system.startswith("urn:hl7v2:") and not claimed:
                system = None
            found.append(ReportedCode(system, coding.code, coding.text or None))
    return tuple(dict.fromkeys(found))


def _unit(concept: Concept | None) -> str | None:
    """Return OBX-6 as a unit: its code, or its text where the code is the laboratory's number for the unit."""
    if concept is None:
        return None
    coding = concept.first
    code, text = coding.code, coding.text or concept.original
    if code and text and is_local(coding.system) and not is_unit(code) and is_unit(text):
        return text
    return code or text or None


def _reference(message: Message, order: Order, result: Result) -> str:
    """Return the name of a result within its feed: order's number, code, sub-id, place among equals.

    One whose order has no number is named by its message: sent again in another one, it is another result.
    """
    named = result.identity
    if named is None:
        first = result.code.first
        parts = [["message", message.control_id, str(order.line)], [first.code or first.text, first.system]]
        return _joined([*parts, [result.sub_id], [str(result.line)]])
    authority = named.order.authority
    number = [named.order.value, authority.name, authority.universal_id, authority.universal_type]
    sender = [[named.sender]] if named.sender else []
    return _joined([number, [named.code, named.system], [named.sub_id], [str(named.occurrence)], *sender])


def _joined(parts: Sequence[Sequence[str]]) -> str:
    escaped = [[re.sub(r"([\\|^])", r"\\\1", part) for part in some] for some in parts]
    return "|".join("^".join(some).rstrip("^") for some in escaped)


def _at(time: str | None, message: Message) -> str | None:
    """Return a time with the offset of MSH-7 where it has none of its own (HL7 v2.5.1, 2.14.9.7)."""
    offset = _OFFSET.search(message.sent or "")
    if time is None or "T" not in time or offset is None or _OFFSET.search(time):
        return time
    return time + offset[0]


def _name(number: Number | None) -> str:
    return number.value if number is not None else ""
