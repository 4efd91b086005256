"""An export gives the same answers as searches do, and says where it is not whole."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhirbridge.errors import ConfigurationError
from fhirbridge.hospital import Hospital, Retries, put_entry
from fhirbridge.settings import Settings
from fhirbridge.sync.pull.asking import Answer, ask
from fhirbridge.sync.pull.bulk import BulkOptions, ask_in_bulk
from tests.faults import STORM
from tests.faulty_proxy import faulty_proxy
from tests.hospital.bulk_server import BulkServer, ndjson, running_bulk_server
from tests.sync.pull.questions import planned, report, result

DONE = dt.datetime(2026, 3, 20, 11, 59, tzinfo=dt.UTC)
"""The server's transactionTime, less the skew."""


class Bulk:
    def __init__(self, server: BulkServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.plan = planned(types=("Observation",))

    @property
    def key(self) -> str:
        return self.plan.questions[0].key

    def ask(self, patients: list[str], marks: Any = None, *, group: str | None = None, **given: Any) -> list[Answer]:
        return list(self.asking(patients, marks, group=group, **given))

    def asking(self, patients: list[str], marks: Any, *, group: str | None = None, **given: Any) -> Iterator[Answer]:
        options = BulkOptions(folder=self.folder, level="group" if group else "patient", group=group)
        with Hospital(self.server.base_url, retries=Retries(attempts=2, jitter=0), sleep=lambda _: None) as hospital:
            yield from ask_in_bulk(hospital, self.plan, patients, marks or {}, options, **given)


@pytest.fixture
def bulk(tmp_path: Path) -> Iterator[Bulk]:
    with running_bulk_server() as server:
        yield Bulk(server, tmp_path / "exports")


def _found(answers: list[Answer]) -> dict[str, list[str]]:
    return {one.patient: [found["id"] for found in one.resources] for one in answers}


def test_each_patients_results_are_sorted_out_of_the_files_and_the_files_are_gone(bulk: Bulk) -> None:
    bulk.server.files["one"] = ("output", "Observation", ndjson(result("a", "p1"), result("b", "p2")))
    bulk.server.files["two"] = ("output", "Observation", ndjson(result("c", "p1"), result("d", "stranger")))
    answers = bulk.ask(["p1", "p2", "p3"])
    assert _found(answers) == {"p1": ["a", "c"], "p2": ["b"], "p3": []}
    assert all(one.complete and one.at == DONE for one in answers)
    assert sum(one.strangers for one in answers) == 1
    assert not bulk.folder.exists()


def test_what_a_server_exports_beyond_the_question_is_left_out(bulk: Bulk) -> None:
    pulse, liver = result("pulse", "p1", category="vital-signs", code="8867-4"), result("liver", "p1", code="1742-6")
    bulk.server.files["one"] = ("output", "Observation", ndjson(pulse, liver, result("a", "p1")))
    assert _found(bulk.ask(["p1"])) == {"p1": ["liver", "a"]}
    bulk.plan = planned(types=("Observation",), select="code")
    assert _found(bulk.ask(["p1"])) == {"p1": ["a"]}


def test_only_what_changed_since_the_oldest_mark_is_exported(bulk: Bulk) -> None:
    marks = {("p1", bulk.key): DONE, ("p2", bulk.key): DONE - dt.timedelta(days=2)}
    bulk.ask(["p1", "p2"], marks)
    bulk.ask(["p1", "p2", "new"], marks)
    bulk.ask(["p1", "p2"], marks, full=True)
    since = [dict(params).get("_since") for params in bulk.server.params]
    assert since == ["2026-03-04T11:59:00.000Z", None, None]
    assert dict(bulk.server.params[0])["_typeFilter"] == "Observation?category=laboratory"


@pytest.mark.parametrize("line", [b'{"resourceType": "Observ\n', b"[]\n", b'{"id": "x"}\n'])
def test_a_line_that_is_no_resource_is_set_aside_and_the_rest_is_used(bulk: Bulk, line: bytes) -> None:
    bulk.server.files["one"] = ("output", "Observation", ndjson(result("a", "p1")) + line + ndjson(result("b", "p1")))
    answers = bulk.ask(["p1", "p2"])
    assert _found(answers)["p1"] == ["a", "b"]
    assert answers[0].set_aside == ("00000-output-Observation.ndjson line 2 is no FHIR resource in JSON",)
    assert not any(one.complete for one in answers)
    assert "the first is 00000-output-Observation.ndjson line 2)" in str(answers[0].error)
    assert answers[0].at is None


def test_errors_that_the_server_reports_leave_the_questions_open_and_warnings_do_not(bulk: Bulk) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "informational"}]}
    bulk.server.files["said"] = ("error", "OperationOutcome", ndjson(outcome))
    assert all(one.complete for one in bulk.ask(["p1"]))
    outcome["issue"] = [{"severity": "error", "code": "processing"}]
    bulk.server.files["said"] = ("error", "OperationOutcome", ndjson(outcome))
    assert "1 errors reported by the server" in str(bulk.ask(["p1"])[0].error)


