"""A command that fails, as its user, the log, the store and the one who is told see it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from fhirbridge.elements import STUDY_TAG
from fhirbridge.store import Store
from tests.automation.webhook import Hook
from tests.automation.webhook import hook as hook
from tests.cli.conftest import Run
from tests.cli.conftest import run as run


def test_a_push_that_fails_is_told_logged_and_kept_under_one_run_id(run: Run, hook: Hook, tmp_path: Path) -> None:
    environment = {
        "FHIRBRIDGE_NOTIFY_WEBHOOK": hook.url,
        "FHIRBRIDGE_LOG_FORMAT": "json",
        "FHIRBRIDGE_LOG_FILE": "log.json",
        "FHIRBRIDGE_HOSPITAL_TIMEOUT": "1",
    }
    meta = {"tag": [{"system": STUDY_TAG, "code": "nct07120750"}]}
    with Store.open(f"sqlite:///{tmp_path / 'fhirbridge.db'}") as filled, filled.transaction() as transaction:
        transaction.put([(0, {"resourceType": "Group", "id": "g", "meta": meta})], run="r")
    with socket.create_server(("127.0.0.1", 0)) as gone:
        nobody = f"http://127.0.0.1:{gone.getsockname()[1]}/fhir"
    ran = run("push", "--hospital", nobody, **environment)
    assert ran.code == 3
    [(_, body)] = hook.posted
    notice = json.loads(body)
    lines = [json.loads(line) for line in (tmp_path / "log.json").read_text(encoding="utf-8").splitlines()]
    assert [line["event"] for line in lines if line["event"] != "library"] == [
        "run_started",
        "request_retried",
        "request_retried",
        "run_failed",
        "notification_sent",
    ]
    assert {line["run"] for line in lines if "run" in line} == {notice["run"]}
    assert notice["server"] == nobody
    with Store.open(f"sqlite:///{tmp_path / 'fhirbridge.db'}") as opened:
        kept = opened.last_run("push")
    assert kept is not None
    assert kept.id == notice["run"]
