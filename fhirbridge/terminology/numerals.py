"""Printed numbers as exact decimals: which mark is the fraction's is known, or the number is refused."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Literal

DecimalMark = Literal[".", ","]

DIGITS = 18
"""Digits, and orders of magnitude, that every FHIR system must keep: http://hl7.org/fhir/R4/datatypes.html#decimal"""

_ENDS = r"(?![0-9]|[.,][0-9])"
NUMERAL = re.compile(
    r"(?P<mantissa>[0-9]+(?:(?:[.,']| (?=[0-9]{3}(?![0-9])))[0-9]+)*)"
    rf"(?:[eE](?P<e>[+-]?[0-9]{{1,3}}){_ENDS}| ?[×xXхХ*·] ?10 ?(?:\^|\*\*) ?(?P<power>[+-]?[0-9]{{1,2}}){_ENDS})?"
)
"""A run of digits and the marks between them, as long as it goes, with its exponent; ``exact`` decides what it says."""

_TEN = re.compile(rf"10\^(?P<power>[+-]?[0-9]{{1,2}}){_ENDS}")
_GROUPS = re.compile(r"[1-9][0-9]{0,2}(?:([.,'])[0-9]{3})(?:\1[0-9]{3})*")
_DATE = re.compile(
    r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])|(?:[1-9]|1[0-2])[.,](?:19|20)[0-9]{2}"
)
_LONGEST_WITHOUT_UNIT = 9


class DoubtfulError(Exception):
    """A number that can be read in two ways or in none; the text says why, and never repeats the number."""


def power_of_ten(text: str, at: int) -> tuple[Decimal, int] | None:
    """Return the number that ``10^5`` at this place is and where it ends, None where there is no such power.

    Raises DoubtfulError for a power beyond what FHIR must keep.
    """
    found = _TEN.match(text, at)
    return (_kept(Decimal(f"1E{int(found['power'])}")), found.end()) if found else None


def exact(found: re.Match[str], mark: DecimalMark | None, *, united: bool) -> Decimal:
    """Return the number a match of ``NUMERAL`` is, with its digits. Raises DoubtfulError.

    ``mark`` is the decimal mark the laboratory declares. Without one, a mark that could divide thousands as well as
    a fraction (``1.234``, ``1,5``) is refused. ``united``: a unit follows, so it is no date or telephone number.
    """
    mantissa, exponent = found["mantissa"], found["e"] or found["power"]
    if not united and exponent is None and (len(mantissa) > _LONGEST_WITHOUT_UNIT or _DATE.fullmatch(mantissa)):
        _refuse_dates(mantissa)
    if " " in mantissa:
        if not united:
            raise DoubtfulError("a space may divide one number or two")
        mantissa = mantissa.replace(" ", "'")
    return _kept(Decimal(f"{_pointed(mantissa, mark, exponent is not None)}E{int(exponent or 0)}"))


def plain_text(value: Decimal, *, united: bool) -> str:
    """Write a number so that ``exact`` reads it back, digits and all, with the decimal mark ``.``"""
    written = str(value)
    if not united and "E" not in written and (len(written) > _LONGEST_WITHOUT_UNIT or _DATE.fullmatch(written)):
        return format(value, "E")
    return written


def _kept(value: Decimal) -> Decimal:
    if abs(value.adjusted()) > DIGITS or len(value.as_tuple().digits) > DIGITS:
        raise DoubtfulError(f"a number of more than {DIGITS} digits or orders of magnitude")
    return value


def _refuse_dates(mantissa: str) -> None:
    if _DATE.fullmatch(mantissa):
        raise DoubtfulError("it looks like a date")
    if mantissa.isdigit():
        raise DoubtfulError("so long a number without a unit may be a telephone or record number")


def _pointed(text: str, mark: DecimalMark | None, scientific: bool) -> str:
    """Return the mantissa with a point for its fraction and nothing between its thousands."""
    marks = [sign for sign in text if sign in ".,'"]
    if len(set(marks)) == 1 and (len(marks) > 1 or marks[0] == "'"):
        whole, fraction = text, ""
        if marks[0] == mark:
            raise DoubtfulError("the decimal mark stands in it more than once")
    elif len(marks) == 1:
        return _one_mark(text, marks[0], mark, scientific)
    elif marks:
        if marks[-1] == "'" or marks.count(marks[-1]) > 1 or mark not in (None, marks[-1]):
            raise DoubtfulError("its marks for thousands and fraction contradict each other or the laboratory's")
        whole, _, fraction = text.rpartition(marks[-1])
    else:
        whole, fraction = text, ""
    return _joined(whole, fraction)


def _one_mark(text: str, sign: str, mark: DecimalMark | None, scientific: bool) -> str:
    whole, _, fraction = text.partition(sign)
    if mark is not None:
        return _joined(whole, fraction) if sign == mark else _joined(text, "")
    if sign == "," and whole != "0":
        raise DoubtfulError("the comma may be a decimal mark or divide thousands; the laboratory declares none")
    if sign == "." and not scientific and _GROUPS.fullmatch(text):
        raise DoubtfulError("the point may be a decimal mark or divide thousands; the laboratory declares none")
    return _joined(whole, fraction)


def _joined(whole: str, fraction: str) -> str:
    if not whole.isdigit():
        if not _GROUPS.fullmatch(whole):
            raise DoubtfulError("its digits are not grouped by threes")
        whole = re.sub(r"[.,']", "", whole)
    if len(whole) > 1 and whole[0] == "0":
        raise DoubtfulError("it begins with a zero, as codes, dates and telephone numbers do")
    return f"{whole}.{fraction}" if fraction else whole
