"""`fhirbridge status`: how things stand, for people and for monitoring, without asking the hospital."""

from __future__ import annotations

from collections.abc import Callable

from tests.cli.conftest import Run
from tests.sync.breakable_hospital import BreakableHospital

Stored = Callable[[str], list[str]]


def test_before_and_after_a_push_the_numbers_add_up(quick: Run, breakable: BreakableHospital) -> None:
    before = quick("status", "--json").json
    assert before["backlog"]["pending"] == before["backlog"]["desired"] == sum(before["resources"].values())
    assert before["backlog"]["oldest"] is not None
    assert "The oldest has waited for" in quick("status").out
    quick("push")
    after = quick("status", "--check", "--json")
    assert (after.code, after.json["backlog"]["pending"], after.json["attention"]) == (0, 0, [])
    assert after.json["runs"]["push"]["last"]["outcome"] == "done"
    assert after.json["next"]["push"] is not None
    assert after.json["next"]["ingest"] is None
    assert max(map(len, quick("status").out.splitlines()[:-1])) <= 80


def test_a_conflict_over_something_unchanged_is_counted_and_fails_the_check(
    quick: Run, breakable: BreakableHospital, stored: Stored
) -> None:
    quick("push")
    name = f"Patient/{stored('Patient')[0]}"
    breakable.put(breakable.kept[name] | {"active": False})
    quick("reconcile")
    ran = quick("status", "--json")
    assert (ran.code, ran.json["conflicts"], ran.json["backlog"]["conflicts"]) == (0, 1, 0)
    checked = quick("status", "--check")
    assert checked.code == 1
    assert "Needs somebody: 1 open conflict: fhirbridge conflicts list" in checked.out
    assert "1 open conflict" in quick("push").err
    quick("conflicts", "settle", name, "--theirs")
    quick("reconcile")
    assert quick("status", "--check").code == 0


def test_a_dead_letter_fails_the_check(quick: Run, breakable: BreakableHospital, stored: Stored) -> None:
    breakable.refuse_whole = {f"Group/{stored('Group')[0]}": 422}
    quick("push")
    ran = quick("status", "--check", "--json")
    assert (ran.code, ran.json["backlog"]["parked"]) == (1, 1)
    assert ran.json["attention"] == ["1 dead letter: fhirbridge deadletters list"]


def test_a_hospital_that_is_down_is_left_alone_and_told_of(quick: Run, breakable: BreakableHospital) -> None:
    breakable.dies_after = 0
    settings = {"FHIRBRIDGE_HOSPITAL_REST_AFTER": "1", "FHIRBRIDGE_HOSPITAL_REST_FIRST": "600"}
    down = {"FHIRBRIDGE_HOSPITAL": "http://127.0.0.1:9/fhir"}
    failed = quick("push", **settings, **down)
    assert failed.code == 3
    ran = quick("status", "--check", **down)
    assert (ran.code, "is left alone until" in ran.out, "push did not do all it should" in ran.out) == (1, True, True)
    resting = quick("push", "--json", **settings, **down)
    assert (resting.code, resting.json["requests"]) == (3, 0)


def test_without_a_hospital_it_says_what_is_stored(quick: Run) -> None:
    ran = quick("status")
    assert ran.code == 0
    assert "No hospital is set" in ran.out
    assert quick("status", "--json").json["backlog"] is None
    assert quick("status", "--json").json["next"] == {
        "ingest": None,
        "pull": None,
        "push": None,
        "reconcile": None,
        "release": None,
    }
