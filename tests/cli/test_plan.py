"""`fhirbridge plan` and `apply`: what is shown before anything is sent, and that exactly that is done."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.sync.breakable_hospital import BASE, BreakableHospital


@pytest.fixture
def correct(quick: Run, filled: Path) -> Callable[[int], str]:
    """Return a function that loads the records with one numbered HBsAg result corrected, and returns what it was."""
    shutil.copytree(filled / "cohort", "corrected")
    file = Path("corrected") / "laboratory.csv"

    def load(number: int) -> str:
        text = file.read_text(encoding="utf-8")
        line = [line for line in text.splitlines() if ",HBSAG," in line and "." in line.split(",")[5]][number]
        cells = line.split(",")
        file.write_text(text.replace(line, ",".join([*cells[:5], f"{cells[5]}1", *cells[6:]])), encoding="utf-8")
        assert quick("ingest", "corrected").code == 0
        return cells[5]

    return load


def test_a_plan_names_what_would_be_sent_and_sends_nothing(quick: Run, breakable: BreakableHospital) -> None:
    ran = quick("plan", "--json")
    assert ran.code == 0
    assert ran.json["actions"] == {"create": ran.json["desired"]}
    assert len(ran.json["changes"]) == 20
    shown = quick("plan", "--limit", "2")
    assert shown.out.count("create ") == 3  # the column, and two of them
    assert "Nothing was sent. Next: fhirbridge push" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    assert breakable.writes == []


def test_a_corrected_record_is_shown_field_by_field(
    quick: Run, breakable: BreakableHospital, correct: Callable[[int], str]
) -> None:
    assert quick("push").code == 0
    assert "Next" not in quick("plan").out
    value = correct(0)
    ran = quick("plan")
    assert f"valueQuantity.value: {value} → {value}1" in ran.out
    assert quick("plan", "--json").json["actions"] == {"update": 1}


def test_a_saved_plan_is_applied_once_and_refused_the_second_time(quick: Run, breakable: BreakableHospital) -> None:
    assert "Next: fhirbridge apply monday.plan" in quick("plan", "--output", "monday.plan").out
    applied = quick("apply", "monday.plan", "--json")
    assert (applied.code, applied.json["sent"]) == (0, len(breakable.kept))
    breakable.writes.clear()
    again = quick("apply", "monday.plan")
    assert again.code == 1
    assert "nothing is left to create" in again.err
    assert "Make the plan anew: fhirbridge plan" in again.err
    assert quick("apply", "monday.plan", "--json").json["applied"] is False
    assert breakable.writes == []


def test_what_came_after_a_plan_is_left_for_the_next_one(
    quick: Run, breakable: BreakableHospital, correct: Callable[[int], str]
) -> None:
    quick("push")
    correct(0)
    quick("plan", "--output", "early.plan")
    correct(1)
    breakable.writes.clear()
    ran = quick("apply", "early.plan", "--json")
    assert (ran.code, ran.json["sent"], ran.json["fates"]["not planned"]) == (0, 1, 1)
    assert len(breakable.writes) == 1


def test_a_plan_is_for_one_hospital_and_no_other_gets_its_credentials(quick: Run, breakable: BreakableHospital) -> None:
    quick("plan", "--output", "monday.plan")
    ran = quick("apply", "monday.plan", FHIRBRIDGE_HOSPITAL="http://other.test/fhir")
    assert ran.code == 2
    assert f"the plan is for {BASE}, and the hospital that is set is http://other.test/fhir" in ran.err
    assert quick("apply", "monday.plan", "--hospital", BASE, FHIRBRIDGE_HOSPITAL="http://other.test/fhir").code == 0


def test_a_file_that_is_no_plan_is_one_message(quick: Run, breakable: BreakableHospital) -> None:
    quick("plan", "--output", "monday.plan")
    whole = Path("monday.plan").read_bytes()
    Path("monday.plan").write_bytes(whole[: len(whole) // 2])
    for name, said in (("monday.plan", "Make the plan anew"), ("none.plan", "cannot read the plan")):
        ran = quick("apply", name, "--json")
        assert (ran.code, ran.json["error"]["code"]) == (2, "structure")
        assert said in ran.err
    assert breakable.writes == []


def test_without_looking_a_plan_asks_the_hospital_nothing(quick: Run, breakable: BreakableHospital) -> None:
    breakable.dies_after = 0
    ran = quick("plan", "--no-look", FHIRBRIDGE_HOSPITAL="http://127.0.0.1:9/fhir")
    assert ran.code == 0
    assert "create" in ran.out


def test_what_others_changed_is_in_the_plan_and_needs_a_person(
    quick: Run, breakable: BreakableHospital, correct: Callable[[int], str]
) -> None:
    quick("push")
    correct(0)
    [change] = quick("plan", "--json").json["changes"]
    name = f"{change['type']}/{change['id']}"
    breakable.put(breakable.kept[name] | {"status": "amended"})
    ran = quick("plan", "--output", "monday.plan")
    assert (ran.code, f"conflict {name} (it was changed there)" in ran.out) == (1, True)
    assert "fhirbridge conflicts list" in ran.out
    applied = quick("apply", "monday.plan")
    assert (applied.code, "changed by others" in applied.err) == (1, True)
    assert quick("conflicts", "list", "--json").json["conflicts"][0]["resource"] == name
    assert breakable.kept[name]["status"] == "amended"
