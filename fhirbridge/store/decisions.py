"""Decisions on candidates: what a person may decide when, and how that is kept; append-only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import Connection, insert, select

from fhirbridge import fhirjson
from fhirbridge.errors import Refused
from fhirbridge.store.schema import decision
from fhirbridge.store.writes import batches

State = Literal[
    "pending", "cancelled", "unmapped", "unreadable", "duplicate", "waiting", "reopened", "accepted", "rejected"
]
Action = Literal["accept", "reject", "override", "reopen"]

STATES: tuple[State, ...] = get_args(State)
INBOX: tuple[State, ...] = ("waiting", "reopened", "unreadable")
WORKLIST: tuple[State, ...] = ("unmapped",)
LEADS_TO: Mapping[Action, State] = {
    "accept": "accepted",
    "override": "accepted",
    "reject": "rejected",
    "reopen": "reopened",
}
WITHDRAWN = "source withdrawn"
"""The reason of a candidate whose source took the result back: it can be rejected or overridden, not accepted."""

MACHINES = ("policy", "fhirbridge")
"""By whom decisions are that no person made."""

OVERRIDES = ("value", "unit", "visit", "analyte")
"""What an override may say instead of the proposal."""

_OPEN: frozenset[State] = frozenset({"waiting", "reopened", "unreadable", "duplicate", "unmapped"})
_FROM: Mapping[Action, frozenset[State]] = {
    "accept": frozenset({"waiting", "reopened"}),
    "reject": _OPEN,
    "override": _OPEN,
    "reopen": frozenset({"accepted", "rejected"}),
}
_WHY: Mapping[State, str] = {
    "pending": "its laboratory is not done with it; its final result comes by itself",
    "cancelled": "its source says that there is no result",
    "unmapped": "its test is not mapped: map its code, or `override` says what it is",
    "unreadable": "it could not be read for certain: `override` says what it means",
    "duplicate": "it says what another candidate says: decide that one, or `override` if it does not",
    "accepted": "it is accepted: `reopen` it first, with a reason",
    "rejected": "it is rejected: `reopen` it first, with a reason",
    "waiting": "it still waits for a decision",
    "reopened": "it still waits for a decision",
}


class Stale(Refused):
    """A decision on a version that is no longer the last one of its source."""

    issue_code = "conflict"
    http_status = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision on a candidate, the first is number 1; ``value`` is the JSON of an override."""

    candidate: int
    number: int
    arrival: int
    action: Action
    by: str
    at: str
    reason: str
    value: bytes | None
    proposal: bytes
    run: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDecision:
    """A decision to be kept: of a person, of a policy (by ``policy``), or of the judge (by ``fhirbridge``)."""

    action: Action
    by: str
    reason: str
    value: bytes | None = None


def name(key: int) -> str:
    """Return what people call a candidate."""
    return f"C-{key}"


def check(state: State, reasons: tuple[str, ...], new: NewDecision, *, candidate: str) -> None:
    """Raise Refused unless a person may decide so on a candidate that stands so."""
    if state not in _FROM[new.action]:
        raise Refused(f"{candidate} cannot be decided so ({new.action}): {_WHY[state]}.")
    if new.action == "accept" and WITHDRAWN in reasons:
        raise Refused(f"{candidate} cannot be accepted: its source withdrew it. `reject` it, or `override` the value.")
    if new.action != "accept" and not new.reason.strip():
        raise Refused(f"{candidate}: to {new.action} needs a reason, for those who read it later.")
    if "\x00" in new.reason + new.by:
        raise Refused(f"{candidate}: a reason or a name cannot have the character U+0000.")
    if not new.by.strip() or new.by in MACHINES:
        raise Refused(f"{candidate}: a decision needs the name of who decides, and {new.by!r} is nobody's.")
    if new.action != "override":
        if new.value is not None:
            raise Refused(f"{candidate}: only an override gives a value of its own, not a decision to {new.action}.")
        return
    given = fhirjson.loads(new.value or b"{}")
    texts = isinstance(given, dict) and all(isinstance(text, str) and text.strip() for text in given.values())
    if not texts or not given or set(given) - set(OVERRIDES):
        raise Refused(f"{candidate}: an override gives at least one of {', '.join(OVERRIDES)}, each as text.")
    if state == "unmapped" and "analyte" not in given:
        raise Refused(f"{candidate}: its test is not mapped, so an override of it must name the analyte.")


def keep(connection: Connection, decided: Iterable[Decision]) -> None:
    """Append decisions."""
    rows = [{field: getattr(one, field) for field in Decision.__dataclass_fields__} for one in decided]
    if rows:
        connection.execute(insert(decision), rows)


def of(connection: Connection, candidates: Iterable[int]) -> dict[int, list[Decision]]:
    """Return the decisions on these candidates, the oldest first."""
    found: dict[int, list[Decision]] = {}
    for some in batches(candidates):
        chosen = select(decision).where(decision.c.candidate.in_(some))
        ordered = chosen.order_by(decision.c.candidate, decision.c.number)
        for row in connection.execute(ordered).mappings():
            found.setdefault(row["candidate"], []).append(_made(dict(row)))
    return found


def _made(row: dict[str, Any]) -> Decision:
    value = None if row["value"] is None else bytes(row["value"])
    return Decision(**row | {"value": value, "proposal": bytes(row["proposal"])})
