"""Judging what is held in the store: many subjects at once, only what must be, and never over a person's decision."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import UserDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from fhirbridge.protocol.slots import FollowUp
from fhirbridge.store import Candidate, Judgement, Store
from fhirbridge.store.instants import utc_now
from fhirbridge.sync.pull.assessing import AT_ONCE, Assessing, Due
from fhirbridge.sync.pull.funnel import Funnel
from fhirbridge.sync.pull.incoming import Incoming, as_bytes
from tests.store.conftest import database_url as database_url
from tests.store.conftest import postgresql_server as postgresql_server
from tests.store.conftest import store as store
from tests.sync.pull.judged import FEED, INDEX, context, dna
from tests.sync.pull.recorded import PATIENT, SUBJECT, Desk
from tests.sync.pull.recorded import STUDY as TRIAL
from tests.sync.pull.test_replay import Lenient

CONTEXT = context({})
STUDY = CONTEXT.study.id
SURFACE_ANTIGEN = "63557-3"


class Dates(UserDict[str, FollowUp]):
    """Subjects' dates; while somebody looks at them, something else may happen."""

    def __init__(self, ward: Ward, dates: Mapping[str, FollowUp]) -> None:
        super().__init__(dates)
        self.ward = ward

    def __getitem__(self, subject: str) -> FollowUp:
        self.ward.meanwhile()
        return super().__getitem__(subject)


class Ward:
    """Subjects whose results arrive in runs, and are judged."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.meanwhile: Callable[[], None] = lambda: None
        """Happens when a subject's dates are looked at: while its results are read, and when all of them are."""

    def arrive(self, run: str, subject: str, *came: Incoming) -> None:
        items = [(one.reference, one.version, hashlib.sha256(as_bytes(one)).digest(), as_bytes(one)) for one in came]
        self.store.candidates.arrive(STUDY, subject, FEED, items, run)

    def judge(self, run: str, *subjects: str, whole: bool = False) -> Funnel:
        funnel = Funnel()
        due = [Due(subject=subject, whole=whole) for subject in subjects]
        Assessing(store=self.store, context=CONTEXT, follow_ups=self.follow_ups, run=run).assess(due, funnel)
        return funnel

    def follow_ups(self, subjects: Sequence[str]) -> Mapping[str, FollowUp]:
        return Dates(self, {subject: FollowUp(anchor=INDEX) for subject in subjects})

    def states(self, subject: str) -> dict[str, str]:
        known = self.store.candidates.of_subject(STUDY, subject)
        return {last.reference: one.state if one else "not judged" for one, last, _ in known}

    def candidate(self, subject: str, reference: str) -> Candidate:
        known = self.store.candidates.of_subject(STUDY, subject)
        return next(one for one, last, _ in known if one is not None and last.reference == reference)

    def said(self, one: Candidate, **otherwise: Any) -> Judgement:
        """What was said of a candidate, as a judgement that says something else of it."""
        fields = {name: getattr(one, name) for name in Judgement.__dataclass_fields__ if hasattr(one, name)}
        return Judgement(**fields | {"decided": one.decision, "decision": None} | otherwise)

    def run(self) -> str:
        return self.store.start_run("pull")


@pytest.fixture
def ward(store: Store) -> Ward:
    return Ward(store)


def test_more_subjects_than_fit_one_transaction_are_all_judged(ward: Ward) -> None:
    run, subjects = ward.run(), [f"p{number}" for number in range(AT_ONCE + 3)]
    for subject in subjects:
        ward.arrive(run, subject, dna(subject))
    funnel = ward.judge(run, *subjects)
    assert all(ward.states(subject) == {f"Observation/{subject}": "waiting"} for subject in subjects)
    assert funnel.fates.total() == funnel.ends.total() == len(subjects)
    assert len(list(ward.store.pulls.pulled(run))) == len(subjects)


