"""Push, reconcile, plan and apply on two real servers: sekmet-fhir, and HAPI, which refuses other things otherwise."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fhirbridge.cli.main import app
from fhirbridge.elements import STUDY_TAG
from fhirbridge.errors import FatalHospitalError, Resource
from fhirbridge.hospital import Hospital, Retries, delete_entry, put_entry
from fhirbridge.hospital import client as client_module
from fhirbridge.identity import new_key
from fhirbridge.store import Store
from fhirbridge.sync.breaker import Rest
from fhirbridge.sync.push import PushOptions, PushReport, push
from fhirbridge.sync.reconcile import ReconcileReport, reconcile
from fhirbridge.sync.settling import dispute, settle
from fhirbridge.sync.strategies import Limits
from tests.faults import AFTERWARDS, INSTEAD
from tests.faulty_proxy import faulty_proxy
from tests.store.making import Make

PUSH = """
import os, signal, sys
from fhirbridge.hospital import Hospital
from fhirbridge.store import Store
from fhirbridge.sync.push import PushOptions, push
from fhirbridge.sync.strategies import Limits

database, server, study, dies = sys.argv[1:]
acknowledge, left = Store.acknowledge, [int(dies)]

def dying(*given, **named):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    acknowledge(*given, **named)

Store.acknowledge = dying
with Store.open(database) as store, Hospital(server) as hospital:
    push(store, hospital, study, run="killed", options=PushOptions(connections=2, limits=Limits(entries=4)))
"""


@pytest.fixture(params=["sekmet", pytest.param("hapi", marks=pytest.mark.hapi)])
def server(request: pytest.FixtureRequest) -> str:
    """Give the base URL of a server that other tests use too; bring a study of your own."""
    return str(request.getfixturevalue("lasting_hospital" if request.param == "sekmet" else "hapi"))


@pytest.fixture
def make() -> Make:
    return Make(f"s{secrets.token_hex(6)}")


@dataclass
class Trial:
    """A study of the test's own in a store, and a server."""

    store: Store
    make: Make
    client: Hospital
    put: Callable[[list[tuple[int, Resource]]], None]

    @property
    def patient(self) -> str:
        """The first subject."""
        return f"{self.make.study}-p000"

    @property
    def result(self) -> str:
        """The first subject's first Observation."""
        return f"{self.patient}-0"

    def push(self, **options: Any) -> PushReport:
        given = PushOptions(**({"rest": Rest(first=0.0)} | options))
        report = push(self.store, self.client, self.make.study, run="push-1", options=given)
        assert report.balanced, report.as_dict()
        return report

    def reconcile(self, **given: Any) -> ReconcileReport:
        return reconcile(self.store, self.client, self.make.study, run="reconcile-1", **given)

    def change(self, value: str = "7.10") -> None:
        """Change the first Observation in the study."""
        self.put([(20, self.make.observation(self.result, self.patient, value))])

    def edit(self, kind: str, id: str, **elements: Any) -> Resource:
        """Change a resource at the hospital, by a plain PUT as anybody may."""
        theirs = self.client.read(kind, id) | elements
        [written] = self.client.send([put_entry(theirs, base_url=self.client.base_url)], "single")
        assert written.ok
        return self.client.read(kind, id)

    def delete(self, kind: str, id: str) -> None:
        [deleted] = self.client.send([delete_entry(kind, id)], "single")
        assert deleted.ok

    def there(self) -> Counter[tuple[str, str]]:
        """What the server holds of the study, each resource as often as it is listed."""
        params = {"_tag": f"{STUDY_TAG}|{self.make.study}", "_count": "1000", "_sort": "_id"}
        kinds = ("ResearchStudy", "Patient", "Observation", "Consent", "ResearchSubject")
        return Counter((kind, found["id"]) for kind in kinds for found in self.client.search(kind, params))

    def assert_each_once(self, expected: int) -> None:
        found = self.there()
        assert (len(found), set(found.values())) == (expected, {1})


@pytest.fixture
def trial(server: str, store: Store, make: Make, put) -> Iterator[Trial]:
    with Hospital(server) as client:
        yield Trial(store, make, client, put)


def test_everything_arrives_once_and_a_second_push_asks_nothing(trial: Trial) -> None:
    trial.put(trial.make.cohort(6, observations=12))
    report = trial.push(limits=Limits(entries=10))
    assert (report.complete, report.sent) == (True, 1 + 6 * 13)
    assert trial.push().requests == 0
    found = trial.reconcile(full=True)
    assert found.in_step
    assert found.total.same + found.total.digits_lost == 1 + 6 * 13
    trial.assert_each_once(1 + 6 * 13)


def test_a_change_costs_one_request_and_arrives(trial: Trial) -> None:
    trial.put(trial.make.cohort(2))
    trial.push()
    trial.change("7.25")
    report = trial.push()
    assert report.fates["updated"] == 1
    assert str(trial.client.read("Observation", trial.result)["valueQuantity"]["value"]) == "7.25"
    assert trial.reconcile(full=True).in_step


