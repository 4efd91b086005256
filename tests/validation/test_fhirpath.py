"""FHIRPath: a table of what holds, what does not and what is refused (the official suite has its own file)."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from fhirbridge.errors import ProfileError
from fhirbridge.validation import Validator, stated
from fhirbridge.validation.fhirpath.check import check, problems
from fhirbridge.validation.fhirpath.evaluate import compiled, evaluate, holds
from fhirbridge.validation.fhirpath.values import value_of
from fhirbridge.validation.invariants import HOT
from fhirbridge.validation.mended import MENDED, mended
from tests.validation.building import CODES, OBSERVATION, WARM, element, profile
from tests.validation.official import start

HOLD = [
    "status = 'final'",
    "Observation.status = 'final'",
    "Resource.id = 'o-1'",
    "value is Quantity and (value is string).not()",
    "value.ofType(Quantity).unit = 'mg'",
    "(value as Quantity).value = 5.0",
    "value = 5 'mg' and value = 0.005 'g'",
    "value < 6 'mg'",
    "effective is dateTime",
    "(id as String) = 'o-1' or (subject.reference as String) = 'Patient/p-1'",
    "subject.reference.as(String).exists() and (effective as DateTime).exists()",
    "subject.reference.ofType(String).empty() and (subject.reference is String).not()",
    "(status as String).empty()",
    "effective > @2026-01-30",
    "effective = @2026-01-31T00:30:00Z",
    "effective + 1 day > effective",
    "(effective < @2026-01-31).empty()",
    "code.coding.where(system = '" + CODES + "' and code = 'red').exists()",
    "code.coding.exists(code = 'red') and code.coding.all(code in ('red' | 'blue'))",
    "code.coding.select(system & '|' & code) = '" + CODES + "|red'",
    "subject.reference.startsWith('Patient/')",
    "id.matches('^o-[0-9]$') and id.length() = 3",
    "iif(status = 'final', true, false)",
    "descendants().where($this is Coding).count() = 1",
    "%resource.id = 'o-1' and %rootResource.id = %context.id",
    "%ucum = value.system",
    "code.memberOf('" + WARM["url"] + "')",
    "conformsTo('http://hl7.org/fhir/StructureDefinition/Observation')",
    "status.hasValue() and note.hasValue().not()",
    "(1 | 2 | 2).count() = 2 and (1 | 2).combine(2).isDistinct().not()",
    "{}.empty() and ({} and false) = false and ({} or true)",
    "(1 + 2 * 3 - 4 div 3 - 5 mod 3) = 4",
    "'a,b'.split(',').join('-') = 'a-b'",
    "@2024-01-31 + 1 month = @2024-02-29",
    "'2.50'.toDecimal() = 2.5 and 2.50.toString() = '2.50'",
    "(5).type().name = 'Integer' and status.type().name = 'code'",
    "(false implies {}) and ({} implies true)",
    "status in ('final' | 'amended') and ('final' | 'amended') contains status",
    "code ~ code and 'A  b' ~ 'a B'",
    "repeat(code).count() = 1",
    "(1 | 2 | 3).aggregate($this + $total, 0) = 6",
    "(1|2|3).where($index = 1) = 2",
    "`status` = 'final' // a comment",
    "2.0 'cm' * 2.0 'm' = 0.040 'm2' and 4 'g' / 2 'L' = 2 'g/L' and 1 'mm[Hg]' = 133.322 'Pa'",
    "1 'kg/m2' = 1000 'g/m2' and 1 '10*9/L' = 1 '10*6/mL' and 1 '{beats}/min' = 1 '/min' and (1 'Cel' = 1 'K').not()",
    "(1 year = 1 'a').empty() and (1 month = 1 'mo').empty() and 1 year = 12 months and 7 days = 1 'wk'",
    "1 'h' + 30 'min' = 1.5 'h' and (1 'h' + 30 'min').toString() = '1.5 \\'h\\''",
    "'30 \\'min\\''.toQuantity('h') = 0.5 'h' and 1.convertsToQuantity('kg').not() and 1 'g'.convertsToQuantity('kg')",
    "checkModifiers('https://example.org/known').status = 'final'",
    "1 'cm'.comparable(1 '[in_i]') and 1 'cm'.comparable(1 's').not()",
    "@2026-02.highBoundary(8) = @2026-02-28 and 1.5.lowBoundary() = 1.45 and 1 'g'.highBoundary(1) = 1.5 'g'",
    "@2026-01-31T08:30:15.lowBoundary() = @2026-01-31T08:30:15.000+14:00",
    "(3 | 1 | 2).sort() = (1 | 2 | 3) and ('a' | 'b').sort(-$this).first() = 'b'",
    "'test'.encode('hex') = '74657374' and 'dGVzdA=='.decode('base64') = 'test'",
    "'<a>'.escape('html').unescape('html') = '<a>' and 'a\nb'.escape('json').unescape('json') = 'a\nb'",
    "1.580.precision() = 3 and @2026-01.precision() = 6 and 'abc'.replaceMatches('', 'x') = 'abc'",
]
FAIL = [
    "status = 'amended'",
    "note.text = 'x'",
    "{}",
    "value is string",
    "value.ofType(string).exists()",
    "effective < @2026-01-31",
    "value > 1 'cm'",
    "code.coding.all(code = 'blue')",
    "component.all(code.exists()).not()",
]
REFUSED = [
    "status = ",
    "status..code",
    "nofunction()",
    "%unknown",
    "'open",
    "where()",
    "1 +* 2",
    "@2026-13x",
    "status ===",
]
UNDECIDABLE = [
    "(1 | 2) and true",
    "(1 | 2).single()",
    "(1 | 2) + 1",
    "('a' | 'b').startsWith('a')",
    "1 < 'a'",
    "'a'.startsWith(5)",
    "'a'.split('')",
    "2 years div @T08:00",
    "4 'mg' * 'a'",
    "1.round(99)",
    "1000000000000.exp()",
    "(true | 'a').allTrue()",
    "(1 | 2).iif(true, 1)",
    "status.is(Colour)",
    "status.ofType(Colour)",
    "'a'.decode('hex')",
]


@pytest.mark.parametrize("expression", HOLD)
def test_what_holds(plain: Validator, expression: str) -> None:
    assert holds(expression, *start(plain, OBSERVATION))


@pytest.mark.parametrize("expression", FAIL)
def test_what_is_false_or_empty_does_not_hold(plain: Validator, expression: str) -> None:
    assert not holds(expression, *start(plain, OBSERVATION))


@pytest.mark.parametrize("expression", REFUSED)
def test_what_cannot_be_read_is_a_profile_error(plain: Validator, expression: str) -> None:
    with pytest.raises(ProfileError):
        holds(expression, *start(plain, OBSERVATION))


@pytest.mark.parametrize("expression", UNDECIDABLE)
def test_what_cannot_be_evaluated_is_an_error_not_an_answer(plain: Validator, expression: str) -> None:
    with pytest.raises(ProfileError):
        holds(expression, *start(plain, OBSERVATION))


def test_a_primitive_that_has_only_an_extension_has_no_value(plain: Validator) -> None:
    absent = {"extension": [{"url": "https://example.org/why", "valueCode": "unknown"}]}
    started = start(plain, {**OBSERVATION, "_issued": absent})
    assert holds("issued.exists() and issued.hasValue().not() and (issued < now()).empty()", *started)
    assert holds("(issued & 'a') = 'a' and status.startsWith(issued).empty()", *started)


def test_a_modifier_extension_that_is_not_named_stops_the_evaluation(plain: Validator) -> None:
    modified = {**OBSERVATION, "modifierExtension": [{"url": "https://example.org/not", "valueBoolean": True}]}
    started = start(plain, modified)
    assert holds("checkModifiers('https://example.org/not').exists()", *started)
    with pytest.raises(ProfileError, match=re.escape("https://example.org/not is not understood")):
        holds("checkModifiers('https://example.org/other').exists()", *started)


def test_our_own_profiles_have_no_invariant_that_means_nothing(plain: Validator) -> None:
    ours = Validator.load([Path(__file__).parent.parent.parent / "profiles"])
    known = set(plain.definitions.urls())
    structures = [ours.definitions.structure(url) or {} for url in ours.definitions.urls() if url not in known]
    assert len(structures) > 10
    assert [text for structure in structures for text in problems(ours.model, structure)] == []


MISSPELT = [
    ("code.codin.exists()", "CodeableConcept has no codin"),
    ("Patient.active", "starts at Patient, but stands on Observation"),
    ("valueQuantity.exists()", "Observation has no valueQuantity"),
    ("(value as Period).unit", "Period has no unit"),
    ("component.where(valu.exists()).empty()", "Observation.component has no valu"),
    ("component.select(code | value).rank", "CodeableConcept or Quantity"),
    ("children().first().exists()", "first() on children(), which has no order"),
    ("descendants()[0].exists()", "which has no order"),
    ("iif('a', true, false)", "needs a Boolean"),
    ("subject.resolve().name.exists() and focus.refrence.empty()", "Reference has no refrence"),
]
SPELT = [
    "code.coding.where(system = %ucum).code.exists()",
    "component.all(value.ofType(Quantity).code = 'mg')",
    "(value as Quantity).value > 0 or value.low.empty()",
    "contained.where($this is Patient).name.family.exists()",
    "extension('https://example.org/a').value.exists()",
    "status.extension.exists() or iif(value.exists(), code, category).coding.exists()",
    "%resource.anything.at.all.empty() and repeat(component).code.exists() and Resource.id.exists()",
]


@pytest.mark.parametrize(("expression", "fault"), MISSPELT)
def test_what_can_mean_nothing_is_found_without_running_it(plain: Validator, expression: str, fault: str) -> None:
    root = plain.snapshots.type_tree("Observation")
    assert root is not None
    with pytest.raises(ProfileError, match=re.escape(fault)):
        check(expression, plain.model, root)


@pytest.mark.parametrize("expression", SPELT)
def test_what_may_mean_something_is_let_through(plain: Validator, expression: str) -> None:
    root = plain.snapshots.type_tree("Observation")
    assert root is not None
    check(expression, plain.model, root)


def test_a_profile_with_a_misspelt_invariant_is_among_the_problems(tmp_path: Path) -> None:
    rule = {"key": "x-1", "severity": "error", "human": "any", "expression": "coding.exists(cod = 'a')"}
    wrong = profile("misspelt", "Observation", element("Observation.code", constraint=[rule]))
    validator = Validator.load([wrong], cache=tmp_path)
    validator.is_valid(OBSERVATION, [wrong["url"]])
    (told,) = validator.problems
    assert told.startswith(f"{wrong['url']}: invariant x-1 of Observation.code: ")
    assert told.endswith("Coding has no cod.")


def test_digits_survive(plain: Validator) -> None:
    node, walker = start(plain, {**OBSERVATION, "valueQuantity": {"value": Decimal("5.50")}})
    (value,) = evaluate("value.value", node, walker)
    assert str(value_of(value)) == "5.50"


def test_every_invariant_that_r4_publishes_can_be_compiled(plain: Validator) -> None:
    published = {
        rule["expression"]
        for url in plain.definitions.urls()
        for element in (plain.definitions.structure(url) or {}).get("snapshot", {}).get("element", ())
        for rule in element.get("constraint", ())
        if rule.get("expression")
    }
    assert len(published) > 200
    for expression in published:
        compiled(mended(expression))
    assert published >= MENDED.keys()
    assert published >= HOT.keys() - stated.RUN.keys()


@pytest.mark.parametrize("expression", ["value > 2.4 'mg'", "value.value < 2.6", "value = 2.5 'mg'"])
def test_a_float_in_a_caller_s_own_dict_counts_as_it_is_written(plain: Validator, expression: str) -> None:
    node, walker = start(plain, {**OBSERVATION, "valueQuantity": {**OBSERVATION["valueQuantity"], "value": 2.5}})
    assert holds(expression, node, walker)
