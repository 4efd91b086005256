"""The steps of the demo, each with what went in and what became of it."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the closing table: ``total`` is what went in, the others are what became of it."""

    step: str
    total: int
    done: int
    unchanged: int
    refused: int
    seconds: float | None
    """None where the step's time is part of the one before."""

    @property
    def balances(self) -> bool:
        """Nothing that went in is unaccounted for."""
        return self.total == self.done + self.unchanged + self.refused


class Steps(list[Step]):
    """The steps so far; ``add`` takes the time since the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.withheld = 0
        self._since = time.monotonic()

    def add(self, step: str, total: int, *, done: int = 0, unchanged: int = 0, refused: int = 0) -> None:
        """Close a step with its counts."""
        now = time.monotonic()
        self.append(Step(step, total, done, unchanged, refused, now - self._since))
        self._since = now

    def also(self, step: str, total: int, *, done: int = 0, unchanged: int = 0, refused: int = 0) -> None:
        """Add what the step before counted too."""
        self.append(Step(step, total, done, unchanged, refused, None))
