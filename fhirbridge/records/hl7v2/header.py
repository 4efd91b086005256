"""The MSH of a message, read by hand so that even a message that is refused can be answered."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fhirbridge.records.hl7v2.escapes import Separators, separators_of
from fhirbridge.records.hl7v2.faults import Fault, Faulty

VERSIONS = ("2.3", "2.3.1", "2.4", "2.5", "2.5.1")
ORDERS = frozenset({"ORM", "OML", "OMG", "OMI", "OMP", "OMD", "OMS", "OMN", "ORR", "ORL", "ORG", "OSQ", "OSR", "QRY"})
"""Messages that ask for results and hold none."""


@dataclass(frozen=True, slots=True)
class Header:
    """An MSH as its raw fields, numbered as HL7 does (``fields[10]`` is MSH-10), and what they are split by."""

    fields: tuple[str, ...]
    separators: Separators

    def field(self, number: int) -> str:
        """Return a field, empty where the segment ends before it."""
        return self.fields[number].strip() if number < len(self.fields) else ""

    def component(self, number: int, component: int) -> str:
        """Return a component of a field's first repetition, counted from 1."""
        first = self.field(number).split(self.separators.repetition)[0].split(self.separators.component)
        return first[component - 1].strip() if component <= len(first) else ""

    @property
    def control_id(self) -> str:
        """MSH-10."""
        return self.field(10)


def header_of(text: str) -> Header:
    """Read the first line of a message. Raises Faulty where it is no MSH, or its separators are none."""
    line = text.split("\r", 1)[0].split("\n", 1)[0]
    if not line.startswith("MSH"):
        raise Faulty(Fault("not-hl7", "it does not begin with MSH", "Send HL7 v2 messages in their usual encoding."))
    separators = separators_of(line)
    if separators is None:
        raise Faulty(
            Fault(
                "separators",
                "MSH-1 and MSH-2 are not five different separators",
                "Write them as MSH|^~\\& does.",
                segment="MSH",
                line=1,
                field=2,
            )
        )
    fields = line.split(separators.field)
    # MSH-1 is the separator itself, so that MSH-2 is what stands after the first one.
    return Header((fields[0], separators.field, *fields[1:]), separators)


def start_of(raw: bytes) -> Header | None:
    """Read the MSH of a message that cannot be decoded as a whole; what is not ASCII becomes question marks."""
    try:
        return header_of(raw.removeprefix(b"\xef\xbb\xbf").decode("ascii", errors="replace").replace("\ufffd", "?"))
    except Faulty:
        return None


PROCESSING = ("P", "T", "D")
"""MSH-11: production, training, debugging."""


def check_kind(header: Header, processing: Collection[str] = PROCESSING) -> None:
    """Raise Faulty for what is no ORU^R01 of a version and a processing id that are read, or has no control id.

    A message that does not say what it is for counts as production, as its senders mean it.
    """
    kind, event = header.component(9, 1), header.component(9, 2)
    if kind != "ORU":
        raise Faulty(_wrong_kind(kind))
    # Before events were asked for, ORU alone meant what ORU^R01 means.
    if event not in ("R01", ""):
        raise _fault("event", "MSH-9 names another event than R01", "Send laboratory results as ORU^R01.", 9)
    version = header.component(12, 1)
    if version not in VERSIONS:
        what = "names no version that is read here" if version else "is empty"
        raise _fault("version", f"MSH-12 {what}", f"Send one of {', '.join(VERSIONS)}.", 12)
    if (header.component(11, 1).upper() or "P") not in processing:
        raise _fault(
            "processing",
            "MSH-11 says that it is for training or debugging, or something unknown",
            "Send results of patients as P; to try the way out, let the receiver accept T or D.",
            11,
        )
    if not header.control_id:
        raise _fault("required", "MSH-10, the control id, is empty", "Give each message a control id of its own.", 10)


def _wrong_kind(kind: str) -> Fault:
    if kind == "ADT":
        message, remedy = (
            "ADT tells of admissions and names, which are not taken in",
            "Send results only (ORU^R01); subjects are linked by the enrolment log.",
        )
    elif kind in ORDERS:
        message, remedy = "this is an order or a query: it holds no results", "Send the results as ORU^R01."
    elif kind == "ACK":
        message, remedy = "this is an acknowledgement: it holds no results", "Send the results as ORU^R01."
    else:
        message, remedy = "MSH-9 names another message type than ORU", "Send laboratory results as ORU^R01."
    return Fault("message-type", message, remedy, segment="MSH", line=1, field=9)


def _fault(rule: str, message: str, remedy: str, field: int) -> Faulty:
    return Faulty(Fault(rule, message, remedy, segment="MSH", line=1, field=field))  # type: ignore[arg-type]  # literals
