"""What DiagnosticReports say of the results they hold: an unfinished or withdrawn report takes its results with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fhirbridge.errors import Resource
from fhirbridge.sync.pull.incoming import SourceStatus
from fhirbridge.sync.pull.references import id_of

_STANDING: dict[str, SourceStatus] = {
    "final": "final", "amended": "final", "corrected": "final", "appended": "final",
    "registered": "preliminary", "partial": "preliminary", "preliminary": "preliminary",
    "cancelled": "cancelled", "entered-in-error": "entered-in-error",
}  # fmt: skip
"""http://hl7.org/fhir/R4/valueset-diagnostic-report-status.html; ``unknown`` says nothing."""
_BEST: tuple[SourceStatus, ...] = ("final", "preliminary", "cancelled", "entered-in-error")
_WITHDRAWN = ("cancelled", "entered-in-error")


@dataclass(frozen=True, slots=True)
class ReportStates:
    """How the reports that hold a result stand, and who they say performed it, by the Observation's id."""

    states: Mapping[str, SourceStatus] = field(default_factory=dict)
    performers: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, reports: Iterable[Resource], feed: str) -> ReportStates:
        """Read DiagnosticReports; other resources among them are passed over.

        Of several reports that hold a result the best counts: a report that was replaced by another withdraws none
        of its results.
        """
        states: dict[str, SourceStatus] = {}
        performers: dict[str, tuple[Any, ...]] = {}
        for report in reports:
            if not isinstance(report, dict) or report.get("resourceType") != "DiagnosticReport":
                continue
            state = _STANDING.get(str(report.get("status")))
            results = report.get("result")
            for result in results if isinstance(results, list) else []:
                id = id_of(result, "Observation", feed)
                if id is None or state is None:
                    continue
                states[id] = min(states.get(id, state), state, key=_BEST.index)
                named = report.get("performer")
                performers[id] = (*performers.get(id, ()), *(named if isinstance(named, list) else []))
        return cls(states, performers)

    def status(self, id: str, own: SourceStatus) -> SourceStatus:
        """Return a result's status with its reports counted: the result's own where it is no better than theirs."""
        state = self.states.get(id, "final")
        if own in _WITHDRAWN or state == "final":
            return own
        if state == "preliminary" and own == "registered":
            return own
        return state
