"""What has changed since a decision was made, by what was shown then and what would be shown now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhirbridge import fhirjson
from fhirbridge.store.decisions import Decision
from fhirbridge.sync.pull import proposal as proposals
from fhirbridge.sync.pull.proposal import Proposal

CORRECTED = "source corrected"
RELINKED = "patient relinked"
GONE = "source gone"
READ_ANEW = "means another value by the present files"
MOVED = "belongs to another visit now"
SAYS_IT_AGAIN = "the source says again what was decided"
SAME = "new version, nothing that matters changed"

JUDGE, POLICY = "fhirbridge", "policy"
"""Who decides where no person does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The decision that stands: the last one that was not a reopening."""

    decision: Decision
    shown: Proposal
    """What was shown when it was made."""
    opened: Decision | None
    """The reopening that came after it."""

    @property
    def accepts(self) -> bool:
        """Whether it takes the result into the study's data."""
        return self.decision.action in ("accept", "override")

    @property
    def by_policy(self) -> bool:
        """Whether no person made it, and none reopened it."""
        return self.decision.by == POLICY and (self.opened is None or self.opened.by == JUDGE)

    @property
    def visit(self) -> str | None:
        """The visit it was decided for."""
        return self.override("visit") or self.shown.visit

    def override(self, name: str) -> str | None:
        """Return what the person said instead of the proposal."""
        given = fhirjson.loads(self.decision.value) if self.decision.value else {}
        return given.get(name) if isinstance(given, dict) else None


def standing(decisions: Sequence[Decision]) -> Standing | None:
    """Return the decision that stands, None where there is none."""
    last = next((one for one in reversed(decisions) if one.action != "reopen"), None)
    if last is None:
        return None
    opened = decisions[-1] if decisions[-1].action == "reopen" else None
    return Standing(decision=last, shown=proposals.read_back(last.proposal), opened=opened)


def changes(stands: Standing, now: Proposal) -> tuple[str, ...]:
    """Return why a decision does not stand any more, by the result itself; nothing where it does.

    Compared is what matters: value, unit, codes, status, specimen's time. A method, a note or a version is not.
    """
    then = stands.shown
    source = [
        word
        for word, one, other in (
            ("value", then.reported, now.reported),
            ("code", then.details.get("codes"), now.details.get("codes")),
            ("status", then.status, now.status),
            ("specimen time", then.collected, now.collected),
            ("laboratory", then.laboratory, now.laboratory),
        )
        if one != other
    ]
    if source:
        return (*_another(stands, now), CORRECTED, *(f"changed: {word}" for word in source))
    meaning = [(one.analyte, one.value, one.unit, one.absent_reason, one.assay, one.measured) for one in (then, now)]
    found = [READ_ANEW] if meaning[0] != meaning[1] else []
    if then.visit != now.visit and stands.override("visit") is None:
        found.append(MOVED)
    return (*_another(stands, now), *found)


def _another(stands: Standing, now: Proposal) -> tuple[str, ...]:
    """Say that what was accepted may be another patient's, unless whoever accepted it was told so."""
    since = now.details.get("relinked")
    told = since is None or since == stands.shown.details.get("relinked")
    return () if told or not stands.accepts else (RELINKED,)
