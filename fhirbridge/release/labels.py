"""What a released resource says of itself in ``meta.security``: which ways of hiding it went through, each once."""

from __future__ import annotations

from typing import Any

from fhirbridge.elements import Element, coding
from fhirbridge.terminology.codes import (
    ABSTRACTED,
    CONFIDENTIALITY,
    HASHED,
    PSEUDONYMIZED,
    RESTRICTED,
    SECURITY_VALUE,
)

REDACTED = coding(SECURITY_VALUE, "REDACTED", "redacted")

_CONFIDENTIALITIES = {
    code: coding(CONFIDENTIALITY, code, display)
    for code, display in {
        "U": "unrestricted",
        "L": "low",
        "M": "moderate",
        "N": "normal",
        "R": "restricted",
        "V": "very restricted",
    }.items()
}


def labels(before: Any, *, of_a_person: bool, coarsened: bool, hidden: bool) -> list[Element]:
    """Return the labels of a released resource; ``before`` is its ``meta.security`` in the store, of any shape.

    Who is of a person is restricted unless the store says more exactly; what was coarsened or hidden there already
    stays labelled so.
    """
    stood = [one for one in before if isinstance(one, dict)] if isinstance(before, list) else []
    codes = {one["code"] for one in stood if one.get("system") == SECURITY_VALUE and isinstance(one.get("code"), str)}
    found = [PSEUDONYMIZED, HASHED] if of_a_person else []
    if coarsened or "ABSTRED" in codes:
        found.append(ABSTRACTED)
    if hidden or "REDACTED" in codes:
        found.append(REDACTED)
    kept = [
        _CONFIDENTIALITIES[one["code"]]
        for one in stood
        if one.get("system") == CONFIDENTIALITY and one.get("code") in (*_CONFIDENTIALITIES,)
    ]
    return found + (kept[:1] or ([RESTRICTED] if of_a_person else []))
