"""Which results need no person: the study file names the conditions, analyte by analyte, and all of them must hold.

Whatever it says, nothing is accepted without a person that has a flag, no value of its own, no day, or no visit of
its own, and nothing that was computed from what the laboratory measured.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from fhirbridge.study import Condition

PERSON = "policy: a person decides"

MEANINGS: dict[Condition, str] = {
    "mapped": "a row of the laboratories' files names its code and unit (always asked)",
    "readable": "its value was read for certain (always asked)",
    "no-flags": "nothing was found amiss with it (always asked)",
    "in-window": "it lies in a visit's window",
    "single": "no other result of the analyte lies in that window",
    "final": "the laboratory says final, amended or corrected",
    "no-notes": "the laboratory wrote no note",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the conditions are about, of one result with a value."""

    mapped: bool
    readable: bool
    flags: bool
    inside: bool
    picked: bool
    single: bool
    final: bool
    noted: bool
    derived: bool
    placed: bool
    """It has a day, and that day a place in the subject's schedule: not after its end, not in the future."""
    visit_free: bool
    """No result was accepted for its visit yet."""


def refusals(terms: Collection[Condition], facts: Facts) -> Iterator[str]:
    """Yield the conditions that fail, each as ``policy: …``; nothing where it may be accepted without a person."""
    if not terms:
        yield PERSON
    asked: dict[str, bool] = {
        "mapped": facts.mapped,
        "readable": facts.readable,
        "no-flags": not facts.flags,
        "placed": facts.placed,
        "as measured": not facts.derived,
        "picked": facts.picked or not facts.inside,
        "visit free": facts.visit_free,
    }
    chosen: dict[Condition, bool] = {
        "in-window": facts.inside,
        "single": facts.single,
        "final": facts.final,
        "no-notes": not facts.noted,
    }
    for name, holds in (asked | {name: holds for name, holds in chosen.items() if name in terms}).items():
        if not holds:
            yield f"policy: {name}"
