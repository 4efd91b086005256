"""Who may take part: the age range, sex and volunteers one by one, the criteria whole."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.errors import Resource
from fhirbridge.records.ctgov_record import RegistryRecord, parse
from tests.mappings.registry_cases import changed, errors, mapped, raw


def group(record: RegistryRecord) -> Resource:
    return next(r for r in mapped(record).resources if r["resourceType"] == "Group")


def characteristic(record: RegistryRecord, code: str) -> list[dict[str, Any]]:
    return [each for each in group(record)["characteristic"] if each["code"]["text"] == code]


def ages(low: str | None, high: str | None) -> RegistryRecord:
    whole = raw("cohort")
    whole["protocolSection"]["eligibilityModule"] |= {"minimumAge": low, "maximumAge": high}
    return parse(whole)


def age(value: int, unit: str, code: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": code}


def test_the_group_describes_persons_and_holds_none() -> None:
    found = group(parse(raw()))
    assert (found["id"], found["type"], found["actual"]) == ("nct00000001-eligibility", "person", False)
    assert "member" not in found


def test_the_criteria_are_kept_whole_as_written() -> None:
    [found] = characteristic(parse(raw()), "Eligibility criteria")
    assert found["valueCodeableConcept"]["text"] == raw()["protocolSection"]["eligibilityModule"]["eligibilityCriteria"]


def test_ages_of_one_unit_are_one_range() -> None:
    [found] = characteristic(ages("18 Years", "90 Years"), "Age")
    assert found["valueRange"] == {"low": age(18, "Years", "a"), "high": age(90, "Years", "a")}


def test_ages_of_two_units_are_two_ranges() -> None:
    low, high = characteristic(ages("6 Months", "1 Year"), "Age")
    assert low["valueRange"] == {"low": age(6, "Months", "mo")}
    assert high["valueRange"] == {"high": age(1, "Year", "a")}


@pytest.mark.parametrize(("low", "high", "ends"), [("18 Years", None, ["low"]), (None, "90 Years", ["high"])])
def test_an_open_range_has_one_end(low: str | None, high: str | None, ends: list[str]) -> None:
    [found] = characteristic(ages(low, high), "Age")
    assert list(found["valueRange"]) == ends


def test_without_ages_there_is_no_range() -> None:
    assert characteristic(ages(None, None), "Age") == []


@pytest.mark.parametrize("accepted", [True, False])
def test_healthy_volunteers_are_accepted_or_not(accepted: bool) -> None:
    [found] = characteristic(changed("eligibilityModule.healthyVolunteers", accepted), "Healthy volunteers accepted")
    assert found["valueBoolean"] is accepted


@pytest.mark.parametrize(("word", "codes"), [("FEMALE", ["female"]), ("MALE", ["male"]), ("ALL", [])])
def test_sex_has_a_code_unless_it_is_all(word: str, codes: list[str]) -> None:
    [found] = characteristic(changed("eligibilityModule.sex", word), "Sex")
    assert [coding["code"] for coding in found["valueCodeableConcept"].get("coding", [])] == codes
    assert found["valueCodeableConcept"]["text"] == word


def test_gender_based_eligibility_is_kept() -> None:
    [found] = characteristic(parse(raw()), "Eligibility is based on gender")
    assert found["valueBoolean"] is True


def test_a_record_without_eligibility_has_no_group() -> None:
    whole = raw("cohort")
    del whole["protocolSection"]["eligibilityModule"]
    found = mapped(parse(whole))
    assert [r["resourceType"] for r in found.resources] == ["Organization", "ResearchStudy"]
    assert "enrollment" not in found.resources[-1]
    assert errors(found) == []
