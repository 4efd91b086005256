"""Verify: everything is read back from a hospital's server by search, page after page, and compared with the store.

Memory stays flat: pages are compared as they come, and of each resource only a bit is kept, whether it was seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from fhirbridge import fhirjson
from fhirbridge.elements import STUDY_TAG
from fhirbridge.errors import FatalHospitalError, Resource
from fhirbridge.hospital import Hospital
from fhirbridge.store import Store, Stored
from fhirbridge.sync.comparison import compare
from fhirbridge.sync.verify_report import TypeCounts, VerifyFinding, VerifyReport

__all__ = ["VerifyFinding", "VerifyReport", "verify"]

T = TypeVar("T")

Progress = Callable[[int, int], None]
"""Called with the resources that have a verdict and those expected."""

_AT_ONCE = 250
_IDS_AT_ONCE = 50
"""Ids in one search: with 64 characters each, the URL stays below what servers take."""


def verify(
    store: Store, hospital: Hospital, study_id: str, *, page_size: int = 1000, progress: Progress | None = None
) -> VerifyReport:
    """Compare what a server holds of a study with the store, both ways, and report.

    Raises HospitalError if the server cannot be reached. A type that it refuses to be searched for is reported as
    unread, and the others go on.
    """
    return _Verification(store, hospital, study_id, page_size, progress).run()


class _Verification:
    def __init__(self, store: Store, hospital: Hospital, study: str, page_size: int, progress: Progress | None) -> None:
        self._store = store
        self._hospital = hospital
        self._study = study
        self._page_size = page_size
        self._progress = progress
        self._report = VerifyReport(server=hospital.server_id, study=study)
        self._judged = 0
        self._expected = 0

    def run(self) -> VerifyReport:
        started, before = time.monotonic(), self._hospital.traffic.report()
        expected = self._store.counts(self._study)
        self._expected = sum(expected.values())
        for kind in expected:
            self._type(kind, self._report.by_type.setdefault(kind, TypeCounts()))
        after = self._hospital.traffic.report()
        self._report.requests = after.requests - before.requests
        self._report.bytes_received = after.bytes_received - before.bytes_received
        self._report.seconds = time.monotonic() - started
        return self._report

    def _type(self, kind: str, counts: TypeCounts) -> None:
        seen, extra = _Bits(), dict[str, Resource]()
        try:
            self._compare(kind, self._tagged(kind), counts, seen, extra)
            self._look_again(kind, counts, seen)
        except FatalHospitalError as error:
            self._report.unreadable[kind] = str(error)
        for key, id in self._store.identities(self._study, kind):
            counts.expected += 1
            if key in seen:
                continue
            if kind in self._report.unreadable:
                counts.unread += 1
            else:
                counts.missing += 1
                self._report.add(VerifyFinding("missing", kind, id))
            self._step(1)
        self._extras(kind, counts, extra)

    def _tagged(self, kind: str) -> Iterator[Resource]:
        """Search by the study's tag, in an order that holds still while others write.

        A server that knows no ``_sort`` is asked without it, and one that knows no ``_tag`` for all of the type.
        """
        tag, size = ("_tag", f"{STUDY_TAG}|{self._study}"), ("_count", str(self._page_size))
        for params in ([tag, size, ("_sort", "_id")], [tag, size]):
            try:
                search = self._hospital.search(kind, params)
                first = next(search, None)
            except FatalHospitalError:
                continue
            if first is not None:
                yield first
                yield from search
            return
        yield from self._hospital.search(kind, [size])

    def _look_again(self, kind: str, counts: TypeCounts, seen: _Bits) -> None:
        """Ask by id for what the first search left out: its tag was lost, or paging slipped over it."""
        unseen = (id for key, id in self._store.identities(self._study, kind) if key not in seen)
        for ids in _batches(unseen, _IDS_AT_ONCE):
            search = self._hospital.search(kind, [("_id", ",".join(ids)), ("_count", str(len(ids)))])
            self._compare(kind, search, counts, seen, {})

    def _compare(
        self, kind: str, served: Iterable[Resource], counts: TypeCounts, seen: _Bits, extra: dict[str, Resource]
    ) -> None:
        for batch in _batches(served, _AT_ONCE):
            found = self._store.read_many(kind, [theirs["id"] for theirs in batch])
            ours = {one.id: one for one in found if one.study == self._study}
            for theirs in batch:
                one = ours.get(theirs["id"])
                if one is None:
                    if self._is_tagged(theirs):
                        extra[theirs["id"]] = {"identifier": theirs.get("identifier")}
                elif one.key not in seen:
                    seen.add(one.key)
                    self._judge(one, theirs, counts)
            self._step(0)

    def _judge(self, one: Stored, theirs: Resource, counts: TypeCounts) -> None:
        self._judged += 1
        if fhirjson.content_hash(theirs) == one.hash:
            counts.same += 1
            return
        result = compare(one.content(), theirs, self._report.server)
        match result.verdict:
            case "same":
                counts.same += 1
            case "digits lost":
                counts.digits_lost += 1
                self._report.digits_lost_paths.update(f"{one.type}.{path}" for path in result.digits)
            case "different":
                counts.different += 1
                self._report.different_paths.update(f"{one.type}.{path}" for path in result.different)
                self._report.add(VerifyFinding("different", one.type, one.id, result.different))

    def _extras(self, kind: str, counts: TypeCounts, extra: dict[str, Resource]) -> None:
        counts.extra = len(extra)
        if not extra:
            return
        bearers: dict[tuple[str | None, str], list[str]] = {}
        for id, found in extra.items():
            for name in _identifiers(found):
                bearers.setdefault(name, []).append(id)
        twins: set[str] = set()
        if bearers:
            for one in self._store.iterate(self._study, types=[kind]):
                twins.update(id for name in _identifiers(one.content()) for id in bearers.get(name, ()))
        counts.duplicates = len(twins)
        for id in extra:
            self._report.add(VerifyFinding("duplicate" if id in twins else "extra", kind, id))

    def _is_tagged(self, resource: Resource) -> bool:
        tags = (resource.get("meta") or {}).get("tag") or ()
        return any(tag.get("system") == STUDY_TAG and tag.get("code") == self._study for tag in tags)

    def _step(self, more: int) -> None:
        self._judged += more
        if self._progress is not None:
            self._progress(self._judged, self._expected)


class _Bits:
    """A set of small whole numbers, one bit each: the store's keys are counted up from 1."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, number: int) -> None:
        place = number >> 3
        if place >= len(self._bytes):
            self._bytes.extend(bytes(place + 1 - len(self._bytes) + len(self._bytes) // 8))
        self._bytes[place] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        place = number >> 3
        return place < len(self._bytes) and bool(self._bytes[place] & (1 << (number & 7)))


def _identifiers(resource: dict[str, Any]) -> set[tuple[str | None, str]]:
    found = resource.get("identifier") or []
    listed = found if isinstance(found, list) else [found]
    return {(one.get("system"), one["value"]) for one in listed if isinstance(one, dict) and one.get("value")}


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    waiting = iter(items)
    while batch := list(islice(waiting, size)):
        yield batch
