"""The answer to a message (HL7 v2.5.1, chapter 2, section 2.9.2): AA taken, AE wrong in content, AR not acceptable."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from fhirbridge.records.hl7v2.escapes import Separators
from fhirbridge.records.hl7v2.faults import CODES, REJECTED, Fault
from fhirbridge.records.hl7v2.header import VERSIONS, Header
from fhirbridge.records.hl7v2.reader import Reading

Answer = Literal["AA", "AE", "AR"]

_NOT_STORED = Fault("not-stored", "it could not be stored; nothing of it was taken", "Send it again later.")
_MOST_ERRORS = 10
_LONGEST_ECHO = 250
"""Characters of a sender's field that are repeated."""
_CLASSIC = ("2.3", "2.3.1", "2.4")
"""Versions whose ERR-1 says everything; from 2.5 on it is ERR-2 and those after it."""


def answer_to(reading: Reading) -> Answer | None:
    """Return the answer that a message's content asks for; None for an acknowledgement, which is never answered."""
    if reading.outcome == "ignored":
        return None if reading.header and reading.header.component(9, 1) == "ACK" else "AR"
    if any(fault.rule in REJECTED or fault.rule == "not-hl7" for fault in reading.faults):
        return "AR"
    return "AE" if reading.faults else "AA"


def acknowledgement(reading: Reading, answer: Answer, *, now: dt.datetime, control_id: str) -> bytes:
    """Return the ACK for a message, in its separators, version and character set, without framing.

    MSA-2 repeats its control id; ERR names segment, occurrence and field of what is wrong, and never what stood there.
    """
    return _written(reading.header, reading.codec, reading.faults, answer, now, control_id)


def not_stored(reading: Reading, *, now: dt.datetime, control_id: str) -> bytes:
    """Return the AE for a message that is in order, but could not be stored."""
    return _written(reading.header, reading.codec, (_NOT_STORED,), "AE", now, control_id)


def _written(
    header: Header | None, codec: str, faults: tuple[Fault, ...], answer: Answer, now: dt.datetime, control_id: str
) -> bytes:
    marks = header.separators if header else Separators()

    def told(number: int) -> str:
        return header.field(number)[:_LONGEST_ECHO] if header else ""

    version = told(12) if told(12).split(marks.component)[0] in VERSIONS else "2.5.1"
    event = header.component(9, 2) if header and header.component(9, 2).isalnum() else ""
    kind = marks.component.join(["ACK", event, "ACK"] if event else ["ACK"])
    processing = told(11) if told(11)[:1] in ("P", "T", "D") else "P"
    named = marks.component + marks.repetition + marks.escape + marks.subcomponent
    msh = ["MSH", named, told(5), told(6), told(3), told(4), f"{now:%Y%m%d%H%M%S%z}", "", kind, control_id, processing]
    msh += [version, "", "", "", "", "", told(18)]
    classic = version.split(marks.component)[0] in _CLASSIC
    msa = ["MSA", answer, told(10), *([_escaped(faults[0].message, marks)] if faults and classic else [])]
    segments = [msh, msa, *(_error(fault, marks, classic=classic) for fault in faults[:_MOST_ERRORS])]
    text = "".join(marks.field.join(segment).rstrip(marks.field) + "\r" for segment in segments)
    return text.encode(codec, errors="replace")


def _error(fault: Fault, marks: Separators, *, classic: bool) -> list[str]:
    code, text = CODES[fault.rule]
    place = [fault.segment, str(fault.occurrence), str(fault.field or "")] if fault.segment else ["", "", ""]
    if classic:
        what = marks.subcomponent.join((code, text, "HL70357"))
        return ["ERR", marks.component.join([*place, what])]
    location = marks.component.join(place).rstrip(marks.component)
    coded = marks.component.join((code, text, "HL70357"))
    rule = marks.component.join((fault.rule, "", "L"))
    return ["ERR", "", location, coded, "E", rule, "", _escaped(fault.message, marks), _escaped(fault.remedy, marks)]


def _escaped(text: str, marks: Separators) -> str:
    escape = marks.escape
    text = text.replace(escape, f"{escape}E{escape}")
    for mark, name in ((marks.field, "F"), (marks.component, "S"), (marks.repetition, "R"), (marks.subcomponent, "T")):
        text = text.replace(mark, f"{escape}{name}{escape}")
    return text
