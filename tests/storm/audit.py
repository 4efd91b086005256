"""What a server really holds after a storm, read from it straight and held against the store, resource by resource."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from fhirbridge.elements import STUDY_TAG
from fhirbridge.errors import Resource
from fhirbridge.hospital import Hospital
from fhirbridge.store import Delivery, Store
from fhirbridge.sync.comparison import compare
from fhirbridge.sync.entries import findable
from fhirbridge.sync.naming import Name, identifiers, references, relative, rewritten

PAGE = "1000"


@dataclass
class Audit:
    """Names of resources, "Type/id" with the server's id, by what is wrong with them; and how many there are.

    ``rewritten`` counts writes beyond the first of a resource: an answer that was lost, or a change.
    """

    resources: int = 0
    duplicates: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    dangling: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    rewritten: int = 0

    @property
    def faults(self) -> list[str]:
        """What is wrong, in words."""
        kinds = ("duplicates", "missing", "wrong", "dangling", "unexpected")
        return [f"{len(found)} {kind}, such as {found[0]}" for kind in kinds if (found := getattr(self, kind))]


def audit(store: Store, server: str, target: str, study: str) -> Audit:
    """Read every resource of the study from ``target``; ``server`` is what the store calls it."""
    found = Audit()
    expected = dict(_expected(store, server, study))
    with Hospital(target) as hospital:
        served = [(kind, one) for kind in store.counts(study) for one in _served(hospital, kind, study)]
    there = {(kind, one["id"]): one for kind, one in served}
    listed = Counter((kind, one["id"]) for kind, one in served)
    found.duplicates += [f"{kind}/{id}" for (kind, id), times in listed.items() if times > 1]
    found.duplicates += _bearing_the_same(there)
    theirs_by_ours = {ours: name for ours, (name, _) in expected.items()}
    crosswalk = {ours: name[1] for ours, name in theirs_by_ours.items() if name != ours}
    for name, delivery in expected.values():
        _judge(found, name, delivery, there.get(name), crosswalk, target)
        if name in there:
            lost = [to for to in references(relative(there[name], target)) if to not in there]
            found.dangling += [f"{name[0]}/{name[1]} to {kind}/{id}" for kind, id in lost]
    known = {name for name, delivery in expected.values() if delivery.wanted == "live"}
    found.unexpected += [f"{kind}/{id}" for kind, id in there if (kind, id) not in known]
    return found


def _served(hospital: Hospital, kind: str, study: str) -> Iterator[Resource]:
    return hospital.search(kind, [("_tag", f"{STUDY_TAG}|{study}"), ("_count", PAGE), ("_sort", "_id")])


def _expected(store: Store, server: str, study: str) -> Iterator[tuple[Name, tuple[Name, Delivery]]]:
    """Yield our name of each resource, the server's name of it, and what is known of it."""
    compartments = {one.compartment for one in store.iterate(study)}
    for compartment in sorted(compartments):
        for one in store.deliveries(server, study, compartment, every=True):
            kind, id = one.stored.type, one.stored.id
            yield (kind, id), ((kind, one.server_id or id), one)


def _bearing_the_same(there: dict[Name, Resource]) -> Iterator[str]:
    """Yield what has a business identifier, or a tag of our id, that another of its type has too."""
    bearers: dict[tuple[str, object], list[Name]] = {}
    for name, one in there.items():
        tags = {(tag.get("system"), tag.get("code")) for tag in one["meta"].get("tag", ()) if _is_id(tag)}
        for bearing in identifiers(one) | tags:
            bearers.setdefault((name[0], bearing), []).append(name)
    for names in bearers.values():
        if len(names) > 1:
            yield " and ".join(f"{kind}/{id}" for kind, id in names)


def _is_id(tag: Resource) -> bool:
    return tag.get("system") == findable({"resourceType": "Basic"}, "x")["meta"]["tag"][0]["system"]


def _judge(
    found: Audit, name: Name, delivery: Delivery, theirs: Resource | None, crosswalk: dict[Name, str], target: str
) -> None:
    shown = f"{name[0]}/{name[1]}"
    if delivery.wanted != "live":
        return
    if theirs is None:
        found.missing.append(shown)
        return
    found.resources += 1
    found.rewritten += max(0, int(theirs["meta"].get("versionId", 1)) - 1)
    ours = {**rewritten(delivery.stored.content(), crosswalk), "id": name[1]}
    compared = compare(ours, theirs, target)
    if compared.different:
        found.wrong.append(f"{shown} in {', '.join(compared.different)}")
