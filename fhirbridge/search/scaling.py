"""Units that differ by an exact factor: metric prefixes, powers of ten, and litres, of the same atoms of UCUM.

Deliberately less than UCUM (https://ucum.org/ucum): no unit becomes another kind of unit. IU are not U, grams not
moles, and what has an annotation or is a special unit (``{Log_IU}/mL``, ``[pH]``, ``Cel``) is only ever itself; factors
that hold for one analyte alone are the business of the laboratories' files.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

_PREFIXES = {
    "Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1, "d": -1, "c": -2, "m": -3,
    "u": -6, "n": -9, "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
}  # fmt: skip
_METRIC = ("g", "m", "s", "L", "l", "mol", "[IU]", "[iU]", "U", "kat", "Pa", "J", "W", "eq", "osm", "Hz", "V", "bar")
_SAME = {"l": "L", "[iU]": "[IU]"}
_TERM = re.compile(r"(?P<mark>^|[./])(?P<atom>10[*^]|[A-Za-z\[\]]+|1(?![0-9+-]))(?P<power>[+-]?[0-9]{1,2})?", re.ASCII)
_MOST = 60
"""Powers of ten beyond which no unit of medicine lies."""


class Scale(NamedTuple):
    """A unit is 10 to the ``exponent`` of its ``base``, a text that is the same for all units that can be compared."""

    exponent: int
    base: str


@lru_cache(maxsize=4096)
def scale(code: str) -> Scale | None:
    """Return how a UCUM code scales, None where it does not or this little grammar cannot read it."""
    exponent, at = 0, 0
    atoms: dict[str, int] = {}
    while at < len(code):
        found = _TERM.match(code, at)
        if found is None or (at and not found["mark"]):
            return None
        at = found.end()
        power = int(found["power"] or 1) * (-1 if found["mark"] == "/" else 1)
        prefix, atom = _split(found["atom"])
        if atom is None:
            return None
        exponent += prefix * power
        atoms[atom] = atoms.get(atom, 0) + power
    base = ".".join(f"{atom}{power}" for atom, power in sorted(atoms.items()) if power and atom)
    return Scale(exponent, base) if base and abs(exponent) <= _MOST else None


def _split(text: str) -> tuple[int, str | None]:
    """Return the power of ten of an atom with its prefix, and the atom; '' for a bare number."""
    if text in ("10*", "10^"):
        return 1, ""
    if text == "1":
        return 0, ""
    if text in _METRIC:
        return 0, _SAME.get(text, text)
    for length in (2, 1):
        if text[:length] in _PREFIXES and text[length:] in _METRIC:
            return _PREFIXES[text[:length]], _SAME.get(text[length:], text[length:])
    return 0, None


def scaled(value: Decimal, by: Scale) -> Decimal:
    """Return a number in its unit as a number in the unit's base, exactly."""
    return value.scaleb(by.exponent)
