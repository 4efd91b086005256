"""Signs that fields have shifted: a unit where a value belongs, a number where a unit belongs."""

from __future__ import annotations

import re

_NUMERATORS = frozenset({
    "iu", "miu", "kiu", "uiu", "µiu", "μiu", "u", "mu", "ku", "copies", "copy", "cop", "cps", "cp", "geq", "ie",
    "g", "mg", "kg", "ug", "µg", "μg", "mcg", "ng", "pg", "fg", "mol", "mmol", "umol", "µmol", "μmol", "nmol",
    "pmol", "fmol", "eq", "meq", "cells", "giga", "tera", "log", "logiu", "log10iu", "s", "kat", "ukat", "µkat",
    "μkat", "nkat", "ml", "l",
})  # fmt: skip
_DENOMINATORS = frozenset({
    "ml", "l", "dl", "ul", "µl", "μl", "cl", "fl", "pl", "nl", "mm3", "ml3", "m2", "h", "hr", "hour", "min", "d",
    "day", "24h", "g", "mg", "kg", "mmol", "mol", "cells", "co",
})  # fmt: skip
_ALONE = frozenset({"%", "iu", "copies", "mmol", "umol", "µmol", "μmol", "fl", "pg", "mmhg"})
_POWER = re.compile(r"[x×]?\s*10\s*[*^e]\s*[0-9]{1,2}\s*/\s*[\[{]?[a-zµμ]{1,3}3?[\]}]?", re.IGNORECASE)
_NUMBER = re.compile(r"[<>≤≥=]{0,2}\s*[0-9]+(?:[.,][0-9]+)?(?:\s*[-–~]\s*[0-9]+(?:[.,][0-9]+)?)?")
_TENS = frozenset({"10", "x10", "X10", "×10", "*10"})
_EXPONENT = re.compile(r"[0-9]{1,2}\s*/.+")


def is_unit(text: str) -> bool:
    """Tell whether a text is nothing but a unit of measure; in doubt it is not."""
    if _POWER.fullmatch(text):
        return True
    plain = re.sub(r"[\[\]{}_ ]", "", text).casefold()
    if plain in _ALONE:
        return True
    over, slash, under = plain.partition("/")
    return bool(slash) and over in _NUMERATORS and under in _DENOMINATORS


def is_number(text: str) -> bool:
    """Tell whether a text is nothing but a number or a range of numbers, which no unit is (but UCUM's ``1``)."""
    return text != "1" and _NUMBER.fullmatch(text) is not None


def whole_unit(components: list[str]) -> list[str]:
    """Return a unit's components with ``10^9/L``, whose caret the sender did not escape, put together again."""
    if len(components) == 2 and components[0].replace(" ", "") in _TENS and _EXPONENT.fullmatch(components[1]):
        return [f"{components[0]}^{components[1]}"]
    return components
