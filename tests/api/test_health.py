"""The health endpoints, and that every error is an OperationOutcome."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fhirbridge.api import create_app
from fhirbridge.elements import STUDY_TAG
from fhirbridge.errors import StoreError
from fhirbridge.store import Store


def unreachable() -> Store:
    raise StoreError("the store cannot be reached.")


def test_a_running_process_is_alive_whatever_the_store_does() -> None:
    answer = create_app(unreachable).test_client().get("/health/live")
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["software"] == "fhirbridge"


def test_ready_names_the_studies_in_the_store(tmp_path: Path) -> None:
    meta = {"tag": [{"system": STUDY_TAG, "code": "s1"}]}
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        run = store.start_run("test")
        with store.transaction() as transaction:
            transaction.put([(0, {"resourceType": "Group", "id": "g", "meta": meta})], run=run)
        answer = create_app(lambda: store).test_client().get("/health/ready")
    assert (answer.status_code, answer.json) == (200, {"status": "ok", "studies": ["s1"]})


def test_without_its_store_the_service_is_not_ready() -> None:
    answer = create_app(unreachable).test_client().get("/health/ready")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["resourceType"] == "OperationOutcome"


def test_an_unknown_route_and_a_wrong_method_answer_with_an_operation_outcome() -> None:
    client = create_app(unreachable).test_client()
    missing, wrong = client.get("/nowhere"), client.post("/health/live")
    assert (missing.status_code, wrong.status_code) == (404, 405)
    for answer in (missing, wrong):
        assert answer.content_type == "application/fhir+json"
        assert answer.json is not None
        assert answer.json["issue"][0]["severity"] == "error"


@pytest.mark.parametrize("wanted", [True, False], ids=["metrics", "no-metrics"])
def test_the_wsgi_application_serves_what_its_settings_say(tmp_path: Path, wanted: bool) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FHIRBRIDGE_")}
    asking = "from wsgi import app; c = app.test_client()\n"
    asking += "print(*(c.get(path).status_code for path in ('/health/ready', '/health/status', '/metrics')))"
    asked = subprocess.run(
        [sys.executable, "-c", asking],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(Path(__file__).parents[2]), "FHIRBRIDGE_METRICS": str(wanted)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert asked.stdout.split() == ["200", "200", "200" if wanted else "404"], asked.stderr
