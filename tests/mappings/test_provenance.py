"""Where a pulled result came from: named so that it can be found again, by nothing that must not leave."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhirbridge import fhirjson
from fhirbridge.records.types import LaboratoryResult
from fhirbridge.store.resources import compartment_of
from mappings import MAPPINGS, resources
from mappings.laboratory_result import result_facts
from mappings.provenance import URI
from tests.mappings.cases import (
    ABOVE_ULOQ,
    BELOW_LLOQ,
    BY_POLICY,
    COPIES,
    HBSAG,
    HBV_DNA,
    IDENTITY,
    LOGARITHM,
    MISSING,
    NOT_DETECTED,
    OVERRIDDEN,
    PULLED,
    STUDY,
    TAKEN_BACK,
    following,
    mapped,
)

PROFILE = "result-provenance"


def test_a_result_that_people_entered_has_no_provenance() -> None:
    assert following(mapped(HBV_DNA), PROFILE) == []


def test_where_a_result_comes_from_changes_nothing_of_its_observation() -> None:
    entered = replace(PULLED, source=None)
    assert following(mapped(PULLED), "hbv-dna") == following(mapped(entered), "hbv-dna")


def test_a_correction_makes_another_version_of_the_same_provenance() -> None:
    (first,), (second,) = (following(mapped(one), PROFILE) for one in (PULLED, TAKEN_BACK))
    assert first["id"] == second["id"]
    assert first != second


def test_a_provenance_belongs_to_its_person_s_compartment() -> None:
    found = mapped(COPIES)
    assert len({compartment_of(one) for one in found}) == 1
    assert compartment_of(found[0])


def test_no_number_of_an_hl7_message_leaves() -> None:
    assert "F-77" not in fhirjson.dumps(mapped(BY_POLICY)).decode()


@pytest.mark.parametrize(
    ("reference", "version", "url"),
    [
        ("Observation/123", "4", "/Observation/123/_history/4"),
        ("Observation/123#1234-5", "4", "/Observation/123/_history/4"),
        ("Observation/123", "4+report", "/Observation/123/_history/4"),
        ("Observation/123", "4 (by its report)", "/Observation/123/_history/4"),
        ("Observation/123", "sha256:ab12", "/Observation/123#sha256:ab12"),
        ("Observation/123", "gone, after 4", "/Observation/123#gone%2C%20after%204"),
    ],
)
def test_a_source_is_named_by_its_url_in_its_version(reference: str, version: str, url: str) -> None:
    assert PULLED.source
    record = replace(PULLED, source=replace(PULLED.source, reference=reference, version=version))
    (found,) = following(mapped(record), PROFILE)
    assert found["entity"][0]["what"]["identifier"] == {
        "system": URI,
        "value": f"https://fhir.hospital.example/r4{url}",
    }


def test_what_no_person_decided_names_the_study_s_rule_and_its_run() -> None:
    (found,) = following(mapped(BY_POLICY), PROFILE)
    assert f"{STUDY.namespace}/policy#r-9" in found["policy"]
    assert found["agent"][0]["who"]["display"] == "policy"


def test_every_reference_of_a_pulled_result_points_to_a_row_above_or_outside_it() -> None:
    for record in (PULLED, COPIES, LOGARITHM, OVERRIDDEN):
        ranked = resources(record, STUDY, IDENTITY)
        rank_of = {f"{one['resourceType']}/{one['id']}": rank for rank, one in ranked}
        for rank, one in ranked:
            links = [*one.get("derivedFrom", ()), *one.get("target", ())]
            assert all(rank_of[link["reference"]] < rank for link in links)
    assert MAPPINGS[-1].resource_type == "Provenance"


@pytest.mark.parametrize(
    "record", [HBV_DNA, BELOW_LLOQ, NOT_DETECTED, ABOVE_ULOQ, MISSING, HBSAG, PULLED, COPIES, LOGARITHM, TAKEN_BACK]
)
def test_what_an_observation_says_can_be_read_back_and_only_from_the_result_itself(record: LaboratoryResult) -> None:
    read = [result_facts(one, STUDY) for one in mapped(record) if one["resourceType"] == "Observation"]
    (facts,) = [one for one in read if one]
    assert (facts.analyte, facts.visit, facts.collected, facts.value, facts.status) == (
        record.analyte, record.visit, record.collected, record.value, record.status,
    )  # fmt: skip
