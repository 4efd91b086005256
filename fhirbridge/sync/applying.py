"""Applying: what is planned for one compartment is sent, and what became of each resource is noted at once.

A Bundle that is refused is halved until the resource at fault stands alone: that one is parked or becomes a conflict,
what refers to it is held, and everything else goes on in its order. Trouble with the server itself stops the
compartment, and nothing of it is parked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fhirbridge.errors import FatalHospitalError, HospitalError, Resource, TemporaryHospitalError
from fhirbridge.hospital import EntryResult, Hospital, delete_entry
from fhirbridge.sync.applied import DONE, Applied
from fhirbridge.sync.entries import entry, is_conditional, parts, urn
from fhirbridge.sync.ledger import Ledger, Taken
from fhirbridge.sync.looking import Look
from fhirbridge.sync.naming import Name, references
from fhirbridge.sync.ordering import by_dependency
from fhirbridge.sync.planning import SENT, Planned
from fhirbridge.sync.push_report import Fate, PushFailure
from fhirbridge.sync.refusals import VERSION_MOVED, is_the_servers, problem, takes_no_bundle
from fhirbridge.sync.strategies import Strategies

_LOOKS = 5
"""How often a version that moved is looked for: after a lost answer it was our own write that moved it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applying:
    """How plans are applied at one server in one run; shared by threads, each with its own ``missing``.

    ``attempts`` bounds how often, in as many runs, one resource may meet the same temporary failure by itself
    before it is parked. ``stopping`` is asked before each Bundle.
    """

    hospital: Hospital
    strategies: Strategies
    look: Look
    ledger: Ledger
    attempts: int
    stopping: Callable[[], bool]

    def group(self, planned: Sequence[Planned], missing: set[Name]) -> Applied:
        """Do what is planned for one compartment. What the server does wrong is in the result."""
        return _Compartment(self, missing).apply(planned)


