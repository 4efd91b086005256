"""The spool of HL7 v2 messages: kept sealed before their sender hears that they are, read later in their order."""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from fhirbridge.errors import ConfigurationError, Finding, StoreError
from fhirbridge.records.hl7v2.faults import label
from fhirbridge.records.hl7v2.header import PROCESSING
from fhirbridge.records.hl7v2.reader import Reading, read
from fhirbridge.records.hl7v2.types import Message
from fhirbridge.sealing import Seal
from fhirbridge.store import Store
from fhirbridge.store.instants import utc_now
from fhirbridge.store.messages import Arriving, Kept, Received, State
from fhirbridge.sync.leasing import Leases
from fhirbridge.sync.notes import Note, silent
from fhirbridge.sync.pull.from_messages import Senders
from fhirbridge.sync.pull.linking import Linking
from fhirbridge.sync.pull.message_results import Fates, Results
from fhirbridge.terminology.laboratories import Laboratories

PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """Puts messages into the spool; what is kept is committed when the call returns."""

    store: Store
    seal: Seal
    study: str
    run: str | None = None

    def __call__(self, raw: bytes, reading: Reading) -> Kept:
        """Keep one message that was read without a fault of the whole, or is to be looked at. Raises StoreError."""
        return self.store.messages.keep(self.study, [self._sealed(raw, reading)], run=self.run)[0]

    def together(self, messages: Sequence[tuple[bytes, Reading]]) -> None:
        """Keep several in one transaction, all or none. Raises StoreError."""
        self.store.messages.keep(self.study, [self._sealed(raw, reading) for raw, reading in messages], run=self.run)

    def _sealed(self, raw: bytes, reading: Reading) -> Arriving:
        digests = self.seal.lookups(f"HL7 v2 message {hashlib.sha256(raw).hexdigest()}")
        # Its bytes are bound to the digest it is filed under, which an older key may have made.
        digest = self.store.messages.digest_of(self.study, digests) or digests[0]
        state: State = "faulty" if reading.outcome == "refused" else "waiting"
        return Arriving(
            digests=[digest],
            sealed=self.seal.seal(raw, about(digest)),
            source=source_of(reading),
            state=state,
            findings=tuple(reading.findings()),
        )


def about(digest: str) -> str:
    """Return what the sealed bytes of a message are bound to."""
    return f"message {digest}"


def source_of(reading: Reading) -> str:
    """Return application and facility of a message's sender, as its header has them."""
    header = reading.header
    if header is None:
        return ""
    parts = [header.component(number, 1) or header.component(number, 2) for number in (3, 4)]
    return "^".join(part[:100] for part in parts)


@dataclass(slots=True, kw_only=True)
class Spooled:
    """What one look at the spool did. ``messages`` by state they ended in; the rest is of results."""

    taken: int = 0
    """Messages that were read."""
    messages: Counter[State] = field(default_factory=Counter)
    found: int = 0
    """Results in them: those that were read, and each that was set aside."""
    fates: Fates = field(default_factory=Counter)
    subjects: dict[str, Fates] = field(default_factory=dict)
    """The same by subject (the id of our Patient)."""
    expired: int = 0
    """Messages whose content was kept long enough and is emptied now."""
    busy: bool = False
    """Another process is reading the spool; nothing was done."""
    interrupted: bool = False

    @property
    def balanced(self) -> bool:
        """Whether every message ended in one state, and every result in one fate."""
        return self.taken == self.messages.total() and self.found == self.fates.total()

    @property
    def moved(self) -> tuple[str, ...]:
        """The subjects of whom something new or changed arrived."""
        return tuple(sorted(subject for subject, fates in self.subjects.items() if fates["new"] or fates["changed"]))

    def as_dict(self) -> dict[str, object]:
        """Return the counts as plain JSON values."""
        return {
            "messages": self.taken,
            "states": dict(self.messages),
            "found": self.found,
            "fates": dict(self.fates),
            "expired": self.expired,
            "balanced": self.balanced,
        }


