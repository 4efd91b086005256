"""How the sync layer tells what happens while it happens: an event's name and its facts, never a resource's content."""

from __future__ import annotations

from typing import Protocol


class Note(Protocol):
    """Called with an event and facts that are safe in a log: types, pseudonymous ids, counts, statuses."""

    def __call__(self, event: str, /, **facts: object) -> None: ...


def silent(_event: str, /, **_facts: object) -> None:
    """Note nothing."""
