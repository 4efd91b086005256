"""The store's door: one object per database, safe to use from several threads and several processes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, RowMapping, Select, func, insert, select

from fhirbridge.errors import Finding, StoreError
from fhirbridge.store import acknowledgements, database, resources, runs
from fhirbridge.store.acknowledgements import Backlog, Group
from fhirbridge.store.resources import Stored, Transaction
from fhirbridge.store.runs import Run
from fhirbridge.store.schema import binding, version
from fhirbridge.store.schema import resource as current

PAGE = 1000


def _now() -> datetime:
    return datetime.now(UTC)


class Store:
    """Resources, runs and acknowledgements in one database. Every method raises StoreError if that fails.

    What is written is there when the method (or the ``transaction``) ends. Iterators read page by page and hold
    nothing open in between; they see what was committed when each page was read.
    """

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = _now) -> None:
        self._engine = engine
        self._clock = clock

    @classmethod
    def open(cls, url: str, *, clock: Callable[[], datetime] = _now) -> Store:
        """Open ``sqlite:///file`` or ``postgresql://…``, creating and migrating it as needed.

        Raises StoreError for a database that cannot be reached or written, or that a newer fhirbridge wrote.
        """
        return cls(database.opened(url), clock)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def bind(self, fingerprint: str, *, study: str) -> None:
        """Remember the pseudonym key of a study by its fingerprint. Raises StoreError if it was another one."""
        with database.writing(self._engine) as connection:
            bound = connection.execute(select(binding.c.fingerprint).where(binding.c.study == study)).scalar()
            if bound is None:
                connection.execute(insert(binding).values(study=study, fingerprint=fingerprint))
        if bound not in (None, fingerprint):
            raise StoreError(
                f"this store's ids of study {study} were made with another pseudonym key. "
                "Use that key: with a new one every patient would be stored a second time."
            )

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Give the one writer its transaction: committed at the end, rolled back if an error leaves the block."""
        with database.writing(self._engine) as connection:
            yield Transaction(connection, self._instant)

    def read(self, type: str, id: str) -> Stored | None:
        """Return the current version."""
        return next(iter(self.read_many(type, [id])), None)

    def read_many(self, type: str, ids: Sequence[str]) -> list[Stored]:
        """Return the current versions of those of these ids that are there (a few hundred ids at most)."""
        rows = self._rows(resources.query().where(current.c.type == type, current.c.id.in_(list(ids))))
        return [resources.stored(row) for row in rows]

    def vread(self, type: str, id: str, number: int) -> Stored | None:
        """Return one version."""
        return next((found for found in self.history(type, id) if found.version == number), None)

    def history(self, type: str, id: str) -> list[Stored]:
        """Return every version, the newest first."""
        chosen = resources.query(every_version=True).where(current.c.type == type, current.c.id == id)
        return [resources.stored(row) for row in self._rows(chosen.order_by(version.c.version.desc()))]

    def iterate(
        self, study: str, *, types: Sequence[str] | None = None, compartment: str | None = None, page: int = PAGE
    ) -> Iterator[Stored]:
        """Yield a study's current versions in the order (compartment, rank), those of the whole study first."""
        return resources.pages(self._rows, study, types, compartment, page)

    def identities(self, study: str, type: str, *, page: int = PAGE) -> Iterator[tuple[int, str]]:
        """Yield key and id of each of a study's resources of a type, in the order of keys, without any body."""
        chosen = select(current.c.key, current.c.id).where(current.c.study == study, current.c.type == type)
        chosen, last = chosen.order_by(current.c.key).limit(page), 0
        while rows := self._rows(chosen.where(current.c.key > last)):
            yield from ((row["key"], row["id"]) for row in rows)
            last = rows[-1]["key"]

    def counts(self, study: str) -> dict[str, int]:
        """Return the number of a study's resources by type."""
        chosen = select(current.c.type, func.count().label("n")).where(current.c.study == study)
        rows = self._rows(chosen.group_by(current.c.type).order_by(current.c.type))
        return {row["type"]: row["n"] for row in rows}

    def studies(self) -> list[str]:
        """Return the ids of the studies that have resources here."""
        return [row["study"] for row in self._rows(select(current.c.study).distinct().order_by(current.c.study))]

    def start_run(self, command: str) -> str:
        """Note that a run of a command begins, and return its id."""
        with database.writing(self._engine) as connection:
            return runs.start(connection, command, self._instant())

    def finish_run(self, run: str, outcome: str, counts: Mapping[str, Any]) -> None:
        """Note how a run ended, with its counts (anything JSON can hold)."""
        with database.writing(self._engine) as connection:
            runs.finish(connection, run, outcome, dict(counts), self._instant())

    def last_run(self, command: str, *, outcome: str | None = None) -> Run | None:
        """Return the run of a command begun last, of those with this outcome if one is given."""
        with database.reading(self._engine) as connection:
            return runs.last(connection, command, outcome)

    def quarantine(self, run: str, findings: Iterable[Finding]) -> int:
        """Keep why a run set records aside, and return how many findings that were."""
        with database.writing(self._engine) as connection:
            return runs.set_aside(connection, run, findings)

    def findings(self, run: str, *, page: int = PAGE) -> Iterator[Finding]:
        """Yield what a run set aside, in the order it did."""
        last = 0
        while True:
            with database.reading(self._engine) as connection:
                found = runs.findings(connection, run, last, page)
            yield from (finding for _, finding in found)
            if len(found) < page:
                return
            last = found[-1][0]

    def backlog(self, server: str, study: str) -> Backlog:
        """Return how many resources a study has and how many a server has yet to acknowledge: one query."""
        with database.reading(self._engine) as connection:
            return acknowledgements.backlog(connection, server, study)

    def pending(self, server: str, study: str) -> Iterator[Group]:
        """Yield what a server has not acknowledged as it is now, grouped by compartment, the whole study's first."""
        return acknowledgements.groups(self._rows, server, study)

    def acknowledge(self, server: str, sent: Iterable[tuple[Stored, str | None]], *, run: str) -> None:
        """Note that a server holds these contents, each with the version it gave it, all or none."""
        with database.writing(self._engine) as connection:
            acknowledgements.acknowledge(connection, server, sent, run, self._instant())

    def _rows(self, chosen: Select[Any]) -> Sequence[RowMapping]:
        with database.reading(self._engine) as connection:
            return connection.execute(chosen).mappings().all()

    def _instant(self) -> str:
        return self._clock().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
