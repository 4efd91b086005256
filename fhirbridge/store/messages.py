"""HL7 v2 messages from the moment they are received until what they hold is in the inbox, sealed all the while."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, Select, func, insert, select, update

from fhirbridge import fhirjson
from fhirbridge.errors import Finding
from fhirbridge.store import database
from fhirbridge.store.instants import written
from fhirbridge.store.schema import message

State = Literal["waiting", "done", "faulty", "ignored", "no subject", "dropped"]
"""``waiting`` to be read; ``done``: what it holds was taken; ``faulty``: some of it, or all, was not, see findings;
``ignored``: it holds no results; ``no subject``: of people who are not in the study; ``dropped`` by decision."""
STATES: tuple[State, ...] = get_args(State)
Kept = Literal["new", "again", "known"]
"""``again``: it was there, but its content was not, so it waits once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One message without its content; ``held`` says whether that is still there."""

    key: int
    digest: str
    received: str
    source: str
    state: State
    findings: tuple[Finding, ...]
    done: str | None
    run: str | None
    held: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Arriving:
    """A message to be kept: ``digests`` are those it may be known by, the newest first."""

    digests: Sequence[str]
    sealed: bytes
    source: str
    state: State = "waiting"
    findings: tuple[Finding, ...] = ()


class Messages:
    """The spool. What is kept is committed before a method returns. Every method raises StoreError if that fails."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock

    def keep(self, study: str, arriving: Sequence[Arriving], *, run: str | None = None) -> list[Kept]:
        """Keep messages in their order and in one transaction, each once however often it is sent; all or none.

        One that is known and whose content was emptied is filled and waits again, unless it was dropped.
        """
        now = written(self._clock())
        with database.writing(self._engine) as connection:
            return [_keep(connection, study, one, run, now) for one in arriving]

    def digest_of(self, study: str, digests: Sequence[str]) -> str | None:
        """Return which of these digests a message is kept under, None if under none."""
        chosen = select(message.c.digest).where(message.c.study == study, message.c.digest.in_(list(digests)))
        with database.reading(self._engine) as connection:
            found = connection.execute(chosen.limit(1)).scalar()
        return None if found is None else str(found)

    def waiting(self, study: str, *, after: int = 0, limit: int = 100) -> list[Received]:
        """Return the next messages to be read, in the order in which they came."""
        return self.page(study, ("waiting",), after=after, limit=limit)

    def page(self, study: str, states: Sequence[State] = STATES, *, after: int = 0, limit: int = 100) -> list[Received]:
        """Return the next messages of these states, in the order in which they came."""
        chosen = _query(study).where(message.c.state.in_(list(states)), message.c.key > after)
        with database.reading(self._engine) as connection:
            rows = connection.execute(chosen.order_by(message.c.key).limit(limit)).mappings().all()
        return [_received(row) for row in rows]

    def get(self, study: str, key: int) -> Received | None:
        """Return one message."""
        with database.reading(self._engine) as connection:
            row = connection.execute(_query(study).where(message.c.key == key)).mappings().first()
        return None if row is None else _received(row)

    def content(self, key: int) -> bytes:
        """Return the sealed bytes of a message, empty where they are not kept any more."""
        with database.reading(self._engine) as connection:
            return bytes(connection.execute(select(message.c.sealed).where(message.c.key == key)).scalar() or b"")

    def mark(
        self, key: int, state: State, findings: Iterable[Finding] = (), *, run: str | None, emptied: bool = True
    ) -> None:
        """Say what became of a message; ``emptied`` throws its content away."""
        values: dict[str, Any] = {
            "state": state, "findings": _dumped(findings), "run": run, "done": written(self._clock()),
        }  # fmt: skip
        if emptied:
            values["sealed"] = b""
        with database.writing(self._engine) as connection:
            connection.execute(update(message).where(message.c.key == key).values(values))

    def retry(self, study: str, states: Sequence[State], key: int | None = None) -> int:
        """Have messages of these states, all or one, read again, as far as their content is kept; return how many."""
        chosen = _kept(states)
        if key is not None:
            chosen = chosen & (message.c.key == key)
        return self._update(study, chosen, {"state": "waiting", "done": None})

    def expiring(self, study: str, states: Sequence[State], *, before: datetime) -> bool:
        """Say whether ``expire`` would empty any."""
        found = select(message.c.key).where(message.c.study == study, _expired(states, before)).limit(1)
        with database.reading(self._engine) as connection:
            return connection.execute(found).first() is not None

    def expire(self, study: str, states: Sequence[State], *, before: datetime) -> int:
        """Empty messages of these states that were received before this instant; return how many."""
        return self._update(study, _expired(states, before), {"sealed": b""})

    def counts(self, study: str) -> dict[State, int]:
        """Return how many messages there are of each state; zero is left out."""
        chosen = select(message.c.state, func.count().label("messages")).where(message.c.study == study)
        with database.reading(self._engine) as connection:
            found = {row.state: row.messages for row in connection.execute(chosen.group_by(message.c.state))}
        return {state: found[state] for state in STATES if state in found}

    def _update(self, study: str, chosen: ColumnElement[bool], values: dict[str, Any]) -> int:
        with database.writing(self._engine) as connection:
            return _changed(connection, study, chosen, values)


def _kept(states: Sequence[State]) -> ColumnElement[bool]:
    """Say whether a message is of one of these states and its content is kept."""
    return message.c.state.in_(list(states)) & (func.length(message.c.sealed) > 0)


def _expired(states: Sequence[State], before: datetime) -> ColumnElement[bool]:
    return _kept(states) & (message.c.received < written(before))


def _keep(connection: Connection, study: str, arriving: Arriving, run: str | None, now: str) -> Kept:
    values = {
        "sealed": arriving.sealed, "state": arriving.state, "findings": _dumped(arriving.findings), "run": run,
        "done": None if arriving.state == "waiting" else now,
    }  # fmt: skip
    found = connection.execute(
        select(message.c.key, message.c.state, func.length(message.c.sealed).label("length"))
        .where(message.c.study == study, message.c.digest.in_(list(arriving.digests)))
        .limit(1)
    ).first()
    if found is not None:
        if found.length or found.state == "dropped":
            return "known"
        # The row keeps its place and its digest, which its sealed bytes are bound to.
        connection.execute(update(message).where(message.c.key == found.key).values(values))
        return "again"
    key = (connection.execute(select(func.max(message.c.key))).scalar() or 0) + 1
    rest = {"study": study, "digest": arriving.digests[0], "received": now, "source": arriving.source}
    connection.execute(insert(message).values(key=key, **rest, **values))
    return "new"


def _changed(connection: Connection, study: str, chosen: ColumnElement[bool], values: dict[str, Any]) -> int:
    return connection.execute(update(message).where(message.c.study == study, chosen).values(values)).rowcount


def _query(study: str) -> Select[Any]:
    columns = [column for column in message.c if column.name not in ("study", "sealed")]
    held = (func.length(message.c.sealed) > 0).label("held")
    return select(*columns, held).where(message.c.study == study)


def _received(row: RowMapping) -> Received:
    findings = tuple(Finding(**one) for one in fhirjson.loads(row["findings"]))
    return Received(**{**row, "findings": findings, "held": bool(row["held"])})


def _dumped(findings: Iterable[Finding]) -> str:
    told = [{name: value for name, value in asdict(one).items() if value is not None} for one in findings]
    return fhirjson.dumps(told).decode()
