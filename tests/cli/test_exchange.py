"""`fhirbridge push`: what it says and how it ends, whatever the hospital does."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime

from tests.cli.conftest import Run
from tests.sync.breakable_hospital import BreakableHospital


def test_a_push_to_a_real_server_arrives_and_the_second_one_asks_nothing(quick: Run, hospital: str) -> None:
    first = quick("push", "--hospital", hospital)
    assert first.code == 0
    assert f"Pushed to {hospital}" in first.out
    assert max(map(len, first.out.splitlines()[:-1])) <= 80
    second = quick("push", "--hospital", hospital, "--json").json
    assert (second["requests"], second["sent"], second["balanced"], second["complete"]) == (0, 0, True, True)
    assert quick("reconcile", "--full", "--hospital", hospital).code == 0


def test_a_refused_resource_is_named_with_a_remedy_and_the_rest_arrives(
    quick: Run, breakable: BreakableHospital, stored: Callable[[str], list[str]]
) -> None:
    refused = f"BodyStructure/{stored('BodyStructure')[0]}"
    breakable.refuse_whole = {refused: 422}
    ran = quick("push")
    assert ran.code == 1
    assert f"not taken: {refused}" in ran.err
    assert "Correct the record or the mapping" in ran.err
    assert len(breakable.kept) > 10


def test_an_interrupted_push_says_so_and_the_next_one_goes_on(quick: Run, breakable: BreakableHospital) -> None:
    def interrupting() -> datetime:
        if not breakable.kept:
            os.kill(os.getpid(), signal.SIGINT)
        return datetime.now(UTC)

    breakable.clock = interrupting
    ran = quick("push", "--json")
    assert (ran.code, ran.json["interrupted"], ran.json["complete"]) == (130, True, False)
    assert 0 < ran.json["sent"] < ran.json["desired"]
    on = quick("push", "--json")
    assert (on.code, on.json["sent"]) == (0, ran.json["desired"] - ran.json["sent"])


def test_a_server_that_failed_is_left_alone_until_somebody_says_now(quick: Run, breakable: BreakableHospital) -> None:
    settings = {"FHIRBRIDGE_HOSPITAL_REST_AFTER": "1", "FHIRBRIDGE_HOSPITAL_REST_FIRST": "600"}
    quick("plan")
    breakable.fail_next = [401]
    failed = quick("push", **settings)
    assert failed.code == 3
    resting = quick("push", "--json", **settings)
    assert (resting.code, resting.json["requests"], resting.json["sent"]) == (3, 0, 0)
    assert "left alone until" in resting.json["stopped"]
    assert quick("push", "--now", **settings).code == 0
    assert quick("status", "--json").json["breaker"]["open"] is False


def test_a_push_without_a_hospital_says_how_to_name_one(quick: Run) -> None:
    ran = quick("push")
    assert ran.code == 2
    assert "--hospital" in ran.err


def test_a_hospital_that_does_not_answer_is_the_servers_fault(quick: Run) -> None:
    ran = quick("push", "--hospital", "http://127.0.0.1:9/fhir", FHIRBRIDGE_HOSPITAL_TIMEOUT="1")
    assert ran.code == 3
    assert "127.0.0.1:9" in ran.err
