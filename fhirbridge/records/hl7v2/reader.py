"""One message in bytes to what it says or why not; never raises, and never lets a doubtful field pass as a value."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Literal

from fhirbridge.errors import Finding
from fhirbridge.records.hl7v2.charset import decode
from fhirbridge.records.hl7v2.faults import Fault, Faulty, label
from fhirbridge.records.hl7v2.header import ORDERS, PROCESSING, Header, check_kind, header_of, start_of
from fhirbridge.records.hl7v2.linking import identified, linked
from fhirbridge.records.hl7v2.results import lost_of, note_of, order_of, patient_of, result_of, specimen_of
from fhirbridge.records.hl7v2.segments import Segment, segments_of
from fhirbridge.records.hl7v2.times import iso
from fhirbridge.records.hl7v2.types import Authority, Lost, Message, Number, Order, Patient, Result

LONGEST = 10 * 1024 * 1024
"""Bytes of one message."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of one message.

    ``accepted``: it was read; results that were set aside are told by ``faults``. ``ignored``: an order, a query or an
    acknowledgement, which holds no results. ``refused``: nothing of it can be used.
    """

    outcome: Literal["accepted", "ignored", "refused"]
    message: Message | None
    faults: tuple[Fault, ...]
    header: Header | None
    """The MSH, where there is one that can be read: for the answer to a refused message too."""
    codec: str = "ascii"

    @property
    def record(self) -> str:
        """What a report calls this message."""
        return label(self.header.control_id if self.header else "")

    def findings(self, file: str | None = None) -> list[Finding]:
        """Return the faults as a report's findings."""
        return [fault.finding(self.record, file) for fault in self.faults]


def read(raw: bytes, *, assume: str | None = None, processing: Collection[str] = PROCESSING) -> Reading:
    """Read one message without its framing.

    ``assume`` names the character set (HL7 table 0211) of a sender who leaves MSH-18 empty; without it, such a message
    must be plain ASCII. ``processing`` are the processing ids (MSH-11) that are taken. A fault of one result
    or order sets that aside; any other refuses the message.
    """
    header, codec = None, "ascii"
    try:
        if len(raw) > LONGEST:
            header = start_of(raw[:4096])
            raise Faulty(too_long())
        if not re.match(rb"(?:\xef\xbb\xbf)?MSH", raw):
            raise Faulty(Fault("not-hl7", "it does not begin with MSH", "Send HL7 v2 in its usual encoding, not XML."))
        text, codec = _decode(raw, assume, processing)
        header = header_of(text)
        check_kind(header, processing)
        message, faults = _Building(header, codec).build(segments_of(text, header, codec))
    except Faulty as error:
        header = header or start_of(raw[:4096])
        kind = header.component(9, 1) if header else ""
        ignored = error.fault.rule == "message-type" and (kind == "ACK" or kind in ORDERS)
        return Reading("ignored" if ignored else "refused", None, (error.fault,), header, codec)
    if faults and not message.results:
        return Reading("refused", None, tuple(faults), header, codec)
    return Reading("accepted", message, tuple(faults), header, codec)


def too_long() -> Fault:
    """Return the fault of a message beyond LONGEST."""
    return Fault("too-long", f"the message is longer than {LONGEST:,} bytes", "Leave embedded documents out.")


def _decode(raw: bytes, assume: str | None, processing: Collection[str]) -> tuple[str, str]:
    """Decode a message; one of a kind that is not taken in is refused for that, whatever its bytes."""
    try:
        return decode(raw, assume)
    except Faulty:
        if header := start_of(raw[:4096]):
            check_kind(header, processing)
        raise


