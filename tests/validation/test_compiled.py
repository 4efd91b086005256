"""The cache of compiled schemas: used, never trusted blindly, never in the way."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from fhirbridge.validation import Validator, schema
from tests.validation.building import OBSERVATION, element, profile

STRICT = profile("strict", "Observation", element("Observation.note", max="1"))
URL = STRICT["url"]


def test_a_second_start_compiles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Validator.load([STRICT], cache=tmp_path)._surely_valid(OBSERVATION, [URL])

    def never(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(schema.Compiler, "document", never)
    assert Validator.load([STRICT], cache=tmp_path)._surely_valid(OBSERVATION, [URL])


def test_a_changed_profile_is_compiled_anew(tmp_path: Path) -> None:
    Validator.load([STRICT], cache=tmp_path).is_valid(OBSERVATION, [URL])
    changed = profile("strict", "Observation", element("Observation.note", min=1))
    assert not Validator.load([changed], cache=tmp_path).is_valid(OBSERVATION, [URL])


@pytest.mark.parametrize("damage", [b"", b"{}", b"0" * 64 + b'\n{"schema": true, "keywords": {}, "rest": []}'])
def test_a_damaged_file_is_ignored(tmp_path: Path, damage: bytes) -> None:
    Validator.load([STRICT], cache=tmp_path).is_valid(OBSERVATION, [URL])
    for file in tmp_path.rglob("*.json"):
        file.write_bytes(damage)
    validator = Validator.load([STRICT], cache=tmp_path)
    assert validator._surely_valid(OBSERVATION, [URL])
    assert not validator.is_valid({**OBSERVATION, "note": [{"text": "x"}, {"text": "y"}]}, [URL])


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert Validator.load([STRICT], cache=tmp_path / "file" / "below").is_valid(OBSERVATION, [URL])


def test_writers_at_the_same_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    answers: list[bool] = []

    def run() -> None:
        answers.append(Validator.load([STRICT], cache=tmp_path)._surely_valid(OBSERVATION, [URL]))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 4
    assert [f for f in tmp_path.rglob("*") if f.name.startswith(".new-")] == []


def test_old_sets_of_definitions_are_forgotten(tmp_path: Path) -> None:
    for number in range(20):
        made = profile(f"strict-{number}", "Basic", element("Basic.author", max="1"))
        resource = {"resourceType": "Basic", "code": {"text": "x"}}
        assert Validator.load([made], cache=tmp_path)._surely_valid(resource, [made["url"]])
    assert len(list(tmp_path.iterdir())) == 16
