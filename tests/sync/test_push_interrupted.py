"""Push after an answer was lost or a pusher died: what may have been done is looked at, nobody's change is lost."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time

import psutil
import pytest

from fhirbridge.store import Store
from fhirbridge.sync.leasing import Leases
from fhirbridge.sync.settling import dispute, settle
from tests.sync.breakable_hospital import BASE
from tests.sync.pushing import pushed

OWN = f"{BASE} trial "
"""The lease of the study's own resources."""

HOLDER = """
import sys, time
from fhirbridge.store import Store
from fhirbridge.sync.leasing import Leases
from fhirbridge.sync.settling import dispute, settle

with Store.open(sys.argv[1]) as store, Leases(store) as leases:
    print(leases.take("subject"), flush=True)
    time.sleep(600)
"""


def referring(make, patient: str):
    """A ResearchSubject that refers to the study's own resource."""
    made = make.research_subject(f"{patient}-in", patient)
    return 20, made | {"study": {"reference": f"ResearchStudy/{make.study}"}}


@pytest.mark.parametrize("lost", [1, 2, 3, 4])
def test_an_update_whose_answers_are_lost_again_and_again_is_parked_for_none_of_them(
    store, put, make, breakable, lost
) -> None:
    breakable.says(versioning="versioned-update")
    put(make.cohort(1, observations=4))
    with breakable.connected() as hospital:
        pushed(store, hospital)
        breakable.put({**breakable.kept["Observation/trial-p000-3"], "status": "amended"})
        put([(20, make.observation(f"trial-p000-{of}", "trial-p000", "7.10")) for of in range(4)])
        breakable.lose_next = lost
        for _ in range(3):
            report = pushed(store, hospital)
    assert dict(report.fates) == {"unchanged": 5, "conflict": 1}
    assert breakable.kept["Observation/trial-p000-3"]["status"] == "amended"
    assert str(breakable.kept["Observation/trial-p000-0"]["valueQuantity"]["value"]) == "7.10"


def test_what_others_change_after_the_answer_to_a_creation_was_lost_is_not_overwritten(
    store, put, make, breakable
) -> None:
    put(make.cohort(1))
    with breakable.connected(attempts=1) as hospital:
        pushed(store, hospital)
        put(make.subject("trial-p001"))
        breakable.lose_next = 1
        assert pushed(store, hospital).fates["failed"] == 3
        breakable.put({**breakable.kept["Patient/trial-p001"], "active": True})
        report = pushed(store, hospital)
    assert dict(report.fates) == {"unchanged": 4, "adopted": 2, "conflict": 1}
    assert breakable.kept["Patient/trial-p001"]["active"] is True
    assert breakable.versions["Observation/trial-p001-0"] == 1


def test_a_look_that_fails_is_not_forgotten(store, put, make, breakable) -> None:
    put(make.cohort(1))
    with breakable.connected(attempts=1) as hospital:
        pushed(store, hospital)
        put(make.subject("trial-p001"))
        breakable.lose_next = 1
        pushed(store, hospital)
        breakable.forbidden = {"Patient", "Observation"}
        assert pushed(store, hospital).fates["failed"] == 3
        breakable.forbidden = set()
        report = pushed(store, hospital)
    assert dict(report.fates) == {"unchanged": 4, "adopted": 3}


def test_subjects_wait_while_another_process_writes_what_they_refer_to(store, put, make, breakable) -> None:
    breakable.needs_targets = True
    put([*make.cohort(1), referring(make, "trial-p000")])
    other = "another-machine:boot/1/1.00/x"
    assert store.lease(OWN, other, 60.0)
    reports = []
    with breakable.connected() as hospital:
        pushing = threading.Thread(target=lambda: reports.append(pushed(store, hospital)))
        pushing.start()
        pushing.join(0.5)
        assert breakable.writes == []
        store.release(other)
        pushing.join()
    assert reports[0].complete
    assert dict(reports[0].fates) == {"created": 5}


def test_a_stop_ends_the_waiting_for_another_process(store, put, make, breakable) -> None:
    put(make.cohort(1))
    assert store.lease(OWN, "another-machine:boot/1/1.00/x", 60.0)
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with breakable.connected() as hospital:
        report = pushed(store, hospital, stop=stop)
    assert report.interrupted
    assert breakable.writes == []


