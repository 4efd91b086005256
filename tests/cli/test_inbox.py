"""`fhirbridge inbox`: listed, shown, counted and decided on as a trial coordinator does it."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fhirbridge.identity import Identity, read_key
from fhirbridge.store import Candidate, Judgement, Store
from fhirbridge.store.decisions import State
from tests.cli.conftest import Run

STUDY = "nct07120750"
FEED = "https://fhir.hospital.example/r4"

PROPOSAL: dict[str, Any] = {
    "analyte": "HBV-DNA",
    "visit": "W012",
    "collected": "2025-03-01T08:00:00+08:00",
    "value": "42",
    "unit": "[IU]/mL",
    "reported": "244 copies/mL",
    "status": "final",
    "details": {"offset": 3},
}


@pytest.fixture
def kept(loaded: Path) -> Iterator[Store]:
    """The store of ``quick``'s folder."""
    with Store.open(f"sqlite:///{loaded / 'fhirbridge.db'}") as store:
        yield store


def enrolled(store: Store, folder: Path, count: int = 6) -> list[str]:
    """Store more subjects like the one that is there, and return the ids of their Patients."""
    identity = Identity(read_key(folder / "fhirbridge.key"), STUDY)
    first = list(store.iterate(STUDY, types=["Patient", "Consent", "ResearchSubject"]))
    known = next(one for one in first if one.type == "ResearchSubject").content()["identifier"][0]["value"]

    def names(number: str) -> list[str]:
        return [number, identity.pseudonym(number), *(identity.id(one.type, number) for one in first)]

    for number in (f"SZ-90{index}" for index in range(1, count + 1)):
        bodies = [one.body.decode() for one in first]
        for old, new in zip(names(known), names(number), strict=True):
            bodies = [body.replace(old, new) for body in bodies]
        with store.transaction() as transaction:
            transaction.put(
                [(one.rank, json.loads(body)) for one, body in zip(first, bodies, strict=True)], run="run-1"
            )
    return [identity.id("Patient", f"SZ-90{index}") for index in range(1, count + 1)]


@pytest.fixture
def found(kept: Store, loaded: Path) -> Callable[..., Candidate]:
    """Have a result arrive, and be judged; again with another ``content`` it is another version of it."""
    subjects = enrolled(kept, loaded)

    def arrive(
        number: int = 1, state: State = "waiting", *, content: Any = None, reasons: tuple[str, ...] = (), **said: Any
    ) -> Candidate:
        reference, subject = f"Observation/{number}", subjects[number - 1]
        version = len(kept.candidates.of_subject(STUDY, subject)) and len(kept.candidates.versions(number))
        body = json.dumps({"reference": reference, "value": {"valueQuantity": {"value": 0.7}}, **(content or {})})
        item = (reference, str(version + 1), hashlib.sha256(body.encode()).digest(), body.encode())
        kept.candidates.arrive(STUDY, subject, FEED, [item], "run-1")
        ((known, latest, _),) = kept.candidates.of_subject(STUDY, subject)
        proposal = PROPOSAL | said
        judged = Judgement(
            feed=FEED,
            reference=reference,
            arrival=latest.key,
            decided=known.decision if known else None,
            state=state,
            reasons=reasons,
            analyte=proposal["analyte"] or "",
            visit=proposal["visit"],
            offset=3,
            inside=True,
            collected=proposal["collected"],
            proposal=json.dumps(proposal).encode(),
        )
        assert kept.candidates.judge(STUDY, subject, [judged], "run-1") == []
        ((now, _, _),) = kept.candidates.of_subject(STUDY, subject)
        assert now is not None
        return now

    return arrive


Found = Callable[..., Candidate]


def stands(store: Store, key: int) -> str:
    found = store.candidates.get(key)
    assert found is not None
    return found[0].state


def test_an_empty_inbox_says_so(quick: Run) -> None:
    listed = quick("inbox", "list")
    assert (listed.code, listed.out) == (0, "The inbox is empty.\n")
    assert quick("inbox", "counts").code == 0


def test_the_list_shows_reported_beside_proposed_value_and_why_it_waits(quick: Run, found: Found) -> None:
    found(1, reasons=("out of window",))
    found(2, "accepted")
    listed = quick("inbox", "list")
    assert listed.code == 1
    for text in ("C-1", "HBV-DNA", "W012", "+3", "244", "copies/mL", "42", "out of"):
        assert text in listed.out
    assert "C-2" not in listed.out
    assert max(map(len, listed.out.splitlines())) <= 80
    assert "Next: fhirbridge inbox show C-1" in listed.out


def test_the_list_and_what_is_shown_name_the_subject_by_its_number(quick: Run, found: Found) -> None:
    first, second = found(1), found(2)
    listed = quick("inbox", "list").out.splitlines()
    for one, number in ((first, "SZ-901"), (second, "SZ-902")):
        assert number in next(line for line in listed if one.name in line)
    assert f"of subject SZ-901 (Patient/{first.subject})" in quick("inbox", "show", first.name).out


