"""Dates, ages and degrees as the registry writes them: checked where they are read, kept as they were given."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal


class PartialDate(str):
    """A date with the precision the registry gives: ``2025``, ``2025-09`` or ``2025-09-01``, and a real one."""

    __slots__ = ()

    def __new__(cls, text: str) -> PartialDate:
        """Check the text; raises ValueError saying what is wrong."""
        if not re.fullmatch(r"\d{4}(-\d{2}(-\d{2})?)?", text, re.ASCII):
            raise ValueError(f"{text!r} is no date: write YYYY, YYYY-MM or YYYY-MM-DD")
        try:
            dt.date.fromisoformat(text + "-01-01"[len(text) - 4 :])
        except ValueError as error:
            raise ValueError(f"{text!r} is no day of the calendar") from error
        return super().__new__(cls, text)


class Age(str):
    """An age limit as given: ``18 Years``."""

    __slots__ = ()

    def __new__(cls, text: str) -> Age:
        """Check the text; raises ValueError saying what is wrong."""
        if not re.fullmatch(r"\d{1,4} (Year|Month|Week|Day|Hour|Minute)s?", text, re.ASCII):
            raise ValueError(
                f"{text!r} is no age: write a whole number and Years, Months, Weeks, Days, Hours or Minutes"
            )
        return super().__new__(cls, text)

    @property
    def number(self) -> int:
        """How many of the unit."""
        return int(self.partition(" ")[0])

    @property
    def unit(self) -> str:
        """``year``, ``month``, ``week``, ``day``, ``hour`` or ``minute``."""
        return self.partition(" ")[2].rstrip("s").lower()


class Degrees(Decimal):
    """A latitude or longitude: a JSON number, with its digits."""

    __slots__ = ()


def decode(kind: type, value: object) -> object:
    """Make the types above, which msgspec does not know; for ``msgspec.convert(dec_hook=…)``."""
    if kind is Degrees:
        if isinstance(value, bool) or not isinstance(value, int | Decimal) or not -180 <= Decimal(value) <= 180:
            raise ValueError(f"Expected degrees, a number from -180 to 180, got {value!r}")
        return Degrees(value)
    if kind is not PartialDate and kind is not Age:
        raise NotImplementedError(kind)
    if not isinstance(value, str):
        raise TypeError(f"Expected text, got {type(value).__name__}")
    return kind(value)
