"""A result as a source holds it, in one version, without anything that names the patient: what the pull works on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import msgspec

from fhirbridge import fhirjson
from fhirbridge.terminology.laboratories import ReportedCode

SourceStatus = Literal[
    "registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown"
]
"""http://hl7.org/fhir/R4/valueset-observation-status.html; HL7 table 0085 is translated into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One result of one source. Plain values only: ``as_bytes`` and ``read_back`` keep every digit.

    ``feed`` and ``reference`` name it (``https://fhir.hospital.example/r4``, ``Observation/123``; or ``hl7v2
    LAB^SOUTH``, filler order, code …), ``version`` tells its versions apart and sorts by nothing.
    """

    feed: str
    reference: str
    version: str
    updated: str | None
    """When the source says that it changed last: an instant, or as precise as it was sent."""
    status: SourceStatus
    laboratory: str
    """As the laboratories' CSV files name it; empty where none is known."""
    codes: tuple[ReportedCode, ...]
    label: str | None
    """The printed name of the test."""
    value: dict[str, Any] | None
    """As sent: ``{"valueQuantity": {…}}`` with FHIR's name, or ``{"hl7v2": "SN", "repetitions": [["<", "10"]]}``."""
    unit: str | None = None
    """The unit of a field of its own (OBX-6)."""
    absent: str | None = None
    """Why there is no value, in the source's code (FHIR's data-absent-reason)."""
    collected: str | None = None
    """When the specimen was taken, as precise as it was sent; a time without an offset is local to the source."""
    issued: str | None = None
    method: str | None = None
    notes: tuple[str, ...] = ()
    """Only what ``remarks.kept`` lets through: notes are free text, and may name people."""
    part: str | None = None
    """Which component of the source it is: its code; None for the source itself."""
    interpretation: tuple[str, ...] = ()
    """The source's own words for its value as codes: ``H``, ``ND``, ``<`` (HL7 v2 OBX-8 has the same)."""


BY_MESSAGE = "hl7v2 "
"""How the feed of results begins that came by HL7 v2 messages."""

Why = Literal["ours", "not collected", "other patient", "unusable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """What came and is not kept: why, in a word of the funnel, and in a sentence that repeats nothing of it."""

    why: Why
    detail: str


def as_bytes(incoming: Incoming) -> bytes:
    """Return it as JSON, in one spelling: equal content gives equal bytes."""
    return fhirjson.dumps(msgspec.to_builtins(incoming, builtin_types=(Decimal,)))


def digest(said: bytes, relinked: str | None) -> bytes:
    """Return the digest of what a result says; once its subject was linked anew, the same said again is another."""
    return hashlib.sha256(said + (relinked or "").encode()).digest()


def read_back(body: bytes) -> Incoming:
    """Return what ``as_bytes`` wrote."""
    return msgspec.convert(fhirjson.loads(body), Incoming)
