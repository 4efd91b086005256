"""What pulls asked, under what, how far they came, and what became of what they found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, RowMapping, case, delete, insert, select, update

from fhirbridge.errors import StoreError
from fhirbridge.store import database
from fhirbridge.store.arrivals import Arrival
from fhirbridge.store.instants import Clock, written
from fhirbridge.store.schema import arrival, pull, pulled, watermark
from fhirbridge.store.schema import run as runs
from fhirbridge.store.writes import batches, upsert

PAGE = 500

EVERYBODY = ""
"""The subject of a watermark that holds for all subjects at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """One pull; ``funnel`` is JSON, None until it was saved; ``ended`` and ``outcome`` are None until the run ended."""

    run: str
    study: str
    funnel: bytes | None
    started: str
    ended: str | None
    outcome: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What a pull found new or changed (by the key of its arrival), and what became of it in that run."""

    arrival: int
    novelty: Literal["new", "changed"]
    fate: str


class Pulls:
    """The pulls of all studies in one database. Every method raises StoreError if that fails."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def watermark(self, study: str, feed: str, subject: str, question: str) -> datetime | None:
        """Return when the last question of this kind began that was answered whole, None if none ever was."""
        named = (watermark.c.study == study, watermark.c.feed == feed, watermark.c.subject == subject)
        chosen = select(watermark.c.at).where(*named, watermark.c.question == question)
        at = database.read(self._engine, lambda connection: connection.execute(chosen).scalar())
        return None if at is None else datetime.fromisoformat(at)

    def watermarks(self, study: str, feed: str) -> dict[tuple[str, str], datetime]:
        """Return by subject and question when the last one began that was answered whole."""
        columns = (watermark.c.subject, watermark.c.question, watermark.c.at)
        chosen = select(*columns).where(watermark.c.study == study, watermark.c.feed == feed)
        with database.reading(self._engine) as connection:
            rows = connection.execute(chosen)
            return {(subject, question): datetime.fromisoformat(at) for subject, question, at in rows}

    def advance(self, study: str, feed: str, marks: Mapping[tuple[str, str], datetime], run: str) -> None:
        """Move watermarks (by subject and question) forward, all or none; one that is further on stays."""
        about = {"study": study, "feed": feed, "run": run}
        told = {at: written(at) for at in set(marks.values())}  # of few moments: many subjects share a question
        rows = [
            about | {"subject": subject, "question": question, "at": told[at]}
            for (subject, question), at in marks.items()
        ]
        database.write(self._engine, upsert, watermark, rows, _forward)

    def rewind(self, study: str, feed: str | None = None, subject: str | None = None) -> int:
        """Forget watermarks, so that everything is asked again; return how many. For one who was linked anew."""
        chosen = delete(watermark).where(watermark.c.study == study)
        chosen = chosen if feed is None else chosen.where(watermark.c.feed == feed)
        chosen = chosen if subject is None else chosen.where(watermark.c.subject == subject)
        return database.write(self._engine, lambda connection: connection.execute(chosen).rowcount)

    def freeze(self, run: str, study: str, context: bytes) -> None:
        """Keep what a run asks and judges under. Raises StoreError if that was kept before: it never changes."""

        def keep(connection: Connection) -> None:
            if connection.execute(select(pull.c.run).where(pull.c.run == run)).first() is not None:
                raise StoreError(f"the context of run {run} is frozen already and cannot be another one.")
            connection.execute(insert(pull).values(run=run, study=study, context=context))

        database.write(self._engine, keep)

    def context(self, run: str) -> bytes:
        """Return what a run was frozen under. Raises StoreError for a run that is no pull."""
        found: bytes | None = database.read(
            self._engine,
            lambda connection: connection.execute(select(pull.c.context).where(pull.c.run == run)).scalar(),
        )
        if found is None:
            raise StoreError(f"there is no pull {run}.")
        return bytes(found)

    def save_funnel(self, run: str, funnel: bytes) -> None:
        """Keep the funnel of a run. Raises StoreError for a run that is no pull."""
        change = update(pull).where(pull.c.run == run).values(funnel=funnel)
        if database.write(self._engine, lambda connection: connection.execute(change).rowcount) != 1:
            raise StoreError(f"there is no pull {run}.")

    def get(self, run: str) -> Pull | None:
        """Return one pull."""
        return next(iter(self._pulls(pull.c.run == run, 1)), None)

    def newest(self, study: str, limit: int = 20) -> list[Pull]:
        """Return a study's pulls begun last, the newest first."""
        return self._pulls(pull.c.study == study, limit)

    def last_accounted(self, study: str, *, besides: str) -> str | None:
        """Return the run, not this one, of a study's pull begun last whose funnel was saved, None if there is none."""
        chosen = select(pull.c.run).join(runs, runs.c.id == pull.c.run)
        accounted = chosen.where(pull.c.study == study, pull.c.run != besides, pull.c.funnel.is_not(None))
        ordered = accounted.order_by(runs.c.started.desc(), runs.c.id.desc()).limit(1)
        return database.read(self._engine, lambda connection: connection.execute(ordered).scalar())

    def note(self, run: str, found: Iterable[Pulled]) -> None:
        """Keep what a run found and what became of it, each instead of what was kept of the same arrival before."""
        rows = [{"run": run, "arrival": one.arrival, "novelty": one.novelty, "fate": one.fate} for one in found]
        database.write(self._engine, _note, rows)

    def pulled(self, run: str, *, page: int = PAGE) -> Iterator[tuple[Pulled, Arrival]]:
        """Yield what a run found, with its arrivals, in the order in which they arrived."""
        last = 0
        while rows := self._pulled(run, last, page):
            yield from rows
            last = rows[-1][0].arrival

    def _pulled(self, run: str, last: int, page: int) -> list[tuple[Pulled, Arrival]]:
        chosen = select(pulled.c.novelty, pulled.c.fate, arrival).join(arrival, arrival.c.key == pulled.c.arrival)
        chosen = chosen.where(pulled.c.run == run, pulled.c.arrival > last).order_by(pulled.c.arrival).limit(page)
        with database.reading(self._engine) as connection:
            return [_made(row) for row in connection.execute(chosen).mappings()]

    def _pulls(self, condition: Any, limit: int) -> list[Pull]:
        columns = (pull.c.run, pull.c.study, pull.c.funnel, runs.c.started, runs.c.ended, runs.c.outcome)
        chosen = select(*columns).join(runs, runs.c.id == pull.c.run).where(condition)
        ordered = chosen.order_by(runs.c.started.desc(), runs.c.id.desc()).limit(limit)
        with database.reading(self._engine) as connection:
            rows = connection.execute(ordered).mappings()
            return [Pull(**{**row, "funnel": None if row["funnel"] is None else bytes(row["funnel"])}) for row in rows]


def _forward(given: Any) -> dict[str, Any]:
    further = watermark.c.at > given.at
    return {
        "at": case((further, watermark.c.at), else_=given.at),
        "run": case((further, watermark.c.run), else_=given.run),
    }


def _note(connection: Connection, rows: list[dict[str, Any]]) -> None:
    for some in batches(rows):
        upsert(connection, pulled, some)


def _made(row: RowMapping) -> tuple[Pulled, Arrival]:
    values = {name: row[name] for name in Arrival.__dataclass_fields__}
    came = Arrival(**values | {"hash": bytes(row["hash"]), "body": bytes(row["body"])})
    return Pulled(arrival=came.key, novelty=row["novelty"], fate=row["fate"]), came
