"""What a verification found: counts that balance, and which elements differ by name."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

LISTED = 500
"""Findings listed one by one; the counts know of all."""

Kind = Literal["missing", "different", "extra", "duplicate"]


@dataclass(frozen=True, slots=True)
class VerifyFinding:
    """One resource that is not as it should be; ``paths`` are the names of the elements that differ."""

    kind: Kind
    type: str
    id: str
    paths: tuple[str, ...] = ()


@dataclass(slots=True)
class TypeCounts:
    """Of one resource type: expected = same + digits_lost + different + missing + unread, always.

    ``extra`` is tagged as the study's on the server and not in the store; ``duplicates`` are those of them that
    bear an identifier of one of ours. ``unread`` could not be asked for.
    """

    expected: int = 0
    same: int = 0
    digits_lost: int = 0
    different: int = 0
    missing: int = 0
    unread: int = 0
    extra: int = 0
    duplicates: int = 0


@dataclass(slots=True, kw_only=True)
class VerifyReport:
    """The counts by type and in all; lost digits are the server's and no disagreement."""

    server: str
    study: str
    by_type: dict[str, TypeCounts] = field(default_factory=dict)
    different_paths: Counter[str] = field(default_factory=Counter)
    """How many resources differ at ``Type.path``."""
    digits_lost_paths: Counter[str] = field(default_factory=Counter)
    findings: list[VerifyFinding] = field(default_factory=list)
    not_listed: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    """Why a type could not be read back."""
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
        """Whether each expected resource has exactly one verdict."""
        return all(
            counts.expected == counts.same + counts.digits_lost + counts.different + counts.missing + counts.unread
            for counts in self.by_type.values()
        )

    @property
    def agrees(self) -> bool:
        """Whether the server holds what the store does, each once and nothing else of the study."""
        sums = self.total
        return self.balanced and not (sums.different or sums.missing or sums.unread or sums.extra)

    def add(self, finding: VerifyFinding) -> None:
        """List a finding, or count it where the list is full."""
        if len(self.findings) < LISTED:
            self.findings.append(finding)
        else:
            self.not_listed += 1

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        computed = {
            "total": asdict(self.total),
            "balanced": self.balanced,
            "agrees": self.agrees,
            "different_paths": dict(self.different_paths.most_common()),
            "digits_lost_paths": dict(self.digits_lost_paths.most_common()),
        }
        return asdict(self) | computed
