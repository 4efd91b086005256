"""What a row must hold beyond its schema, where the study has more than its file: the laboratories' assays."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from fhirbridge.records.checks import check
from fhirbridge.study import Assay, Study
from tests.mappings.cases import STUDY

WEST = "West PCR"
TODAY = dt.date(2026, 11, 1)


def with_west(study: Study) -> Study:
    """The study with an assay that only a laboratory's file has."""
    analytes = [
        msgspec.structs.replace(one, assays=(*one.assays, Assay(name=WEST))) if one.name == "HBV-DNA" else one
        for one in study.analytes
    ]
    return msgspec.structs.replace(study, analytes=tuple(analytes))


@pytest.mark.parametrize(
    ("value", "assay", "rules"),
    [
        ("<20", WEST, ["unsaid-of-assay"]),
        ("<=20", WEST, ["unsaid-of-assay"]),
        (">170000000", WEST, []),
        ("20", WEST, []),
        ("not detected", WEST, []),
        ("<20", "COBAS TaqMan HBV Test", []),
        ("<20", None, []),
    ],
)
def test_below_a_limit_the_study_must_say_of_the_assay_whether_that_means_detected(
    value: str, assay: str | None, rules: list[str]
) -> None:
    row = {"analyte": "HBV-DNA", "collected": "2026-02-10", "value": value, "visit": "W012"}
    row |= {"unit": "[IU]/mL"} if value != "not detected" else {}
    row |= {"assay": assay} if assay else {}
    problems = check("laboratory", row, with_west(STUDY), TODAY)
    assert [one.rule for one in problems] == rules
    assert all("tells_not_detected" in one.remedy for one in problems)