def test_a_foreign_edit_is_a_conflict_and_stands_until_it_is_settled(trial: Trial) -> None:
    trial.put(trial.make.cohort(2, observations=5))
    trial.push()
    theirs = trial.edit("Observation", trial.result, status="amended")
    trial.change()
    trial.put([(20, trial.make.observation(f"{trial.patient}-1", trial.patient, "8.10"))])
    report = trial.push()
    assert (report.fates["conflict"], report.fates["updated"], report.fates["parked"]) == (1, 1, 0)
    assert trial.client.read("Observation", trial.result) == theirs
    assert trial.push().requests == 0
    server = trial.client.server_id
    found = dispute(trial.store, server, ("Observation", trial.result), "stop")
    sides = {one.path: "theirs" if one.path == "status" else "ours" for one in found.fields}
    settle(trial.store, server, found, sides, by="a test", reason="", run="settle-1")
    assert trial.push().complete
    now = trial.client.read("Observation", trial.result)
    assert (now["status"], float(now["valueQuantity"]["value"])) == ("amended", 7.1)
    assert trial.reconcile(full=True).in_step


def test_drift_is_found_by_reconciling_and_settled_for_ours(trial: Trial) -> None:
    trial.put(trial.make.cohort(1))
    trial.push()
    trial.edit("Observation", trial.result, status="amended")
    found = trial.reconcile()
    assert (found.total.drifted, found.conflicts, found.in_step) == (1, 1, False)
    server = trial.client.server_id
    disputed = dispute(trial.store, server, ("Observation", trial.result), "stop")
    settle(trial.store, server, disputed, "ours", by="a test", reason="", run="settle-1")
    assert trial.push().fates["updated"] == 1
    assert trial.client.read("Observation", trial.result)["status"] == "final"
    assert trial.reconcile().in_step


def test_an_update_of_what_the_hospital_deleted_leaves_it_deleted(trial: Trial) -> None:
    """HAPI makes the resource anew, whatever If-Match says; push takes that back."""
    trial.put(trial.make.cohort(1))
    trial.push()
    trial.delete("Observation", trial.result)
    trial.change()
    report = trial.push()
    assert (report.fates["conflict"], report.fates["parked"]) == (1, 0)
    conflict = trial.store.conflict(trial.client.server_id, "Observation", trial.result)
    assert conflict is not None
    assert conflict.kind == "deleted"
    with pytest.raises(FatalHospitalError) as gone:
        trial.client.read("Observation", trial.result)
    assert gone.value.status in (404, 410)


def test_what_is_missing_is_made_again_after_a_repair(trial: Trial) -> None:
    trial.put(trial.make.cohort(1))
    trial.push()
    trial.delete("Observation", trial.result)
    found = trial.reconcile(repair=True)
    assert (found.total.missing, dict(found.repaired)) == (1, {"missing": 1})
    assert trial.push().complete
    assert trial.reconcile(full=True).in_step
    trial.assert_each_once(4)


@pytest.mark.parametrize(
    ("policy", "left", "status"), [("stop", 5, "final"), ("retract", 5, "entered-in-error"), ("delete", 0, None)]
)
def test_a_withdrawal_does_what_the_policy_says(trial: Trial, policy: str, left: int, status: str | None) -> None:
    make, patient = trial.make, trial.patient
    trial.put(make.subject(patient))
    trial.put([(15, make.consent(f"{patient}-c", patient)), (16, make.research_subject(f"{patient}-s", patient))])
    assert trial.push(withdrawal=policy).complete
    trial.put([(15, make.consent(f"{patient}-c", patient, "inactive"))])
    report = trial.push(withdrawal=policy)
    assert report.complete, report.as_dict()
    assert trial.push(withdrawal=policy).requests == 0
    trial.assert_each_once(left) if left else None
    assert len(trial.there()) == left
    if status is not None:
        assert trial.client.read("Observation", trial.result)["status"] == status
        assert trial.client.read("Consent", f"{patient}-c")["status"] == "inactive"
    assert trial.reconcile(policy=policy, full=True).in_step


def test_a_resource_that_the_server_refuses_is_parked_and_the_others_go_on(trial: Trial) -> None:
    make = trial.make
    trial.put(make.cohort(2))
    trial.put([(30, make.patient(f"{trial.patient}-n") | {"resourceType": "Nonsense"})])
    report = trial.push()
    assert (report.sent, report.fates["parked"], report.needs_a_person) == (7, 1, True)
    [failure] = trial.store.failures(trial.client.server_id, make.study)
    assert (failure.type, failure.parked) == ("Nonsense", True)
    assert failure.remedy
    assert trial.push().requests == 0


