"""HL7's official FHIRPath suite for R4: every test passes or is named with its reason, and the docs say so."""

from __future__ import annotations

import pytest

from fhirbridge.validation import Validator
from tests.validation.official import DEVIATIONS, SUITE, Result, run, section, written

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def results(plain: Validator) -> list[Result]:
    return run(SUITE, plain)


def test_only_what_is_named_with_its_reason_fails(results: list[Result]) -> None:
    assert {r.name for r in results if not r.passed} == set(DEVIATIONS)


def test_at_least_95_percent_of_what_an_invariant_can_meet_passes(results: list[Result]) -> None:
    met = [r for r in results if not r.is_later]
    assert len(met) > 800
    assert sum(r.passed for r in met) >= 0.95 * len(met)


def test_what_must_be_refused_is_refused(results: list[Result]) -> None:
    refused = [r for r in results if r.expected == "refused"]
    assert len(refused) > 25
    assert {r.name for r in refused if not r.passed} == {"testFHIRPathAsFunction21"}


def test_the_docs_show_the_results_of_this_run(results: list[Result]) -> None:
    assert written() == section(results), "run python -m tests.validation.official"
