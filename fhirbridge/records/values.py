"""Laboratory values as types: a number, a censored number, an ordinal answer, or text; nothing is guessed.

This is the strict grammar of the study's own tables. What hospitals write is read elsewhere, with a person's yes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Comparator = Literal["<", "<=", ">=", ">"]
Answer = Literal["positive", "negative", "detected", "not detected", "indeterminate"]

ANSWERS: tuple[Answer, ...] = ("positive", "negative", "detected", "not detected", "indeterminate")

_ANSWERS: dict[str, Answer] = {answer: answer for answer in ANSWERS}
_DIGITS = 18
"""What every FHIR system must be able to keep: http://hl7.org/fhir/R4/datatypes.html#decimal"""

_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_CENSORED = re.compile(r"(<=|>=|<|>)\s*(.+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Number:
    """An exact result; ``value`` keeps the digits that were reported (5.50 has three)."""

    value: Decimal


@dataclass(frozen=True, slots=True)
class Censored:
    """A result known only to lie beyond a limit: ``<10`` is ``Censored("<", Decimal("10"))``."""

    comparator: Comparator
    value: Decimal


@dataclass(frozen=True, slots=True)
class Ordinal:
    """A result in words; for a quantitative test "not detected" is a result, not a missing value."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Text:
    """A narrative result."""

    text: str


LabValue = Number | Censored | Ordinal | Text


def parse(text: str, scale: Literal["Qn", "Ord", "Nar"]) -> LabValue:
    """Read one value of a test with the given LOINC scale: Qn quantitative, Ord ordinal, Nar narrative.

    A quantitative test takes ``1234``, ``5.50``, ``1.7E8``, ``<10``, ``>1.7E8`` and ``not detected``. Raises
    ValueError saying what is wrong; a decimal comma, a thousands separator or a unit inside the value is an error.
    """
    text = text.strip()
    if scale == "Nar":
        return Text(text)
    answer = _ANSWERS.get(text.lower())
    if answer is not None:
        if scale == "Qn" and answer != "not detected":
            raise ValueError(f"{answer!r} is no quantity; the only word a quantitative test answers is 'not detected'")
        return Ordinal(answer)
    if scale == "Ord":
        raise ValueError(f"is none of: {', '.join(ANSWERS)}")
    censored = _CENSORED.fullmatch(text)
    if censored:
        sign: Comparator = censored[1]  # type: ignore[assignment]  # the pattern allows these four
        limit = _number(censored[2])
        if sign == "<" and not limit:
            raise ValueError("lies below zero")
        return Censored(sign, limit)
    return Number(_number(text))


def _number(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise ValueError(
            "is not a number: write digits with a point for the fraction and E for the exponent (1200, 5.50, 1.7E8)"
        )
    value = Decimal(text)
    if value.is_signed():
        raise ValueError("is negative")
    if abs(value.adjusted()) > _DIGITS or len(value.as_tuple().digits) > _DIGITS:
        raise ValueError(f"has more than {_DIGITS} digits or orders of magnitude")
    return value
