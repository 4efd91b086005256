"""What a reported laboratory value says, once read for certain, and what could not be read, with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from fhirbridge.terminology.numerals import plain_text

Comparator = Literal["<", "<=", ">=", ">"]
COMPARATORS: tuple[Comparator, ...] = ("<", "<=", ">=", ">")

Kind = Literal[
    "number", "censored", "not detected", "detected", "ordinal", "range", "ratio", "titre", "no result", "unreadable"
]
"""``detected`` and ``ordinal`` may carry a number too (``Positive (>100 mIU/mL)``); ``number`` and ``censored`` may
carry the word ``detected``."""

Answer = Literal[
    "positive", "negative", "detected", "not detected", "indeterminate",
    "reactive", "non-reactive", "weakly positive", "strongly positive",
]  # fmt: skip

Absence = Literal[
    "pending", "cancelled", "haemolysed", "clotted", "lipaemic", "insufficient", "not performed", "not available",
    "failed",
]  # fmt: skip
"""Why a laboratory gives no result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One reported value as read. Nothing in it is derived, converted or assumed.

    ``text`` is the original, which may hold anything: it belongs in front of a person, not in a log. ``reason``
    never repeats it.
    """

    kind: Kind
    text: str
    rule: str
    """Name of the rule that read it."""
    value: Decimal | None = None
    """The number with its digits; the lower end of a range, the first part of a ratio or titre."""
    upper: Decimal | None = None
    """The upper end of a range, the second part of a ratio or titre."""
    comparator: Comparator | None = None
    unit: str | None = None
    """The unit found with the number, in plain signs, not checked."""
    unit_code: str | None = None
    """The UCUM code found with the number, where its source says that it is one."""
    logarithm: bool = False
    """The number is a decimal logarithm."""
    answer: Answer | None = None
    grade: int | None = None
    """Of an answer printed as ``++`` or ``2+``."""
    limit: Decimal | None = None
    """A limit of the assay that the text names; never the value, though a value may lie below it."""
    limit_unit: str | None = None
    limit_kind: Literal["detection", "quantification"] | None = None
    flags: tuple[str, ...] = ()
    """What was printed behind the number: H, L, *, ↑ …"""
    absence: Absence | None = None
    reason: str | None = None
    """Why it is unreadable."""

    @property
    def measured(self) -> bool:
        """Whether it holds a number that is the value, exact or beyond a limit."""
        return self.value is not None and self.upper is None

    @property
    def canonical(self) -> str:
        """The reading in one spelling, which ``read_text`` reads to the same again (decimal mark ``.``)."""
        match self.kind:
            case "unreadable":
                return "unreadable"
            case "no result":
                return self.absence or "not available"
        words = [self.answer or "", f"({self.grade}+)" if self.grade else ""]
        number = self._number()
        if number and (self.kind == "ordinal" or (self.answer and not self.unit and not self.comparator)):
            number = f"({number})"
        limit = ""
        if self.limit is not None and self.limit_kind:
            limit = f"(limit of {self.limit_kind}: {_amount(self.limit, self.limit_unit)})"
        return " ".join(part for part in (*words, number, limit) if part)

    def _number(self) -> str:
        if self.value is None:
            return ""
        if self.upper is not None:
            mark = "-" if self.kind == "range" else "/" if self.kind == "ratio" else ":"
            unit = f" {self.unit}" if self.unit else ""
            return f"{self.comparator or ''}{self.value}{mark}{self.upper}{unit}"
        log = "log " if self.logarithm and "log" not in (self.unit or "").lower() else ""
        return f"{self.comparator or ''}{log}{_amount(self.value, self.unit)}"


def unreadable(text: str, reason: str, rule: str = "refused") -> Reading:
    """Return a reading that says why there is none; ``reason`` must not repeat the text."""
    return Reading(kind="unreadable", text=text, rule=rule, reason=reason)


def _amount(value: Decimal, unit: str | None) -> str:
    written = plain_text(value, united=unit is not None)
    return f"{written} {unit}" if unit else written
