"""Real SMART clients against the door: ours, over HTTP, from discovery to a resource."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Blueprint, Response, request
from werkzeug.serving import make_server

from fhirbridge import fhirjson, settings
from fhirbridge.api import create_app
from fhirbridge.api.smart import smart
from fhirbridge.errors import FatalHospitalError
from fhirbridge.hospital import Hospital, Retries
from fhirbridge.hospital.access import access
from fhirbridge.store import Store
from tests.api.registering import EC_KEY, RSA_KEY, STRANGE_KEY, TYPES, Clock, Service
from tests.hospital.secured import jwk, pem, private


@dataclass
class Served:
    """A service at an address of this machine, on the real clock, with one Patient behind its door."""

    base: str
    service: Service


@pytest.fixture
def served(tmp_path: Path, empty_database: Path) -> Iterator[Served]:
    shutil.copy(empty_database, tmp_path / "registry.db")
    server = make_server("127.0.0.1", 0, create_app(_never), threaded=True)
    base = f"http://127.0.0.1:{server.server_port}/fhir"
    with Store.open(f"sqlite:///{tmp_path / 'registry.db'}") as store:
        service = Service(store, tmp_path, Clock(dt.datetime.now(dt.UTC)), base=base)
        service.register()
        server.app = create_app(
            lambda: store, also=(smart(service.door.endpoint, TYPES, service.heard.append), _behind(service))
        )
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Served(base, service)
        finally:
            server.shutdown()
            server.server_close()
            thread.join(30)


def _never() -> Store:
    raise AssertionError


def _behind(service: Service) -> Blueprint:
    routes = Blueprint("behind", __name__)

    @routes.get("/fhir/Patient/<id>")
    def read(id: str) -> Response:
        service.door.authoriser.authorise(request).require("read", "Patient")
        body = {"resourceType": "Patient", "id": id}
        return Response(fhirjson.dumps(body), content_type="application/fhir+json")

    return routes


def client(served: Served, key: Path, **given: object) -> Hospital:
    chosen = settings.read(
        hospital=served.base, hospital_auth="smart", hospital_client_id="c1", hospital_private_key=key, **given
    )
    granted = access(chosen, ["Patient", "Observation"], clock=lambda: served.service.clock.now().timestamp())
    return Hospital(served.base, auth=granted.auth, retries=Retries(attempts=2), sleep=lambda _seconds: None)


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_our_own_smart_client_finds_the_door_and_reads(served: Served, tmp_path: Path, kind: str) -> None:
    key = private(tmp_path / "key.json", json.dumps(jwk(RSA_KEY if kind == "rsa" else EC_KEY, kid=kind)))
    with client(served, key) as hospital:
        assert hospital.read("Patient", "p1") == {"resourceType": "Patient", "id": "p1"}
        assert hospital.read("Patient", "p2")["id"] == "p2"
    [asked] = served.service.heard
    assert (asked.client, asked.scopes) == ("c1", "system/Observation.rs system/Patient.rs")


def test_it_asks_for_a_new_token_when_the_old_one_has_expired(served: Served, tmp_path: Path) -> None:
    with client(served, private(tmp_path / "key", pem(EC_KEY)), hospital_key_id="ec") as hospital:
        assert hospital.read("Patient", "p1")["id"] == "p1"
        served.service.clock.turn(301)
        assert hospital.read("Patient", "p1")["id"] == "p1"
    assert [asked.error for asked in served.service.heard] == [None, None]


def test_it_understands_why_it_is_refused(served: Served, tmp_path: Path) -> None:
    with (
        client(served, private(tmp_path / "key", pem(STRANGE_KEY)), hospital_key_id="ec") as hospital,
        pytest.raises(FatalHospitalError, match="invalid_client"),
    ):
        hospital.read("Patient", "p1")
    key = private(tmp_path / "right", pem(EC_KEY))
    with (
        client(served, key, hospital_key_id="ec", hospital_scopes="system/Patient.write") as hospital,
        pytest.raises(FatalHospitalError, match="hospital_scopes"),
    ):
        hospital.read("Patient", "p1")


def test_a_token_that_does_not_reach_so_far_is_told_so(served: Served, tmp_path: Path) -> None:
    key = private(tmp_path / "key", pem(EC_KEY))
    scoped = {"hospital_key_id": "ec", "hospital_scopes": "system/Observation.rs"}
    with client(served, key, **scoped) as hospital, pytest.raises(FatalHospitalError) as caught:
        hospital.read("Patient", "p1")
    assert caught.value.status == 403


def test_a_token_endpoint_with_a_slash_too_many_is_another_one(served: Served, tmp_path: Path) -> None:
    given = {"hospital_token_url": f"{served.base}/auth/token/", "hospital_scopes": "system/*.rs"}
    key = private(tmp_path / "key", pem(EC_KEY))
    with client(served, key, hospital_key_id="ec", **given) as hospital, pytest.raises(FatalHospitalError):
        hospital.read("Patient", "p1")
