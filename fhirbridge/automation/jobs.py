"""What is done without anybody asking: the table of jobs, and how one of them runs, for `run` and `worker` alike.

A job is one function of a ``Work``; a new kind of job is a row of JOBS and a setting ``schedule_<kind>``.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, Literal, Protocol

from fhirbridge.automation import inbox
from fhirbridge.automation.standing import look
from fhirbridge.errors import EXIT_BUG, EXIT_INTERRUPTED, EXIT_REFUSED, EXIT_SERVER, FhirbridgeError, StoreError
from fhirbridge.settings import Settings
from fhirbridge.store import Store
from fhirbridge.store.requests import requested
from fhirbridge.sync.notes import Note

Result = Literal["done", "refused", "needs a person", "incomplete", "failed", "interrupted", "skipped"]

PART = "push_part"
"""The command that runs of parts of a push are noted under: they say nothing about the push as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a job went; ``counts`` are numbers by name, and ``exit_code`` is what a command would have ended with."""

    result: Result = "done"
    counts: Mapping[str, Any] = field(default_factory=dict)
    exit_code: int = 0


class Send(Protocol):
    """Pushes what is outstanding: everything, or these compartments ('' is the study's own resources)."""

    def __call__(self, compartments: Sequence[str] | None = None, *, command: str = "push") -> Outcome: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What jobs work with and on, put together by the composition root; safe to use from several threads."""

    settings: Settings
    store: Store
    study: str
    zone: tzinfo
    server: str | None
    push: Send
    pull: Callable[[], Outcome]
    reconcile: Callable[[], Outcome]
    load: inbox.Load
    release: Callable[[], Outcome]
    run: inbox.Runs
    note: Note
    clock: Callable[[], datetime]
    stop: threading.Event = field(default_factory=threading.Event)
    """Set once the process is to end: jobs under way finish in good order, as after Ctrl-C."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A kind of job: what it does, and the setting without which it cannot."""

    kind: str
    does: str
    needs: str
    work: Callable[[Work], Outcome]
    wanted: Callable[[Work], bool] = lambda _work: False
    """Whether somebody asked for it beside the schedule."""

    @property
    def setting(self) -> str:
        """The setting that says when."""
        return f"schedule_{self.kind}"


def _ingest(work: Work) -> Outcome:
    """Load what lies complete in the inbox, delivery after delivery, and put each away."""
    assert work.settings.inbox is not None
    box = inbox.Inbox(work.settings.inbox, quiet=work.settings.inbox_quiet)
    counts = {"done": 0, "refused": 0}
    for delivery in box.deliveries(now=work.clock().timestamp()):
        if work.stop.is_set():
            return Outcome(result="interrupted", counts=counts, exit_code=EXIT_INTERRUPTED)
        accepted = inbox.ingest(box, delivery, work)
        counts["done" if accepted else "refused"] += 1
    if counts["refused"]:
        return Outcome(result="refused", counts=counts, exit_code=EXIT_REFUSED)
    return Outcome(counts=counts)


JOBS = (
    Job(kind="ingest", does="loads the records that were put into the inbox", needs="inbox", work=_ingest),
    Job(
        kind="pull",
        does="asks for laboratory results, judges them and records what is accepted",
        needs="linking_key",
        work=lambda work: work.pull(),
        wanted=lambda work: work.server is not None and requested(work.store, work.study, work.server, work.clock()),
    ),
    Job(
        kind="push",
        does="sends what the hospital has not acknowledged",
        needs="hospital",
        work=lambda work: work.push(),
    ),
    Job(
        kind="reconcile",
        does="compares the hospital's server with what it acknowledged",
        needs="hospital",
        work=lambda work: work.reconcile(),
    ),
    Job(
        kind="release",
        does="brings what registries see up to date with the store",
        needs="agreements",
        work=lambda work: work.release(),
    ),
)
"""Every kind of job, in the order in which they are done where several are due."""


def perform(job: Job, work: Work) -> Outcome:
    """Do a job and say how it went. Never raises: what goes wrong is logged and noted as a failed run."""
    return attempt(job.kind, work, lambda: job.work(work))


def attempt(kind: str, work: Work, task: Callable[[], Outcome]) -> Outcome:
    """Do a task as a job of this kind: see ``perform``."""
    work.note("job_taken", task=kind)
    started, before = work.clock(), _last_run(work.store, kind)
    try:
        outcome = task()
    except Exception as error:  # one failure must not end the service
        work.note("job_failed", task=kind, error=error)
        if _last_run(work.store, kind) == before:
            with suppress(type(error), StoreError), work.run(kind):
                raise error
        return Outcome(result="failed", exit_code=error.exit_code if isinstance(error, FhirbridgeError) else EXIT_BUG)
    seconds = round((work.clock() - started).total_seconds(), 3)
    work.note("job_finished", task=kind, outcome=outcome.result, counts=outcome.counts, seconds=seconds)
    return outcome


def _last_run(store: Store, kind: str) -> str | None:
    try:
        last = store.last_run(kind)
    except StoreError:  # the store itself may be what fails; whoever asks goes on and finds out
        return None
    return None if last is None else last.id


def outstanding_subjects(work: Work, *, after: str, most: int) -> tuple[list[str], bool]:
    """Return the next subjects with something to send, in the order of their ids, and whether there are more."""
    assert work.server is not None
    waiting = work.store.outstanding(work.server, work.study, work.settings.withdrawal)
    found = heapq.nsmallest(most + 1, (name for name in waiting if name > after))
    return found[:most], len(found) > most


def push_study(work: Work) -> Outcome:
    """Push the study's own resources, and note a run of push that says how things stand with the whole of it.

    Unless it is incomplete subjects may follow: their resources refer to the study's.
    """
    assert work.server is not None
    policy = work.settings.withdrawal
    with work.run("push") as run:
        if work.push([""], command=PART).result == "interrupted":
            return Outcome(result="interrupted", exit_code=EXIT_INTERRUPTED)
        pending = any(one.pending for one in work.store.deliveries(work.server, work.study, "", policy))
        standing = look(work.store, study=work.study, server=work.server, policy=policy, now=work.clock())
        assert standing.backlog is not None
        stuck = standing.backlog.parked + standing.backlog.conflicts
        counts = {"waiting": standing.backlog.pending - stuck, "needing_a_person": stuck}
        outcome = Outcome(counts=counts)
        if pending or standing.open_until is not None:
            outcome = Outcome(result="incomplete", counts=counts, exit_code=EXIT_SERVER)
        elif stuck:
            outcome = Outcome(result="needs a person", counts=counts, exit_code=EXIT_REFUSED)
        run.end(outcome.result, counts)
    return outcome