def test_the_list_can_be_narrowed_and_asked_for_other_states(quick: Run, found: Found) -> None:
    first = found(1)
    found(2, analyte="HBSAG")
    found(3, "accepted")

    def names(*options: str) -> list[str]:
        return [one["candidate"] for one in quick("inbox", "list", "--json", *options).json["candidates"]]

    assert names() == ["C-1", "C-2"]
    assert names("--analyte", "HBSAG") == ["C-2"]
    assert names("--subject", f"Patient/{first.subject}") == ["C-1"]
    assert names("--state", "accepted", "--state", "waiting") == ["C-1", "C-2", "C-3"]
    assert quick("inbox", "list", "--state", "accepted").code == 0
    assert "no candidate is 'done'" in quick("inbox", "list", "--state", "done").err
    assert "no analyte 'XYZ'" in quick("inbox", "list", "--analyte", "XYZ").err
    more = quick("inbox", "list", "--limit", "1")
    assert "C-2" not in more.out
    assert "… and more: --limit" in more.out


def test_a_subject_whom_the_study_does_not_have_is_no_empty_inbox(quick: Run, found: Found) -> None:
    found(1)
    for wrong in ("SZ-0O01", "Patient/nobody"):
        listed = quick("inbox", "list", "--subject", wrong)
        assert (listed.code, listed.out) == (2, "")
        assert "the study has no such subject" in listed.err
        assert wrong not in listed.err


def test_the_list_names_what_is_amiss_before_what_the_policy_makes_of_it(quick: Run, found: Found) -> None:
    found(1, reasons=("out of window", "policy: no-flags"))
    assert "policy" not in quick("inbox", "list").out
    found(2, reasons=("policy: a person decides",))
    assert "policy" in quick("inbox", "list").out


def test_a_candidate_is_shown_with_old_against_new_and_with_its_decisions(quick: Run, found: Found) -> None:
    found(1)
    assert quick("inbox", "accept", "C-1", "--by", "kim", "--reason", "plausible").code == 0
    now = found(1, "reopened", content={"value": {"valueQuantity": {"value": 0.75}}}, reasons=("source corrected",))
    shown = quick("inbox", "show", "C-1")
    assert shown.code == 0
    assert "C-1: reopened since" in shown.out
    assert "Why: source corrected" in shown.out
    (changed,) = [line for line in shown.out.splitlines() if "0.75" in line and "0.7 " in line]
    assert "value.valueQuantity.value" in changed
    assert "kim" in shown.out
    assert "plausible" in shown.out
    assert f"Next: fhirbridge inbox accept C-1@{now.seen}" in shown.out
    told = quick("inbox", "show", "C-1", "--json").json
    assert told["versions"][1]["changed"] == [{"field": "value.valueQuantity.value", "old": 0.7, "new": 0.75}]
    assert [(one["action"], one["by"]) for one in told["decisions"]] == [("accept", "kim")]


def test_several_are_accepted_by_name_and_the_next_step_is_named(quick: Run, found: Found, kept: Store) -> None:
    found(1)
    found(2)
    done = quick("inbox", "accept", "C-1", "c-2", "1")
    assert (done.code, "Accepted: C-1, C-2 (2 candidates).\nNext: fhirbridge push" in done.out) == (0, True)
    assert [stands(kept, key) for key in (1, 2)] == ["accepted", "accepted"]
    known = kept.candidates.get(1)
    assert known is not None
    assert (known[2][0].by, known[2][0].run is not None) == (getpass.getuser(), True)


def test_all_of_an_analyte_are_accepted_after_a_yes(quick: Run, found: Found, kept: Store) -> None:
    found(1)
    found(2, analyte="HBSAG")
    found(3, "unreadable", value=None)
    assert quick("inbox", "accept", "--all", "--analyte", "HBV-DNA").code == 1  # nobody says yes
    assert stands(kept, 1) == "waiting"
    assert quick("inbox", "accept", "--all", "--analyte", "HBV-DNA", "--yes").code == 0
    assert [stands(kept, key) for key in (1, 2, 3)] == ["accepted", "waiting", "unreadable"]
    assert quick("inbox", "reject", "--all", "--yes", "--reason", "x").code == 0
    assert [stands(kept, key) for key in (1, 2, 3)] == ["accepted", "rejected", "rejected"]


def test_what_is_refused_is_named_and_the_rest_goes_on(quick: Run, found: Found, kept: Store) -> None:
    found(1, "unreadable", value=None)
    found(2)
    done = quick("inbox", "accept", "C-1", "C-2")
    assert done.code == 1
    assert "refused: C-1 cannot be decided so (accept): it could not be read for certain" in done.err
    assert "Accepted: C-2" in done.out
    assert [stands(kept, key) for key in (1, 2)] == ["unreadable", "accepted"]
    told = quick("inbox", "accept", "C-1", "--json")
    assert (told.code, told.json["refused"][0]["candidate"]) == (1, "C-1")


def test_a_decision_on_what_was_shown_before_the_source_changed_is_refused(
    quick: Run, found: Found, kept: Store
) -> None:
    seen = found(1).seen
    found(1, "reopened", content={"status": "corrected"})
    late = quick("inbox", "accept", f"C-1@{seen}")
    assert late.code == 1
    assert "was decided on version 1 of its source, which has sent version 2 since" in late.err
    assert stands(kept, 1) == "reopened"


