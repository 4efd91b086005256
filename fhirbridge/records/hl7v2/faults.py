"""What can be wrong with a message: each fault names its rule, segment and field, never what stood there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from fhirbridge.errors import Finding

Rule = Literal[
    "not-hl7", "too-long", "too-many-parts", "cut", "continued", "charset", "separators", "line-break",
    "unknown-segment", "required", "message-type", "event", "version", "no-order", "value-type", "value-parts",
    "shifted", "status", "time", "escape", "count", "not-stored",
    "processing",
]  # fmt: skip

CODES: dict[Rule, tuple[str, str]] = {
    "not-hl7": ("100", "Segment sequence error"),
    "too-long": ("207", "Application internal error"),
    "too-many-parts": ("207", "Application internal error"),
    "cut": ("100", "Segment sequence error"),
    "continued": ("207", "Application internal error"),
    "charset": ("102", "Data type error"),
    "separators": ("100", "Segment sequence error"),
    "line-break": ("100", "Segment sequence error"),
    "unknown-segment": ("100", "Segment sequence error"),
    "required": ("101", "Required field missing"),
    "message-type": ("200", "Unsupported message type"),
    "event": ("201", "Unsupported event code"),
    "version": ("203", "Unsupported version id"),
    "no-order": ("100", "Segment sequence error"),
    "value-type": ("103", "Table value not found"),
    "value-parts": ("102", "Data type error"),
    "shifted": ("102", "Data type error"),
    "status": ("103", "Table value not found"),
    "time": ("102", "Data type error"),
    "escape": ("102", "Data type error"),
    "count": ("100", "Segment sequence error"),
    "processing": ("202", "Unsupported processing id"),
    "not-stored": ("207", "Application internal error"),
}
"""Error code and text of HL7 table 0357, as acknowledgements carry them."""

REJECTED: frozenset[Rule] = frozenset({"message-type", "event", "version", "processing", "too-long", "too-many-parts"})
"""Rules whose breach is answered AR: sending the same again, mended, would not help."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong: ``segment`` is its name, ``occurrence`` which of that name, ``line`` which of all, from 1."""

    rule: Rule
    message: str
    remedy: str
    segment: str = ""
    occurrence: int = 1
    line: int | None = None
    field: int | None = None

    @property
    def place(self) -> str:
        """Segment and field as people write them: ``OBX-5``."""
        return f"{self.segment}-{self.field}" if self.segment and self.field is not None else self.segment

    def finding(self, record: str, file: str | None = None) -> Finding:
        """Return it as the finding of a report; ``line`` is the segment's number within the message."""
        return Finding(
            record=record,
            rule=self.rule,
            message=self.message,
            remedy=self.remedy,
            field=self.place or None,
            file=file,
            line=self.line,
        )


class Faulty(Exception):
    """Raised where a message, order or result cannot be read; the readers turn it into a fault of their answer."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.rule)
        self.fault = fault


def label(control_id: str) -> str:
    """Return what a report calls a message: its control id, unless that is of no usual form."""
    return f"message {control_id}" if re.fullmatch(r"[A-Za-z0-9._:/-]{1,64}", control_id, re.ASCII) else "a message"
