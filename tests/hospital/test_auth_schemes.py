"""Basic authentication, tokens from files and client secrets, against a real server whose door is closed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sekmet.config import ServerAuth, SmartClient

from fhirbridge import settings
from fhirbridge.errors import ConfigurationError, FatalHospitalError
from fhirbridge.hospital import Hospital, Retries
from fhirbridge.hospital.access import access
from tests.hospital.secured import SECRET, Secured, private, secured_hospital

Connect = Callable[..., Hospital]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Secured]:
    door = ServerAuth(
        types=["basic", "bearer", "smart"],
        users={"trial": SECRET, "Ärztin": SECRET},
        tokens=[SECRET, "next"],
        smart_clients=[SmartClient(client_id="trial", client_secret=SECRET, scopes="system/*.cruds")],
    )
    with secured_hospital(tmp_path, door) as running:
        yield running


@pytest.fixture
def connect(server: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    monkeypatch.chdir(tmp_path)
    opened: list[Hospital] = []

    def open_hospital(way: str, **given: object) -> Hospital:
        chosen = settings.read(hospital=server.base_url, hospital_auth=way, **given)
        granted = access(chosen)
        opened.append(
            Hospital(server.base_url, auth=granted.auth, retries=Retries(attempts=1), sleep=lambda _seconds: None)
        )
        return opened[-1]

    yield open_hospital
    for one in opened:
        one.close()


@pytest.mark.parametrize("name", ["trial", "Ärztin"])
def test_basic_authentication_lets_in(connect: Connect, name: str) -> None:
    client = connect("basic", hospital_username=name, hospital_password=SECRET)
    assert list(client.search("Patient")) == []


def test_a_wrong_password_is_told_without_it(connect: Connect, tmp_path: Path) -> None:
    file = private(tmp_path / "password", "not-the-one\n")
    client = connect("basic", hospital_username="trial", hospital_password_file=file)
    with pytest.raises(FatalHospitalError, match=r"401 Unauthorized.*Check hospital_auth") as caught:
        list(client.search("Patient"))
    assert "not-the-one" not in str(caught.value)
    assert client.traffic.report().statuses == {"401": 1}


@pytest.mark.parametrize("method", ["basic", "post"])
def test_client_credentials_let_in(connect: Connect, tmp_path: Path, method: str) -> None:
    client = connect(
        "client-credentials",
        hospital_client_id="trial",
        hospital_client_secret_file=private(tmp_path / "secret", f"{SECRET}\n"),
        hospital_client_secret_method=method,
    )
    assert list(client.search("Patient")) == []


def test_a_wrong_client_secret_is_told_without_it(connect: Connect) -> None:
    client = connect("client-credentials", hospital_client_id="trial", hospital_client_secret="not-the-one")
    with pytest.raises(FatalHospitalError, match=r"invalid_client.*hospital_client_secret") as caught:
        list(client.search("Patient"))
    assert "not-the-one" not in str(caught.value)


def test_a_token_file_is_read_again_when_it_changes(connect: Connect, server: Secured, tmp_path: Path) -> None:
    file = private(tmp_path / "token", f"{SECRET}\n")
    client = connect("bearer", hospital_token_file=file)
    assert list(client.search("Patient")) == []
    server.context.settings.server_auth.tokens = ["next"]
    private(tmp_path / "new", "next").replace(file)
    assert list(client.search("Patient")) == []
    assert client.traffic.report().statuses == {"200": 2}


def test_a_token_file_that_changed_unseen_is_read_again_after_401(
    connect: Connect, server: Secured, tmp_path: Path
) -> None:
    file = private(tmp_path / "token", SECRET)
    client = connect("bearer", hospital_token_file=file)
    before = file.stat()
    file.write_text("n" * len(SECRET))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    server.context.settings.server_auth.tokens = ["n" * len(SECRET)]
    assert list(client.search("Patient")) == []
    assert client.traffic.report().statuses == {"200": 1, "401": 1}


def test_a_token_that_stays_the_same_is_not_tried_twice(connect: Connect, tmp_path: Path) -> None:
    client = connect("bearer", hospital_token_file=private(tmp_path / "token", "wrong"))
    with pytest.raises(FatalHospitalError) as caught:
        list(client.search("Patient"))
    assert caught.value.status == 401
    assert client.traffic.report().statuses == {"401": 1}


@pytest.mark.parametrize("becomes", [None, "", "two\nlines"])
def test_while_a_token_file_is_being_replaced_the_last_token_serves(
    connect: Connect, tmp_path: Path, becomes: str | None
) -> None:
    file = private(tmp_path / "token", SECRET)
    client = connect("bearer", hospital_token_file=file)
    if becomes is None:
        file.unlink()
    else:
        file.write_text(becomes)
    assert list(client.search("Patient")) == []


def test_a_token_file_must_hold_a_token(connect: Connect, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="hospital_token_file"):
        connect("bearer", hospital_token_file=private(tmp_path / "token", f"Bearer {SECRET}"))
