"""The clinic's messages are read without a fault, in every character set, and say what its Observations say."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict

import pytest

from fhirbridge.demo.clinic import Chart, charts
from fhirbridge.demo.clinic_laboratories import LABORATORIES, NORTH
from fhirbridge.demo.clinic_messages import AUTHORITIES, AUTHORITY, OLD_NORTH, message
from fhirbridge.demo.clinic_people import HOSPITAL_NUMBERS
from fhirbridge.errors import Resource
from fhirbridge.protocol.civil import civil_day
from fhirbridge.records.hl7v2.reader import read
from fhirbridge.study import Study
from fhirbridge.sync.pull.from_messages import Senders, results
from fhirbridge.sync.pull.incoming import Incoming
from fhirbridge.sync.pull.meaning import mean
from fhirbridge.sync.pull.observations import Source, incoming
from fhirbridge.sync.pull.recognising import LaboratoryNames
from fhirbridge.sync.pull.reports import ReportStates
from fhirbridge.terminology.analytes import with_laboratories
from fhirbridge.terminology.laboratory_files import load
from tests.demo.conftest import STUDY_FILE

LABORATORIES_FILES = load([STUDY_FILE.parents[1] / "laboratories"])
NAMES = LaboratoryNames(LABORATORIES_FILES)
SENDERS = Senders(names={"NORTHLIS": "North Hospital", "SUEDLIS": "South Reference Laboratory"}, laboratories=NAMES)


@pytest.fixture(scope="module")
def clinic(study: Study) -> list[Chart]:
    return list(charts(study, subjects=12, as_of=dt.date(2022, 6, 30)))


def samples(chart: Chart) -> list[list[Resource]]:
    found: dict[tuple[str, str], list[Resource]] = defaultdict(list)
    for filed in chart.filed:
        if filed.kind in ("study", "not collected", "unmapped") and filed.resource["status"] == "final":
            one = filed.resource
            found[one["effectiveDateTime"], one["performer"][0]["display"]].append(one)
    return list(found.values())


def read_all(raw: bytes) -> list[Incoming]:
    reading = read(raw)
    assert reading.faults == ()
    assert reading.message is not None
    [patient] = reading.message.patients
    taken = [one.result for one in results(reading.message, patient, SENDERS)]
    return [one for one in taken if isinstance(one, Incoming)]


def test_every_message_says_what_the_observations_say(study: Study, clinic: list[Chart]) -> None:
    extended, compared = with_laboratories(study, LABORATORIES_FILES), 0
    source = Source(feed="https://fhir.hospital.example/r4", study=study, laboratories=NAMES)
    for chart in clinic:
        for number, sample in enumerate(samples(chart)):
            laboratory = next(one for one in LABORATORIES if one.name == sample[0]["performer"][0]["display"])
            valued = [one for one in sample if any(name.startswith("value") for name in one)]
            if not valued:
                continue
            sent = read_all(message(valued, laboratory, chart.patient, control=f"M{number}"))
            for said, resource in zip(sent, valued, strict=True):
                [told] = incoming(resource, source, patients={chart.patient.id}, reports=ReportStates())
                assert isinstance(told, Incoming)
                by_message = mean(said, LABORATORIES_FILES, extended)
                by_fhir = mean(told, LABORATORIES_FILES, extended)
                assert by_message.harmonised.canonical == by_fhir.harmonised.canonical
                assert by_message.harmonised.answer == by_fhir.harmonised.answer
                assert by_message.analyte == by_fhir.analyte
                zone = study.schedule.zone
                assert civil_day(said.collected, zone) == civil_day(told.collected, zone)
                compared += 1
    assert compared > 100


def test_norths_older_interface_writes_gb_18030(clinic: list[Chart]) -> None:
    chart = next(one for one in clinic if one.filed[0].resource["performer"][0]["display"] == NORTH.name)
    sample = samples(chart)[0]
    new, old = (message(sample, NORTH, chart.patient, control="M1", habit=habit) for habit in (None, OLD_NORTH))
    assert new != old
    assert [one.label for one in read_all(new)] == [one.label for one in read_all(old)]


def test_a_message_names_the_patient_by_number_birth_date_and_sex(clinic: list[Chart]) -> None:
    chart = clinic[0]
    laboratory = next(one for one in LABORATORIES if one.name == chart.filed[0].resource["performer"][0]["display"])
    reading = read(message([chart.filed[0].resource], laboratory, chart.patient, control="M1"))
    assert reading.message is not None
    [patient] = reading.message.patients
    [number] = patient.numbers
    assert (number.value, number.authority.name) == (chart.patient.number, AUTHORITY)
    assert AUTHORITIES[number.authority.name] == HOSPITAL_NUMBERS
    assert patient.birth_date == chart.patient.birth_date.isoformat()
