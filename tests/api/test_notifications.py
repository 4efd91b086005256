"""A notification of the hospital asks for a pull, once for many, and nothing it says is believed."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhirbridge.api import create_app
from fhirbridge.api.notifications import notifications
from fhirbridge.store import Store
from fhirbridge.store.requests import request, requested

FEED = "https://fhir.hospital.example/r4"
NOW = dt.datetime(2026, 3, 20, 12, tzinfo=dt.UTC)
SETTLE = dt.timedelta(seconds=10)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}", clock=lambda: NOW + dt.timedelta(minutes=1)) as store:
        yield store


class Asked:
    def __init__(self) -> None:
        self.times = 0
        routes = notifications("s3cret", self._note)
        self.client = create_app(lambda: pytest.fail("the store is not needed"), also=[routes]).test_client()

    def _note(self) -> None:
        self.times += 1


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.mark.parametrize("body", [b"", b'{"resourceType": "Observation", "id": "x"}', b"not even JSON", b"x" * 100_000])
def test_whatever_a_notification_holds_it_asks_for_a_pull(asked: Asked, body: bytes) -> None:
    answer = asked.client.post("/notifications", data=body, headers={"Authorization": "Bearer s3cret"})
    assert (answer.status_code, answer.data, asked.times) == (200, b"", 1)


def test_servers_that_put_the_resource_or_send_no_headers_of_ours_are_understood(asked: Asked) -> None:
    by_header = asked.client.put("/notifications/Observation/1", headers={"Authorization": "bearer s3cret"})
    by_path = asked.client.post("/notifications/s3cret")
    with_resource = asked.client.put("/notifications/s3cret/Observation/1", data=b"{}")
    assert [by_header.status_code, by_path.status_code, with_resource.status_code] == [200, 200, 200]
    assert asked.times == 3


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("/notifications", None),
        ("/notifications", "Bearer wrong"),
        ("/notifications", "Bearer"),
        ("/notifications", "Basic s3cret"),
        ("/notifications/wrong/s3cret", None),
        ("/notifications/schlüssel", None),
    ],
)
def test_who_does_not_know_the_secret_asks_for_nothing(asked: Asked, path: str, header: str | None) -> None:
    answer = asked.client.post(path, headers={"Authorization": header} if header else {})
    assert (answer.status_code, asked.times) == (401, 0)
    assert answer.json is not None
    assert answer.json["issue"][0]["code"] == "login"
    assert "s3cret" not in answer.text


def test_a_pull_is_due_once_the_notifications_have_settled_and_no_more_once_it_began(store: Store) -> None:
    assert not requested(store, "s1", FEED, NOW)
    request(store, "s1", FEED, NOW, settle=SETTLE)
    assert not requested(store, "s1", FEED, NOW + dt.timedelta(seconds=9))
    assert requested(store, "s1", FEED, NOW + SETTLE)
    assert not requested(store, "s2", FEED, NOW + SETTLE)
    store.start_run("push")
    assert requested(store, "s1", FEED, NOW + SETTLE)
    store.start_run("pull")
    assert not requested(store, "s1", FEED, NOW + dt.timedelta(days=1))


def test_many_notifications_are_answered_by_one_pull_that_begins_after_all_of_them(store: Store) -> None:
    due = {request(store, "s1", FEED, NOW + dt.timedelta(seconds=second), settle=SETTLE) for second in range(10)}
    assert due == {NOW + SETTLE}
    assert request(store, "s1", FEED, NOW + SETTLE, settle=SETTLE) == NOW + 2 * SETTLE


@pytest.mark.parametrize("wanted", [True, False], ids=["with-a-secret", "without"])
def test_the_wsgi_application_takes_notifications_if_it_has_a_secret(tmp_path: Path, wanted: bool) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FHIRBRIDGE_")}
    settings = {"FHIRBRIDGE_HOSPITAL": FEED} | ({"FHIRBRIDGE_NOTIFICATIONS_TOKEN": str(secret)} if wanted else {})
    asking = "from wsgi import app, place; c = app.test_client()\n"
    asking += "print(c.post('/notifications', headers={'Authorization': 'Bearer s3cret'}).status_code)\n"
    asking += f"print(len(place.store.pulls.watermarks(place.study.id, {FEED!r})))"
    done = subprocess.run(
        [sys.executable, "-c", asking],
        cwd=tmp_path,
        env={**kept, **settings, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.split() == (["200", "1"] if wanted else ["404", "0"]), done.stderr
