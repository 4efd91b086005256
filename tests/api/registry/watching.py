"""What a request makes the database do: the statements, and on SQLite how many steps they took."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import event

from fhirbridge.store import Store


@contextlib.contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """Collect the text of every statement that is executed while the block runs."""
    seen: list[str] = []

    def executed(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    engine = store._engine
    event.listen(engine, "before_cursor_execute", executed)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", executed)


@contextlib.contextmanager
def steps(store: Store) -> Iterator[list[int]]:
    """Count the instructions that SQLite's machine runs while the block runs; the list grows by one for each."""
    seen = [0]

    def ran() -> int:
        seen[0] += 1
        return 0

    def watched(connection: Any, *_: Any) -> None:
        connection.set_progress_handler(ran, 1)

    def alone(connection: Any, *_: Any) -> None:
        connection.set_progress_handler(None, 0)

    engine = store._engine
    event.listen(engine, "checkout", watched)
    event.listen(engine, "checkin", alone)
    try:
        yield seen
    finally:
        event.remove(engine, "checkout", watched)
        event.remove(engine, "checkin", alone)
