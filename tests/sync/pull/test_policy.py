"""A policy of the study file accepts only what meets every condition, and its words are known ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from fhirbridge import study as studies
from fhirbridge.errors import ConfigurationError
from fhirbridge.study import Condition
from fhirbridge.sync.pull.policy import MEANINGS, PERSON, Facts, refusals
from tests.sync.pull.judged import ALL_TERMS, ROOT, TRIAL

GOOD = Facts(
    mapped=True, readable=True, flags=False, inside=True, picked=True, single=True, final=True, noted=False,
    derived=False, placed=True, visit_free=True,
)  # fmt: skip


def test_what_meets_every_condition_is_accepted_and_without_conditions_a_person_decides() -> None:
    assert list(refusals(ALL_TERMS, GOOD)) == []
    assert list(refusals((), GOOD)) == [PERSON]


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("inside", False, "in-window"), ("single", False, "single"), ("final", False, "final"),
        ("noted", True, "no-notes"),
    ],
)  # fmt: skip
def test_a_condition_counts_only_where_the_study_file_names_it(name: str, value: bool, word: Condition) -> None:
    facts = replace(GOOD, **{name: value})
    assert list(refusals((word,), facts)) == [f"policy: {word}"]
    others = tuple(term for term in ALL_TERMS if term != word)
    assert list(refusals(others, facts)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mapped", False), ("readable", False), ("flags", True), ("derived", True), ("placed", False),
        ("visit_free", False), ("picked", False),
    ],
)  # fmt: skip
def test_some_conditions_hold_whatever_the_study_file_says(name: str, value: bool) -> None:
    assert len(list(refusals(("final",), replace(GOOD, **{name: value})))) == 1


def test_every_condition_has_its_meaning_and_its_line_in_the_documentation() -> None:
    page = (ROOT / "docs" / "pull.md").read_text(encoding="utf-8")
    assert set(MEANINGS) == set(get_args(Condition)) == set(ALL_TERMS)
    for word in MEANINGS:
        assert f"| `{word}` |" in page


def test_an_unknown_condition_is_refused_when_the_study_file_is_loaded(tmp_path: Path) -> None:
    text = (ROOT / "mappings" / "studies" / "nct07120750.toml").read_text(encoding="utf-8")
    (tmp_path / "study.toml").write_text(text.replace('"in-window"', '"in-windows"'), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="in-windows"):
        studies.load(tmp_path / "study.toml")


def test_the_reference_study_s_endpoint_has_no_policy_and_its_monitoring_marker_has_every_condition() -> None:
    policies = {analyte.name: analyte.accept for analyte in TRIAL.analytes}
    assert policies == {"HBV-DNA": ALL_TERMS, "HBSAG": ()}
