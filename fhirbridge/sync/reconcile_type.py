"""Reconciling one type: a server's resources of it are gone through page by page, and each of ours gets a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

from fhirbridge import fhirjson
from fhirbridge.elements import STUDY_TAG
from fhirbridge.errors import FatalHospitalError, Resource
from fhirbridge.hospital import Hospital, delete_entry
from fhirbridge.store import Acknowledged, ConflictNote, Delivered, Delivery, Held, Policy, Store
from fhirbridge.sync.bits import Bits
from fhirbridge.sync.comparison import SAME, Comparison, compare
from fhirbridge.sync.desired import acknowledged_content, desired
from fhirbridge.sync.naming import Name, identifiers, ids_there, is_tagged, references, rewritten, version_of
from fhirbridge.sync.notes import Note
from fhirbridge.sync.reconcile_report import Discrepancy, ReconcileReport, TypeCounts

T = TypeVar("T")

_AT_ONCE = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciling:
    """How a study is reconciled with one server in one run, and what that has found so far.

    ``step`` is told how many more resources have a verdict. ``missing`` is by compartment.
    """

    store: Store
    hospital: Hospital
    study: str
    run: str
    policy: Policy
    full: bool
    since: str | None
    repair: bool
    page_size: int
    note: Note
    step: Callable[[int], None]
    report: ReconcileReport
    missing: dict[str, set[Name]] = field(default_factory=dict)

    def of_type(self, kind: str, counts: TypeCounts) -> None:
        """Give a verdict to each of the study's resources of a type. Raises HospitalError."""
        _OfType(self, kind, counts).run()


