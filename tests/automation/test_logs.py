"""Logs: one line per event, the run on every line, and nothing of a patient whatever somebody tries to log."""

from __future__ import annotations

import ast
import json
import logging
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from fhirbridge.automation import logs
from fhirbridge.automation.facts import EVENTS, FACTS
from fhirbridge.errors import (
    ConfigurationError,
    FatalHospitalError,
    Finding,
    InputError,
    RecordError,
    StoreError,
    TemporaryHospitalError,
)

ROOT = Path(__file__).parents[2]
NAME = "Müllerová"
PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "name": [{"family": NAME}],
    "birthDate": "1961-05-04",
    "identifier": [{"value": "H-4711"}],
}
SECRETS = (NAME, "1961-05-04", "H-4711", "hunter2")


def lines(file: Path) -> list[dict[str, Any]]:
    text = file.read_text(encoding="utf-8")
    assert not [secret for secret in SECRETS if secret in text], text
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fhirbridge.log"


def test_every_line_of_a_run_says_which_run_it_belongs_to_from_every_thread(file: Path) -> None:
    bound = {"run": "20261122T144924Z-3fa9c1d2", "command": "push", "server": "https://fhir.test/r4", "study": "s1"}
    with logs.written(form="json", file=file), logs.about(**bound) as note:
        note("run_started")
        thread = threading.Thread(target=note, args=("resource_parked",), kwargs={"resource": "Observation/o1"})
        thread.start()
        thread.join()
    found = lines(file)
    assert [line["event"] for line in found] == ["run_started", "resource_parked"]
    assert all(line | bound == line for line in found)
    assert (found[1]["resource"], found[1]["level"]) == ("Observation/o1", "warning")
    assert found[0]["timestamp"] <= found[1]["timestamp"]


def test_a_run_that_is_over_is_on_no_later_line(file: Path) -> None:
    with logs.written(form="json", file=file):
        with logs.about(run="r1"):
            pass
        logs.noting()("schedule_started")
    assert "run" not in lines(file)[0]


@pytest.mark.parametrize(
    "facts",
    [
        PATIENT,
        {"resource": PATIENT},
        {"resource": json.dumps(PATIENT)},
        {"resource": f"Patient/{NAME}"},
        {"resource": NAME},
        {"counts": {NAME: 1, "name": NAME}},
        {"counts": [PATIENT]},
        {"status": NAME},
        {"reason": f"of {NAME}"},
        {"error": json.dumps(PATIENT)},
        {"compartment": f"{NAME} 1961-05-04"},
        {"id": NAME},
        {"server": f"https://user:hunter2@fhir.test/r4?identifier=H-4711&name={NAME}"},
    ],
    ids=lambda facts: "-".join(facts)[:40],
)
def test_nothing_of_a_patient_gets_into_a_line(file: Path, facts: dict[str, Any]) -> None:
    for form in ("json", "console"):
        with logs.written(form=form, file=file):  # type: ignore[arg-type]
            logs.noting(run="r1")("compartment_failed", **facts)
        text = file.read_text(encoding="utf-8")
        assert not [secret for secret in SECRETS if secret in text], text
        assert "compartment_failed" in text
        file.unlink()


def test_what_was_left_out_is_counted(file: Path) -> None:
    with logs.written(form="json", file=file):
        logs.noting()("compartment_failed", status=422, diagnosis=NAME, resource=PATIENT, compartment=None)
    line = lines(file)[0]
    assert (line["status"], line["withheld"]) == (422, 2)


def test_an_event_that_is_not_on_the_list_is_not_written_as_it_is(file: Path) -> None:
    with logs.written(form="json", file=file):
        logs.noting()(f"lost {NAME}")
        logs.noting()(PATIENT)  # type: ignore[arg-type]
    assert [line["event"] for line in lines(file)] == ["unknown_event"] * 2


def raised(error: Exception) -> Exception:
    password, patient = "hunter2", PATIENT
    assert password
    assert patient
    try:
        raise error
    except Exception as caught:  # noqa: BLE001
        return caught


