"""The table of search parameters says what R4 says, and what is built from it says the same."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from fhirbridge import fhirjson
from fhirbridge.elements import CANONICAL
from fhirbridge.search.capability import includes, own_definitions, reverse_includes, search_parameters
from fhirbridge.search.parameters import MODIFIERS, Parameter
from fhirbridge.search.query import LIMITS
from fhirbridge.search.table import CATALOGUE, NOT_SERVED, PARAMETERS, SERVED
from fhirbridge.validation import Validator
from fhirbridge.validation.definitions import locate
from tests.search import r4
from tests.search.page import PAGE, written

STANDARD = [one for one in PARAMETERS if one.expression is None]
OWN = [one for one in PARAMETERS if one.expression is not None]


def _name(one: Parameter) -> str:
    return f"{one.base}.{one.code}"


def test_every_parameter_of_r4_is_served_or_it_is_said_why_not() -> None:
    served = {_name(one) for one in STANDARD}
    defined = {f"{base}.{code}".replace("DomainResource.", "Resource.") for base, code in r4.definitions()}
    assert served | NOT_SERVED.keys() == defined
    assert not served & NOT_SERVED.keys()


@pytest.mark.parametrize("one", STANDARD, ids=_name)
def test_a_row_has_the_url_and_type_of_its_definition(one: Parameter) -> None:
    definition = r4.definitions()[one.base, one.code]
    assert (one.url, one.kind) == (definition["url"], definition["type"])


@pytest.mark.parametrize("one", [one for one in STANDARD if one.kind != "composite"], ids=_name)
def test_a_row_finds_its_values_where_its_definition_does(one: Parameter) -> None:
    if one.code == "deceased":
        assert r4.definitions()["Patient", "deceased"]["expression"] == (
            "Patient.deceased.exists() and Patient.deceased != false"
        )
        return
    if one.code == "_id":
        assert one.paths[0].steps[0].name == "id"
        return
    # A SampledData is a curve, no number; no profile of ours allows one.
    stated = {place for place in r4.stated(one.base, one) if place.type != "SampledData"}
    assert r4.ours(one.base, one) == stated


@pytest.mark.parametrize("one", [one for one in STANDARD if one.kind == "reference"], ids=_name)
def test_a_reference_points_to_the_types_of_its_element(one: Parameter) -> None:
    definition = set(r4.definitions()[one.base, one.code].get("target", ()))
    if not one.targets:
        assert len(definition) > 100, "no targets means any type"
    elif len({*r4.definitions()[one.base, one.code]["base"]}) == 1:
        assert set(one.targets) == definition
    else:
        assert set(one.targets) <= definition, "a definition that several types share lists all their targets"


@pytest.mark.parametrize("one", [one for one in STANDARD if one.kind == "composite"], ids=_name)
def test_a_composite_is_made_of_the_parts_of_its_definition(one: Parameter) -> None:
    parts = [part["definition"].rpartition("/")[2] for part in r4.definitions()[one.base, one.code]["component"]]
    assert [url.rpartition("/")[2] for url in map(_url, [one] * 2, one.parts)] == parts


def _url(one: Parameter, code: str) -> str:
    part = CATALOGUE.find(one.base, code)
    assert part is not None
    return part.url


@pytest.mark.parametrize("one", [one for one in STANDARD if one.system], ids=_name)
def test_a_code_has_the_code_system_that_its_element_is_bound_to(one: Parameter) -> None:
    (path,) = one.paths
    base, names = one.base, [step.name for step in path.steps]
    if len(names) > 1:
        (base,), names = r4.types_of(f"{one.base}.{names[0]}"), names[1:]
    bound = r4.elements(base)[names[0]]["binding"]["valueSet"].partition("|")[0].rpartition("/")[2]
    value_set = fhirjson.loads((locate() / "package" / f"ValueSet-{bound}.json").read_bytes())
    assert [include["system"] for include in value_set["compose"]["include"]] == [one.system]


def test_every_code_element_says_its_code_system() -> None:
    codes = [one for one in STANDARD if any(path.type == "code" for path in one.paths)]
    assert [_name(one) for one in codes if one.system is None] == []
    assert all(len(one.paths) == 1 for one in codes)


def test_no_type_has_two_parameters_of_one_code() -> None:
    for type_ in SERVED:
        counted = Counter(one.code for one in PARAMETERS if one.base in (type_, "Resource"))
        assert [code for code, number in counted.items() if number > 1] == []


def test_the_page_says_what_the_table_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(page), "run: python -m tests.search.page"


@pytest.mark.parametrize("type_", SERVED)
def test_the_capability_statement_names_every_parameter(type_: str) -> None:
    told = {one["name"]: (one["type"], one["definition"]) for one in search_parameters(type_)}
    assert told["_id"] == ("token", "http://hl7.org/fhir/SearchParameter/Resource-id")
    assert told.keys() == {one.code for one in CATALOGUE.of(type_)}


def test_what_can_be_included_is_told_both_ways() -> None:
    assert "Observation:subject" in includes("Observation")
    assert "Observation:subject" in reverse_includes("Patient")
    assert "Observation:subject" not in reverse_includes("Observation")
    assert "Provenance:target" in reverse_includes("Observation")


def test_the_studys_own_parameters_are_valid_search_parameters() -> None:
    validator = Validator.load()
    made = own_definitions()
    assert {one["url"] for one in made} == {one.url for one in OWN}
    assert f"{CANONICAL}/SearchParameter/Observation-visit" in {one["url"] for one in made}
    for definition in made:
        outcome = validator.validate(definition)
        wrong = [issue for issue in outcome["issue"] if issue["severity"] in ("error", "fatal")]
        assert wrong == [], definition["id"]


def test_the_page_names_every_modifier_that_is_taken() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for kind, taken in MODIFIERS.items():
        row = next((line for line in page.splitlines() if line.startswith(f"| {kind} |")), "")
        assert kind == "number" or set(re.findall(r"`:([a-z-]+)`", row)) == set(taken), kind


def test_the_page_states_the_limits() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for number in (LIMITS.characters, LIMITS.parameters, LIMITS.values, LIMITS.includes, LIMITS.sort_keys):
        assert f"{number} " in page.partition("## What is ignored")[2].partition("##")[0]