class _OfType:
    """The resources of one type under way; of each only a bit is kept, whether it was seen."""

    def __init__(self, to: Reconciling, kind: str, counts: TypeCounts) -> None:
        self._to = to
        self._store = to.store
        self._hospital = to.hospital
        self._server = to.report.server
        self._report = to.report
        self._kind = kind
        self._counts = counts
        self._seen = Bits()
        self._foreign: dict[str, Resource] = {}

    def run(self) -> None:
        try:
            self._compare(self._tagged())
            if self._to.since is None:
                self._look_again()
        except FatalHospitalError as error:
            self._report.unreadable[self._kind] = str(error)
        self._count_rest()
        self._sort_foreign()

    def _tagged(self) -> Iterator[Resource]:
        """Search by the study's tag, in an order that holds still while others write.

        A server that knows no ``_sort`` is asked without it, and one that knows no ``_tag`` for all of the type.
        """
        tag, size = ("_tag", f"{STUDY_TAG}|{self._to.study}"), ("_count", str(self._to.page_size))
        window = [] if self._to.since is None else [("_lastUpdated", f"ge{self._to.since}")]
        brief = [] if self._to.full else [("_elements", "meta,identifier")]
        for params in ([tag, *window, size, *brief, ("_sort", "_id")], [tag, *window, size, *brief]):
            try:
                search = self._hospital.search(self._kind, params)
                first = next(search, None)
            except FatalHospitalError:
                continue
            if first is not None:
                yield first
                yield from search
            return
        yield from self._hospital.search(self._kind, [*window, size])

    def _look_again(self) -> None:
        """Ask by id for what the first search left out: its tag was lost, or paging slipped over it."""
        unseen = (
            held for held in self._held() if held.expected and not held.hospital_owned and held.key not in self._seen
        )
        for some in _batches(unseen, _AT_ONCE):
            self._compare(self._hospital.lookup(self._kind, [held.server_id for held in some]))

    def _held(self) -> Iterator[Held]:
        return self._store.held(self._server, self._to.study, self._kind)

    def _compare(self, served: Iterable[Resource]) -> None:
        for batch in _batches(served, _AT_ONCE):
            ids = [theirs["id"] for theirs in batch]
            known = self._store.held_by_id(self._server, self._to.study, self._kind, ids)
            moved: list[tuple[Held, Resource]] = []
            for theirs in batch:
                held = known.get(theirs["id"])
                if held is None:
                    if is_tagged(theirs, self._to.study):
                        self._foreign[theirs["id"]] = {
                            "identifier": theirs.get("identifier"),
                            "meta": theirs.get("meta"),
                        }
                elif held.key not in self._seen and not held.hospital_owned:
                    self._seen.add(held.key)
                    if not held.expected:
                        self._undeleted(held)
                    elif not self._to.full and held.version is not None and held.version == version_of(theirs):
                        self._counts.same += 1
                        self._to.step(1)
                    else:
                        moved.append((held, theirs))
            self._judge(moved)
            self._to.step(0)

    def _judge(self, moved: list[tuple[Held, Resource]]) -> None:
        """Compare whole resources; what was only asked for in brief is read whole first."""
        if not moved:
            return
        whole = {theirs["id"]: theirs for _, theirs in moved}
        if not self._to.full:
            whole |= {theirs["id"]: theirs for theirs in self._hospital.lookup(self._kind, list(whole))}
        names = [(self._kind, held.id) for held, _ in moved]
        deliveries = {one.stored.key: one for one in self._store.deliveries_of(self._server, names, self._to.policy)}
        for held, theirs in moved:
            self._verdict(held, deliveries[held.key], whole[theirs["id"]])
            self._to.step(1)

    def _verdict(self, held: Held, delivery: Delivery, theirs: Resource) -> None:
        known = delivery.acknowledged
        if known is None or known.hash is None:
            self._counts.pending += 1  # it is to be sent again anyway
            return
        result = self._compared(acknowledged_content(delivery, self._store, self._server), theirs)
        if result.different and delivery.pending:
            want = desired(delivery)
            wanted = self._compared(want.content, theirs)
            if not wanted.different:  # the push that brought it died before it could note so
                known = replace(known, hash=delivery.stored.hash, sent=want.hash, state=want.state, version=None)
                result = wanted
        if result.different:
            self._counts.drifted += 1
            self._report.drifted_paths.update(f"{self._kind}.{path}" for path in result.different)
            self._report.add(Discrepancy("drifted", self._kind, held.id, result.different))
            self._conflict(held, theirs)
            return
        self._learn(held, known, version_of(theirs))
        self._counts.digits_lost += result.verdict == "digits lost"
        self._counts.same += result.verdict == "same"
        self._report.digits_lost_paths.update(f"{self._kind}.{path}" for path in result.digits)

    def _compared(self, ours: Resource | None, theirs: Resource) -> Comparison:
        """Hold a server's resource against content of ours."""
        content = {**self._in_their_terms(ours or {}), "id": theirs["id"]}
        if fhirjson.content_hash(theirs) == fhirjson.content_hash(content):
            return SAME
        return compare(content, theirs, self._server)

    def _in_their_terms(self, content: Resource) -> Resource:
        return rewritten(content, ids_there(self._store, self._server, references(content)))

    def _learn(self, held: Held, known: Acknowledged, version: str | None) -> None:
        """Note the version of a resource that is as it should be, so that the next update can name it."""
        if version is None or version == known.version or known.hash is None:
            return
        delivered = Delivered(key=held.key, hash=known.hash, sent=known.sent, version=version, state=known.state)
        self._store.acknowledge(self._server, [delivered], run=self._to.run)
        self._report.learned += 1

    def _conflict(self, held: Held, theirs: Resource) -> None:
        found = ConflictNote(
            key=held.key,
            kind="edited",
            base_version=held.version,
            their_version=version_of(theirs),
            theirs=fhirjson.dumps(theirs),
        )
        self._store.conflict_found(self._server, [found], run=self._to.run)
        self._report.conflicts += 1
        self._to.note("conflict_found", type=self._kind, id=held.id, kind="edited")

    def _undeleted(self, held: Held) -> None:
        self._counts.undeleted += 1
        self._report.add(Discrepancy("undeleted", self._kind, held.id))
        if self._to.repair:
            self._store.resend(self._server, [held.key])
            self._report.repaired["undeleted"] += 1

    def _count_rest(self) -> None:
        """Give a verdict to everything that no page had."""
        acknowledged = 0
        for held in self._held():
            acknowledged += 1
            if held.hospital_owned or not held.expected:
                self._counts.none += 1
            elif held.key in self._seen:
                continue
            elif self._kind in self._report.unreadable:
                self._counts.unread += 1
            elif self._to.since is not None:
                self._counts.unseen += 1
            else:
                self._lost(held)
            self._to.step(1)
        never = max(0, self._counts.stored - acknowledged)
        self._counts.pending += never
        self._to.step(never)

    def _lost(self, held: Held) -> None:
        self._counts.missing += 1
        self._report.add(Discrepancy("missing", self._kind, held.id))
        self._to.missing.setdefault(held.compartment, set()).add((self._kind, held.id))
        if self._to.repair:
            self._store.forget(self._server, [held.key])
            self._report.repaired["missing"] += 1

    def _sort_foreign(self) -> None:
        """Tell duplicates of ours from what others tagged with the study."""
        bearers: dict[tuple[str | None, str], list[str]] = {}
        for id, found in self._foreign.items():
            for name in identifiers(found):
                bearers.setdefault(name, []).append(id)
        twins: set[str] = set()
        if bearers:
            for one in self._store.iterate(self._to.study, types=[self._kind]):
                twins.update(id for name in identifiers(one.content()) for id in bearers.get(name, ()))
        self._counts.foreign, self._counts.duplicate = len(self._foreign) - len(twins), len(twins)
        for id in self._foreign:
            self._report.add(Discrepancy("duplicate" if id in twins else "foreign", self._kind, id))
        if self._to.repair:
            self._remove(sorted(twins))

    def _remove(self, twins: list[str]) -> None:
        """Delete what we, or a server that assigned an id twice, left there a second time; the version must hold."""
        for id in twins:
            entry = delete_entry(self._kind, id, if_match=version_of(self._foreign[id]))
            try:
                removed = self._hospital.send([entry], "single")[0].ok
            except FatalHospitalError:
                removed = False
            self._report.repaired["duplicate" if removed else "duplicate refused"] += 1


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    waiting = iter(items)
    while batch := list(islice(waiting, size)):
        yield batch