def test_a_decision_on_another_proposal_than_was_shown_is_refused(quick: Run, found: Found, kept: Store) -> None:
    seen = found(1).seen
    found(1, value="43")
    late = quick("inbox", "accept", f"C-1@{seen}")
    assert (late.code, "means something else now" in late.err) == (1, True)
    assert stands(kept, 1) == "waiting"


def test_what_cannot_be_recorded_is_not_accepted(quick: Run, found: Found, kept: Store) -> None:
    found(1, visit=None)
    found(2, value="4,2")
    found(3, unit="k[IU]/mL")
    done = quick("inbox", "accept", "C-1", "C-2", "C-3")
    assert done.code == 1
    assert "C-1 has no visit to be recorded under" in done.err
    assert "Write a point for the fraction" in done.err
    assert "Give the value in [IU]/mL" in done.err
    assert [stands(kept, key) for key in (1, 2, 3)] == ["waiting"] * 3


def test_a_candidate_without_a_proposed_value_is_not_accepted_but_overridden(
    quick: Run, found: Found, kept: Store
) -> None:
    found(1, value=None, unit=None)
    done = quick("inbox", "accept", "C-1")
    assert done.code == 1
    assert "C-1 has no value to be recorded" in done.err
    assert "`override` it: --value" in done.err
    assert stands(kept, 1) == "waiting"


def test_an_override_is_held_to_the_rules_of_the_study(quick: Run, found: Found, kept: Store) -> None:
    found(1, "unreadable", value=None, unit=None)
    override = ("inbox", "override", "C-1", "--reason", "paper report")
    assert quick(*override).code == 2
    assert "there is no unit" in quick(*override, "--value", "12").err
    assert "the study has no visit 'W999'" in quick(*override, "--value", "12", "--visit", "W999").err
    assert stands(kept, 1) == "unreadable"
    assert quick(*override, "--value", "12", "--unit", "[IU]/mL").code == 0
    known = kept.candidates.get(1)
    assert known is not None
    assert (known[0].state, known[2][0].value) == ("accepted", b'{"value":"12","unit":"[IU]/mL"}')


def test_a_decision_is_taken_back_with_a_reason(quick: Run, found: Found, kept: Store) -> None:
    found(1)
    assert quick("inbox", "accept", "C-1").code == 0
    assert "needs a reason" in quick("inbox", "reopen", "C-1").err
    assert quick("inbox", "reopen", "C-1", "--reason", "wrong tube").code == 0
    assert stands(kept, 1) == "reopened"


def test_candidates_are_counted_by_analyte_and_state(quick: Run, found: Found) -> None:
    found(1)
    found(2, "accepted")
    found(3, "unmapped", analyte=None)
    counted = quick("inbox", "counts")
    assert "(none)" in counted.out
    told = quick("inbox", "counts", "--json").json
    assert told["inbox"] == 1
    assert {"state": "unmapped", "analyte": None, "candidates": 1} in told["counts"]


@pytest.mark.parametrize("name", ["X-1", "C-", "C-1@", "C-99", ""])
def test_a_name_that_names_nothing_says_where_the_names_are(quick: Run, found: Found, name: str) -> None:
    found(1)
    shown = quick("inbox", "show", name)
    assert (shown.code, "`fhirbridge inbox list` names them" in shown.err) == (2, True)


def test_names_and_all_do_not_go_together(quick: Run, found: Found) -> None:
    found(1)
    assert quick("inbox", "accept").code == 2
    assert quick("inbox", "accept", "C-1", "--all").code == 2
    assert quick("inbox", "accept", "C-1", "--analyte", "HBV-DNA").code == 2
    assert quick("inbox", "accept", "--all", "--json").code == 2


def test_a_token_is_printed_once_and_its_file_opens_the_inbox(quick: Run, loaded: Path) -> None:
    assert "inbox_tokens" in quick("inbox", "token", "kim").err
    made = quick("inbox", "token", "kim", FHIRBRIDGE_INBOX_TOKENS="tokens")
    token = made.out.strip()
    assert (made.code, "shown once" in made.err, token in (loaded / "tokens").read_text()) == (0, True, False)
    again = quick("inbox", "token", "kim", "--read-only", "--json", FHIRBRIDGE_INBOX_TOKENS="tokens")
    assert (again.json["replaced"], again.json["name"]) == (True, "kim")
    asking = (
        "import sys; from wsgi import app; c = app.test_client()\n"
        "ask = lambda token: c.get('/inbox', headers={'Authorization': 'Bearer ' + token}).status_code\n"
        "print(*map(ask, sys.argv[1:]))"
    )
    root = str(Path(__file__).parents[2])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FHIRBRIDGE_")}
    asked = subprocess.run(
        [sys.executable, "-c", asking, token, again.json["token"]],
        cwd=loaded,
        env={**kept, "PYTHONPATH": root, "FHIRBRIDGE_INBOX_TOKENS": "tokens"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert asked.stdout.split() == ["401", "200"], asked.stderr
