"""What a result message says, typed and frozen; values stay the parts that were sent, to be read elsewhere.

Texts are unescaped and stripped; what is empty or null (``""``) is None or left out. Times are ISO 8601 texts as
precise as they were sent (``2026``, ``2026-03-30``, ``2026-03-30T08:15:00+08:00``), without an offset where none was
sent: a local time of the sender's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

STATUSES = {
    "C": "corrected", "D": "deleted", "F": "final", "I": "pending", "N": "not asked", "O": "order detail only",
    "P": "preliminary", "R": "entered, not verified", "S": "partial", "U": "final, value unchanged",
    "W": "wrong, for example another patient's", "X": "cannot be obtained",
}  # fmt: skip
"""OBX-11, HL7 table 0085 of v2.3 to 2.5.1."""


@dataclass(frozen=True, slots=True)
class Authority:
    """Who assigned a number (HD): a local name, a universal id and that id's kind; all empty where not told."""

    name: str = ""
    universal_id: str = ""
    universal_type: str = ""


@dataclass(frozen=True, slots=True)
class Number:
    """An identifier with its authority (CX, EI); ``type`` is the identifier type of PID-3: MR, PI …"""

    value: str
    authority: Authority = Authority()
    type: str = ""


@dataclass(frozen=True, slots=True)
class Coding:
    """A code, its text and the name of its coding system (LN, SCT, L, 99…); any of them may be empty."""

    code: str
    text: str = ""
    system: str = ""


@dataclass(frozen=True, slots=True)
class Concept:
    """A coded element (CE, CWE): its codings in the order sent, and the original text."""

    codings: tuple[Coding, ...]
    original: str = ""

    @property
    def first(self) -> Coding:
        """The first coding; an empty one where only a text was sent."""
        return self.codings[0] if self.codings else Coding("", self.original)


@dataclass(frozen=True, slots=True)
class Value:
    """OBX-5 as sent: its type (OBX-2) and, for each repetition, the components.

    ST, TX and FT have one component each. SN has up to four: comparator, number, separator, number. Of types that no
    laboratory value has (documents, names, addresses) ``repetitions`` is empty.
    """

    kind: str
    repetitions: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """An NTE: who wrote it (L the laboratory …) and its lines."""

    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Identity:
    """What stays with a result when it is sent again, so that a correction finds what it replaces.

    ``sender`` counts only where the order number has no authority of its own; ``occurrence`` tells apart results of
    one order with the same code and sub-id, as lines of text often are. None of them where the order has no number.
    """

    sender: str
    order: Number
    code: str
    system: str
    sub_id: str
    occurrence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Specimen:
    """An SPM, or OBR-15 of older versions."""

    number: Number | None = None
    type: Concept | None = None
    collected: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One OBX with its notes."""

    line: int
    """Which segment of the message it is, the header being 1."""
    set_id: str
    sub_id: str
    code: Concept
    value: Value | None
    """None where OBX-5 is empty."""
    unit: Concept | None
    reference_range: str
    flags: tuple[str, ...]
    status: str
    """One of STATUSES."""
    observed: str | None
    """OBX-14: for a specimen, when it was taken, where that differs from the order's."""
    analysed: str | None
    """OBX-19."""
    methods: tuple[Concept, ...]
    laboratory: Number | None
    """Who performed it: OBX-23 with the organisation's number, else OBX-15."""
    laboratory_name: str
    of_specimen: bool = False
    """It follows an SPM: it may describe the specimen, such as its volume."""
    identity: Identity | None = None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Lost:
    """A result that was set aside: others of its code are neither all there are, nor in the places they seem to be.

    ``code`` is None where it could not be read.
    """

    line: int
    code: str | None = None
    system: str = ""
    sub_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """What a reflex or sub-order follows from: OBR-29 (orders) and OBR-26 (the one result of it)."""

    placer: Number | None = None
    filler: Number | None = None
    code: Concept | None = None
    sub_id: str = ""
    order: int | None = None
    """Index, among the patient's orders, of the order meant; None where it is not in this message."""
    result: int | None = None
    """Index of the result meant within that order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One OBR (with what its ORC adds), its specimens, results and notes."""

    line: int
    placer: Number | None
    filler: Number | None
    service: Concept
    collected: str | None
    """OBR-7."""
    reported: str | None
    """OBR-22: when the report or its status last changed."""
    status: str
    parent: Parent | None = None
    specimens: tuple[Specimen, ...] = ()
    results: tuple[Result, ...] = ()
    notes: tuple[Note, ...] = ()
    lost: tuple[Lost, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """Of PID no more than finds a patient and confirms it: numbers, birth date and sex."""

    numbers: tuple[Number, ...] = field(repr=False)
    birth_date: str | None = field(repr=False)
    sex: str = field(repr=False)
    orders: tuple[Order, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One ORU^R01."""

    control_id: str
    application: Number | None
    """MSH-3, as a number with its authority's universal id."""
    facility: Number | None
    version: str
    processing: str
    """MSH-11: P production, T training, D debugging."""
    sent: str | None
    charset: str
    """The codec it was read with."""
    patients: tuple[Patient, ...]

    @property
    def results(self) -> tuple[tuple[Patient, Order, Result], ...]:
        """Every result with its order and patient, in the order sent."""
        return tuple(
            (patient, order, result)
            for patient in self.patients
            for order in patient.orders
            for result in order.results
        )


def sampled(order: Order, result: Result) -> str | None:
    """Return when the specimen was taken: OBX-14, else OBR-7, else that of the order's one specimen."""
    taken = {specimen.collected for specimen in order.specimens if specimen.collected}
    return result.observed or order.collected or (taken.pop() if len(taken) == 1 else None)


def ancestors(patient: Patient, order: Order) -> tuple[Order, ...]:
    """Return the order that this one follows from, that one's own, and so on, as far as they are in the message."""
    chain: list[Order] = []
    while order.parent is not None and order.parent.order is not None:
        order = patient.orders[order.parent.order]
        if order in chain:
            break
        chain.append(order)
    return tuple(chain)
