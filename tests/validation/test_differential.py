"""HAPI and we judge examples and their mutations alike, or a rule in docs/conformance.md says why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhirbridge.validation import Validator
from tests.conftest import HapiValidator
from tests.validation.differential import (
    PROFILES,
    ROOT,
    Comparison,
    compare,
    hl7_cases,
    own_cases,
    summary,
    unexplained,
)
from tests.validation.disagreements import RULES
from tests.validation.mutations import KINDS

MINIMUM = 0.99


@pytest.fixture(scope="module")
def profiled(compiled: Path) -> Validator:
    return Validator.load([PROFILES], cache=compiled)


@pytest.fixture(scope="module")
def own(hapi_validator: HapiValidator, profiled: Validator) -> Comparison:
    return compare(profiled, hapi_validator, own_cases())


@pytest.mark.hapi
def test_hapi_judges_our_examples_and_their_mutations_as_we_do(own: Comparison) -> None:
    assert unexplained(own) == []
    assert own.agreed >= MINIMUM * own.judged, summary(own)


@pytest.mark.hapi
@pytest.mark.shared
def test_hapi_judges_hl7_s_examples_and_their_mutations_as_we_do(
    hapi_validator: HapiValidator, profiled: Validator, own: Comparison, shared: Path
) -> None:
    hl7 = compare(profiled, hapi_validator, hl7_cases(shared))
    assert unexplained(hl7) == []
    assert own.agreed + hl7.agreed >= MINIMUM * (own.judged + hl7.judged), f"{summary(own)}\n{summary(hl7)}"


def test_there_are_more_than_two_thousand_mutations_valid_ones_among_them(profiled: Validator) -> None:
    cases = {name: case for name, case in own_cases().items() if ": " in name}
    valid = sum(profiled.is_valid(case) for case in cases.values())
    assert len(cases) > 2000
    assert 0.2 < valid / len(cases) < 0.5


def test_mutations_are_the_same_in_every_run_and_of_every_kind() -> None:
    first, second = own_cases(), own_cases()
    assert first == second
    assert {name.partition(": ")[2].rpartition(" ")[0] for name in first} - {""} == KINDS.keys()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_of_disagreement_is_explained_in_the_conformance_page(rule: object) -> None:
    text = (ROOT / "docs" / "conformance.md").read_text()
    section = text.partition("## Differential against HAPI")[2].partition("\n## ")[0]
    assert f"| {rule.name} |" in section  # type: ignore[attr-defined]
