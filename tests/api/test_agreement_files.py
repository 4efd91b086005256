"""Agreements as their files are now: a change counts at once, and a file that cannot be read opens nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fhirbridge.api.agreement_files import AgreementFiles
from fhirbridge.errors import ConfigurationError
from tests.api.registering import Clock

TEXT = """
id = "hcc-2026"
registry = "hcc"
study = "nct07120750"
purpose = "HRESCH"
types = {types}
expires = 2999-01-01
"""


def write(file: Path, types: str = '["Patient"]', *, at: int) -> None:
    file.write_text(TEXT.format(types=types))
    os.utime(file, (at, at))


def test_a_change_in_a_file_a_new_one_and_one_taken_out_count_within_a_second(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "hcc.toml"
    write(file, at=1)
    agreements = AgreementFiles(tmp_path, clock.seconds)
    assert (found := agreements("hcc-2026")) is not None
    assert found.types == ("Patient",)
    assert agreements("other") is None
    write(file, '["Patient", "Observation"]', at=2)
    assert (held := agreements("hcc-2026")) is found
    clock.turn(1)
    assert (held := agreements("hcc-2026")) is not None
    assert held.types == ("Patient", "Observation")
    file.unlink()
    clock.turn(1)
    assert agreements("hcc-2026") is None


def test_while_a_file_is_broken_nobody_is_let_in_and_afterwards_they_are(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "hcc.toml"
    write(file, at=1)
    agreements = AgreementFiles(tmp_path, clock.seconds)
    assert agreements("hcc-2026") is not None
    file.write_text("types = [")
    clock.turn(1)
    for _ in range(3):
        with pytest.raises(ConfigurationError, match=r"hcc\.toml"):
            agreements("hcc-2026")
        clock.turn(0.1)
    write(file, at=3)
    clock.turn(1)
    assert agreements("hcc-2026") is not None


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(ConfigurationError, match="missing"):
        AgreementFiles(tmp_path / "missing", clock.seconds).all()
