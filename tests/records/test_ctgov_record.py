"""What makes a registry record unusable, and how it is said."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fhirbridge.errors import Finding, RecordError
from fhirbridge.records.ctgov_record import MAX_TEXT, generic, leaves, parse
from fhirbridge.records.ctgov_values import Age, PartialDate

RECORD: dict[str, Any] = {
    "protocolSection": {
        "identificationModule": {"nctId": "NCT00000001", "briefTitle": "A study"},
        "statusModule": {"overallStatus": "RECRUITING"},
    }
}


def refused(raw: object) -> Finding:
    with pytest.raises(RecordError) as error:
        parse(raw, file="records.ndjson", line=7)
    found = error.value.finding
    assert (found.file, found.line) == ("records.ndjson", 7)
    assert found.remedy
    return found


def with_value(path: str, value: object) -> dict[str, Any]:
    whole = copy.deepcopy(RECORD)
    *steps, last = path.split(".")
    node = whole["protocolSection"]
    for step in steps:
        node = node.setdefault(step, {})
    node[last] = value
    return whole


@pytest.mark.parametrize(
    ("raw", "looks"),
    [
        ({"clinical_study": {"id_info": {"nct_id": "NCT00000001"}}}, "old XML download"),
        ({"FullStudiesResponse": {"FullStudies": []}}, "API v1"),
        ({"Study": {"ProtocolSection": {}}}, "API v1"),
        ({"resourceType": "ResearchStudy"}, "a FHIR resource"),
        ({"hello": 1}, "no registry record"),
        ([], "no registry record"),
        ("NCT00000001", "no registry record"),
        (None, "no registry record"),
    ],
)
def test_what_is_no_record_is_named(raw: object, looks: str) -> None:
    assert looks in refused(raw).message


@pytest.mark.parametrize("number", ["NCT1", "nct00000001", "NCT000000011", "ISRCTN123", "NCT٠٠٠٠٠٠٠١"])
def test_a_wrong_number_is_shown(number: str) -> None:
    found = refused(with_value("identificationModule.nctId", number))
    assert (found.field, found.value) == ("protocolSection.identificationModule.nctId", number)


@pytest.mark.parametrize("number", [None, "", 7])
def test_a_record_without_a_number_is_refused(number: object) -> None:
    assert "protocolSection.identificationModule" in str(
        refused(with_value("identificationModule.nctId", number)).field
    )


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("designModule.enrollmentInfo.count", "many", "Expected `int"),
        ("designModule.enrollmentInfo.count", -3, "no number of participants"),
        ("designModule.enrollmentInfo.count", 10**12, "no number of participants"),
        ("conditionsModule.conditions", "HCC", "Expected `array`"),
        ("oversightModule.oversightHasDmc", "Yes", "Expected `bool"),
        ("statusModule.startDateStruct.date", "2026-02-30", "no day of the calendar"),
        ("statusModule.startDateStruct.date", "2026-13", "no day of the calendar"),
        ("statusModule.startDateStruct.date", "March 2026", "is no date"),
        ("statusModule.startDateStruct.date", 2026, "Expected text"),
        ("statusModule.overallStatus", ["RECRUITING"], "Expected `str`"),
        ("eligibilityModule.minimumAge", "eighteen", "is no age"),
        ("eligibilityModule.minimumAge", "18 Moons", "is no age"),
        ("contactsLocationsModule.locations", [{"geoPoint": {"lat": "1.5", "lon": 1}}], "Expected degrees"),
        ("contactsLocationsModule.locations", [{"geoPoint": {"lat": 1.5, "lon": 181}}], "Expected degrees"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(path: str, value: object, message: str) -> None:
    found = refused(with_value(path, value))
    assert found.record == "NCT00000001"
    assert message in found.message
    assert str(found.field).startswith(f"protocolSection.{path}")
    if not isinstance(value, list):
        assert found.value == str(value)


def test_an_age_range_upside_down_is_refused() -> None:
    found = refused(with_value("eligibilityModule", {"minimumAge": "70 Years", "maximumAge": "18 Years"}))
    assert found.rule == "minimum age is not above maximum age"


@pytest.mark.parametrize("text", ["a\x00b", "a\x0bb", "x" * (MAX_TEXT + 1)])
def test_text_that_fhir_cannot_hold_is_refused(text: str) -> None:
    found = refused(with_value("descriptionModule.briefSummary", text))
    assert found.field == "protocolSection.descriptionModule.briefSummary"


def test_blank_texts_and_nulls_say_nothing() -> None:
    whole = with_value("conditionsModule", {"conditions": ["", "Sleep", None, "  "], "keywords": None})
    found = parse(whole)
    assert found.protocol.conditions.conditions == ("Sleep",)
    assert found.protocol.conditions.keywords == ()
    assert found.raw is whole


def test_a_field_that_is_unknown_stays_in_the_raw_record() -> None:
    found = parse(with_value("moodModule.mood", "calm"))
    assert ("protocolSection.moodModule.mood", "calm") in list(leaves(found.raw))


def test_leaves_are_all_values_with_their_paths() -> None:
    node = {"a": [{"b": 1}, {"b": None, "c": []}], "d": False}
    assert list(leaves(node)) == [("a[0].b", 1), ("d", False)]
    assert generic("a[0].b[11].c") == "a.b.c"


@pytest.mark.parametrize("text", ["2025", "2025-09", "2025-09-01", "2024-02-29"])
def test_a_date_is_what_was_given(text: str) -> None:
    assert PartialDate(text) == text


def test_an_age_has_a_number_and_a_unit() -> None:
    assert [(Age(text).number, Age(text).unit) for text in ("1 Year", "18 Years", "6 Months")] == [
        (1, "year"),
        (18, "year"),
        (6, "month"),
    ]
