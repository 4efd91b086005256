"""Instants as the store writes them, and the clock they come from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from fhirbridge.elements import instant

Clock = Callable[[], datetime]
Now = Callable[[], str]
"""Gives this instant as text; asked only once the writer has its turn, for waiting for it takes time."""


def utc_now() -> datetime:
    """Return this instant: the clock where none is given."""
    return datetime.now(UTC)


def written(moment: datetime) -> str:
    """Return an instant as text, like 2026-11-22T14:49:24.000Z."""
    return instant(moment)
