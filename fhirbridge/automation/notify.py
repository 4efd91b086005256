"""Telling people that a command failed, still fails or works again: on change, and as a reminder.

What was told last is kept with the runs themselves (``counts.alert`` of each run while something is wrong), so it
survives restarts and is shared by all processes of an installation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from fhirbridge.automation.facts import numbers
from fhirbridge.automation.standing import GOOD, NEUTRAL, STUCK
from fhirbridge.errors import FhirbridgeError, StoreError
from fhirbridge.store import Store, instants
from fhirbridge.sync.notes import Note

Event = Literal["run_failed", "run_still_failing", "run_needs_a_person", "run_recovered"]
Trouble = Literal["failing", "stuck"]

LOOKED_BACK = 100
"""Runs of a command that are looked back on; only killed ones, which know nothing, can stand in between."""

_SAID: dict[Event, str] = {
    "run_failed": "failed",
    "run_still_failing": "still fails",
    "run_needs_a_person": "needs a decision",
    "run_recovered": "works again",
}


class NotDelivered(FhirbridgeError):
    """A channel could not deliver a notification; the text holds no address with a secret in it."""

    def __init__(self, message: str, *, temporary: bool, reached_some: bool = False) -> None:
        super().__init__(message)
        self.temporary = temporary
        self.reached_some = reached_some


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What is told: names, numbers and instants, and nothing of a subject. ``since`` is when it first failed."""

    event: Event
    command: str
    run: str
    study: str
    server: str | None
    outcome: str
    at: str
    since: str
    counts: dict[str, int | float]
    message: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)

    @property
    def title(self) -> str:
        """One line: what happened to which command of which study."""
        return f"{self.command} of {self.study} {_SAID[self.event]}"


class Channel(Protocol):
    """A way to tell somebody. ``send`` raises NotDelivered."""

    @property
    def name(self) -> str: ...
    def send(self, notice: Notice) -> None: ...


@dataclass(frozen=True, slots=True)
class Alert:
    """Something is wrong with a command since a moment.

    ``told`` is when somebody was last told of this trouble, None if nobody was; ``known`` is whether anybody knows of
    any trouble, and so has to be told when it is over.
    """

    since: str
    trouble: Trouble = "failing"
    told: str | None = None
    known: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be told of a run, None if nothing; and the alert to keep with it, None if nothing is wrong."""

    event: Event | None
    alert: Alert | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run that ended: what a notice is made from. ``message`` is harmless text of the error that ended it."""

    command: str
    run: str
    study: str
    server: str | None
    outcome: str
    counts: Mapping[str, Any]
    message: str | None = None


class Notifier:
    """Decides who is told what of a run's end, and tells them; whatever goes wrong with that is noted, not raised.

    Trouble is told once, then again every ``reminder`` (never if zero), and its end once; so is the change from a
    server that fails to resources that need a decision, and back. A notice that no channel
    delivered is due again with the next run.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        *,
        reminder: timedelta = timedelta(hours=24),
        clock: Callable[[], datetime] = instants.utc_now,
        counted: Callable[[str, bool], None] | None = None,
    ) -> None:
        self._channels = channels
        self._reminder = reminder
        self._clock = clock
        self._counted = counted
        self._known: dict[str, Alert | None] = {}

    def judge(self, store: Store | None, ended: Ended) -> Judgement:
        """Return what is to be told of a run, and the alert to be kept with it.

        ``store`` is where the runs before it are; without one, or where it cannot be read, what this process knows
        has to do, so that the loss of the database is told too.
        """
        judged = due(self._before(store, ended), ended.outcome, self._clock(), self._reminder)
        self._known[ended.command] = judged.alert
        return judged

    def tell(self, judged: Judgement, ended: Ended, note: Note) -> Alert | None:
        """Tell everybody what is due, and return the alert as it stands now, to be kept with the run instead."""
        alert, now = judged.alert, self._clock()
        if judged.event is None or alert is None:
            return alert
        if self._delivered(_notice(judged.event, ended, alert, now), note):
            alert = None if judged.event == "run_recovered" else replace(alert, told=instants.written(now), known=True)
            self._known[ended.command] = alert
        return alert

    def _before(self, store: Store | None, ended: Ended) -> Alert | None:
        try:
            runs = store.runs(ended.command, limit=LOOKED_BACK) if store else []
        except StoreError:
            runs = []
        for run in runs:
            if run.id != ended.run and run.ended is not None:
                kept = (run.counts or {}).get("alert")
                return Alert(**kept) if kept else None
        return self._known.get(ended.command)

    def _delivered(self, notice: Notice, note: Note) -> bool:
        """Tell everybody, and return whether anybody was reached."""
        reached = False
        for channel in self._channels:
            try:
                channel.send(notice)
            except NotDelivered as error:
                note("notification_failed", channel=channel.name, kind=notice.event, error=error)
                self._count(channel.name, False)
                reached = reached or error.reached_some
            else:
                note("notification_sent", channel=channel.name, kind=notice.event)
                self._count(channel.name, True)
                reached = True
        return reached

    def _count(self, channel: str, delivered: bool) -> None:
        if self._counted is not None:
            self._counted(channel, delivered)


def due(before: Alert | None, outcome: str, now: datetime, reminder: timedelta) -> Judgement:
    """Judge an outcome by the alert there was before."""
    if outcome in NEUTRAL:
        return Judgement(None, before)
    if outcome in GOOD:
        return Judgement("run_recovered", before) if before and before.known else Judgement(None, None)
    trouble: Trouble = "stuck" if outcome in STUCK else "failing"
    alert = before
    if alert is None or alert.trouble != trouble:
        alert = Alert(since=instants.written(now), trouble=trouble, known=before.known if before else False)
    if alert.told is None:
        return Judgement("run_failed" if trouble == "failing" else "run_needs_a_person", alert)
    if not reminder or now - datetime.fromisoformat(alert.told) < reminder:
        return Judgement(None, alert)
    return Judgement("run_still_failing" if trouble == "failing" else "run_needs_a_person", alert)


def _notice(event: Event, ended: Ended, alert: Alert, now: datetime) -> Notice:
    counts = numbers(ended.counts)
    counted = ", ".join(f"{name.replace('_', ' ')} {number:,}" for name, number in counts.items() if number)
    parts = [f"{ended.command} of {ended.study} {_SAID[event]} (outcome: {ended.outcome}).", ended.message]
    parts.append(f"Counts: {counted}." if counted else None)
    if event != "run_recovered":
        parts.append("`fhirbridge status` shows what waits, `fhirbridge deadletters list` what needs a decision.")
    return Notice(
        event=event,
        command=ended.command,
        run=ended.run,
        study=ended.study,
        server=ended.server,
        outcome=ended.outcome,
        at=instants.written(now),
        since=alert.since,
        counts=counts,
        message=" ".join(part for part in parts if part),
    )
