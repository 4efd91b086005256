"""Withdrawal: what a corrected record no longer says must not go on standing as if it did.

A report that lists a lesion less, a result that turned from a number into "not detected", or one that is no longer
computed from what was measured, leaves an Observation behind that nothing produces any more. It is marked
``entered-in-error`` (http://hl7.org/fhir/R4/valueset-observation-status.html), never deleted, so that every server and
registry learns it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from fhirbridge.errors import Resource
from fhirbridge.store import Store, Stored
from fhirbridge.sync.naming import Name, references


def withdrawn(store: Store, updated: Iterable[Resource], written: Collection[Name]) -> Iterator[tuple[int, Resource]]:
    """Yield, with their ranks, the Observations that ``updated`` resources used to imply and no longer do.

    ``store`` still answers with what stood before (read it while the transaction that updates is open);
    ``written`` is everything that transaction writes.
    """
    for resource in updated:
        before = store.read(resource["resourceType"], resource["id"])
        if before is None:
            continue
        for left in _left_behind(store, before, resource):
            content = left.content()
            if (left.type, left.id) not in written and content["status"] != "entered-in-error":
                yield left.rank, {**content, "status": "entered-in-error"}


def _left_behind(store: Store, before: Stored, now: Resource) -> Iterator[Stored]:
    if before.type == "DiagnosticReport":
        kept = set(references(now.get("result")))
        gone = [name for name in references(before.content().get("result")) if name not in kept]
        yield from store.read_many("Observation", [id for kind, id in gone if kind == "Observation"])
    elif before.type == "Observation":
        kept = set(references(now.get("derivedFrom")))
        gone = [name for name in references(before.content().get("derivedFrom")) if name not in kept]
        yield from store.read_many("Observation", [id for kind, id in gone if kind == "Observation"])
        for other in store.iterate(before.study, types=["Observation"], compartment=before.compartment):
            if (before.type, before.id) in references(other.content().get("derivedFrom")):
                yield other
