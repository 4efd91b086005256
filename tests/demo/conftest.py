from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from fhirbridge.demo.cohort import CohortSummary, write_cohort
from fhirbridge.study import Study, load

Row = dict[str, str]
Table = Callable[[str], list[Row]]

STUDY_FILE = Path(__file__).parents[2] / "mappings" / "studies" / "nct07120750.toml"


@pytest.fixture(scope="session")
def study() -> Study:
    return load(STUDY_FILE)


@pytest.fixture(scope="session")
def cohort(study: Study, tmp_path_factory: pytest.TempPathFactory) -> CohortSummary:
    """The default cohort of 332 subjects, written once."""
    return write_cohort(study, tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="session")
def table(cohort: CohortSummary) -> Table:
    """Give the rows of one of its tables, every cell as text."""
    read: dict[str, list[Row]] = {}

    def rows(name: str) -> list[Row]:
        if name not in read:
            with (cohort.directory / f"{name}.csv").open(encoding="utf-8", newline="") as file:
                read[name] = list(csv.DictReader(file, strict=True))
        return read[name]

    return rows
