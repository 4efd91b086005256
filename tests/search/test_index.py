"""The index rows of a resource: their form, and what they hold of our own resources."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest

from fhirbridge import fhirjson
from fhirbridge.errors import Resource
from fhirbridge.search import moments
from fhirbridge.search.extract import Indexer
from fhirbridge.search.folding import folded
from fhirbridge.search.matching import matching
from fhirbridge.search.parameters import Catalogue, Parameter, Path
from fhirbridge.search.query import parse
from fhirbridge.search.rows import DateRow, QuantityRow, ReferenceRow, TokenRow
from fhirbridge.search.scaling import scale
from fhirbridge.search.table import SERVED
from tests.search.conftest import AROUND, SHANGHAI, Search
from tests.search.page import PAGE

GOLDEN = PAGE.parents[1] / "tests" / "golden"


def golden(name: str) -> Resource:
    found: Resource = fhirjson.loads((GOLDEN / f"{name}.json").read_bytes())
    return found


def test_a_result_below_the_limit_is_an_open_interval(indexer: Indexer) -> None:
    (row,) = [one for one in indexer.rows(golden("hbv-dna-below-lloq")).quantities if one.param == "value-quantity"]
    assert row == QuantityRow(
        "value-quantity", 0, -math.inf, math.nextafter(10, 0), "10", "http://unitsofmeasure.org", "[IU]/mL", "IU/mL",
        "L-1.[IU]1", -math.inf, math.nextafter(10_000, 0),
    )  # fmt: skip


def test_a_day_is_the_studys_day(indexer: Indexer) -> None:
    (row,) = indexer.rows(golden("lirads-lesion")).dates
    assert row == DateRow("date", 0, "2026-02-24T16:00:00.000000", "2026-02-25T16:00:00.000000")
    (row,) = Indexer(dt.UTC).rows(golden("lirads-lesion")).dates
    assert row.low == "2026-02-25T00:00:00.000000"


def test_the_components_of_a_lesion_are_told_apart(indexer: Indexer) -> None:
    rows = indexer.rows(golden("lirads-lesion"))
    codes = [(one.part, one.code) for one in rows.tokens if one.param == "component-code"]
    assert codes[:2] == [(1, "33728-7"), (2, "aphe")]
    assert [one.part for one in rows.quantities if one.param == "component-value-quantity"] == [1]
    assert {one.part for one in rows.tokens if one.param == "code"} == {0}


def test_the_own_extensions_are_indexed(indexer: Indexer) -> None:
    rows = indexer.rows(golden("mri-report"))
    assert TokenRow("visit", 0, "", "W024", "") in rows.tokens
    assert ReferenceRow("study", 0, "ResearchStudy", "nct07120750", "") in rows.references
    assert ReferenceRow("study", 0, "ResearchStudy", "nct07120750", "") in indexer.rows(golden("consent")).references


def test_a_reference_without_a_target_is_there_all_the_same(indexer: Indexer) -> None:
    rows = indexer.rows(golden("hbv-dna"))
    assert ReferenceRow("specimen", 0, "", "", "") in rows.references


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.json")))
def test_every_golden_resource_is_found_by_what_it_is(search: Search, name: str) -> None:
    one = golden(name)
    type_ = one["resourceType"]
    assert type_ in SERVED
    asked = [f"_id={one['id']}", f"_profile={one['meta']['profile'][0]}", "_tag=nct07120750"]
    asked += [f"status={one['status']}"] if "status" in one else []
    if type_ == "Observation":
        code = one["code"]["coding"][0]
        asked += [f"code={code['system']}|{code['code']}", f"subject={one['subject']['reference']}"]
        asked += [f"date={one['effectiveDateTime'].replace('+', '%2B')}"]
        asked += [f"patient={one['subject']['reference'].partition('/')[2]}"]
    assert search(f"{type_}?{'&'.join(asked)}", one) == [one["id"]]


def test_what_the_index_never_saw_finds_nothing(search: Search) -> None:
    for asked in ("name=zhang", "identifier=http://hospital.example/mrn|1", "birthdate=1971-05-04", "telecom=555"):
        assert search(f"Patient?{asked}", golden("patient")) == []


def test_a_type_that_is_not_served_has_no_rows(indexer: Indexer) -> None:
    rows = indexer.rows({"resourceType": "Medication", "id": "m", "status": "active"})
    assert not any((rows.tokens, rows.dates, rows.strings, rows.references, rows.quantities, rows.uris))


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2026", "2025-12-31T16:00:00.000000", "2026-12-31T16:00:00.000000"),
        ("2024-02", "2024-01-31T16:00:00.000000", "2024-02-29T16:00:00.000000"),
        ("2026-12", "2026-11-30T16:00:00.000000", "2026-12-31T16:00:00.000000"),
        ("2026-11-22T14:49:24.5Z", "2026-11-22T14:49:24.500000", "2026-11-22T14:49:24.600000"),
        ("2026-11-22T14:49:24.123456789Z", "2026-11-22T14:49:24.123456", "2026-11-22T14:49:24.123457"),
        ("2026-11-22T14:49:24", "2026-11-22T06:49:24.000000", "2026-11-22T06:49:25.000000"),
        ("0001-01-01", moments.FIRST, "0001-01-01T15:54:17.000000"),
        ("9999", "9998-12-31T16:00:00.000000", moments.LAST),
        ("9999-12-31", "9999-12-30T16:00:00.000000", moments.LAST),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000000", moments.LAST),
    ],
)
def test_every_precision_is_a_span(text: str, low: str, high: str) -> None:
    assert moments.span(text, SHANGHAI) == (low, high)


@pytest.mark.parametrize(
    "text",
    ["", "26", "2026-1", "2026-13", "0000", "2026-01-01T24:00:00Z", "2026-01-01T10", "2026-01-01 10:00", "today"],
)
def test_what_is_no_date_has_no_span(text: str) -> None:
    assert moments.span(text, SHANGHAI) is None


@pytest.mark.parametrize(
    ("unit", "exponent", "base"),
    [
        ("[IU]/mL", 3, "L-1.[IU]1"),
        ("k[IU]/L", 3, "L-1.[IU]1"),
        ("10*9/L", 9, "L-1"),
        ("10^3/ul", 9, "L-1"),
        ("/uL", 6, "L-1"),
        ("mm", -3, "m1"),
        ("cm2", -4, "m2"),
        ("umol/L", -6, "L-1.mol1"),
        ("mg/dL", -2, "L-1.g1"),
        ("kg.m-2", 3, "g1.m-2"),
    ],
)
def test_units_scale_by_powers_of_ten(unit: str, exponent: int, base: str) -> None:
    found = scale(unit)
    assert found == (exponent, base)


@pytest.mark.parametrize(
    "unit",
    ["{Log_IU}/mL", "{copies}/mL", "[pH]", "%", "Cel", "mm[Hg]", "a", "d", "min", "1", "m/m", "", "mg//dL", "12/L"],
)
def test_what_does_not_scale_is_only_itself(unit: str) -> None:
    assert scale(unit) is None


def test_a_parameter_is_one_row() -> None:
    """A number parameter, which R4 does not give the served types: the row is all that it takes."""
    row = Parameter("Group", "quantity", "number", (Path.of("quantity:unsignedInt"),), "http://x", "Number of members")
    catalogue = Catalogue((row,), ("Group",))
    group: dict[str, Any] = {"resourceType": "Group", "id": "g", "quantity": 332}
    index = {("Group", "g"): Indexer(SHANGHAI, catalogue).rows(group)}
    assert matching(parse("Group", b"quantity=ge332", AROUND, catalogue=catalogue), index) == [("Group", "g")]
    assert matching(parse("Group", b"quantity=gt332", AROUND, catalogue=catalogue), index) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Ångström", "angstrom"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("\u2121", "tel"),
        ("李  伟", "李 伟"),
        ("가", "가"),
    ],
)
def test_a_folded_text_has_no_case_accents_or_forms(text: str, found: str) -> None:
    assert folded(text) == found


def test_a_text_that_repeats_the_display_is_indexed_once(indexer: Indexer) -> None:
    for text, rows in (("HBV DNA", 1), ("Viral load", 2)):
        code = {"coding": [{"code": "42595-9", "display": "HBV DNA"}], "text": text}
        found = indexer.rows({"resourceType": "Observation", "id": "o", "code": code}).tokens
        assert len([one for one in found if one.param == "code"]) == rows


def test_a_patient_at_another_server_is_a_patient(search: Search) -> None:
    url = "https://elsewhere.example/r4/Patient/1"
    far = {"resourceType": "Observation", "id": "o", "subject": {"reference": url}}
    assert search(f"Observation?patient={url}", far) == ["o"]
    named = {"resourceType": "Observation", "id": "o", "subject": {"type": "Patient", "identifier": {"value": "7"}}}
    assert search("Observation?patient:identifier=7", named) == ["o"]
    assert search("Observation?patient:missing=false", named) == ["o"]
