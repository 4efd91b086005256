"""The parts of a result's text put together: numbers with their comparators, and limits with their numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal

from fhirbridge.terminology.lexemes import Lexeme
from fhirbridge.terminology.numerals import DoubtfulError
from fhirbridge.terminology.readings import Comparator

_WORDS = ("answer", "absent", "unquantified")
_BEFORE_A_LIMIT = frozenset(":=([")


@dataclass(frozen=True, slots=True)
class Measure:
    """A number with what stands around it; ``upper`` is a titre's second part."""

    value: Decimal
    unit: str | None
    comparator: Comparator | None = None
    logarithm: bool = False
    titre: bool = False
    apart: bool = False
    """It stands in brackets."""


@dataclass(frozen=True, slots=True)
class Limit:
    kind: Literal["detection", "quantification"]
    value: Decimal | None
    unit: str | None
    below: bool


@dataclass(slots=True)
class Parts:
    """The parts of a text by kind; ``order`` has a letter for each: M measure, A answer, X absence, D dash."""

    measures: list[Measure] = field(default_factory=list)
    answers: list[Lexeme] = field(default_factory=list)
    absences: list[str] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    unquantified: bool = False
    """It says that no number could be given."""
    order: str = ""
    wordy: bool = False
    """Words stand in it by which a bare number may be something else than the value: method 2, specimen 3, HBV 5."""


def parts_of(found: list[Lexeme]) -> Parts:
    """Put numbers together with their comparators, logarithm signs and limits."""
    if len({lexeme.detail for lexeme in found if lexeme.kind == "label"}) > 1:
        raise DoubtfulError("it speaks of more than one test")
    _check_brackets(found)
    left = _ordered([lexeme for lexeme in found if lexeme.kind not in ("label", "filler")])
    parts, at = Parts(), 0
    while at < len(left):
        at = _take(left, at, parts)
    named = any(lexeme.kind == "label" for lexeme in found) and not any(lexeme.detail in (":", "=") for lexeme in found)
    parts.wordy = named or any(lexeme.kind == "filler" and lexeme.detail != "result" for lexeme in found)
    return parts


def _ordered(left: list[Lexeme]) -> list[Lexeme]:
    """Put comparators that follow their number, or their limit, before it. Raises DoubtfulError for others."""
    ordered: list[Lexeme] = []
    for lexeme in left:
        if lexeme.kind != "beyond":
            ordered.append(lexeme)
            continue
        if not ordered or ordered[-1].kind not in ("number", "limit"):
            raise DoubtfulError("a comparator or logarithm stands without its number")
        ordered.insert(len(ordered) - 1, replace(lexeme, kind="comparator"))
    return ordered


def _check_brackets(found: list[Lexeme]) -> None:
    open_ones: list[str] = []
    for lexeme in found:
        if lexeme.kind == "mark" and lexeme.detail in ("(", "["):
            open_ones.append(lexeme.detail)
        elif (
            lexeme.kind == "mark"
            and lexeme.detail in (")", "]")
            and (not open_ones or open_ones.pop() + lexeme.detail not in ("()", "[]"))
        ):
            raise DoubtfulError("its brackets do not match")
    if open_ones:
        raise DoubtfulError("its brackets do not match")


def _take(left: list[Lexeme], at: int, parts: Parts) -> int:
    """Take the part that begins here; return where the next begins."""
    lexeme = left[at]
    match lexeme.kind:
        case "comparator" if at + 1 < len(left) and left[at + 1].kind == "limit":
            if lexeme.detail not in ("<", "<="):
                raise DoubtfulError("it lies above a limit of detection without saying how far")
            return _take_limit(left, at + 1, parts, below=True)
        case "comparator" | "logarithm" | "number" | "titre":
            return _take_measure(left, at, parts)
        case "limit":
            return _take_limit(left, at, parts, below=False)
        case "answer":
            parts.answers.append(lexeme)
            parts.order += "A"
        case "absent":
            parts.absences.append(lexeme.detail)
            parts.order += "X"
        case "unquantified":
            parts.unquantified = True
        case "flag":
            if not parts.measures and not parts.answers:
                raise DoubtfulError("a flag stands where the value should be")
            parts.flags.append(lexeme.detail)
        case "dash" if _between_words(left, at):
            pass  # Detected - <20 IU/mL
        case "dash":
            parts.order += "D" if lexeme.detail == "-" else "S"
    return at + 1


def _between_words(left: list[Lexeme], at: int) -> bool:
    """Tell whether a dash stands between words, and not by a number, where it may be a minus or a range."""
    if not 0 < at < len(left) - 1 or left[at].detail != "-":
        return False
    before, behind = left[at - 1], left[at + 1]
    return (
        before.kind in _WORDS
        and before.grade is None
        and behind.kind in (*_WORDS, "comparator")
        and behind.grade is None
    )


def _take_measure(left: list[Lexeme], at: int, parts: Parts) -> int:
    apart = at > 0 and left[at - 1].detail in ("(", "[")
    comparator: Comparator | None = None
    logarithm = False
    while left[at].kind in ("comparator", "logarithm"):
        if left[at].kind == "logarithm":
            logarithm = True
        elif comparator is None:
            comparator = left[at].detail  # type: ignore[assignment]  # lexemes knows these four
        else:
            raise DoubtfulError("it holds two comparators for one number")
        at += 1
        while logarithm and at < len(left) and left[at].detail in ("=", ":"):
            at += 1
        if at == len(left):
            raise DoubtfulError("a comparator or logarithm stands without its number")
    number = left[at]
    if number.kind not in ("number", "titre"):
        raise DoubtfulError("a comparator or logarithm stands without its number")
    if comparator == "<" and not number.value and not logarithm:
        raise DoubtfulError("it lies below zero")
    logarithm = logarithm or (number.unit or "").lower().lstrip("{").startswith(("log", "lg"))
    parts.measures.append(
        Measure(number.value, number.unit, comparator, logarithm, number.kind == "titre", apart),
    )
    parts.order += "M"
    return at + 1


def _take_limit(left: list[Lexeme], at: int, parts: Parts, *, below: bool) -> int:
    """Take a named limit and the number that belongs to it, if one follows."""
    kind: Literal["detection", "quantification"]
    kind, after = ("detection" if left[at].detail == "detection" else "quantification"), at + 1
    while after < len(left) and left[after].kind == "mark" and left[after].detail in _BEFORE_A_LIMIT:
        after += 1
    if after + 1 < len(left) and left[after].detail == "<" and left[after + 1].kind == "number":
        after += 1
    if after < len(left) and left[after].kind == "number":
        parts.limits.append(Limit(kind, left[after].value, left[after].unit, below))
        return after + 1
    parts.limits.append(Limit(kind, None, None, below))
    return at + 1
