"""How things stand: what waits for the hospital, how each command last ended; read from the store, for all who ask.

Because it is read from the store, every process of an installation gives the same answer, and so does the first one
after a restart. The queries read hashes and no bodies; a ``Lookout`` asks them at most every few seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from fhirbridge.store import Backlog, Policy, Run, Store, Tally
from fhirbridge.store.schema import REVISION

GOOD = frozenset({"done", "refused"})
"""Outcomes of a run that did its work; bad records that it set aside are the data manager's, not the engineer's."""

STUCK = frozenset({"needs a person"})
"""Outcomes of a run that did all it could, on a server that is well; what is left waits for a decision."""

NEUTRAL = frozenset({"interrupted", "skipped"})
"""Outcomes that say nothing: somebody stopped it, or another one was under way."""

FRESH_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandStanding:
    """The runs of one command: how many by outcome, the last one, and when it last ended well."""

    command: str
    outcomes: Mapping[str, int]
    unfinished: int
    """Under way, or killed."""
    last: Run | None
    last_good: str | None
    last_failed: str | None

    @property
    def failing(self) -> bool:
        """Whether it failed since it last ended well."""
        return self.last_failed is not None and (self.last_good is None or self.last_good < self.last_failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All of it at one moment; ``backlog`` is None where no hospital is set."""

    at: datetime
    study: str
    backlog: Backlog | None
    conflicts: int
    """Foreign changes that wait for a decision; ``backlog.conflicts`` are those that keep us from sending."""
    failures: int
    """The server's, in a row."""
    open_until: datetime | None
    """The moment until which the server is left alone, None if it may be asked."""
    commands: tuple[CommandStanding, ...]
    schema: str = REVISION

    @property
    def oldest_seconds(self) -> float:
        """How long the oldest item has waited that nothing blocks, 0 if none waits."""
        oldest = self.backlog.oldest if self.backlog else None
        return max(0.0, (self.at - datetime.fromisoformat(oldest)).total_seconds()) if oldest else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values: numbers, instants and ids of runs, nothing of a subject."""
        backlog = asdict(self.backlog) | {"oldest_seconds": self.oldest_seconds} if self.backlog else None
        until = self.open_until.isoformat() if self.open_until else None
        return {
            "study": self.study,
            "at": self.at.isoformat(timespec="seconds"),
            "schema": self.schema,
            "backlog": backlog,
            "conflicts": self.conflicts,
            "breaker": {"open": self.open_until is not None, "until": until, "failures": self.failures},
            "runs": {one.command: _run(one) for one in self.commands},
        }


class Lookout:
    """Looks how things stand, at most every ``FRESH_SECONDS``, whoever asks and how often."""

    def __init__(self, look: Callable[[], Standing], clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: tuple[float, Standing] | None = None

    def standing(self) -> Standing:
        """Return how things stand, or stood a few seconds ago. Raises StoreError."""
        with self._lock:
            if self._seen is None or self._clock() - self._seen[0] >= FRESH_SECONDS:
                self._seen = None
                self._seen = (self._clock(), self._look())
            return self._seen[1]


def look(
    store: Store, *, study: str, server: str | None, policy: Policy = "stop", now: datetime | None = None
) -> Standing:
    """Read how things stand with a study and a hospital's server (its normalised base URL). Raises StoreError."""
    at = now or datetime.now(UTC)
    state = store.server_state(server) if server else None
    until = datetime.fromisoformat(state.open_until) if state and state.open_until else None
    return Standing(
        at=at,
        study=study,
        backlog=store.backlog(server, study, policy) if server else None,
        conflicts=store.open_conflicts(server, study) if server else 0,
        failures=state.failures if state else 0,
        open_until=until if until and until > at else None,
        commands=_commands(store, store.tallies()),
    )


def _commands(store: Store, tallies: list[Tally]) -> tuple[CommandStanding, ...]:
    return tuple(_command(store, name, tallies) for name in sorted({tally.command for tally in tallies}))


def _command(store: Store, name: str, tallies: list[Tally]) -> CommandStanding:
    own = [tally for tally in tallies if tally.command == name]
    return CommandStanding(
        command=name,
        outcomes={tally.outcome: tally.runs for tally in own if tally.outcome is not None},
        unfinished=sum(tally.runs for tally in own if tally.outcome is None),
        last=store.last_run(name),
        last_good=_ended(own, GOOD | STUCK),
        last_failed=_ended(own, {tally.outcome for tally in own} - GOOD - STUCK - NEUTRAL),
    )


def _ended(tallies: list[Tally], outcomes: Collection[str | None]) -> str | None:
    return max((one.ended for one in tallies if one.outcome in outcomes and one.ended), default=None)


def _run(one: CommandStanding) -> dict[str, Any]:
    last = {name: getattr(one.last, name) for name in ("id", "started", "ended", "outcome")} if one.last else None
    return {"last": last, "last_good": one.last_good, "last_failed": one.last_failed}