def test_results_of_other_tests_are_not_judged_again_unless_all_are(ward: Ward) -> None:
    first, second = ward.run(), ward.run()
    ward.arrive(first, "p1", dna("1"), dna("2", "0.5", code=SURFACE_ANTIGEN))
    ward.judge(first, "p1")
    other = ward.candidate("p1", "Observation/2")
    ward.store.candidates.judge(STUDY, "p1", [ward.said(other, reasons=("as it was left",))])
    ward.arrive(second, "p1", dna("3"))
    funnel = ward.judge(second, "p1")
    assert ward.candidate("p1", "Observation/2").reasons == ("as it was left",)
    assert sorted(ward.states("p1").values()) == ["duplicate", "waiting", "waiting"]
    assert funnel.fates.total() == 1
    ward.judge(second, "p1", whole=True)
    assert ward.candidate("p1", "Observation/2").reasons == other.reasons


def test_a_decision_made_while_its_subject_is_judged_stands(ward: Ward) -> None:
    first, second = ward.run(), ward.run()
    ward.arrive(first, "p1", dna("1"), dna("9", "0.5", code=SURFACE_ANTIGEN))
    ward.judge(first, "p1")
    ward.arrive(second, "p1", dna("2", "77", collected="2026-03-31T08:15:00+08:00"))
    one = ward.candidate("p1", "Observation/1")

    def once_all_is_read() -> None:
        ward.meanwhile = decide

    def decide() -> None:
        ward.meanwhile = lambda: None
        ward.store.candidates.decide(one.key, "accept", by="kim", reason="", seen=one.arrival)

    ward.meanwhile = once_all_is_read
    funnel = ward.judge(second, "p1")
    found, _, decisions = ward.store.candidates.get(one.key) or (None, None, [])
    assert found is not None
    assert (found.state, [made.by for made in decisions]) == ("accepted", ["kim"])
    assert ward.states("p1")["Observation/2"] == "waiting"
    assert "visit filled" in ward.candidate("p1", "Observation/2").reasons
    assert funnel.ends.total() == 1


def test_what_an_earlier_run_left_unjudged_is_judged_with_what_came(ward: Ward) -> None:
    killed, run = ward.run(), ward.run()
    ward.store.pulls.freeze(killed, STUDY, b"{}")
    ward.arrive(killed, "p1", dna("1", "0.5", code=SURFACE_ANTIGEN))
    ward.arrive(run, "p1", dna("2"))
    assert ward.store.candidates.to_judge(STUDY, run, None) == {"p1"}
    funnel = ward.judge(run, "p1", whole=True)
    assert ward.states("p1") == {"Observation/1": "waiting", "Observation/2": "waiting"}
    assert (funnel.fates.total(), funnel.moved.total()) == (1, 1)


def test_a_new_version_is_judged_instead_of_the_old_one(ward: Ward) -> None:
    first, second = ward.run(), ward.run()
    ward.arrive(first, "p1", dna("1"))
    ward.judge(first, "p1")
    ward.arrive(second, "p1", replace(dna("1"), version="2", status="entered-in-error"))
    ward.judge(second, "p1")
    assert ward.states("p1") == {"Observation/1": "cancelled"}


def test_only_what_other_runs_left_is_taken_for_left_behind_not_what_this_one_brought(ward: Ward) -> None:
    killed, run = ward.run(), ward.run()
    for one, subject in ((killed, "p1"), (run, "p2")):
        ward.store.pulls.freeze(one, STUDY, b"{}")
        ward.arrive(one, subject, dna(subject))
    assert ward.store.candidates.to_judge(STUDY, run, None) == {"p1"}


def test_whoever_got_another_index_date_is_judged_again(store: Store) -> None:
    desk = Desk(store, checks=Lenient())
    desk.arrive()
    since = utc_now()
    assert store.candidates.to_judge(TRIAL.id, "run", since) == set()
    desk.enter(replace(SUBJECT, index_date=SUBJECT.index_date + dt.timedelta(days=1)))
    assert store.candidates.to_judge(TRIAL.id, "run", since) == {PATIENT}
    assert store.candidates.to_judge(TRIAL.id, "run", None) == set()
