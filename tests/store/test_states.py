"""Whatever happens, in whatever order: what is pending is what the definitions say, and every answer agrees."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhirbridge.errors import Resource
from fhirbridge.store import Backlog, ConflictNote, Delivered, Store
from tests.store.making import Make
from tests.store.sending import LETTER

NAMES = ("study", "p1", "o1", "s1", "c1", "c2", "p2")
POLICIES = ("stop", "retract", "delete")
KEPT = {"stop": ("Consent", "ResearchSubject"), "retract": ("Consent", "ResearchSubject", "Patient"), "delete": ()}
fresh = itertools.count()

name = st.sampled_from(NAMES)
status = st.sampled_from(("inactive", "inactive", "active"))
state = st.sampled_from((None, "live", "live", "retracted", "deleted"))
states = st.fixed_dictionaries(dict.fromkeys(NAMES, state))
consents = st.fixed_dictionaries(dict.fromkeys(("c1", "c2"), status))
step = st.one_of(
    st.tuples(st.just("put"), name, st.integers(0, 2)),
    st.tuples(st.just("consent"), st.sampled_from(("c1", "c2")), status),
    st.tuples(st.just("acknowledge"), name, st.tuples(state.filter(bool), st.sampled_from((None, "us", "hospital")))),
    st.tuples(st.just("fail"), name, st.booleans()),
    st.tuples(st.just("conflict"), name, st.sampled_from(("edited", "deleted"))),
    *(st.tuples(st.just(verb), name, st.none()) for verb in ("settle", "resend", "forget", "unpark", "drop")),
)


@dataclass
class Known:
    """What the model knows of one resource."""

    resource: Resource
    rank: int
    compartment: str
    hash: str = ""
    updated: str = ""
    key: int = 0
    acknowledged: tuple[str | None, str] | None = None
    owner: str | None = None
    failed: tuple[str, bool, int] | None = None
    conflict: bool = False


@dataclass
class World:
    """A store, and beside it a model that follows the definitions word by word."""

    store: Store
    study: str
    known: dict[str, Known] = field(default_factory=dict)

    @property
    def server(self) -> str:
        return f"http://{self.study}/fhir"

    def begin(self, states: dict[str, str | None], consents: dict[str, str]) -> None:
        make = Make(self.study)
        p1, p2 = f"{self.study}-p1", f"{self.study}-p2"
        self.known = {
            "study": Known(make.study_resource(), 5, ""),
            "p1": Known(make.patient(p1), 10, p1),
            "o1": Known(make.observation(f"{self.study}-o1", p1), 20, p1),
            "s1": Known(make.research_subject(f"{self.study}-s1", p1), 14, p1),
            "c1": Known(make.consent(f"{self.study}-c1", p1), 12, p1),
            "c2": Known(make.consent(f"{self.study}-c2", p1), 12, p1),
            "p2": Known(make.patient(p2), 10, p2),
        }
        for name, status in consents.items():
            self.known[name].resource["status"] = status
        self._put(*self.known)
        for name, state in states.items():
            if state is not None:
                self.acknowledge(name, (state, None))

    def _put(self, *names: str) -> None:
        ranked = [(self.known[name].rank, self.known[name].resource) for name in names]
        with self.store.transaction() as transaction:
            transaction.put(ranked, run="run-1")
        for one in (self.known[name] for name in names):
            stored = self.store.read(one.resource["resourceType"], one.resource["id"])
            one.hash, one.updated, one.key = stored.hash, stored.last_updated, stored.key

    def put(self, name: str, value: int) -> None:
        self.known[name].resource["language"] = f"x-{value}"
        self._put(name)

    def consent(self, name: str, status: str) -> None:
        self.known[name].resource["status"] = status
        self._put(name)

    def acknowledge(self, name: str, noted: tuple[str, str | None]) -> None:
        one, (state, owner) = self.known[name], noted
        taken = Delivered(key=one.key, hash=one.hash, sent=None, version="1", state=state)
        if owner is not None:
            taken, one.owner = replace(taken, server_id=f"id-{name}", owner=owner), owner
        self.store.acknowledge(self.server, [taken], run="push-1")
        one.acknowledged, one.failed, one.conflict = (one.hash, state), None, False

    def fail(self, name: str, parked: bool) -> None:
        one = self.known[name]
        self.store.fail(self.server, [replace(LETTER, key=one.key, hash=one.hash, parked=parked)], run="push-1")
        attempts = one.failed[2] + 1 if one.failed and one.failed[0] == one.hash else 1
        one.failed = (one.hash, parked, attempts)

    def conflict(self, name: str, kind: str) -> None:
        one = self.known[name]
        note = ConflictNote(key=one.key, kind=kind, base_version=None, their_version="2", theirs=None)
        self.store.conflict_found(self.server, [note], run="push-1")
        one.conflict = True

    def settle(self, name: str, _: None) -> None:
        one = self.known[name]
        self.store.settle(self.server, one.key, [], version="2", run="settle-1")
        one.acknowledged, one.conflict = (None, one.acknowledged[1] if one.acknowledged else "live"), False

    def resend(self, name: str, _: None) -> None:
        one = self.known[name]
        self.store.resend(self.server, [one.key])
        one.acknowledged = (None, one.acknowledged[1]) if one.acknowledged else None

    def forget(self, name: str, _: None) -> None:
        self.store.forget(self.server, [self.known[name].key])
        self.known[name].acknowledged = None

    def unpark(self, name: str, _: None) -> None:
        one = self.known[name]
        self.store.unpark(self.server, [(one.resource["resourceType"], one.resource["id"])], self.study)
        one.failed = None

    def drop(self, name: str, _: None) -> None:
        self.store.drop_conflict(self.server, self.known[name].key)
        self.known[name].conflict = False

    def withdrawn(self) -> set[str]:
        if any(self.known[name].resource["status"] == "active" for name in ("c1", "c2")):
            return set()
        return {self.known["p1"].compartment}

    def expected(self, one: Known, policy: str) -> dict[str, Any]:
        kind, acknowledged = one.resource["resourceType"], one.acknowledged
        hash, state = acknowledged or (None, None)
        usual = one.compartment not in self.withdrawn() or (kind in KEPT[policy] and acknowledged is not None)
        wanted, pending, withheld = "live", hash != one.hash or state != "live", False
        if not usual and (policy == "stop" or acknowledged is None):
            wanted, pending, withheld = None, False, hash != one.hash
        elif not usual and policy == "retract":
            wanted, pending = "retracted", state == "live" or hash is None
        elif not usual:
            wanted, pending = "deleted", state in ("live", "retracted") or hash is None
        if one.owner == "hospital":
            wanted, pending, withheld = None, False, False
        same = one.failed is not None and one.failed[0] == one.hash
        return {
            "wanted": wanted,
            "pending": pending,
            "withheld": withheld,
            "parked": same and one.failed[1],
            "attempts": one.failed[2] if same else 0,
            "conflict": one.conflict,
            "hospital_owned": one.owner == "hospital",
        }

    def check(self, policy: str) -> None:
        said = [(one, self.expected(one, policy)) for one in self.known.values()]
        pending = [(one, about) for one, about in said if about["pending"]]
        free = [one for one, about in pending if not (about["parked"] or about["conflict"])]
        assert self.store.backlog(self.server, self.study, policy) == Backlog(
            desired=len(NAMES),
            pending=len(pending),
            parked=sum(about["parked"] and not about["conflict"] for _, about in pending),
            conflicts=sum(about["conflict"] for _, about in pending),
            withheld=sum(about["withheld"] for _, about in said),
            oldest=min((one.updated for one in free), default=None),
        )
        outstanding = list(self.store.outstanding(self.server, self.study, policy))
        assert outstanding == sorted({one.compartment for one in free})
        blocked = list(self.store.outstanding(self.server, self.study, policy, blocked=True))
        assert blocked == sorted({one.compartment for one, _ in pending})
        every = []
        for place in sorted({one.compartment for one, _ in said}):
            here = sorted((one.rank, one.key) for one, about in pending if one.compartment == place)
            found = self.store.deliveries(self.server, self.study, place, policy)
            assert [(one.stored.rank, one.stored.key) for one in found] == here
            every += self.store.deliveries(self.server, self.study, place, policy, every=True)
        names = [(one.stored.type, one.stored.id) for one in every]
        by_name = self.store.deliveries_of(self.server, names, policy)
        assert by_name == sorted(every, key=lambda one: (one.stored.rank, one.stored.key))
        told = {one.stored.key: one for one in every}
        for one, about in said:
            del about["withheld"]
            assert {what: getattr(told[one.key], what) for what in about} == about


@given(states=states, consents=consents, steps=st.lists(step, min_size=3, max_size=12))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_anything_that_may_happen_what_is_pending_is_what_the_definitions_say(
    store: Store, states, consents, steps
) -> None:
    world = World(store, f"study{next(fresh)}")
    world.begin(states, consents)
    for verb, name, value in steps:
        getattr(world, verb)(name, value)
    assert store.withdrawn(world.study) == world.withdrawn()
    for policy in POLICIES:
        world.check(policy)