@dataclass(slots=True, kw_only=True)
class Spool:
    """Reads what waits in the spool of one study; use it for one run."""

    store: Store
    seal: Seal
    study: str
    linking: Linking
    laboratories: Laboratories
    senders: Senders
    run: str
    assume: str | None = None
    processing: Collection[str] = PROCESSING
    keep_days: float = 30.0
    """How long the content of a message at fault is kept, from when it was received."""
    unlinked_days: float = 0.0
    """How long that of people who are no subjects is kept, for those who are linked later; 0 is not at all."""
    clock: Callable[[], dt.datetime] = utc_now
    note: Note = silent
    stop: threading.Event = field(default_factory=threading.Event)

    def process(self) -> Spooled:
        """Read all messages that wait, one after the other, in the order in which they came.

        One that cannot be read is marked as faulty and stops nothing. Killed at any point, the next call goes on: a
        result that had arrived arrives unchanged. Raises StoreError, and ConfigurationError without the linking key.
        """
        report = Spooled()
        if not self._anything():  # as at most times: then nothing is written, nor a lease taken
            return report
        with Leases(self.store) as leases:
            if leases.take(f"spool:{self.study}") is None:
                report.busy = True
                return report
            report.expired = self._expire()
            results = Results(
                store=self.store, study=self.study, linking=self.linking, laboratories=self.laboratories,
                senders=self.senders, run=self.run, report=report,
            )  # fmt: skip
            for received, raw in self._opened(report):
                if self.stop.is_set() or leases.lost.is_set():
                    report.interrupted = True
                    break
                self._take(received, raw, results, report)
        return report

    def _anything(self) -> bool:
        """Say whether a message waits to be read, or one has been kept for long enough."""
        messages = self.store.messages
        waits = bool(messages.waiting(self.study, limit=1))
        return waits or any(messages.expiring(self.study, (state,), before=until) for state, until in self._limits())

    def _limits(self) -> list[tuple[State, dt.datetime]]:
        """Return up to when messages that are not done are thrown away, by their state."""
        kept: tuple[tuple[State, float], ...] = (("faulty", self.keep_days), ("no subject", self.unlinked_days))
        now = self.clock()
        return [(state, now - dt.timedelta(days=days)) for state, days in kept]

    def _expire(self) -> int:
        messages = self.store.messages
        return sum(messages.expire(self.study, (state,), before=until) for state, until in self._limits())

    def _opened(self, report: Spooled) -> Iterator[tuple[Received, bytes]]:
        """Yield the messages that wait, opened. One that does not open though others do is marked as faulty."""
        messages, after, closed, opened = self.store.messages, 0, list[tuple[Received, Exception]](), False
        while page := messages.waiting(self.study, after=after, limit=PAGE):
            for received in page:
                after = received.key
                try:
                    raw = self.seal.open(messages.content(received.key), about(received.digest))
                except (ConfigurationError, StoreError) as error:
                    closed.append((received, error))
                    continue
                opened = True
                yield received, raw
        if closed and not opened and isinstance(closed[0][1], ConfigurationError):
            raise closed[0][1]  # the key is another one: then nothing is wrong with the messages
        for received, _ in closed:
            report.taken += 1
            self._mark(received, "faulty", [_DAMAGED], report)

    def _take(self, received: Received, raw: bytes, results: Results, report: Spooled) -> None:
        report.taken += 1
        try:
            state, findings = self._read(raw, results)
        except (StoreError, ConfigurationError):
            raise  # nothing of this message: the next ones would fare the same
        except Exception as error:  # noqa: BLE001  # one message must not stop the rest
            self.note("message_failed", error=error)
            state, findings = "faulty", [_failed(error)]
        self._mark(received, state, findings, report)

    def _read(self, raw: bytes, results: Results) -> tuple[State, Sequence[Finding]]:
        reading = read(raw, assume=self.assume, processing=self.processing)
        if reading.message is None:
            state: State = "ignored" if reading.outcome == "ignored" else "faulty"
            return state, reading.findings()
        return taken(reading.message, results, reading.findings())

    def _mark(self, received: Received, state: State, findings: Sequence[Finding], report: Spooled) -> None:
        kept = state == "faulty" or (state == "no subject" and self.unlinked_days > 0)
        self.store.messages.mark(received.key, state, findings, run=self.run, emptied=not kept)
        report.messages[state] += 1
        if state == "faulty":
            self.note("message_faulty", reason=findings[0].rule if findings else "unknown")


def taken(message: Message, results: Results, findings: list[Finding]) -> tuple[State, Sequence[Finding]]:
    """Take the results of each patient of a message; return its state and all that is wrong with it."""
    # What the reader set aside was found as well.
    results.count("unusable", len(findings))
    everybody = [results.of_patient(message, patient, findings) for patient in message.patients]
    if findings:
        return "faulty", findings
    return ("done" if any(everybody) else "no subject"), findings


_DAMAGED = Finding(
    record="a message",
    rule="sealed",
    message="its sealed bytes do not open, though those of others do",
    remedy="Ask the sender for it again; look whether the database was restored in parts",
)


def _failed(error: Exception) -> Finding:
    return Finding(
        record=label(""),
        rule="failed",
        message=f"reading it failed ({type(error).__name__}), which is a fault of fhirbridge",
        remedy="Report it, without the message; once mended, `fhirbridge messages retry`",
    )
