"""`fhirbridge subscriptions` makes, lists and deletes them, and says what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fhirbridge.cli.main import app


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    file.chmod(0o600)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FHIRBRIDGE_DATABASE", f"sqlite:///{tmp_path / 'store.db'}")
    monkeypatch.setenv("FHIRBRIDGE_NOTIFICATIONS_URL", "http://127.0.0.1:9/notifications")
    monkeypatch.setenv("FHIRBRIDGE_NOTIFICATIONS_TOKEN", str(file))
    return file


def _run(*words: str) -> Any:
    return CliRunner().invoke(app, ["subscriptions", *words])


def test_they_are_made_listed_and_deleted_and_the_secret_is_not_shown(hospital: str, secret: Path) -> None:
    made = _run("create", "--hospital", hospital)
    assert made.exit_code == 0, made.output
    assert made.output.count("created: Subscription/") == 2
    listed = _run("list", "--hospital", hospital, "--json")
    said = json.loads(listed.stdout)["subscriptions"]
    assert [one["state"] for one in said] == ["active", "active"]
    assert _run("delete", "--hospital", hospital).output.count("deleted") == 2
    assert "No Subscriptions of ours" in _run("list", "--hospital", hospital).output
    assert "s3cret" not in made.output + listed.output


@pytest.mark.parametrize("setting", ["notifications_url", "notifications_token"])
def test_a_setting_that_is_missing_is_named(
    hospital: str, secret: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.delenv(f"FHIRBRIDGE_{setting.upper()}")
    done = _run("create", "--hospital", hospital)
    assert done.exit_code == 2
    assert f"{setting} is not set" in done.output


def test_a_secret_that_everybody_can_read_is_refused(hospital: str, secret: Path) -> None:
    secret.chmod(0o644)
    done = _run("create", "--hospital", hospital)
    assert done.exit_code == 2
    assert "notifications_token" in done.output
