"""What a candidate would become: the value that is shown to whoever decides, and recorded as it was shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from fhirbridge import fhirjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The quantity as the laboratory measured it, where the study's value is computed from it: copies, a logarithm."""

    loinc: str
    display: str
    unit: str
    """Exact UCUM code."""
    value: str
    """In the strict grammar of ``records.values``: ``3.45``, ``<40``."""
    rule: str
    """How the study's value follows from it: ``antilogarithm``, ``5.82 copies to an IU (…)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A result in the study's terms; whatever could not be said is None, and then it cannot be recorded as it is.

    Shown in the inbox, kept with each decision, and the only thing that recording reads a value from.
    """

    analyte: str | None
    visit: str | None
    """A planned visit or the schedule's word for unscheduled."""
    collected: str | None
    """Date, or time with the offset of the study's time zone (ISO 8601)."""
    value: str | None
    """In the strict grammar of ``records.values``: ``1234``, ``5.50``, ``<10``, ``not detected``."""
    unit: str | None
    """Exactly the analyte's; None where the value has none."""
    absent_reason: str | None = None
    """Why there is no value: ``not-performed``, ``error`` or ``unknown``."""
    assay: str | None = None
    reported: str | None = None
    """The value as it stood in the source, with its unit."""
    status: str
    """What the source says of it (``incoming.SourceStatus``)."""
    laboratory: str = ""
    row: str | None = None
    """The row of the laboratories' files that it was mapped by: file and line."""
    mapping: str | None = None
    """Digest of the laboratories' rows at that time."""
    measured: Measured | None = None
    details: dict[str, Any] = field(default_factory=dict)
    """What else the inbox shows: flags, offset in days, the rules that fired. Plain JSON values."""


def as_bytes(proposal: Proposal) -> bytes:
    """Return it as JSON, in one spelling: equal content gives equal bytes."""
    return fhirjson.dumps(msgspec.to_builtins(proposal, builtin_types=(Decimal,)))


def read_back(body: bytes) -> Proposal:
    """Return what ``as_bytes`` wrote."""
    return msgspec.convert(fhirjson.loads(body), Proposal)