def test_an_exception_is_logged_by_type_and_place_without_values(file: Path) -> None:
    with logs.written(form="json", file=file):
        logs.noting()("run_failed", error=raised(ValueError(f"invalid literal: {NAME!r}")))
    line = lines(file)[0]
    assert line["error"] == "ValueError"
    assert re.fullmatch(r"automation/test_logs\.py:\d+ in raised", line["place"])
    assert "message" not in line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConfigurationError("setting 'hospital' is wrong."), "setting 'hospital' is wrong."),
        (StoreError("the database is full."), "the database is full."),
        (TemporaryHospitalError("no answer from https://fhir.test."), "no answer from https://fhir.test."),
        (FatalHospitalError(f"name {NAME} refused", status=422, outcome={"issue": []}), None),
        (RecordError(Finding(record="r", rule="x", message=f"{NAME}", remedy="")), None),
        (InputError(f"{NAME} is no date"), None),
        (StoreError("no such file ?name=H-4711"), "no such file ?…"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_of_an_error_only_words_of_our_own_are_logged(file: Path, error: Exception, said: str | None) -> None:
    with logs.written(form="json", file=file):
        logs.noting()("run_failed", error=raised(error))
    line = lines(file)[0]
    assert (line["error"], line.get("message")) == (type(error).__name__, said)
    assert line.get("status") == getattr(error, "status", None)


def test_libraries_speak_through_the_same_pipe_without_the_values_they_carry(file: Path) -> None:
    with logs.written(form="json", level="debug", file=file), logs.about(run="r1"):
        logging.getLogger("urllib3.connectionpool").debug('"GET %s" %s', "/Patient?identifier=H-4711", 200)
        logging.getLogger("somebody").warning(f"worked in: {NAME}")
        logging.getLogger("apscheduler.executors").info('Running job "%s"', "push")
        try:
            raise KeyError(NAME)
        except KeyError:
            logging.getLogger("procrastinate.worker").exception("Job %s ended with an error", 3)
    http, other, scheduler, worker = lines(file)
    assert {line["run"] for line in (http, other, scheduler, worker)} == {"r1"}
    assert (http["text"], http["logger"]) == ('"GET %s" %s', "urllib3.connectionpool")
    assert other["text"] == "…"
    assert other["place"].startswith("test_logs.py:")
    assert scheduler["text"] == 'Running job "push"'
    assert (worker["text"], worker["error"], worker["level"]) == ("Job 3 ended with an error", "KeyError", "error")


def test_a_line_that_cannot_be_written_is_lost_without_its_values(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with logs.written(form="json", file=file):
        broken = logging.LogRecord("procrastinate", logging.WARNING, __file__, 1, "%d jobs", (NAME,), None)
        logging.getLogger().handlers[-1].handle(broken)  # by itself, as pytest's own handler raises
    said = capsys.readouterr().err
    assert "a log line of procrastinate is lost" in said
    assert NAME not in said


def test_a_level_keeps_what_is_below_it_out(file: Path) -> None:
    with logs.written(form="json", level="warning", file=file):
        logs.noting()("run_started")
        logs.noting()("resource_parked")
    assert [line["event"] for line in lines(file)] == ["resource_parked"]


def test_a_file_that_was_rotated_away_is_opened_anew(file: Path) -> None:
    with logs.written(form="json", file=file):
        logs.noting()("run_started")
        file.rename(file.with_suffix(".1"))
        logs.noting()("run_ended")
    assert [line["event"] for line in lines(file)] == ["run_ended"]


def test_a_log_file_that_cannot_be_written_is_an_error_of_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="log_file"), logs.written(file=tmp_path / "none" / "x.log"):
        pass


def test_text_for_people_names_event_and_facts(capsys: pytest.CaptureFixture[str]) -> None:
    with logs.written():
        logs.noting(command="push")("resource_parked", resource="Observation/o1")
    said = capsys.readouterr().err
    assert all(word in said for word in ("resource_parked", "command=push", "resource=Observation/o1", "warning"))


def test_a_silent_command_prints_no_line_of_its_own_nor_of_a_library(capsys: pytest.CaptureFixture[str]) -> None:
    with logs.silent():
        logs.noting()("run_failed")
        logging.getLogger("urllib3").warning("Retrying after %s", "/Patient?name=x")
    assert capsys.readouterr().err == ""


def _noted() -> set[str]:
    """Every event that the engine notes by a call with a literal."""
    found = set()
    for source in (ROOT / "fhirbridge").rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if called in ("note", "_note") and isinstance(node.args[0].value, str):
                    found.add(node.args[0].value)
    return found


def test_every_event_that_is_noted_is_on_the_list() -> None:
    assert "run_started" in _noted()
    assert _noted() - EVENTS.keys() == set()


def test_every_fact_that_is_noted_is_on_the_list() -> None:
    named = set()
    for source in (ROOT / "fhirbridge").rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
                "note",
                "_note",
            ):
                named |= {word.arg for word in node.keywords if word.arg}
    assert named - FACTS.keys() - {"error"} == set()


@pytest.mark.parametrize("name", [*EVENTS, *FACTS])
def test_every_event_and_fact_is_documented(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
