"""Reads a result printed as text: number, censored number, answer in words, or no result; refuses all it is unsure of.

Every part of the text must be known (``lexemes``) and the parts must agree. A text is refused rather than read by
leaving something out of it, so an unknown word costs a person's look and never a wrong value.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, TypedDict

from fhirbridge.terminology.lexemes import Lexeme, lexemes
from fhirbridge.terminology.logarithms import agree
from fhirbridge.terminology.numerals import DecimalMark, DoubtfulError
from fhirbridge.terminology.parts import Limit, Measure, Parts, parts_of
from fhirbridge.terminology.readings import Absence, Answer, Reading, unreadable

_SAYS_NO: tuple[Answer, ...] = ("not detected", "negative", "non-reactive")
_SAYS_YES: tuple[Answer, ...] = ("detected", "weakly positive", "strongly positive", "positive", "reactive")
_SAYS_MAYBE: tuple[Answer, ...] = ("indeterminate",)


class _LimitFields(TypedDict, total=False):
    limit: Decimal
    limit_unit: str | None
    limit_kind: Literal["detection", "quantification"]


def read_text(text: str, mark: DecimalMark | None = None) -> Reading:
    """Read one printed result; ``mark`` is the decimal mark that the laboratory declares. Never raises.

    Without a declared mark ``1.234`` and ``1,5`` are unreadable: each is one number in one country and another in
    the next.
    """
    if not isinstance(text, str) or not text.strip():
        return unreadable(text if isinstance(text, str) else "", "there is no text")
    try:
        return _reading(text, parts_of(lexemes(text, mark)))
    except DoubtfulError as doubt:
        return unreadable(text, str(doubt))


def _reading(text: str, parts: Parts) -> Reading:
    """Decide what the parts say together. Raises DoubtfulError where that is not one thing."""
    if parts.absences:
        if parts.measures or parts.answers or parts.limits or parts.unquantified:
            raise DoubtfulError("it gives a result and says that there is none")
        absence: Absence = parts.absences[0]  # type: ignore[assignment]  # the vocabulary knows these
        return Reading(kind="no result", text=text, rule="no result", absence=absence)
    answer, grade = _answer(parts.answers)
    limit = _named_limit(parts.limits)
    if parts.unquantified:
        _check_unquantified(parts, answer, limit)
    dashes = bool({"D", "S"} & set(parts.order))
    if parts.measures and dashes:
        return _range(text, parts, answer, limit)
    if dashes and (parts.order[0] in "DS" or parts.order[-1] in "DS"):
        raise DoubtfulError("a dash may stand for negative or for no value")
    if not parts.measures:
        return _without_number(text, answer, grade, limit)
    measure, rule = _the_one(parts.measures)
    limit = _numbered(limit, measure, answer)
    bare = measure.unit is None and measure.comparator is None and not measure.logarithm
    if bare and (parts.wordy or (measure.apart and answer is None)):
        raise DoubtfulError("a number without unit, in brackets or among words, may be something else than the value")
    if answer is None:
        return _number(text, measure, parts, limit, rule)
    return _both(text, measure, parts, answer, grade, limit)


def _answer(answers: list[Lexeme]) -> tuple[Answer | None, int | None]:
    """Return the one answer that all words for it agree on, the most exact word first, and its grade."""
    said = {lexeme.detail for lexeme in answers}
    grades = {lexeme.grade for lexeme in answers if lexeme.grade is not None}
    if len(grades) > 1:
        raise DoubtfulError("its answers contradict each other")
    for group in (_SAYS_NO, _SAYS_YES, _SAYS_MAYBE):
        if said and said <= set(group):
            if {"weakly positive", "strongly positive"} <= said:
                break
            return next(word for word in group if word in said), next(iter(grades), None)
    if said:
        raise DoubtfulError("its answers contradict each other")
    return None, None


def _named_limit(limits: list[Limit]) -> Limit | None:
    """Return the limit that the text names, that of detection before that of quantification."""
    if len({(one.value, one.unit) for one in limits if one.kind == "detection"}) > 1 or len(limits) > 2:
        raise DoubtfulError("it names several limits")
    return min(limits, key=lambda one: one.kind, default=None)


def _check_unquantified(parts: Parts, answer: Answer | None, limit: Limit | None) -> None:
    """Refuse what is said to have no number, and says neither that something was found nor below which number."""
    below = limit is not None and limit.below and limit.value is not None
    if any(one.comparator != "<" for one in parts.measures) or answer in (*_SAYS_NO, *_SAYS_MAYBE):
        raise DoubtfulError("it gives a number or an answer, and says that none could be given")
    if not (parts.measures or below or answer):
        raise DoubtfulError("it could not be quantified, which may be too little or a failure")


def _numbered(limit: Limit | None, measure: Measure, answer: Answer | None) -> Limit | None:
    """Return a limit that is named without a number, beside a value below it: ``<20 (below the limit)`` is that."""
    if limit is None or not limit.below or limit.value is not None or measure.comparator != "<" or measure.titre:
        return limit
    if limit.kind == "detection":
        if answer in _SAYS_YES:
            raise DoubtfulError("it says detected, and below the limit of detection")
        if answer in _SAYS_NO:
            return None
    elif answer in _SAYS_NO:
        raise DoubtfulError("its number may be the value or the limit")
    return Limit(limit.kind, measure.value, measure.unit, False)


def _the_one(measures: list[Measure]) -> tuple[Measure, str]:
    """Return the number that is the value; a second one may only be its logarithm."""
    if len(measures) == 1:
        return measures[0], "number"
    linear = [one for one in measures if not one.logarithm]
    logged = [one for one in measures if one.logarithm]
    if len(linear) == len(logged) == 1 and logged[0].comparator in (None, linear[0].comparator):
        if agree(linear[0].value, logged[0].value):
            return linear[0], "number with its logarithm"
        raise DoubtfulError("its number and its logarithm contradict each other")
    raise DoubtfulError("it holds more than one number")


def _without_number(text: str, answer: Answer | None, grade: int | None, limit: Limit | None) -> Reading:
    if answer is None:
        if limit is not None and limit.below:
            return _below_limit(text, limit)
        if limit is not None:
            raise DoubtfulError("it names nothing but a limit")
        raise DoubtfulError("it holds no value")
    if limit is not None and limit.below and answer != "not detected":
        if limit.value is None and limit.kind == "quantification" and answer in ("detected", "positive"):
            return _answered(text, answer, grade, None, rule="detected, below a limit without its number")
        return _below_limit(text, limit, answer)
    return _answered(text, answer, grade, limit, rule="answer")


def _below_limit(text: str, limit: Limit, answer: Answer | None = None) -> Reading:
    """A value below a limit that is named with its number is a censored number."""
    if limit.value is None:
        raise DoubtfulError("it lies below a limit that it does not name")
    if limit.value <= 0:
        raise DoubtfulError("it lies below zero")
    if answer not in (None, "detected"):
        raise DoubtfulError("it gives an answer and a number below a limit, which may mean either")
    return Reading(
        kind="censored", text=text, rule="below a named limit", value=limit.value, comparator="<", unit=limit.unit,
        answer=answer, logarithm=(limit.unit or "").lower().startswith(("log", "lg")), **_limit_fields(limit),
    )  # fmt: skip


def _number(text: str, measure: Measure, parts: Parts, limit: Limit | None, rule: str) -> Reading:
    if limit is not None and limit.below:
        raise DoubtfulError("it gives a number and says that it lies below a limit")
    if limit is not None and limit.value is None:
        raise DoubtfulError("its number may be the value or the limit")
    return _measured(text, measure, parts, limit, None, rule)


def _both(text: str, measure: Measure, parts: Parts, answer: Answer, grade: int | None, limit: Limit | None) -> Reading:
    """An answer in words with a number beside it."""
    if limit is not None and (limit.below or limit.value is None):
        raise DoubtfulError("its number may be the value or the limit")
    if measure.value < 0:
        raise DoubtfulError("a dash or stroke by a number may be a minus, a range, a date or a ratio")
    if answer == "not detected":
        if measure.comparator == "<" and limit is None and not measure.titre:
            stated = Limit("detection", measure.value, measure.unit, False)
            return _answered(text, answer, grade, stated, rule="not detected, with its limit")
        if measure.value or measure.comparator or measure.titre:
            raise DoubtfulError("it says not detected and gives a number")
        return _answered(text, answer, grade, limit, rule="not detected, and zero")
    clear = measure.unit or measure.comparator or measure.apart or measure.titre or _only_a_value(measure.value)
    if not clear and not parts.order.startswith("M"):
        raise DoubtfulError("the number behind the answer may be a grade, a code or the value")
    if answer == "detected" and not measure.titre:
        return _measured(text, measure, parts, limit, answer, "detected, with its number")
    if measure.titre:
        return Reading(
            kind="ordinal", text=text, rule="answer with its titre", answer=answer, value=Decimal(1),
            upper=measure.value, comparator=measure.comparator, flags=tuple(parts.flags),
        )  # fmt: skip
    return Reading(
        kind="ordinal", text=text, rule="answer with its number", answer=answer, grade=grade, value=measure.value,
        comparator=measure.comparator, unit=measure.unit, logarithm=measure.logarithm, flags=tuple(parts.flags),
        **_limit_fields(limit),
    )  # fmt: skip


def _only_a_value(number: Decimal) -> bool:
    """Tell whether a bare number has a fraction, so that it is no grade and no code, and cannot be a day (3.15)."""
    digits, exponent = number.as_tuple().digits, number.as_tuple().exponent
    if not isinstance(exponent, int) or exponent >= 0:
        return False
    whole, fraction = int(number), int("".join(map(str, digits))) % 10**-exponent
    a_day = exponent >= -2 and min(whole, fraction) in range(1, 13)
    return not (a_day and max(whole, fraction) in range(1, 32))


def _answered(text: str, answer: Answer, grade: int | None, limit: Limit | None, rule: str) -> Reading:
    kind = answer if answer in ("not detected", "detected") else "ordinal"
    return Reading(
        kind=kind,
        text=text, rule=rule, answer=answer, grade=grade, **_limit_fields(limit),
    )  # fmt: skip


def _measured(
    text: str, measure: Measure, parts: Parts, limit: Limit | None, answer: Answer | None, rule: str
) -> Reading:
    flags = tuple(parts.flags)
    if measure.titre:
        return Reading(
            kind="titre", text=text, rule="titre", value=Decimal(1), upper=measure.value,
            comparator=measure.comparator, flags=flags,
        )  # fmt: skip
    return Reading(
        kind="censored" if measure.comparator else "number", text=text, rule=rule, value=measure.value,
        comparator=measure.comparator, unit=measure.unit, logarithm=measure.logarithm, answer=answer, flags=flags,
        **_limit_fields(limit),
    )  # fmt: skip


def _range(text: str, parts: Parts, answer: Answer | None, limit: Limit | None) -> Reading:
    """Two numbers with a dash and a unit behind the second are a range; any other dash by a number is refused."""
    if parts.order != "MDM" or answer or limit or any(one.comparator or one.titre for one in parts.measures):
        raise DoubtfulError("a dash or stroke by a number may be a minus, a range, a date or a ratio")
    low, high = parts.measures
    if high.unit is None or low.unit not in (None, high.unit) or low.value >= high.value:
        raise DoubtfulError("two numbers with a dash and no unit may be a date, a range or a number of another kind")
    return Reading(
        kind="range", text=text, rule="range", value=low.value, upper=high.value, unit=high.unit,
        logarithm=high.logarithm, flags=tuple(parts.flags),
    )  # fmt: skip


def _limit_fields(limit: Limit | None) -> _LimitFields:
    if limit is None or limit.value is None:
        return {}
    return {"limit": limit.value, "limit_unit": limit.unit, "limit_kind": limit.kind}
