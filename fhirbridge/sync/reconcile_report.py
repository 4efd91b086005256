"""What a reconciliation found: counts that balance, which elements drifted by name, and what was done about it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

LISTED = 500
"""Findings listed one by one; the counts know of all."""

Kind = Literal["missing", "drifted", "undeleted", "foreign", "duplicate", "orphan"]


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One resource that is not as it should be; ``id`` is ours, or the server's where it is not one of ours.

    ``paths`` are the names of the elements that drifted, never their values.
    """

    kind: Kind
    type: str
    id: str
    paths: tuple[str, ...] = ()


@dataclass(slots=True)
class TypeCounts:
    """Of one resource type: stored = same + digits_lost + drifted + missing + unread + unseen + pending + none, always.

    ``stored`` is what the study has. ``pending`` was never acknowledged, ``none`` should not be at the server: deleted,
    given up, or the hospital's own. ``unread`` could not be asked for, ``unseen`` lies outside the window. Beside
    these, on the server: ``undeleted`` should be gone, ``foreign`` bears the study's tag and is not ours,
    ``duplicate`` is foreign with an identifier of ours. ``orphan`` counts resources of the server that refer to a
    missing one.
    """

    stored: int = 0
    same: int = 0
    digits_lost: int = 0
    drifted: int = 0
    missing: int = 0
    unread: int = 0
    unseen: int = 0
    pending: int = 0
    none: int = 0
    undeleted: int = 0
    foreign: int = 0
    duplicate: int = 0
    orphan: int = 0

    @property
    def balanced(self) -> bool:
        """Whether each stored resource has exactly one verdict."""
        there = self.same + self.digits_lost + self.drifted + self.missing
        return self.stored == there + self.unread + self.unseen + self.pending + self.none

    @property
    def in_step(self) -> bool:
        """Whether the server holds what it acknowledged, each once, and nothing else of the study."""
        return not (self.drifted or self.missing or self.unread or self.undeleted or self.foreign or self.duplicate)


@dataclass(slots=True, kw_only=True)
class ReconcileReport:
    """The counts by type and in all; lost digits are the server's and no drift.

    ``repaired`` counts what was noted to be mended by the next push, by kind; ``conflicts`` the drifts that now wait
    for a decision; ``learned`` the versions that moved with nothing else, and are known now.
    """

    server: str
    study: str
    since: str | None = None
    by_type: dict[str, TypeCounts] = field(default_factory=dict)
    drifted_paths: Counter[str] = field(default_factory=Counter)
    """How many resources drifted at ``Type.path``."""
    digits_lost_paths: Counter[str] = field(default_factory=Counter)
    discrepancies: list[Discrepancy] = field(default_factory=list)
    not_listed: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    """Why a type could not be read back."""
    repaired: Counter[str] = field(default_factory=Counter)
    conflicts: int = 0
    learned: int = 0
    requests: int = 0
    bytes_received: int = 0
    seconds: float = 0.0

    @property
    def total(self) -> TypeCounts:
        """Return the sums over all types."""
        names = TypeCounts.__dataclass_fields__
        return TypeCounts(*(sum(getattr(counts, name) for counts in self.by_type.values()) for name in names))

    @property
    def balanced(self) -> bool:
        """Whether each stored resource has exactly one verdict."""
        return all(counts.balanced for counts in self.by_type.values())

    @property
    def in_step(self) -> bool:
        """Whether the server holds what it acknowledged, each once, and nothing else of the study."""
        return self.balanced and self.total.in_step

    def add(self, found: Discrepancy) -> None:
        """List a discrepancy, or count it where the list is full."""
        if len(self.discrepancies) < LISTED:
            self.discrepancies.append(found)
        else:
            self.not_listed += 1

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        computed = {
            "total": asdict(self.total),
            "balanced": self.balanced,
            "in_step": self.in_step,
            "drifted_paths": dict(self.drifted_paths.most_common()),
            "digits_lost_paths": dict(self.digits_lost_paths.most_common()),
            "repaired": dict(self.repaired),
        }
        return asdict(self) | computed