@dataclass
class _Building:
    """The state of going through the segments: whose they are, which order's, and what notes belong to."""

    header: Header
    codec: str
    patients: list[Patient] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    missing: list[Lost] = field(default_factory=list)
    order: Order | None = None
    common: Segment | None = None
    after: Literal["patient", "order", "result", "specimen", "refused"] = "patient"
    """What a note would belong to."""
    specimen: bool = False
    """The order at hand has had an SPM."""
    lost: bool = False
    """The order at hand was refused, and what belongs to it goes with it."""

    def build(self, segments: list[Segment]) -> tuple[Message, list[Fault]]:
        """Return the message. Raises Faulty where it cannot be told whose results they are."""
        take = {
            "PID": self._pid, "ORC": self._orc, "OBR": self._obr, "OBX": self._obx, "NTE": self._nte, "SPM": self._spm,
        }  # fmt: skip
        for segment in segments:
            take[segment.name](segment)
        self._close_patient()
        if not self.patients:
            raise Faulty(Fault("required", "there is no PID", "Send whose results they are.", "PID"))
        if not any(patient.orders for patient in self.patients) and not self.faults:
            raise Faulty(Fault("required", "there is no OBR", "Send results under the order they belong to.", "OBR"))
        return self._message(), self.faults

    def _message(self) -> Message:
        header = self.header
        try:
            sent = iso(header.component(7, 1)) if header.component(7, 1) else None
        except ValueError as error:
            remedy = "Write it as 20260330081500+0800."
            raise Faulty(Fault("time", f"MSH-7 {error}", remedy, "MSH", 1, 1, 7)) from None
        return Message(
            control_id=header.control_id,
            application=_sender(header, 3),
            facility=_sender(header, 4),
            version=header.component(12, 1),
            processing=header.component(11, 1),
            sent=sent,
            charset=self.codec,
            patients=tuple(self.patients),
        )

    def _pid(self, segment: Segment) -> None:
        self._close_patient()
        self.patients.append(patient_of(segment))
        self.after, self.common = "patient", None

    def _orc(self, segment: Segment) -> None:
        self._close_order()
        self.common = segment

    def _obr(self, segment: Segment) -> None:
        if not self.patients:
            raise segment.fault("required", "there is no PID before this OBR", "Send whose results they are.")
        self._close_order()
        try:
            self.order = order_of(segment, self.common)
        except Faulty as error:
            self.faults.append(error.fault)
            self.lost = True
        self.after, self.common = "order", None

    def _obx(self, segment: Segment) -> None:
        if self.lost:
            return
        if self.order is None:
            raise segment.fault("no-order", "this result stands under no OBR", "Send the order it belongs to.")
        try:
            self.results.append(result_of(segment, of_specimen=self.specimen))
            self.after = "result"
        except Faulty as error:
            self.faults.append(error.fault)
            self.missing.append(lost_of(segment))
            self.after = "refused"

    def _nte(self, segment: Segment) -> None:
        if self.lost or self.order is None or self.after not in ("order", "result"):
            return
        try:
            note = note_of(segment)
        except Faulty as error:
            self._set_aside(error.fault)
            return
        if self.after == "result":
            self.results[-1] = replace(self.results[-1], notes=(*self.results[-1].notes, note))
        else:
            self.order = replace(self.order, notes=(*self.order.notes, note))

    def _set_aside(self, fault: Fault) -> None:
        """Drop what a faulty note belongs to: a comment may turn a result into its opposite."""
        self.faults.append(fault)
        if self.after == "result":
            first = (gone := self.results.pop()).code.first
            self.missing.append(Lost(gone.line, first.code or first.text, first.system, gone.sub_id))
            self.after = "refused"
        else:
            self.order, self.lost = None, True

    def _spm(self, segment: Segment) -> None:
        if self.lost or self.order is None:
            return
        try:
            found = specimen_of(segment)
        except Faulty as error:
            self.faults.append(error.fault)
            self.order, self.lost = None, True
            return
        source = self.order.specimens[0] if self.order.specimens else None
        kept = () if source is not None and source.number is None and source.collected is None else self.order.specimens
        self.order = replace(self.order, specimens=(*kept, found))
        self.after, self.specimen = "specimen", True

    def _close_order(self) -> None:
        if self.order is not None:
            whole = replace(self.order, results=tuple(self.results), lost=tuple(self.missing))
            sender = "|".join(self.header.field(number) for number in (3, 4))
            self.orders.append(identified(whole, sender))
        self.order, self.results, self.missing, self.lost, self.specimen = None, [], [], False, False

    def _close_patient(self) -> None:
        self._close_order()
        if self.patients:
            self.patients[-1] = replace(self.patients[-1], orders=linked(self.orders))
        self.orders = []


def _sender(header: Header, number: int) -> Number | None:
    """Return MSH-3 or MSH-4, an HD; a namespace alone is the value, with no authority."""
    name, universal_id, kind = (header.component(number, part) for part in (1, 2, 3))
    return Number(name or universal_id, Authority("", universal_id, kind)) if name or universal_id else None
