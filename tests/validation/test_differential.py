"""HAPI and we judge examples and their mutations alike, or a rule in docs/conformance.md says why not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fhirbridge.errors import Resource
from fhirbridge.validation import Issue, Validator
from tests.conftest import HapiValidator
from tests.validation import exclusions
from tests.validation.differential import OWN, PROFILES, ROOT, Comparison, compare, hl7_cases, own_cases, summary
from tests.validation.disagreements import RULES, Complaint, Rule
from tests.validation.mutations import CATEGORIES
from tests.validation.specimens import OBSERVATION, SPECIMENS

MINIMUM = 0.99


@pytest.fixture(scope="module")
def profiled(compiled: Path) -> Validator:
    return Validator.load([PROFILES], cache=compiled)


@pytest.fixture(scope="module")
def own(hapi_validator: HapiValidator, profiled: Validator) -> Comparison:
    return compare(profiled, hapi_validator, own_cases())


@pytest.mark.hapi
def test_hapi_judges_our_examples_and_their_mutations_as_we_do(own: Comparison) -> None:
    assert own.unexplained() == []
    assert own.agreement >= MINIMUM, summary(own)


@pytest.mark.hapi
@pytest.mark.shared
def test_hapi_judges_hl7_s_examples_and_their_mutations_as_we_do(
    hapi_validator: HapiValidator, profiled: Validator, own: Comparison, shared: Path
) -> None:
    both = own | compare(profiled, hapi_validator, hl7_cases(shared))
    assert both.unexplained() == []
    assert both.agreement >= MINIMUM, summary(both)


def test_there_are_more_than_two_thousand_mutations_valid_ones_among_them(profiled: Validator) -> None:
    mutations = [case.resource for case in own_cases().values() if case.origin is not None]
    valid = sum(profiled.is_valid(case) for case in mutations)
    assert len(mutations) > 2000
    assert 0.2 < valid / len(mutations) < 0.5


def test_mutations_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    assert own_cases() == own_cases()
    assert own_cases("another") != own_cases()


def test_every_category_makes_as_many_mutations_and_no_kind_is_left_out() -> None:
    made = [case for case in own_cases().values() if case.origin is not None]
    assert Counter(case.category for case in made) == dict.fromkeys(CATEGORIES, OWN)
    assert {case.kind for case in made} == {kind for kinds in CATEGORIES.values() for kind in kinds}


def _attached(content_type: str) -> Resource:
    content = [{"attachment": {"contentType": content_type}}]
    return {"resourceType": "DocumentReference", "status": "current", "content": content}


def test_what_is_apart_for_terminology_is_told_by_the_code_that_was_put_there(profiled: Validator) -> None:
    origin = _attached("text/plain")
    assert exclusions.terminology(profiled, _attached("Final"), origin)
    assert exclusions.terminology(profiled, _attached("text/html"), origin)
    assert not exclusions.terminology(profiled, {**origin, "status": "nonsense"}, origin)
    assert not exclusions.terminology(profiled, _attached("Final"), None)


@pytest.mark.parametrize(
    ("changed", "apart"),
    [
        ({"subject": {"reference": "Organization/1"}}, True),
        ({"subject": {"type": "Organization", "identifier": {"value": "1"}}}, True),
        ({"subject": {"reference": "Patient/1"}}, False),
        ({"subject": {"reference": "urn:uuid:00000000-0000-0000-0000-000000000001"}}, False),
        ({"status": "nonsense"}, False),
    ],
)
def test_what_is_apart_for_a_reference_is_told_by_the_type_it_names(
    profiled: Validator, changed: Resource, apart: bool
) -> None:
    assert exclusions.known_to_differ(profiled, {**OBSERVATION, **changed}, OBSERVATION) == apart


def test_a_target_at_hand_is_not_apart(profiled: Validator) -> None:
    document = SPECIMENS["document"]
    entries = [*document["entry"][:3], {**document["entry"][3]}]
    entries[3]["resource"] = {**OBSERVATION, "subject": {"reference": "Practitioner/d1"}}
    assert not exclusions.known_to_differ(profiled, {**document, "entry": entries}, document)


def _named(name: str) -> Rule:
    return next(rule for rule in RULES if rule.name == name)


def test_a_rule_explains_a_case_only_if_it_explains_every_error() -> None:
    blank = Issue("error", "value", "type-code", "X.code: ' ' is not a valid code.", "X.code", "", "", "")
    system = Issue("error", "invariant", "cod-system", "cod-system: absolute", "X.coding[0]", "", "", "")
    other = Issue("error", "required", "min", "X.status is missing.", "X", "", "", "")
    rule = _named("white space for a value")
    assert rule.explains({}, [blank], [])
    assert rule.explains({}, [blank, system], [])
    assert not rule.explains({}, [blank, other], [])
    assert not rule.explains({}, [system], [])
    assert not rule.explains({}, [], [Complaint("X", "any", "text")])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_of_disagreement_is_explained_in_the_conformance_page(rule: Rule) -> None:
    text = (ROOT / "docs" / "conformance.md").read_text()
    section = text.partition("## Differential against HAPI")[2].partition("\n## ")[0]
    assert f"| {rule.name} |" in section
