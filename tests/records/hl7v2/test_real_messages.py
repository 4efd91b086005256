"""Real messages that lie beside the project: each one's outcome, and what a user would look up in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fhirbridge.records.hl7v2.files import read_file
from fhirbridge.records.hl7v2.types import Message, sampled

pytestmark = pytest.mark.shared

OUTCOMES = {
    "cdc_nndss/HEP_B_ACUTE_TC02": 103,
    "ms_fhir_converter/LAB-ORU-1": 10,
    "ms_fhir_converter/LAB-ORU-2": 10,
    "nist_elr/SampleTestCase1": 1,
    "nist_elr/SampleTestCase2": 1,
    "nist_elr/SampleTestCase3": 1,
    "nist_elr/SampleTestCase4": 1,
    "nist_elr/SampleTestCase6": 3,
}


def message(shared: Path, name: str) -> Message:
    contents = read_file(shared / "data" / "4_hl7v2" / f"{name}.hl7")
    assert contents.faults == ()
    (reading,) = contents.readings
    assert (reading.outcome, reading.faults) == ("accepted", ())
    assert reading.message is not None
    return reading.message


def test_there_is_an_outcome_for_every_message(shared: Path) -> None:
    folder = shared / "data" / "4_hl7v2"
    assert {str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("*.hl7")} == set(OUTCOMES)


@pytest.mark.parametrize(("name", "results"), OUTCOMES.items())
def test_each_message_gives_its_results_with_identities_of_their_own(shared: Path, name: str, results: int) -> None:
    found = message(shared, name).results
    assert len(found) == results
    assert len({result.identity for _, _, result in found}) == results
    assert all(patient.numbers for patient, _, _ in found)


@pytest.mark.parametrize("name", ["LAB-ORU-1", "LAB-ORU-2"])
def test_codes_and_values_are_those_of_the_published_conversion(shared: Path, name: str) -> None:
    file = shared / "data" / "4_hl7v2" / "ms_fhir_converter" / f"{name}-expected.json"
    bundle = json.loads(file.read_text(encoding="utf-8-sig"))
    observations = [
        entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == "Observation"
    ]
    theirs = {
        (one["code"]["coding"][0]["code"], float(one["valueQuantity"]["value"]))
        for one in observations
        if "value" in one.get("valueQuantity", {})
    }
    ours = {
        (result.code.first.code, float(result.value.repetitions[0][0]))
        for _, _, result in message(shared, f"ms_fhir_converter/{name}").results
        if result.value
    }
    assert theirs <= ours
    assert {code for code, _ in ours} <= {one["code"]["coding"][0]["code"] for one in observations}


def test_a_hepatitis_notification_links_its_reflex_order(shared: Path) -> None:
    (patient,) = message(shared, "cdc_nndss/HEP_B_ACUTE_TC02").patients
    epidemiology, core, reflex = patient.orders
    assert len(epidemiology.results) == 101
    assert reflex.parent is not None
    assert (reflex.parent.order, reflex.parent.result) == (1, 0)
    (result,) = core.results
    assert result.value is not None
    assert result.value.repetitions == (("10828004", "Positive", "SCT"),)
    assert (sampled(core, result), result.laboratory_name) == ("2014-02-02", "GHH Lab")


def test_a_correction_differs_from_what_it_corrects_in_value_and_status_only(shared: Path) -> None:
    ((_, _, first),) = message(shared, "nist_elr/SampleTestCase2").results
    ((_, _, again),) = message(shared, "nist_elr/SampleTestCase3").results
    assert first.identity == again.identity
    assert (first.status, again.status) == ("F", "C")
    assert first.value != again.value
