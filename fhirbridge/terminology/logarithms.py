"""Decimal logarithms as laboratories print them, computed in decimal arithmetic."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, localcontext

HUNDREDTH = Decimal("0.01")
_TOLERANCE = Decimal("0.01")


def log10(value: Decimal) -> Decimal:
    """Return the logarithm to two decimals, halves rounded away from zero: 10 gives 1.00, 1.7E8 gives 8.23.

    Two decimals are what laboratories print for viral loads. Raises decimal.InvalidOperation for a negative value.
    """
    with localcontext() as context:
        context.prec = 28
        return value.log10().quantize(HUNDREDTH, rounding=ROUND_HALF_UP)


def antilog10(logarithm: Decimal) -> Decimal:
    """Return ten to this power to as many digits as the logarithm has decimals, at least two: 3.45 gives 2.8E+3.

    A logarithm's decimals are all it knows of the number.
    """
    exponent = logarithm.as_tuple().exponent
    digits = max(2, -exponent) if isinstance(exponent, int) else 2
    with localcontext() as context:
        context.prec = digits
        context.rounding = ROUND_HALF_UP
        return Decimal(10) ** logarithm


def agree(value: Decimal, logarithm: Decimal) -> bool:
    """Tell whether a printed logarithm is that of the printed number, to the decimals it is printed with."""
    if value <= 0:
        return False
    exponent = logarithm.as_tuple().exponent
    step = Decimal(1).scaleb(exponent) if isinstance(exponent, int) and exponent < 0 else Decimal("0.1")
    with localcontext() as context:
        context.prec = 28
        return abs(value.log10() - logarithm) <= max(_TOLERANCE, step / 2)