@pytest.mark.parametrize("acknowledgements", [1, 2, 4])
def test_a_push_killed_between_the_servers_commit_and_ours_is_repaired_without_writing_again(
    trial: Trial, database_url: str, acknowledgements: int
) -> None:
    make, server = trial.make, trial.client.base_url
    trial.put(make.cohort(3, observations=5))
    command = [sys.executable, "-c", PUSH, database_url, server, make.study, str(acknowledgements)]
    killed = subprocess.run(command, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = trial.store.backlog(trial.client.server_id, make.study).pending
    assert 0 < left <= 19
    report = trial.push()
    assert report.complete
    assert report.fates["adopted"] > 0
    trial.assert_each_once(1 + 3 * 6)
    assert {trial.client.read("Patient", f"{make.study}-p00{of}")["meta"]["versionId"] for of in range(3)} == {"1"}
    assert trial.reconcile(full=True).in_step


def test_a_saved_plan_is_applied_as_it_was_read_and_refused_once_the_server_moved(
    trial: Trial, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the commands themselves; only the shipped study has commands, so these are resources of its."""
    monkeypatch.chdir(tmp_path)
    new_key(tmp_path / "fhirbridge.key")
    lines = {"database": database_url, "hospital": trial.client.base_url}
    text = "".join(f'{name} = "{value}"\n' for name, value in lines.items())
    (tmp_path / "fhirbridge.toml").write_text(text, encoding="utf-8")
    patient, shipped = trial.patient, Make("nct07120750")
    trial.put(shipped.subject(patient))

    def ran(*arguments: str) -> int:
        return CliRunner().invoke(app, arguments).exit_code

    assert ran("plan", "-o", "first.plan") == 0
    assert list(trial.client.lookup("Patient", [patient])) == []
    assert ran("apply", "first.plan") == 0
    assert {found["id"] for found in trial.client.lookup("Observation", [f"{patient}-0", f"{patient}-1"])} == {
        f"{patient}-0",
        f"{patient}-1",
    }
    assert ran("apply", "first.plan") == 1
    trial.put([(20, shipped.observation(f"{patient}-{of}", patient, "7.10")) for of in range(2)])
    assert ran("plan", "-o", "second.plan") == 0
    theirs = trial.edit("Observation", f"{patient}-0", status="amended")
    assert ran("apply", "second.plan") == 1
    assert trial.client.read("Observation", f"{patient}-0") == theirs
    assert float(trial.client.read("Observation", f"{patient}-1")["valueQuantity"]["value"]) == 5.5


@pytest.mark.hapi
def test_an_update_never_overwrites_on_hapi_what_it_found_by_identifier_to_be_the_hospitals(
    hapi: str, store: Store, make: Make, put
) -> None:
    patient, name = f"{make.study}-p000", {"system": "urn:hospital", "value": make.study}
    theirs = {"resourceType": "Patient", "id": f"{make.study}-theirs", "identifier": [name], "active": True}
    put([(20, make.observation(f"{patient}-0", patient)), (10, make.patient(patient, identifier=[name]))])
    with Hospital(hapi) as client:
        assert client.send([put_entry(theirs, base_url=hapi)], "single")[0].ok
        trial = Trial(store, make, client, put)
        strategies = {"Patient": "conditional-create", "Observation": "conditional-create"}
        report = trial.push(strategies=strategies)
        assert dict(report.fates) == {"adopted": 1, "created": 1}
        assert client.read("Patient", theirs["id"])["meta"]["versionId"] == "1"
        [result] = client.search("Observation", {"identifier": f"urn:result|{patient}-0"})
        assert result["subject"]["reference"] == f"Patient/{theirs['id']}"
        assert trial.push(strategies=strategies).requests == 0


def _ways() -> Iterator[Any]:
    """Yield server, strategy and fault; no plain POST delivered twice, which makes two: only a server could tell."""
    for where, strategy in (("lasting_hospital", "update"), ("hapi", "conditional-create"), ("hapi", "search")):
        marks = pytest.mark.hapi if where == "hapi" else ()
        for kind in INSTEAD + AFTERWARDS:
            if (strategy, kind) != ("search", "twice"):
                yield pytest.param(where, strategy, kind, id=f"{where}-{strategy}-{kind}", marks=marks)


@pytest.mark.parametrize(("where", "strategy", "kind"), list(_ways()))
def test_after_any_fault_a_further_push_leaves_everything_once(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, store, make, put, where, strategy, kind
) -> None:
    """A client that does not try again itself, so that it is push that has to find out what became of its writes."""
    target, strategies = request.getfixturevalue(where), dict.fromkeys(("Patient", "Observation"), strategy)
    put(make.subject(f"{make.study}-p000", observations=3))
    with (
        faulty_proxy(target, retry_after=0, pause=0.01) as proxy,
        Hospital(proxy.base_url, retries=Retries(attempts=1)) as client,
    ):
        trial = Trial(store, make, client, put)
        proxy.next(kind, method="POST")
        with monkeypatch.context() as impatient:
            if kind == "trickle":
                impatient.setattr(client_module, "WHOLE_ANSWER", 0.02)
            trial.push(strategies=strategies)
        assert proxy.counts[kind] == 1
        assert trial.push(strategies=strategies).complete
        assert trial.push(strategies=strategies).requests == 0
    with Hospital(target) as client:
        Trial(store, make, client, put).assert_each_once(4)
        found = client.search("Observation", {"_tag": f"{STUDY_TAG}|{make.study}"})
        assert len({one["identifier"][0]["value"] for one in found}) == 3
