"""Laboratory values in FHIR: numbers, limits, words, and what is missing."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from fhirbridge import fhirjson
from fhirbridge.errors import MappingError, Resource
from fhirbridge.records.types import LaboratoryResult
from fhirbridge.records.values import Censored, LabValue, Number, Ordinal, Text, parse
from mappings.laboratory_log10 import log10
from tests.mappings.cases import HBSAG, HBV_DNA, MISSING, NOT_DETECTED, mapped


def observation(record: LaboratoryResult) -> Resource:
    return mapped(record)[0]


def with_value(record: LaboratoryResult, text: str) -> LaboratoryResult:
    value = parse(text, "Qn")
    return replace(record, value=value, unit=None if isinstance(value, Ordinal) else record.unit)


def interpretations(resource: Resource) -> list[str]:
    return [found["coding"][0]["code"] for found in resource.get("interpretation", [])]


@pytest.mark.parametrize(
    ("record", "text", "written", "comparator", "interpreted"),
    [
        (HBV_DNA, "1234", "1234", None, []),
        (HBV_DNA, "5.50", "5.50", None, []),
        (HBV_DNA, "0", "0", None, []),
        (HBV_DNA, "<10", "10", "<", ["DET"]),
        (HBV_DNA, "<=10.0", "10.0", "<=", ["DET"]),
        (HBV_DNA, ">1.7E8", "1.7E+8", ">", []),
        (HBSAG, "0.05", "0.05", None, []),
        (HBSAG, "<0.05", "0.05", "<", ["NEG"]),
        (HBSAG, "<0.050", "0.050", "<", ["NEG"]),
        (HBSAG, "<=0.05", "0.05", "<=", []),
        (HBSAG, "<0.01", "0.01", "<", ["NEG"]),
        (HBSAG, "<5", "5", "<", []),
        (HBSAG, ">125000", "125000", ">", []),
    ],
)
def test_a_number_keeps_its_digits_and_a_limit_its_comparator(
    record: LaboratoryResult, text: str, written: str, comparator: str | None, interpreted: list[str]
) -> None:
    found = observation(with_value(record, text))
    assert found["valueQuantity"].get("comparator") == comparator
    assert found["valueQuantity"]["code"] == "[IU]/mL"
    assert f'"value":{written},'.encode() in fhirjson.dumps(found["valueQuantity"])
    assert interpretations(found) == interpreted
    assert "dataAbsentReason" not in found


@pytest.mark.parametrize("record", [HBV_DNA, HBSAG])
def test_not_detected_is_a_result_and_never_a_missing_value(record: LaboratoryResult) -> None:
    found = observation(with_value(record, "not detected"))
    assert found["valueCodeableConcept"]["coding"][0]["code"] == "260415000"
    assert interpretations(found) == ["ND"]
    assert "dataAbsentReason" not in found
    assert "valueQuantity" not in found


@pytest.mark.parametrize("reason", ["not-performed", "error", "unknown"])
def test_a_missing_value_has_its_reason_and_nothing_else(reason: Any) -> None:
    found = observation(replace(MISSING, absent_reason=reason))
    assert found["dataAbsentReason"]["coding"][0]["code"] == reason
    assert not [name for name in found if name.startswith("value")]
    assert interpretations(found) == []


@pytest.mark.parametrize("status", ["preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error"])
def test_every_status_of_a_record_is_one_of_an_observation(status: Any) -> None:
    results = mapped(replace(HBV_DNA, status=status))
    assert [found["status"] for found in results] == [status, status]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1", "0.00"), ("10", "1.00"), ("1.7E8", "8.23"), ("20", "1.30"), ("3.16E3", "3.50"), ("0.5", "-0.30")],
)
def test_a_logarithm_has_two_decimals(value: str, expected: str) -> None:
    assert str(log10(Decimal(value))) == expected


def test_the_logarithm_points_to_the_result_it_is_derived_from_and_keeps_its_comparator() -> None:
    result, logarithm = mapped(with_value(HBV_DNA, "<10"))
    assert logarithm["derivedFrom"] == [{"reference": f"Observation/{result['id']}"}]
    assert logarithm["valueQuantity"] == {
        "value": Decimal("1.00"),
        "comparator": "<",
        "unit": "log IU/mL",
        "system": "http://unitsofmeasure.org",
        "code": "{Log_IU}/mL",
    }
    assert interpretations(logarithm) == ["DET"]


@pytest.mark.parametrize(
    "record", [NOT_DETECTED, MISSING, HBSAG, replace(HBV_DNA, value=Number(Decimal(0)))], ids=lambda found: found.result
)
def test_there_is_no_logarithm_of_words_of_nothing_or_of_another_analyte(record: LaboratoryResult) -> None:
    assert len(mapped(record)) == 1


def test_the_raw_value_and_the_comment_are_kept_as_notes() -> None:
    found = observation(replace(HBV_DNA, reported="5.50E3 IU/ml", comment="repeat"))
    assert [note["text"] for note in found["note"]] == ["Reported as: 5.50E3 IU/ml", "repeat"]


def test_the_assay_and_its_limits_stand_in_the_result() -> None:
    found = observation(HBV_DNA)
    assert found["method"] == {"text": "COBAS TaqMan HBV Test"}
    (interval,) = found["referenceRange"]
    assert (interval["low"]["value"], interval["high"]["value"]) == (10, Decimal("1.7E8"))
    assert interval["type"]["coding"][0]["code"] == "measuring-interval"


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"analyte": "HBVDNA"}, "analyte", "mapping/analyte"),
        ({"assay": "Another assay"}, "assay", "mapping/assay"),
        ({"unit": "{copies}/mL"}, "unit", "mapping/unit"),
        ({"unit": "IU/mL"}, "unit", "mapping/unit"),
        ({"unit": None}, "unit", "mapping/unit"),
        ({"visit": "W013"}, "visit", "mapping/visit"),
        ({"value": Ordinal("positive")}, "value", "mapping/value"),
        ({"value": Text("much")}, "value", "mapping/value"),
    ],
)
def test_what_the_study_cannot_say_is_refused_by_name(change: dict[str, Any], field: str, rule: str) -> None:
    with pytest.raises(MappingError) as caught:
        mapped(replace(HBV_DNA, **change))
    finding = caught.value.finding
    assert (finding.record, finding.field, finding.rule) == ("laboratory L-1001", field, rule)
    assert finding.remedy


@pytest.mark.parametrize("value", [Number(Decimal("1E18")), Censored("<", Decimal("0.0000001"))])
def test_extreme_values_have_a_logarithm_too(value: LabValue) -> None:
    assert len(mapped(replace(HBV_DNA, value=value))) == 2
