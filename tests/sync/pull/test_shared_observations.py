"""Observations as other people's systems write them: Synthea, HL7's own examples, the Swiss laboratory reporting."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fhirbridge import fhirjson
from fhirbridge.protocol.slots import FollowUp
from fhirbridge.sync.pull.incoming import Incoming, SetAside, as_bytes
from fhirbridge.sync.pull.judging import Held, Picture, judge
from fhirbridge.sync.pull.meaning import collects
from fhirbridge.sync.pull.observations import Source, incoming
from fhirbridge.sync.pull.recognising import LaboratoryNames
from fhirbridge.sync.pull.reports import ReportStates
from tests.sync.pull.judged import FEED, LABORATORIES, TRIAL, context

pytestmark = pytest.mark.shared

SOURCE = Source(feed=FEED, study=TRIAL, laboratories=LaboratoryNames(LABORATORIES))
REPEATED = {"coding", "entry", "category", "performer", "interpretation", "result", "identifier", "section", "line"}


def read(resources: list[Any], patient: str) -> list[Incoming | SetAside]:
    reports = ReportStates.of(resources, FEED)
    observations = [one for one in resources if one["resourceType"] == "Observation"]
    return [part for one in observations for part in incoming(one, SOURCE, patients={patient}, reports=reports)]


def synthea(shared: Path, name: str) -> list[Any]:
    bundle = fhirjson.loads((shared / "data" / "3_fhir" / "synthea" / f"{name}.json").read_bytes())
    return [entry["resource"] for entry in bundle["entry"]]


def example(shared: Path, name: str) -> Any:
    return fhirjson.loads((shared / "data" / "3_fhir" / "hl7_r4_examples" / f"{name}.json").read_bytes())


@pytest.mark.parametrize(("name", "observations", "pressures"), [("Dwain", 45, 4), ("Fannie", 20, 1)])
def test_synthea_s_patients_have_their_results_each_once_and_blood_pressures_as_two(
    shared: Path, name: str, observations: int, pressures: int
) -> None:
    resources = synthea(shared, name)
    patient = next(one["id"] for one in resources if one["resourceType"] == "Patient")
    found = read(resources, patient)
    results = [one for one in found if isinstance(one, Incoming)]
    assert len(found) == len(results) == observations + pressures
    assert len({one.reference for one in results}) == len(results)
    assert Counter(one.part for one in results if one.part) == {"8462-4": pressures, "8480-6": pressures}
    assert {one.status for one in results} == {"final"}
    assert Counter(next(iter(one.value or {})) for one in results)["valueCodeableConcept"] >= 1


@pytest.mark.parametrize("name", ["Dwain", "Fannie"])
def test_of_synthea_s_results_platelets_are_known_and_not_collected_and_all_others_unmapped(
    shared: Path, name: str
) -> None:
    resources = synthea(shared, name)
    patient = next(one["id"] for one in resources if one["resourceType"] == "Patient")
    results = [one for one in read(resources, patient) if isinstance(one, Incoming)]
    left_out = [one for one in results if not collects(one, LABORATORIES)]
    assert [one.codes[0].code for one in left_out] == ["777-3"]
    kept = [Held(arrival=n, incoming=one) for n, one in enumerate(results) if collects(one, LABORATORIES)]
    judged = judge(Picture(follow_up=FollowUp(anchor=None), results=tuple(kept)), context())
    assert {one.state for one in judged} == {"unmapped"}


def test_another_patient_s_bundle_gives_nothing_but_other_patients(shared: Path) -> None:
    found = read(synthea(shared, "Fannie"), "somebody-else")
    assert {one.why for one in found if isinstance(one, SetAside)} == {"other patient"}
    assert not [one for one in found if isinstance(one, Incoming)]


def test_hl7_s_glucose_has_the_start_of_its_period_and_not_the_name_of_who_performed_it(shared: Path) -> None:
    (found,) = read([example(shared, "Observation-f001")], "f001")
    assert isinstance(found, Incoming)
    assert (found.status, found.collected) == ("final", "2013-04-02T09:30:10+01:00")
    assert found.value == {
        "valueQuantity": {
            "value": found.value and found.value["valueQuantity"]["value"],
            "unit": "mmol/l", "system": "http://unitsofmeasure.org", "code": "mmol/L",
        }
    }  # fmt: skip
    assert str(found.value["valueQuantity"]["value"]) == "6.3"
    assert found.interpretation == ("H",)
    assert b"Langeveld" not in as_bytes(found)


def test_hl7_s_broken_tube_has_no_value_a_reason_and_no_day_more_exact_than_its_three(shared: Path) -> None:
    (found,) = read([example(shared, "Observation-unsat")], "f001")
    assert isinstance(found, Incoming)
    assert (found.status, found.value, found.absent) == ("cancelled", None, "125154007")
    assert found.collected == "2013-04"
    assert "leaked" not in "".join(found.notes)


def test_hl7_s_temperature_entered_in_error_keeps_that_status_and_its_four_codes(shared: Path) -> None:
    (found,) = read([example(shared, "Observation-f202")], "f201")
    assert isinstance(found, Incoming)
    assert (found.status, len(found.codes), found.collected) == ("entered-in-error", 4, None)


def test_hl7_s_decimals_name_no_subject_and_are_set_aside(shared: Path) -> None:
    (found,) = read([example(shared, "Observation-decimal")], "p")
    assert found == SetAside(why="unusable", detail="it names no subject")


def test_hl7_s_decimals_of_a_subject_keep_their_digits_each_with_a_reference_of_its_own(shared: Path) -> None:
    observation = example(shared, "Observation-decimal") | {"subject": {"reference": "Patient/p"}}
    found = [one for one in read([observation], "p") if isinstance(one, Incoming)]
    assert len({one.reference for one in found}) == len(found) == 7
    digits = [str(one.value["valueQuantity"]["value"]) for one in found if one.value]
    assert digits == [
        "1.0", "1.00", "1.0", "1E-22", "1000000000000000000", "1.000000000000000000E-245", "-1.000000000000000000E+245",
    ]  # fmt: skip


def test_a_report_that_holds_no_observation_of_the_server_says_nothing_of_one(shared: Path) -> None:
    for name in ("DiagnosticReport-f201", "DiagnosticReport-ultrasound"):
        report = example(shared, name)
        states = ReportStates.of([report], FEED)
        assert states.status("1", "final") == "final"


def test_the_swiss_report_s_result_is_read_with_its_answer_and_without_its_patient(shared: Path) -> None:
    path = shared / "data" / "3_fhir" / "ch_elm" / "Bundle-8Doc-HepatiteB.xml"
    bundle = _json(ElementTree.fromstring(path.read_text(encoding="utf-8")))
    resources = [next(iter(entry["resource"].values())) for entry in bundle["entry"]]
    (found,) = read(resources, "2c3e0c85-3374-4569-9d6b-6e389049e486")
    assert isinstance(found, Incoming)
    assert (found.codes[0].code, found.status, found.interpretation) == ("31204-1", "final", ("POS",))
    assert found.value == {
        "valueCodeableConcept": {
            "coding": [
                {"system": "http://snomed.info/sct", "code": "10828004", "display": "Positive (qualifier value)"}
            ]
        }
    }
    assert found.collected == "2024-04-10T12:00:00+02:00"


def _json(element: ElementTree.Element) -> Any:
    """The FHIR JSON of FHIR XML, as far as this document needs it."""
    name = element.tag.rpartition("}")[2]
    if "value" in element.attrib and not len(element):
        return element.attrib["value"]
    found: dict[str, Any] = {"resourceType": name} if name[0].isupper() else {}
    for child in element:
        key, value = child.tag.rpartition("}")[2], _json(child)
        if key in REPEATED:
            found.setdefault(key, []).append(value)
        else:
            found[key] = value
    return found
