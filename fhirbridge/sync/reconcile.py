"""Reconcile: what a hospital's server holds of the study is held against what it acknowledged, and drift is repaired.

Usually versions are asked for alone, and a resource is read whole only where its version moved; a ``full``
reconciliation reads everything and trusts no version. Memory stays flat: pages are compared as they come, and of each
resource only a bit is kept, whether it was seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
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
from fhirbridge.sync.notes import Note, silent
from fhirbridge.sync.reconcile_report import Discrepancy, ReconcileReport, TypeCounts

__all__ = ["Discrepancy", "ReconcileReport", "reconcile"]

T = TypeVar("T")

Progress = Callable[[int, int], None]
"""Called with the resources that have a verdict and those there are."""

_AT_ONCE = 250


def reconcile(
    store: Store,
    hospital: Hospital,
    study_id: str,
    *,
    run: str,
    policy: Policy = "stop",
    full: bool = False,
    since: str | None = None,
    repair: bool = False,
    page_size: int = 1000,
    progress: Progress | None = None,
    note: Note = silent,
) -> ReconcileReport:
    """Compare what a server holds of a study with what it acknowledged, both ways, and report.

    ``since`` (an instant) looks only at what the server wrote from then on, so nothing can be missed in it. What
    drifted becomes a conflict for a person to settle. With ``repair`` what is missing is made again by the next push,
    what should be gone is deleted by it, and duplicates of ours are deleted now. Raises HospitalError if the server
    cannot be reached; a type that it refuses to be searched for is reported as unread, and the others go on.
    """
    work = _Reconciliation(store, hospital, study_id, run, policy, repair, progress, note)
    return work.run(full=full, since=since, page_size=page_size)


class _Reconciliation:
    def __init__(
        self,
        store: Store,
        hospital: Hospital,
        study: str,
        run: str,
        policy: Policy,
        repair: bool,
        progress: Progress | None,
        note: Note,
    ) -> None:
        self._store = store
        self._hospital = hospital
        self._study = study
        self._run = run
        self._policy: Policy = policy
        self._repair = repair
        self._progress = progress
        self._note = note
        self._report = ReconcileReport(server=hospital.server_id, study=study)
        self._judged = 0
        self._stored = 0
        self._missing: dict[str, set[Name]] = {}
        """By compartment."""

    def run(self, *, full: bool, since: str | None, page_size: int) -> ReconcileReport:
        started, before = time.monotonic(), self._hospital.traffic.report()
        stored = self._store.counts(self._study)
        self._stored = sum(stored.values())
        self._report.since = since
        for kind, count in stored.items():
            counts = self._report.by_type.setdefault(kind, TypeCounts(stored=count))
            _OfType(self, kind, counts, full=full, since=since, page_size=page_size).run()
        self._orphans()
        traffic = self._hospital.traffic.report().since(before)
        self._report.requests, self._report.bytes_received = traffic.requests, traffic.bytes_received
        self._report.seconds = time.monotonic() - started
        if not self._report.in_step:
            self._note("drift_found", counts=asdict(self._report.total))
        if self._report.repaired:
            self._note("drift_repaired", counts=self._report.repaired)
        return self._report

    def _orphans(self) -> None:
        """Find what the server holds that refers to something missing there."""
        lost = set().union(*self._missing.values())
        for compartment in self._missing:
            for one in self._store.deliveries(self._report.server, self._study, compartment, self._policy, every=True):
                name = one.stored.type, one.stored.id
                held = one.acknowledged is not None and one.acknowledged.sent is not None and name not in lost
                if held and not lost.isdisjoint(references(one.stored.content())):
                    self._report.by_type[one.stored.type].orphan += 1
                    self._report.add(Discrepancy("orphan", *name))

    def step(self, more: int) -> None:
        self._judged += more
        if self._progress is not None:
            self._progress(self._judged, self._stored)


class _OfType:
    """The resources of one type, gone through page by page."""

    def __init__(
        self, work: _Reconciliation, kind: str, counts: TypeCounts, *, full: bool, since: str | None, page_size: int
    ) -> None:
        self._work = work
        self._store = work._store
        self._hospital = work._hospital
        self._server = work._report.server
        self._report = work._report
        self._kind = kind
        self._counts = counts
        self._full = full
        self._since = since
        self._page_size = page_size
        self._seen = Bits()
        self._foreign: dict[str, Resource] = {}

    def run(self) -> None:
        try:
            self._compare(self._tagged())
            if self._since is None:
                self._look_again()
        except FatalHospitalError as error:
            self._report.unreadable[self._kind] = str(error)
        self._count_rest()
        self._sort_foreign()

    def _tagged(self) -> Iterator[Resource]:
        """Search by the study's tag, in an order that holds still while others write.

        A server that knows no ``_sort`` is asked without it, and one that knows no ``_tag`` for all of the type.
        """
        tag, size = ("_tag", f"{STUDY_TAG}|{self._work._study}"), ("_count", str(self._page_size))
        window = [] if self._since is None else [("_lastUpdated", f"ge{self._since}")]
        brief = [] if self._full else [("_elements", "meta,identifier")]
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
        return self._store.held(self._server, self._work._study, self._kind)

    def _compare(self, served: Iterable[Resource]) -> None:
        for batch in _batches(served, _AT_ONCE):
            ids = [theirs["id"] for theirs in batch]
            known = self._store.held_by_id(self._server, self._work._study, self._kind, ids)
            moved: list[tuple[Held, Resource]] = []
            for theirs in batch:
                held = known.get(theirs["id"])
                if held is None:
                    if is_tagged(theirs, self._work._study):
                        self._foreign[theirs["id"]] = {
                            "identifier": theirs.get("identifier"),
                            "meta": theirs.get("meta"),
                        }
                elif held.key not in self._seen and not held.hospital_owned:
                    self._seen.add(held.key)
                    if not held.expected:
                        self._undeleted(held)
                    elif not self._full and held.version is not None and held.version == version_of(theirs):
                        self._counts.same += 1
                        self._work.step(1)
                    else:
                        moved.append((held, theirs))
            self._judge(moved)
            self._work.step(0)

    def _judge(self, moved: list[tuple[Held, Resource]]) -> None:
        """Compare whole resources; what was only asked for in brief is read whole first."""
        if not moved:
            return
        whole = {theirs["id"]: theirs for _, theirs in moved}
        if not self._full:
            whole |= {theirs["id"]: theirs for theirs in self._hospital.lookup(self._kind, list(whole))}
        names = [(self._kind, held.id) for held, _ in moved]
        deliveries = {one.stored.key: one for one in self._store.deliveries_of(self._server, names, self._work._policy)}
        for held, theirs in moved:
            self._verdict(held, deliveries[held.key], whole[theirs["id"]])
            self._work.step(1)

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
        self._store.acknowledge(self._server, [delivered], run=self._work._run)
        self._report.learned += 1

    def _conflict(self, held: Held, theirs: Resource) -> None:
        found = ConflictNote(
            key=held.key,
            kind="edited",
            base_version=held.version,
            their_version=version_of(theirs),
            theirs=fhirjson.dumps(theirs),
        )
        self._store.conflict_found(self._server, [found], run=self._work._run)
        self._report.conflicts += 1
        self._work._note("conflict_found", type=self._kind, id=held.id, kind="edited")

    def _undeleted(self, held: Held) -> None:
        self._counts.undeleted += 1
        self._report.add(Discrepancy("undeleted", self._kind, held.id))
        if self._work._repair:
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
            elif self._since is not None:
                self._counts.unseen += 1
            else:
                self._lost(held)
            self._work.step(1)
        never = max(0, self._counts.stored - acknowledged)
        self._counts.pending += never
        self._work.step(never)

    def _lost(self, held: Held) -> None:
        self._counts.missing += 1
        self._report.add(Discrepancy("missing", self._kind, held.id))
        self._work._missing.setdefault(held.compartment, set()).add((self._kind, held.id))
        if self._work._repair:
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
            for one in self._store.iterate(self._work._study, types=[self._kind]):
                twins.update(id for name in identifiers(one.content()) for id in bearers.get(name, ()))
        self._counts.foreign, self._counts.duplicate = len(self._foreign) - len(twins), len(twins)
        for id in self._foreign:
            self._report.add(Discrepancy("duplicate" if id in twins else "foreign", self._kind, id))
        if self._work._repair:
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
