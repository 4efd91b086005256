"""The search index: what a resource can be found by, as rows whose values compare as they stand.

``part`` is 0 for what stands in the resource itself and n for its n-th component (or characteristic): the parts of a
composite parameter must be met by rows of one part.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class TokenRow(NamedTuple):
    """A code or identifier. ``system`` and ``code`` are '' where there is none; ``text`` is folded, for ``:text``."""

    param: str
    part: int
    system: str
    code: str
    text: str


class DateRow(NamedTuple):
    """A span of time, half-open: ``low`` belongs to it, ``high`` does not. Both as ``moments.written`` gives them."""

    param: str
    part: int
    low: str
    high: str


class StringRow(NamedTuple):
    """A text, folded (``folding.folded``) and as it stands."""

    param: str
    part: int
    folded: str
    exact: str


class ReferenceRow(NamedTuple):
    """A reference: ``type`` and ``id`` of a relative one, or the ``url`` of another; all '' where it has neither."""

    param: str
    part: int
    type: str
    id: str
    url: str


class QuantityRow(NamedTuple):
    """A number with or without a unit: the closed interval of floats in which it may lie.

    ``<10`` is -inf up to the last float below 10. ``value`` is the number in the digits it came with, ``unit`` what
    people read. Where the unit is one that can be scaled exactly, ``scale`` is its base and ``scaled_low`` and
    ``scaled_high`` are the interval in it, so that 14 mm is found as 1.4 cm; else '' and None.
    """

    param: str
    part: int
    low: float
    high: float
    value: str
    system: str
    code: str
    unit: str
    scale: str
    scaled_low: float | None
    scaled_high: float | None


class UriRow(NamedTuple):
    """A URI, matched character by character."""

    param: str
    part: int
    value: str


@dataclass(slots=True)
class Rows:
    """All rows of one resource, table by table."""

    tokens: list[TokenRow] = field(default_factory=list)
    dates: list[DateRow] = field(default_factory=list)
    strings: list[StringRow] = field(default_factory=list)
    references: list[ReferenceRow] = field(default_factory=list)
    quantities: list[QuantityRow] = field(default_factory=list)
    uris: list[UriRow] = field(default_factory=list)
