"""A ``Work`` for tests: a real store, jobs of the test's own, and a clock that stands still."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fhirbridge import settings
from fhirbridge.automation.jobs import Outcome, Work
from fhirbridge.automation.runs import Run, Watch
from fhirbridge.store import Delivered, Store

NOW = dt.datetime(2026, 6, 1, 12, 0, 30, tzinfo=dt.UTC)
SERVER = "http://hospital.test/fhir"


@dataclass
class Hospital:
    """Takes whatever it is sent and acknowledges it, unless it is away; remembers who was sent."""

    store: Store
    sent: list[str] = field(default_factory=list)
    away: bool = False

    def push(self, compartments: Sequence[str] | None = None, *, command: str = "push") -> Outcome:
        for compartment in compartments if compartments is not None else self.store.outstanding(SERVER, "trial"):
            waiting = self.store.deliveries(SERVER, "trial", compartment)
            if self.away:
                return Outcome(result="incomplete", exit_code=3)
            if waiting:
                self.sent.append(compartment)
            taken = [Delivered(key=one.stored.key, hash=one.stored.hash, sent=None, version="1") for one in waiting]
            self.store.acknowledge(SERVER, taken, run="run-1")
        return Outcome()


def work_on(store: Store, *, clock: Callable[[], dt.datetime] = lambda: NOW, **given: Any) -> Work:
    """Return work on a store, with what a test wants otherwise."""

    @contextmanager
    def run(command: str) -> Iterator[Run]:
        with Watch(store=store, command=command, study="trial", server=SERVER).run() as noted:
            yield noted

    parts: dict[str, Any] = {
        "settings": settings.read(hospital=SERVER),
        "store": store,
        "study": "trial",
        "zone": dt.UTC,
        "server": SERVER,
        "push": Hospital(store).push,
        "pull": Outcome,
        "reconcile": Outcome,
        "load": lambda source: None,
        "release": Outcome,
        "run": run,
        "note": lambda event, **facts: None,
        "clock": clock,
    }
    return Work(**{**parts, **given})