def test_what_was_deleted_is_told(bulk: Bulk) -> None:
    gone = {"request": {"method": "DELETE", "url": "Observation/o1"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [gone]}
    bulk.server.files["gone"] = ("deleted", "Bundle", ndjson(bundle))
    assert [one.deleted for one in bulk.ask(["p1", "p2"])] == [("Observation/o1",)] * 2  # it does not say whose it was


def test_a_patient_who_is_not_in_the_group_is_not_taken_for_one_without_results(bulk: Bulk) -> None:
    bulk.server.group = ("p1",)
    bulk.server.files["one"] = ("output", "Observation", ndjson(result("a", "p1")))
    there, missing = bulk.ask(["p1", "p2"], group="g1")
    assert there.complete
    assert "not a member of the Group" in str(missing.error)


def test_an_export_that_cannot_be_had_leaves_its_questions_open_and_the_next_one_is_whole(bulk: Bulk) -> None:
    bulk.server.files["one"] = ("output", "Observation", ndjson(result("a", "p1")))
    bulk.server.fail = [("files", 503)] * 2
    assert not any(one.complete for one in bulk.ask(["p1"]))
    assert _found(bulk.ask(["p1"])) == {"p1": ["a"]}
    assert bulk.server.jobs == 1


def test_whoever_is_killed_while_using_the_files_uses_them_again(bulk: Bulk) -> None:
    bulk.server.files["one"] = ("output", "Observation", ndjson(result("a", "p1"), result("b", "p2")))
    answers = bulk.asking(["p1", "p2"], None)
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert _found(bulk.ask(["p1", "p2"])) == {"p1": ["a"], "p2": ["b"]}
    assert bulk.server.jobs == 1


def test_an_unfinished_export_of_another_question_is_given_up(bulk: Bulk) -> None:
    bulk.server.files["one"] = ("output", "Observation", ndjson(result("a", "p1")))
    bulk.server.fail = [("files", 503)] * 2
    bulk.ask(["p1"])
    assert _found(bulk.ask(["p1"], {("p1", bulk.key): DONE})) == {"p1": ["a"]}
    assert bulk.server.jobs == 2
    assert bulk.server.count("DELETE") == 2


def test_asking_stops_when_told_to_and_nothing_is_answered(bulk: Bulk) -> None:
    stop = threading.Event()
    stop.set()
    bulk.server.pending = 1
    assert bulk.ask(["p1"], stop=stop) == []


def test_a_group_that_is_not_named_is_one_clear_message() -> None:
    with pytest.raises(ConfigurationError, match="needs pull_group"):
        BulkOptions.of(Settings(pull_export_level="group"))
    assert BulkOptions.of(Settings(pull_group="g1")).level == "group"


def test_a_real_server_gives_by_export_what_it_gives_by_search(hospital: str, tmp_path: Path) -> None:
    with Hospital(hospital, sleep=lambda _: threading.Event().wait(0.05)) as client:
        patients = ["p1", "p2"]
        there = [{"resourceType": "Patient", "id": id} for id in (*patients, "p3")]
        there += [result(f"o{number}", f"p{number % 3 + 1}") for number in range(30)]
        there += [result("pulse", "p1", category="vital-signs"), report("bad", "p1", "entered-in-error")]
        members = [{"entity": {"reference": f"Patient/{id}"}} for id in patients]
        there.append({"resourceType": "Group", "id": "g1", "type": "person", "actual": True, "member": members})
        client.send([put_entry(one, base_url=client.base_url) for one in there], "transaction")
        plan = planned(client.capabilities())
        options = BulkOptions(folder=tmp_path / "exports", level="group", group="g1")
        exported = list(ask_in_bulk(client, plan, patients, {}, options))
        searched = list(ask(client, plan, patients, {}))

    def told(answers: list[Answer]) -> dict[tuple[str, str], set[str]]:
        return {(one.patient, one.question.kind): {found["id"] for found in one.resources} for one in answers}

    assert told(exported) == told(searched)
    assert len(told(exported)["p1", "Observation"]) == 10
    assert all(one.complete for one in exported)


def test_through_every_fault_of_a_network_searches_and_exports_of_a_real_server_are_whole(
    hospital: str, tmp_path: Path
) -> None:
    patients = ["p1", "p2", "p3"]
    with Hospital(hospital) as direct:
        there = [{"resourceType": "Patient", "id": id} for id in patients]
        there += [result(f"o{number:03}", f"p{number % 3 + 1}") for number in range(90)]
        direct.send([put_entry(one, base_url=direct.base_url) for one in there], "transaction")
        plan = planned(direct.capabilities(), page=4)
    kinds = [kind for kind in STORM if kind != "slow"]
    with faulty_proxy(hospital, seed=7, rate=0.3, kinds=kinds) as proxy:
        retries = Retries(attempts=12, first=0.001, longest=60, jitter=0)
        with Hospital(proxy.base_url, retries=retries, sleep=lambda _: threading.Event().wait(0.02)) as client:
            answers = list(ask(client, plan, patients, {}))
            answers += ask_in_bulk(client, plan, patients, {}, BulkOptions(folder=tmp_path / "exports"))
        assert sum(proxy.counts.values()) > 5
    assert [str(one.error) for one in answers if not one.complete] == []
    found = [one for one in answers if one.question.kind == "Observation"]
    assert [len({there["id"] for there in one.resources}) for one in found] == [30] * 6