class _Compartment:
    """One compartment under way."""

    def __init__(self, applying: Applying, missing: set[Name]) -> None:
        self._to = applying
        self._missing = missing
        self._done = Applied()

    def apply(self, planned: Sequence[Planned]) -> Applied:
        waiting: list[Planned] = []
        quiet: list[Planned] = []
        for one in planned:
            if one.change.action in SENT:
                waiting.append(one)
            elif one.change.action in ("adopt", "no-op"):
                quiet.append(one)
            else:
                self._set_aside(one)
        self._to.ledger.acknowledge([(one, one.change.version, one.change.server_id) for one in quiet])
        self._fates(quiet, "adopted")
        for part in parts(waiting, self._to.strategies):
            if self._done.trouble is not None or self._to.stopping():
                self._fates(part, "not tried")
            else:
                self._send(part)
        return self._done

    def _set_aside(self, one: Planned) -> None:
        if one.change.action == "conflict":
            if not one.delivery.conflict:
                self._to.ledger.conflict(one)
            self._fates([one], "conflict")
        else:
            self._fates([one], "parked" if one.change.action == "parked" else "held")

    def _send(self, part: Sequence[Planned], looks: int = 0) -> None:
        """Send some resources in one go; where they are refused together, find out which of them is at fault.

        ``looks`` counts how often their versions were read from the server on the way.
        """
        going = self._without_held(self._found(self._without_held(part)))
        if not going or self._done.trouble is not None:
            self._fates(going, "not tried")
            return
        entries = self._entries(going)
        started = time.monotonic()
        try:
            results = self._to.hospital.send(entries, self._to.strategies.mode)
        except HospitalError as error:
            self._refused_together(going, error, looks)
            return
        finally:
            self._done.seconds.append(time.monotonic() - started)
        self._take(list(zip(going, entries, results, strict=True)), looks)

    def _without_held(self, part: Sequence[Planned]) -> list[Planned]:
        """Leave out what refers to something that was parked a moment ago."""
        if not self._missing:
            return list(part)
        going: list[Planned] = []
        for one in part:
            if one.content is not None and not self._missing.isdisjoint(references(one.content)):
                self._missing.add(one.name)
                self._fates([one], "held")
            else:
                going.append(one)
        return going

    def _found(self, part: list[Planned]) -> list[Planned]:
        """Find what the strategies say must be searched for before it is written; return what is still to be sent."""
        strategies, going = self._to.strategies, list[Planned]()
        for one in part:
            searched = strategies.of(one.change.type) in ("search", "find", "conditional-update")
            if one.change.action != "create" or one.change.server_id is not None or not searched:
                going.append(one)
                continue
            try:
                checked = self._to.look.check([one])[0]
            except HospitalError as error:
                self._not_to_be_read(one, error)
                continue
            if checked.change.action in SENT and strategies.of(one.change.type) == "find":
                self._park(one, {}, FatalHospitalError("the hospital has no such resource yet", status=404))
            elif checked.change.action in SENT:
                going.append(checked)
            else:
                self._judged(checked)
        return going

    def _entries(self, part: Sequence[Planned]) -> list[Resource]:
        strategies, server = self._to.strategies, self._to.hospital.server_id
        names = (name for one in part if one.content is not None for name in references(one.content))
        known = dict(self._to.look.known(names))
        known |= {one.name: one.change.server_id for one in part if one.change.server_id is not None}
        if strategies.mode == "transaction":
            for one in part:
                assigned = one.change.server_id is None and strategies.of(one.change.type) != "update"
                if one.change.action == "create" and assigned:
                    known[one.name] = urn(server, *one.name)
        return [entry(one, strategies, server, known) for one in part]

    def _take(self, answered: list[tuple[Planned, Resource, EntryResult]], looks: int) -> None:
        """Note what was taken, in one transaction, and then look at what was not."""
        taken: list[Taken] = []
        others: list[tuple[Planned, Resource, HospitalError]] = []
        found: list[tuple[Planned, EntryResult]] = []
        recreated: list[tuple[Planned, EntryResult]] = []
        for one, sent, result in answered:
            if not result.tried:
                self._fates([one], "not tried")
            elif error := problem(one, result):
                others.append((one, sent, error))
            elif result.status == 201 and one.change.action in ("update", "retract"):
                recreated.append((one, result))
            elif result.status == 200 and one.change.action == "create" and is_conditional(one, self._to.strategies):
                found.append((one, result))
            else:
                taken.append((one, result.version, result.id))
                self._done.statuses.append(str(result.status))
        self._to.ledger.acknowledge(taken)
        for one, _, _ in taken:
            self._fates([one], DONE[one.change.action])
        for one, result in found:
            self._was_there(one, result)
        for one, result in recreated:
            self._was_deleted(one, result)
        for one, sent, error in others:
            self._refused(one, sent, error, looks)

    def _was_there(self, one: Planned, result: EntryResult) -> None:
        """A conditional create found something: it may be ours from before, or the hospital's."""
        try:
            self._judged(self._to.look.check([one.changed(server_id=result.id)])[0])
        except HospitalError as error:
            self._not_to_be_read(one, error)

    def _was_deleted(self, one: Planned, result: EntryResult) -> None:
        """Undo an update that made a resource anew: somebody had deleted it, and HAPI looks at no If-Match then.

        If it cannot be undone, it stands as updated.
        """
        undo = delete_entry(one.change.type, one.change.server_id or one.change.id, if_match=result.version)
        try:
            undone = self._to.hospital.send([undo], self._to.strategies.mode)[0].ok
        except HospitalError:
            undone = False
        if undone:
            self._to.ledger.conflict(one)
            self._fates([one], "conflict")
        else:
            self._to.ledger.note("resource_made_anew", type=one.change.type, id=one.change.id)
            self._to.ledger.acknowledge([(one, result.version, result.id)])
            self._fates([one], "updated")

    def _judged(self, one: Planned, looks: int = 1) -> None:
        """Do what looking says must be done with a resource that is not simply sent."""
        match one.change.action:
            case "adopt":
                self._to.ledger.acknowledge([(one, one.change.version, one.change.server_id)])
                self._fates([one], "adopted")
            case "conflict":
                self._to.ledger.conflict(one)
                self._fates([one], "conflict")
            case _:
                self._send([one], looks)

    def _refused_together(self, part: list[Planned], error: HospitalError, looks: int) -> None:
        if is_the_servers(error) or takes_no_bundle(error, self._to.strategies):
            self._trouble(part, error)
        elif error.status in VERSION_MOVED and looks < _LOOKS:
            self._moved(part, error, looks + 1)
        else:
            self._narrow_down(part, error, looks)

    def _narrow_down(self, part: list[Planned], error: HospitalError, looks: int) -> None:
        """Send one half and then the other, until what is at fault stands alone."""
        if len(part) == 1:
            self._put_off(part[0], self._entries(part)[0], error)
            return
        ordered = by_dependency(part)
        half = len(ordered) // 2
        for some in (ordered[:half], ordered[half:]):
            if self._done.trouble is None:
                self._send(some, looks)
            else:
                self._fates(some, "not tried")

    def _moved(self, part: list[Planned], error: HospitalError, looks: int) -> None:
        """See what the server holds now: it may be our own write whose answer was lost, or somebody else's.

        If it is what we took it to be, the refusal has another reason.
        """
        try:
            checked = self._to.look.check(part)
        except HospitalError as failed:
            if is_the_servers(failed):
                self._trouble(part, failed)
            else:  # a type that the server does not know is not to be searched either
                self._narrow_down(part, error, looks)
            return
        for one in checked:
            if one.change.action not in SENT:
                self._judged(one)
        left = [one for one in checked if one.change.action in SENT]
        if len(left) < len(part) or any(one.change != before.change for one, before in zip(left, part, strict=True)):
            self._send(left, looks)
        else:
            self._narrow_down(left, error, looks)

    def _refused(self, one: Planned, sent: Resource, error: HospitalError, looks: int) -> None:
        """Decide about one resource that the server did not take."""
        if is_the_servers(error):
            self._trouble([one], error)
        elif error.status in VERSION_MOVED and looks < _LOOKS:
            self._moved([one], error, looks + 1)
        else:
            self._put_off(one, sent, error)

    def _not_to_be_read(self, one: Planned, error: HospitalError) -> None:
        """Decide about one resource that must be looked for before it is written, and cannot be."""
        if is_the_servers(error):
            self._trouble([one], error)
        else:
            self._put_off(one, {}, error)

    def _put_off(self, one: Planned, sent: Resource, error: HospitalError) -> None:
        """Park a resource; one that failed temporarily is tried in some more runs before."""
        temporary = isinstance(error, TemporaryHospitalError)
        if temporary and one.delivery.attempts + 1 < self._to.attempts:
            self._to.ledger.failed(one, sent, error, parked=False)
            self._trouble([one], error)
        else:
            self._park(one, sent, error)

    def _park(self, one: Planned, sent: Resource, error: HospitalError) -> None:
        self._to.ledger.failed(one, sent, error, parked=True)
        if one.delivery.acknowledged is None:
            self._missing.add(one.name)
        self._done.failures.append(PushFailure.of(error, one.change))
        self._fates([one], "parked")

    def _trouble(self, part: Sequence[Planned], error: HospitalError) -> None:
        self._done.trouble = error
        self._done.failures.append(PushFailure.of(error, part[0].change, resources=len(part)))
        self._fates(part, "failed")

    def _fates(self, part: Sequence[Planned], fate: Fate) -> None:
        self._done.fates += [(one, fate) for one in part]
