"""One result on its way through a judgement: what is held of it, what it means, and how it stands so far."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from fhirbridge.protocol.slots import FollowUp
from fhirbridge.protocol.windows import Placement
from fhirbridge.store.decisions import Decision, NewDecision, State
from fhirbridge.study import Study
from fhirbridge.sync.pull.duplicates import Name
from fhirbridge.sync.pull.incoming import Incoming
from fhirbridge.sync.pull.meaning import OPEN, WITHDRAWN, Meaning
from fhirbridge.sync.pull.proposal import Proposal
from fhirbridge.sync.pull.reopening import GONE, RELINKED, Standing
from fhirbridge.terminology.laboratories import Laboratories

UNMAPPED = ("unmapped code", "code not valid then", "unit unknown")
"""Flags for which a row is missing in a laboratory's file."""
NOT_COLLECTED = "not collected by the study"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Under what results are judged; ``study`` is the one with the laboratories' analytes."""

    study: Study
    laboratories: Laboratories
    today: dt.date
    """Civil date in the study's time zone."""
    mapping: str | None = None
    """Digest of the laboratories' rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One result as it is held: the version that counts, and what was decided on it, the oldest first."""

    arrival: int
    incoming: Incoming
    decisions: Sequence[Decision] = ()
    relinked: bool = False
    """The source says now that it is another patient's, or did not say again that it is this one's."""
    doubted: str | None = None
    """When its subject was linked anew after it came, where its source cannot be asked whose it is now."""
    gone: bool = False
    """The source does not have it any more."""
    meaning: Meaning | None = None
    """What it means, where that is known already."""

    @property
    def name(self) -> Name:
        """What it is told apart by."""
        return self.incoming.feed, self.incoming.reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """All that is known of one subject."""

    follow_up: FollowUp
    results: tuple[Held, ...]


@dataclass(slots=True)
class Case:
    """One result on its way; ``state`` and ``reasons`` are what has been found so far."""

    held: Held
    meaning: Meaning
    state: State
    reasons: list[str]
    stands: Standing | None
    """The decision on it."""
    changes: tuple[str, ...] = ()
    """Why that decision does not stand any more, by the result itself."""
    placement: Placement | None = None
    rivals: int = 0
    """How many others compete for its visit."""
    contradicts: list[str] = field(default_factory=list)
    """In what it contradicts another result of its specimen."""
    proposal: Proposal | None = None
    ruling: NewDecision | None = None

    @property
    def name(self) -> Name:
        """What it is told apart by."""
        return self.held.name

    @property
    def accepted(self) -> bool:
        """Whether it was accepted, nobody reopened it, and its source says what it said then."""
        return (
            self.stands is not None
            and self.stands.accepts
            and self.stands.opened is None
            and not self.changes
            and self.state not in ("cancelled", "pending")
        )

    @property
    def rejected(self) -> bool:
        """Whether it was rejected, nobody reopened it, and its source says what it said then."""
        return self.stands is not None and not self.stands.accepts and self.stands.opened is None and not self.changes

    @property
    def competes(self) -> bool:
        """Whether it may be a visit's: usable, not rejected, no better one says the same, and it is the subject's."""
        in_doubt = self.held.doubted is not None and not self.accepted
        return self.state == "waiting" and self.meaning.usable and not self.rejected and not in_doubt

    @property
    def item(self) -> str:
        """The analyte that it was read as, by which it is placed."""
        return self.meaning.analyte.name if self.meaning.analyte else ""

    @property
    def inside(self) -> bool:
        """Whether it lies in a visit's window."""
        return self.placement is not None and self.placement.inside

    @property
    def analyte(self) -> str:
        """The analyte's name, as overridden where it is accepted so; empty where it is not known."""
        chosen = self.stands.override("analyte") if self.stands and self.state == "accepted" else None
        return chosen or self.item

    @property
    def visit(self) -> str | None:
        """The visit, as overridden where it is accepted so."""
        chosen = self.stands.override("visit") if self.stands and self.state == "accepted" else None
        return chosen or (self.placement.visit if self.placement else None)


def alone(held: Held, meaning: Meaning) -> tuple[State, list[str]]:
    """Return how a result stands by itself, without any other result and any decision, and why."""
    status, reading, doubts = held.incoming.status, meaning.reading, list(meaning.doubts)
    test, whose = meaning.harmonised.test, [RELINKED] if held.doubted is not None else []
    if held.relinked or held.gone:
        return "cancelled", [RELINKED if held.relinked else GONE]
    if status in WITHDRAWN or status in OPEN:
        return "pending" if status in OPEN else "cancelled", [f"status: {status}"]
    if any(code in UNMAPPED for code in doubts):
        return "unmapped", [*whose, *doubts]
    if test is not None and test.analyte is None and not doubts:
        return "unmapped", [*whose, NOT_COLLECTED]
    if reading.kind == "unreadable":
        return "unreadable", [*whose, *doubts, *([reading.reason] if reading.reason else [])]
    if reading.kind == "no result":
        absence = reading.absence or "not available"
        return ("pending" if absence == "pending" else "cancelled"), [absence]
    return "waiting", [*whose, *doubts]
