"""Fixtures of the record tests: the reference study, and a folder of its tables to break."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhirbridge.study import Study, load
from tests.records.source import Folder


@pytest.fixture(scope="session")
def study() -> Study:
    return load(Path(__file__).parents[2] / "mappings" / "studies" / "nct07120750.toml")


@pytest.fixture
def folder(tmp_path: Path, study: Study) -> Folder:
    return Folder(tmp_path, study)
