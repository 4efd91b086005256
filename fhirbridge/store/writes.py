"""Writing rows: upserts in the words of either database, and deleting by keys some hundreds at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, ScalarSelect, Table, delete
from sqlalchemy.dialects import postgresql, sqlite

BATCH = 500
"""How many keys or names go into one statement."""

Item = TypeVar("Item")


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    change: Callable[[Any], Mapping[str, Any]] | None = None,
) -> None:
    """Insert rows, all with the same columns and none twice; one that is there gets the columns given.

    ``change`` says what an existing row gets instead in some columns, from those given (``excluded`` in SQL).
    """
    if not rows:
        return
    statement: Any = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)
    keys = [column.name for column in table.primary_key]
    given = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    changed = given | dict(change(statement.excluded) if change else {})
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), list(rows))


def remove(connection: Connection, table: Table, server: int | ScalarSelect[int], keys: Iterable[int]) -> int:
    """Delete the rows of these resources at a server, and return how many there were."""
    chosen = delete(table).where(table.c.server == server)
    return sum(connection.execute(chosen.where(table.c.resource.in_(some))).rowcount for some in batches(keys))


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield items some hundreds at a time."""
    waiting = list(items)
    for start in range(0, len(waiting), BATCH):
        yield waiting[start : start + BATCH]
