"""What a release answers with: versions of released resources, pages of them, positions, and what a refresh did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Released:
    """One version of one released resource.

    ``body`` is exactly the JSON to answer, with ``meta.versionId`` and ``meta.lastUpdated``; None where it was deleted,
    which is to say that it is released no longer. ``last_updated`` is an instant in UTC, like 2026-11-22T14:49:24.000Z.
    ``key`` is the store's own and leaves it never.
    """

    key: int
    type: str
    id: str
    version: int
    last_updated: str
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some of what was found; ``after`` is where to go on, None at the end. It holds no more than ids say."""

    matches: list[Released]
    after: str | None


@dataclass(frozen=True, slots=True)
class Position:
    """A state of a release: its number, and its instant (UTC), which is the ``lastUpdated`` of all that it let out.

    ``digest`` tells under which rules it was made: those of a view are ``releases.digest(view, zone)``. ``oldest`` is
    the first position that can still be asked for.
    """

    number: int
    at: str
    digest: str
    oldest: int


@dataclass(slots=True)
class Tally:
    """What a refresh did with the resources of a type; the four add up to what it looked at."""

    released: int = 0
    """New, or another content than before."""
    unchanged: int = 0
    """What the registry sees of them is as it was."""
    deleted: int = 0
    """Were released, and are no longer: erased with all their versions."""
    hidden: int = 0
    """Nothing of them may be seen, and never was."""

    @property
    def looked_at(self) -> int:
        """All of them."""
        return self.released + self.unchanged + self.deleted + self.hidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """What a refresh did. ``busy``: another process was at it, and nothing was done."""

    agreement: str
    position: Position | None
    counts: Mapping[str, Tally] = field(default_factory=dict)
    whole: bool = False
    """Everything was made anew, because the rules (or what can be searched by) are others than before."""
    due: bool = True
    """False: the agreement lets changes out later, and only withdrawals and rules were looked after."""
    next_due: datetime | None = None
    """When changes are let out next, where they wait."""
    busy: bool = False
