"""A run of a command, watched: noted in the store, logged, counted, and somebody told if it fails or works again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fhirbridge.automation import logs
from fhirbridge.automation.failing import harmless
from fhirbridge.automation.notify import Alert, Ended, Notifier
from fhirbridge.automation.standing import GOOD, NEUTRAL, STUCK
from fhirbridge.errors import StoreError
from fhirbridge.store import Store
from fhirbridge.sync.notes import Note

if TYPE_CHECKING:  # a tenth of a second that a command at a terminal need not spend
    from fhirbridge.automation.metrics import Metrics


@dataclass(slots=True)
class Run:
    """A run under way: its id, where to note what happens, and how it ended once ``end`` has said so."""

    id: str
    note: Note
    outcome: str = "interrupted"
    counts: dict[str, Any] = field(default_factory=dict)

    def end(self, outcome: str, counts: dict[str, Any]) -> None:
        """Say how the run ended and what it counted."""
        self.outcome, self.counts = outcome, counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Sees to it that the end of a command's run is known, whatever it is: what it notes, counts and tells by."""

    store: Store
    command: str
    study: str
    server: str | None = None
    metrics: Metrics | None = None
    notifier: Notifier | None = None

    @contextmanager
    def run(self) -> Iterator[Run]:
        """Give a run.

        An error that leaves the block makes the outcome "failed", unless ``end`` had spoken; Ctrl-C or a signal
        "interrupted". Notifications come last and fail nobody.
        """
        run = self._started()
        with logs.about(run=run.id, command=self.command, study=self.study, server=self.server) as run.note:
            run.note("run_started")
            began, error = time.monotonic(), None
            try:
                yield run
            except Exception as raised:
                error = raised
                if run.outcome == "interrupted":
                    run.end("failed", {"error": type(raised).__name__})
                raise
            finally:
                event = "run_ended" if run.outcome in GOOD | STUCK | NEUTRAL else "run_failed"
                seconds = round(time.monotonic() - began, 3)
                run.note(event, outcome=run.outcome, counts=run.counts, seconds=seconds, error=error)
                if self.metrics:
                    self.metrics.ended(self.command, run.counts)
                self._keep(run, error)

    def _started(self) -> Run:
        with logs.about(command=self.command, study=self.study, server=self.server) as note:
            try:
                return Run(self.store.start_run(self.command), note)
            except StoreError as error:
                note("run_failed", outcome="failed", error=error)
                self._tell_without_store(Run("", note, "failed"), error)
                raise

    def _keep(self, run: Run, error: Exception | None) -> None:
        """Keep in the store how a run ended and tell of it; what the store cannot keep is told all the same."""
        ended = self._ended(run, error)
        judged = self.notifier.judge(self.store, ended) if self.notifier else None
        try:
            self._finish(run, judged.alert if judged else None)
        except StoreError as lost:
            self._tell_without_store(replace(run, outcome="failed"), error or lost)
            raise
        if self.notifier and judged and judged.event:
            self._finish(run, self.notifier.tell(judged, ended, run.note))

    def _finish(self, run: Run, alert: Alert | None) -> None:
        kept = {**run.counts, "alert": asdict(alert)} if alert else run.counts
        self.store.finish_run(run.id, run.outcome, kept)

    def _tell_without_store(self, run: Run, error: Exception) -> None:
        if self.notifier:
            ended = self._ended(run, error)
            self.notifier.tell(self.notifier.judge(None, ended), ended, run.note)

    def _ended(self, run: Run, error: Exception | None) -> Ended:
        return Ended(
            command=self.command,
            run=run.id,
            study=self.study,
            server=self.server,
            outcome=run.outcome,
            counts=run.counts,
            message=harmless(error) if error else None,
        )
