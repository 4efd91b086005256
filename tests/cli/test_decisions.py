"""`fhirbridge conflicts` and `deadletters`: what waits for a person, shown and decided on."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fhirbridge.cli.short_names import resolved, shortened
from fhirbridge.errors import InputError
from tests.cli.conftest import Run
from tests.sync.breakable_hospital import BreakableHospital

Stored = Callable[[str], list[str]]


@pytest.fixture
def edited(quick: Run, breakable: BreakableHospital, stored: Stored) -> str:
    """The id of a result that the hospital edited twice over, which was found by reconciling."""
    assert quick("push").code == 0
    chosen = stored("Observation")[0]
    theirs = breakable.kept[f"Observation/{chosen}"] | {"status": "amended", "issued": "2026-03-01T00:00:00Z"}
    breakable.put(theirs)
    assert quick("reconcile").code == 1
    return chosen


def test_a_conflict_is_listed_shown_and_settled_by_the_beginning_of_its_id(
    quick: Run, breakable: BreakableHospital, edited: str
) -> None:
    listed = quick("conflicts", "list")
    assert listed.code == 1
    assert f"Observation/{edited[:8]} " in listed.out
    assert max(map(len, listed.out.splitlines())) <= 80
    assert f"Next: fhirbridge conflicts show Observation/{edited[:8]}" in listed.out
    shown = quick("conflicts", "show", f"Observation/{edited[:8]}")
    assert shown.code == 0
    assert '"amended"' in shown.out
    settled = quick("conflicts", "settle", f"Observation/{edited[:8]}", "--ours")
    assert f"Settled: Observation/{edited}. Next: fhirbridge push" in settled.out
    assert quick("conflicts", "list").out == "No conflicts.\n"
    assert quick("push").code == 0
    assert breakable.kept[f"Observation/{edited}"]["status"] == "final"


def test_theirs_stands_and_nothing_is_sent_for_it(quick: Run, breakable: BreakableHospital, edited: str) -> None:
    assert quick("conflicts", "settle", f"Observation/{edited}", "--theirs").code == 0
    breakable.writes.clear()
    assert quick("push").code == 0
    assert (breakable.writes, quick("reconcile").code) == ([], 0)


def test_a_conflict_is_settled_field_by_field(quick: Run, breakable: BreakableHospital, edited: str) -> None:
    name = f"Observation/{edited}"
    assert quick("conflicts", "settle", name, "--ours", "--field", "issued=theirs").code == 0
    assert quick("push").code == 0
    held = breakable.kept[name]
    assert (held["status"], held["issued"]) == ("final", "2026-03-01T00:00:00Z")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "say whose version stands"),
        (["--ours", "--theirs"], "not both"),
        (["--field", "status=theirs"], "undecided: issued"),
        (["--ours", "--field", "note=theirs"], "not in dispute: note. Give each disputed field one side; these are"),
        (["--field", "status"], "is not PATH=ours or PATH=theirs"),
    ],
)
def test_a_decision_that_is_none_is_explained_and_noted_nowhere(
    quick: Run, breakable: BreakableHospital, edited: str, given: list[str], said: str
) -> None:
    ran = quick("conflicts", "settle", f"Observation/{edited}", *given)
    assert (ran.code, said in ran.err) == (2, True)
    assert "settle" not in quick("status", "--json").json["runs"]
    assert quick("conflicts", "list").code == 1


def test_what_the_hospital_deleted_is_made_anew_or_stays_away(
    quick: Run, breakable: BreakableHospital, stored: Stored
) -> None:
    quick("push")
    patient = stored("Patient")[0]
    breakable.remove(f"Patient/{patient}")
    ran = quick("reconcile", "--repair")
    assert (ran.code, "missing, to be made again: 1" in ran.err) == (1, True)
    assert quick("push").code == 0
    assert f"Patient/{patient}" in breakable.kept


@pytest.fixture
def refused(quick: Run, breakable: BreakableHospital, stored: Stored) -> str:
    """The id of a result that the hospital refused."""
    chosen = stored("BodyStructure")[0]
    breakable.refuse_whole = {f"BodyStructure/{chosen}": 422}
    ran = quick("push")
    assert ran.code == 1
    assert "parked: `fhirbridge deadletters list` says what and why." in ran.err
    return chosen


def test_a_dead_letter_is_listed_and_shown_with_request_answer_and_remedy(
    quick: Run, breakable: BreakableHospital, refused: str
) -> None:
    listed = quick("deadletters", "list")
    assert listed.code == 1
    assert f"BodyStructure/{refused[:8]}  422, 1 attempt" in listed.out
    shown = quick("deadletters", "show", f"BodyStructure/{refused[:8]}")
    assert shown.code == 0
    for part in (f"PUT BodyStructure/{refused}", '"resourceType": "OperationOutcome"', "Remedy: Correct the record"):
        assert part in shown.out
    given = quick("deadletters", "show", f"BodyStructure/{refused[:8]}", "--json").json
    assert given["request"]["resource"]["id"] == refused


def test_a_dead_letter_is_retried_when_somebody_says_so(quick: Run, breakable: BreakableHospital, refused: str) -> None:
    breakable.refuse_whole = {}
    assert quick("push").code == 1
    ran = quick("deadletters", "retry", f"BodyStructure/{refused[:8]}")
    assert "The next push tries 1 resource again." in ran.out
    assert quick("push").code == 0
    assert f"BodyStructure/{refused}" in breakable.kept
    assert quick("deadletters", "retry", "--all").out == "No dead letters.\n"


def test_a_dead_letter_is_dropped_even_where_the_user_has_no_name(
    quick: Run, breakable: BreakableHospital, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1000620000")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert quick("deadletters", "drop", f"BodyStructure/{refused}").code == 0
    assert quick("deadletters", "list").code == 0
    quick("push")
    assert f"BodyStructure/{refused}" not in breakable.kept


@pytest.mark.parametrize(
    "command", [("conflicts", "show"), ("conflicts", "settle"), ("deadletters", "show"), ("deadletters", "drop")]
)
def test_what_there_is_not_is_named_with_where_to_look(
    quick: Run, breakable: BreakableHospital, command: tuple[str, str]
) -> None:
    for text, said in (("Patient/nobody", f"`fhirbridge {command[0]} list` names them"), ("nobody", "as TYPE/ID")):
        ran = quick(*command, text, "--json")
        assert (ran.code, ran.json["error"]["code"]) == (2, "structure")
        assert said in ran.err


def test_a_beginning_means_the_one_it_can_mean() -> None:
    names = [("Observation", "abcdefgh1"), ("Observation", "abcdefgh2"), ("Patient", "abcdefgh1"), ("Patient", "abc")]
    assert set(shortened(names).values()) == {
        "Observation/abcdefgh1",
        "Observation/abcdefgh2",
        "Patient/abcdefgh",
        "Patient/abc",
    }
    found = {text: resolved(text, names, what="x", listing="y") for text in ("Patient/abc", "Patient/abcd")}
    assert found == {"Patient/abc": ("Patient", "abc"), "Patient/abcd": ("Patient", "abcdefgh1")}
    with pytest.raises(InputError, match="could be Observation/abcdefgh1, Observation/abcdefgh2"):
        resolved("Observation/abc", names, what="x", listing="y")
    assert all(resolved(short, names, what="x", listing="y") == name for name, short in shortened(names).items())


def test_each_decision_is_in_the_log_with_its_run_and_without_content(
    quick: Run, breakable: BreakableHospital, refused: str
) -> None:
    log = {"FHIRBRIDGE_LOG_FORMAT": "json", "FHIRBRIDGE_LOG_FILE": "decisions.log"}
    name = next(url for url in breakable.kept if url.startswith("Observation/"))
    breakable.put(breakable.kept[name] | {"status": "amended"})
    quick("reconcile")
    assert quick("conflicts", "settle", name, "--ours", "--reason", "it is final", **log).code == 0
    assert quick("deadletters", "retry", f"BodyStructure/{refused}", **log).code == 0
    quick("push")
    assert quick("deadletters", "drop", f"BodyStructure/{refused}", "--reason", "no place for it", **log).code == 0
    lines = [json.loads(line) for line in Path("decisions.log").read_text(encoding="utf-8").splitlines()]
    told = {line["event"]: line for line in lines if line["event"] not in ("run_started", "run_ended")}
    assert {event: f"{line['type']}/{line['id']}" for event, line in told.items()} == {
        "conflict_settled": name,
        "resource_retried": f"BodyStructure/{refused}",
        "resource_dropped": f"BodyStructure/{refused}",
    }
    assert (told["conflict_settled"]["kind"], all(line["run"] for line in lines)) == ("ours", True)
    assert "final" not in Path("decisions.log").read_text(encoding="utf-8")
