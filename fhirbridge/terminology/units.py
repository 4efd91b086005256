"""Conversions with explicit decimal factors; nothing is worked out from the name of a unit.

UCUM cannot decide here: it knows no way from IU/L to U/L, and takes ``{Log_IU}/mL`` and ``{copies}/mL`` for one unit
because both are annotations on the unit 1/mL. A factor comes from a row keyed on (LOINC code, exact unit string).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext

from fhirbridge.terminology.logarithms import antilog10, log10
from fhirbridge.terminology.numerals import DIGITS
from fhirbridge.terminology.readings import Comparator

INTERNATIONAL = "[IU]/mL"
COPIES = "{copies}/mL"
COPIES_LOINC = {"42595-9": "29615-2"}
"""The LOINC code for copies per volume, by that for international units per volume (HBV DNA)."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A number, exact or beyond a limit, in a unit."""

    value: Decimal
    unit: str
    comparator: Comparator | None = None

    def below(self, limit: Decimal) -> bool:
        """Tell whether it lies below the limit for certain."""
        if self.comparator == "<":
            return self.value <= limit
        return self.comparator in (None, "<=") and self.value < limit

    def above(self, limit: Decimal) -> bool:
        """Tell whether it lies above the limit for certain."""
        if self.comparator == ">":
            return self.value >= limit
        return self.comparator in (None, ">=") and self.value > limit


def converted(amount: Amount, factor: Decimal, unit: str) -> Amount:
    """Return the amount times the factor, exactly: no digit is added or dropped by rounding.

    A factor of one leaves the digits as they were reported, a power of ten moves the point among them (4.2 g/dL is
    42 g/L), and any other product has the digits of both.
    """
    if factor == 1:
        return Amount(amount.value, unit, amount.comparator)
    with localcontext() as context:
        context.prec = 4 * DIGITS
        if factor.normalize().as_tuple().digits != (1,):
            return Amount(amount.value * factor, unit, amount.comparator)
        moved = amount.value.scaleb(factor.adjusted())
        return Amount(Decimal(f"{moved:f}"), unit, amount.comparator)


def quotient(amount: Amount, divisor: Decimal, unit: str) -> Amount:
    """Return the amount divided, to as many digits as it was reported with, but at least three."""
    with localcontext() as context:
        context.prec = max(3, len(amount.value.as_tuple().digits))
        return Amount(amount.value / divisor, unit, amount.comparator)


def product(amount: Amount, factor: Decimal, unit: str) -> Amount:
    """Return the amount multiplied, to as many digits as it was reported with, but at least three."""
    with localcontext() as context:
        context.prec = max(3, len(amount.value.as_tuple().digits))
        return Amount(amount.value * factor, unit, amount.comparator)


def logarithm(amount: Amount, unit: str) -> Amount | None:
    """Return the decimal logarithm to two decimals, None of zero and less; it keeps the order, so the comparator."""
    return Amount(log10(amount.value), unit, amount.comparator) if amount.value > 0 else None


def antilogarithm(amount: Amount, unit: str) -> Amount | None:
    """Return the number of which this is the logarithm, to the digits it knows; None where that is out of range."""
    if abs(amount.value) > DIGITS:
        return None
    return Amount(antilog10(amount.value), unit, amount.comparator)
