"""Reads UCUM units as a factor and a dimension, so that amounts in different units compare (https://ucum.org/ucum)."""

from __future__ import annotations

import re
from decimal import Decimal, localcontext
from functools import lru_cache

Dimension = tuple[tuple[str, int], ...]
"""Base units and their exponents, sorted: ``(("g", 1), ("m", -3))``; empty for a plain number."""

SECONDS: Dimension = (("s", 1),)
MONTHS: Dimension = (("month", 1),)
"""Calendar months and years: no fixed number of seconds."""

_PREFIXES = {
    "": "1", "Y": "1e24", "Z": "1e21", "E": "1e18", "P": "1e15", "T": "1e12", "G": "1e9", "M": "1e6", "k": "1e3",
    "h": "1e2", "da": "1e1", "d": "1e-1", "c": "1e-2", "m": "1e-3", "u": "1e-6", "n": "1e-9", "p": "1e-12",
    "f": "1e-15", "a": "1e-18", "z": "1e-21", "y": "1e-24",
}  # fmt: skip
_METRIC = {
    "m": ("1", "m"), "g": ("1", "g"), "s": ("1", "s"), "K": ("1", "K"), "C": ("1", "C"), "cd": ("1", "cd"),
    "mol": ("1", "mol"), "rad": ("1", "rad"), "[iU]": ("1", "[iU]"), "[IU]": ("1", "[iU]"), "L": ("1e-3", "m3"),
    "l": ("1e-3", "m3"), "t": ("1e6", "g"), "Hz": ("1", "s-1"), "Bq": ("1", "s-1"), "N": ("1e3", "g.m.s-2"),
    "Pa": ("1e3", "g.m-1.s-2"), "bar": ("1e8", "g.m-1.s-2"), "m[Hg]": ("133322e3", "g.m-1.s-2"),
    "m[H2O]": ("9806.65e3", "g.m-1.s-2"), "J": ("1e3", "g.m2.s-2"), "W": ("1e3", "g.m2.s-3"),
    "cal": ("4184", "g.m2.s-2"), "A": ("1", "C.s-1"), "V": ("1e3", "g.m2.s-2.C-1"), "Gy": ("1", "m2.s-2"),
    "Sv": ("1", "m2.s-2"), "eq": ("1", "mol"), "osm": ("1", "mol"), "kat": ("1", "mol.s-1"),
}  # fmt: skip
_PLAIN = {
    "%": ("1e-2", ""), "[ppth]": ("1e-3", ""), "[ppm]": ("1e-6", ""), "10*": ("10", ""), "10^": ("10", ""),
    "min": ("60", "s"), "h": ("3600", "s"), "d": ("86400", "s"), "wk": ("604800", "s"), "mo": ("2629800", "s"),
    "a": ("31557600", "s"), "[in_i]": ("0.0254", "m"), "[ft_i]": ("0.3048", "m"), "[yd_i]": ("0.9144", "m"),
    "[mi_i]": ("1609.344", "m"), "[lb_av]": ("453.59237", "g"), "[oz_av]": ("28.349523125", "g"),
    "[stone_av]": ("6350.29318", "g"), "[gr]": ("0.06479891", "g"), "deg": ("0.017453292519943295", "rad"),
}  # fmt: skip
_CALENDAR = {
    "year": (MONTHS, Decimal(12)),
    "month": (MONTHS, Decimal(1)),
    "week": (SECONDS, Decimal(604800)),
    "day": (SECONDS, Decimal(86400)),
    "hour": (SECONDS, Decimal(3600)),
    "minute": (SECONDS, Decimal(60)),
    "second": (SECONDS, Decimal(1)),
    "millisecond": (SECONDS, Decimal("0.001")),
}
_BASE = re.compile(r"(\[iU\]|[A-Za-z]+)(-?\d+)?")
_TOKEN = re.compile(
    r"(?P<group>[()./])|\{[^}]*\}|(?P<atom>10[*^]|(?:\[[^\]]*\]|%|[A-Za-z_'])+)(?P<power>[+-]?\d+)?|(?P<number>\d+)"
)


def is_calendar(unit: str) -> bool:
    """Tell whether a unit is a calendar word (``year``, ``days``) rather than a UCUM code."""
    return unit.removesuffix("s") in _CALENDAR


@lru_cache(maxsize=1024)
def reduced(unit: str) -> tuple[Dimension, Decimal]:
    """Return the dimension of a unit and its factor to base units; one that is unknown is a dimension of its own."""
    word = _CALENDAR.get(unit.removesuffix("s"))
    if word is not None:
        return word
    try:
        with localcontext() as context:
            context.prec = 50
            exponents, factor = _Reader(unit).read()
    except (KeyError, ValueError):
        return ((unit, 1),), Decimal(1)
    return tuple(sorted((base, n) for base, n in exponents.items() if n)), factor


class _Reader:
    """A recursive reader of one unit. Raises KeyError or ValueError for what it does not know."""

    def __init__(self, unit: str) -> None:
        self.tokens: list[re.Match[str]] = []
        at = 0
        while at < len(unit):
            found = _TOKEN.match(unit, at)
            if found is None:
                raise ValueError(unit)
            self.tokens.append(found)
            at = found.end()
        self.tokens.reverse()

    def read(self, *, inside: bool = False) -> tuple[dict[str, int], Decimal]:
        exponents: dict[str, int] = {}
        factor, sign = Decimal(1), 1
        while self.tokens:
            token = self.tokens.pop()
            if token["group"] == ")" and inside:
                return exponents, factor
            if token["group"] in (".", "/"):
                sign = 1 if token["group"] == "." else -1
                continue
            found, amount = self._component(token)
            for base, exponent in found.items():
                exponents[base] = exponents.get(base, 0) + sign * exponent
            factor *= amount**sign
            sign = 1
        if inside:
            raise ValueError("a bracket is open")
        return exponents, factor

    def _component(self, token: re.Match[str]) -> tuple[dict[str, int], Decimal]:
        if token["group"] == "(":
            return self.read(inside=True)
        if token["group"] is not None:
            raise ValueError(token["group"])
        if token["number"] is not None:
            return {}, Decimal(token["number"])
        if token["atom"] is None:
            return {}, Decimal(1)  # an annotation: {beats}
        power = int(token["power"] or 1)
        factor, bases = _atom(token["atom"])
        return {base: int(n or 1) * power for base, n in _BASE.findall(bases)}, factor**power


def _atom(code: str) -> tuple[Decimal, str]:
    for length in range(3):
        scale, (factor, bases) = _PREFIXES.get(code[:length]), _METRIC.get(code[length:], ("", ""))
        if not length and code in _PLAIN:
            scale, (factor, bases) = "1", _PLAIN[code]
        if scale is not None and factor:
            return Decimal(scale) * Decimal(factor), bases
    raise KeyError(code)
