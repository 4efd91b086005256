"""What a pull did: who was asked about, what was found and became of it, what was recorded, and whether all is well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fhirbridge.hospital.traffic import TrafficReport
from fhirbridge.store.decisions import INBOX
from fhirbridge.sync.pull.funnel import Funnel
from fhirbridge.sync.pull.linked import Unlinked
from fhirbridge.sync.pull.recording import RecordingReport
from fhirbridge.sync.pull.spool import Spooled


@dataclass(slots=True, kw_only=True)
class PullReport:
    """The report of one pull; subjects go by the ids of our Patients."""

    run: str
    study: str
    feed: str | None
    """The hospital's server, None where only messages were read."""
    full: bool
    linked: int = 0
    asked: int = 0
    """Subjects that were found at the hospital and asked about."""
    stopped: list[Unlinked] = field(default_factory=list)
    """Subjects that nothing was asked about, and why."""
    unanswered: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Subjects by question and what went wrong."""
    judged: int = 0
    funnel: Funnel = field(default_factory=Funnel)
    spool: Spooled | None = None
    recording: RecordingReport | None = None
    inbox: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """How many candidates there are now, by state and analyte."""
    failed: str | None = None
    """Why asking ended early."""
    interrupted: bool = False
    traffic: TrafficReport | None = None
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether every subject who may be asked about was, and every question answered whole."""
        return not (self.failed or self.unanswered or self.interrupted)

    @property
    def refused(self) -> list[Unlinked]:
        """Subjects who consent and could not be found or confirmed: a person must look."""
        return [one for one in self.stopped if one.state != "ended"]

    @property
    def needs_a_person(self) -> bool:
        """Whether something other than the inbox waits for somebody: a link, a record that was refused, a message."""
        faulty = self.spool is not None and bool(self.spool.messages["faulty"])
        return bool(self.refused) or faulty or (self.recording is not None and not self.recording.clean)

    @property
    def balanced(self) -> bool:
        """Whether all counts add up."""
        parts = [self.funnel.balanced, self.linked == self.asked + len(self.stopped)]
        parts += [part.balanced for part in (self.spool, self.recording) if part is not None]
        return all(parts)

    @property
    def waiting(self) -> int:
        """Candidates that wait for a person."""
        return sum(count for (state, _), count in self.inbox.items() if state in INBOX)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "run": self.run,
            "study": self.study,
            "feed": self.feed,
            "full": self.full,
            "linked": self.linked,
            "asked": self.asked,
            "stopped": dict(Counter(one.state for one in self.stopped)),
            "unanswered": [
                {"question": question, "message": message, "subjects": subjects}
                for (question, message), subjects in sorted(self.unanswered.items())
            ],
            "judged": self.judged,
            "funnel": self.funnel.as_dict(),
            "messages": self.spool.as_dict() if self.spool else None,
            "recording": self.recording.as_dict() if self.recording else None,
            "inbox": self._states(),
            "waiting": self.waiting,
            "complete": self.complete,
            "balanced": self.balanced,
            "failed": self.failed,
            "interrupted": self.interrupted,
            "requests": self.traffic.requests if self.traffic else 0,
            "bytes": self.traffic.bytes_received if self.traffic else 0,
            "retries": self.traffic.retries if self.traffic else 0,
            "seconds": round(self.seconds, 3),
        }

    def _states(self) -> dict[str, int]:
        states: Counter[str] = Counter()
        for (state, _), count in self.inbox.items():
            states[state] += count
        return dict(sorted(states.items()))