def test_what_refers_to_a_resource_of_the_studys_own_that_failed_is_held_and_not_parked(
    store, put, make, breakable
) -> None:
    breakable.needs_targets = True
    breakable.refuse_whole = {"ResearchStudy/trial": 503}
    put([*make.cohort(1), referring(make, "trial-p000")])
    with breakable.connected(attempts=1) as hospital:
        report = pushed(store, hospital)
        assert dict(report.fates) == {"failed": 1, "created": 3, "held": 1}
        assert not report.needs_a_person
        breakable.refuse_whole = {}
        assert pushed(store, hospital).complete


def test_subjects_pushed_by_themselves_hold_what_refers_to_a_study_that_is_not_there_yet(
    store, put, make, breakable
) -> None:
    breakable.needs_targets = True
    put([*make.cohort(1), referring(make, "trial-p000")])
    with breakable.connected() as hospital:
        part = pushed(store, hospital, compartments=["trial-p000"])
        assert (part.fates["created"], part.fates["held"], part.fates["parked"]) == (3, 1, 0)
        assert pushed(store, hospital).complete


def test_the_lease_of_a_killed_process_is_taken_over_before_its_parent_has_noticed(store, database_url) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, database_url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "free\n"
        with Leases(store) as leases:
            assert leases.take("subject") is None
            process.kill()
            while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
            assert leases.take("subject") == "left behind"
    finally:
        process.kill()
        process.communicate()


def test_a_lease_left_behind_is_free_for_anybody_who_is_told_so(store: Store) -> None:
    with Leases(store) as first, Leases(store) as second:
        assert first.take("subject") == "free"
        assert second.take("subject") is None
        first.leave_behind("subject")
        assert second.take("subject") == "left behind"
        second.give_back("subject")
        assert first.take("subject") == "free"


def test_leases_are_left_behind_by_what_ends_with_an_error_and_given_back_otherwise(store: Store) -> None:
    with Leases(store) as leases:
        leases.take("one")
    with contextlib.suppress(KeyboardInterrupt), Leases(store) as leases:
        leases.take("two")
        raise KeyboardInterrupt
    with Leases(store) as later:
        assert (later.take("one"), later.take("two")) == ("free", "left behind")


ASSIGNING = ["conditional-create", "conditional-update", "search"]


@pytest.mark.parametrize("strategy", ASSIGNING)
def test_what_refers_to_a_resource_under_an_id_of_the_servers_choice_is_adopted_with_it(
    store, put, make, breakable, strategy
) -> None:
    """The answer to both was lost: the id of the one, in the reference of the other, is not known here yet."""
    chosen = {"Patient": strategy}
    put([(5, make.study_resource())])
    with breakable.connected(attempts=1) as hospital:
        pushed(store, hospital, strategies=chosen)
        put(make.subject("trial-p000"))
        breakable.lose_next = 1
        assert pushed(store, hospital, strategies=chosen).fates["failed"] == 3
        report = pushed(store, hospital, strategies=chosen)
    assert dict(report.fates) == {"unchanged": 1, "adopted": 3}


@pytest.mark.parametrize("strategy", ASSIGNING)
def test_an_edit_after_a_lost_answer_is_a_conflict_under_the_servers_id_and_can_be_settled(
    store, put, make, breakable, strategy
) -> None:
    breakable.assigns_ids = True
    breakable.says(versioning="versioned-update", updateCreate=False)
    put([(20, make.observation("o1", "p1"))])
    chosen = {"Observation": strategy}
    with breakable.connected(attempts=1) as hospital:
        breakable.lose_next = 1
        pushed(store, hospital, strategies=chosen)
        [place] = breakable.kept
        breakable.put({**breakable.kept[place], "status": "amended"})
        assert pushed(store, hospital, strategies=chosen).fates["conflict"] == 1
        assert breakable.kept[place]["status"] == "amended"
        settle(store, BASE, dispute(store, BASE, ("Observation", "o1"), "stop"), "ours", by="x", reason="", run="s")
        assert pushed(store, hospital, strategies=chosen).complete
    assert list(breakable.kept) == [place]
    assert breakable.kept[place]["status"] == "final"


def test_a_conditional_update_does_not_overwrite_a_patient_of_the_hospitals_own(store, put, make, breakable) -> None:
    breakable.assigns_ids = True
    breakable.says(updateCreate=False, conditionalUpdate=True)
    name = {"identifier": [{"system": "urn:mrn", "value": "4711"}]}
    theirs = {"resourceType": "Patient", "id": "77", **name, "gender": "male"}
    breakable.put(theirs)
    put([(10, make.patient("p1", **name)), (20, make.observation("o1", "p1"))])
    with breakable.connected() as hospital:
        assert pushed(store, hospital).complete
    assert breakable.kept["Patient/77"] == theirs
