"""The plan of a whole study that a person reads before anything is sent, and the application of exactly that plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhirbridge.hospital import Hospital
from fhirbridge.store import Store
from fhirbridge.sync.contact import contact
from fhirbridge.sync.looking import Look
from fhirbridge.sync.naming import Name
from fhirbridge.sync.planning import SENT, Change, Planned, explained, plan_group
from fhirbridge.sync.push import Chosen, PushOptions

DONE_QUIETLY = frozenset({"adopt", "no-op"})
"""Actions that send nothing and note something."""


@dataclass(slots=True)
class PlanCounts:
    """What a plan holds, by type and action. What is unchanged is in no plan and only counted."""

    desired: int = 0
    unchanged: int = 0
    withheld: int = 0
    by_type: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, change: Change) -> None:
        """Count one change."""
        self.by_type.setdefault(change.type, Counter())[change.action] += 1

    @property
    def actions(self) -> Counter[str]:
        """The counts of all types together."""
        return sum(self.by_type.values(), Counter[str]())

    @property
    def balanced(self) -> bool:
        """Whether each resource of the study is in the plan, unchanged or withheld."""
        return self.desired == self.unchanged + self.withheld + self.actions.total()

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as plain JSON values."""
        return {
            "desired": self.desired,
            "unchanged": self.unchanged,
            "withheld": self.withheld,
            "actions": dict(sorted(self.actions.items())),
            "by_type": {kind: dict(sorted(counts.items())) for kind, counts in sorted(self.by_type.items())},
            "balanced": self.balanced,
        }


class Planner:
    """Plans a study at a server, compartment by compartment. With ``look`` the server is asked what it holds.

    Raises HospitalError where it cannot be asked, and StoreError.
    """

    def __init__(
        self, store: Store, hospital: Hospital, study_id: str, options: PushOptions, *, look: bool = True
    ) -> None:
        self.counts = PlanCounts()
        self._store = store
        self._server = hospital.server_id
        self._study = study_id
        self._policy = options.withdrawal
        self._look: Look | None = None
        if look:
            self._look = Look(store, hospital, options.strategies_at(contact(store, hospital)))

    def groups(self) -> Iterator[list[Planned]]:
        """Yield what is planned for each compartment, the study's own first, and count it."""
        backlog = self._store.backlog(self._server, self._study, self._policy)
        self.counts.desired, self.counts.withheld = backlog.desired, backlog.withheld
        self.counts.unchanged = backlog.desired - backlog.pending - backlog.withheld
        absent = self._store.absent_names(self._server, self._study)
        for name in self._store.outstanding(self._server, self._study, self._policy, blocked=True):
            planned = [explained(one, self._store, self._server) for one in self.group(name, set(absent))]
            for one in planned:
                self.counts.add(one.change)
            yield planned

    def group(self, compartment: str, missing: set[Name]) -> list[Planned]:
        """Return what is planned for one compartment now."""
        deliveries = self._store.deliveries(self._server, self._study, compartment, self._policy)
        planned = plan_group(deliveries, missing)
        return planned if self._look is None else self._look.check(planned)

    def moved(self, compartment: str, saved: Sequence[Change]) -> list[str]:
        """Return in words what is no longer as a saved plan has it, in one compartment; [] if all is."""
        absent = self._store.absent_names(self._server, self._study)
        now = {one.name: one.change for one in self.group(compartment, absent)}
        return [difference for change in saved if (difference := _moved(change, now.get((change.type, change.id))))]


def chooser(saved: Callable[[str], Sequence[Change]], refused: list[str]) -> Chosen:
    """Return what push asks before it applies a compartment: of what is planned now, just what the saved plan has.

    What moved since the plan was checked is added to ``refused`` in words, and left alone.
    """

    def chosen(compartment: str, planned: Sequence[Planned]) -> list[Planned]:
        going: list[Planned] = []
        plan = {(change.type, change.id): change for change in saved(compartment)}
        for one in planned:
            wanted = plan.get(one.name)
            if wanted is None:
                continue
            waits = one.change.action not in SENT | DONE_QUIETLY and one.change.action != wanted.action
            if waits or _aims(one.change) != _aims(wanted):
                refused.append(_moved(wanted, one.change) or f"{wanted.type}/{wanted.id} moved")
                continue
            going.append(
                one.changed(
                    action=wanted.action, version=wanted.version, server_id=wanted.server_id, owner=wanted.owner
                )
            )
        return going

    return chosen


def _aims(change: Change) -> tuple[str, str | None, str]:
    return change.hash, change.sent, change.state


def _moved(saved: Change, now: Change | None) -> str | None:
    name = f"{saved.type}/{saved.id}"
    if now is None:
        return None if saved.action in DONE_QUIETLY else f"{name}: nothing is left to {saved.action}"
    if _aims(now) != _aims(saved):
        return f"{name}: our content changed since"
    if now.action != saved.action:
        why = f" ({now.why})" if now.why else ""
        return f"{name}: it was to {saved.action}, now it is to {now.action}{why}"
    if (now.version, now.server_id, now.owner) != (saved.version, saved.server_id, saved.owner):
        return f"{name}: the server has another version"
    return None
