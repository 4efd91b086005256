"""The synthetic clinic holds the cohort's blood as two laboratories report it, valid FHIR, and no real person."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from fhirbridge import fhirjson
from fhirbridge.demo.clinic import Chart, charts, load, registered
from fhirbridge.demo.clinic_laboratories import LABORATORIES, ClinicLaboratory
from fhirbridge.demo.clinic_people import HOSPITAL_NUMBERS, LOG_COLUMNS, patient_of, stranger, write_log
from fhirbridge.demo.clinic_results import organizations
from fhirbridge.demo.cohort import SEED, participants
from fhirbridge.elements import STUDY_TAG
from fhirbridge.errors import Resource
from fhirbridge.hospital import Hospital
from fhirbridge.records.values import Censored, LabValue, Number
from fhirbridge.study import Study
from fhirbridge.terminology import laboratory_files
from fhirbridge.terminology.concepts import read_coded
from fhirbridge.terminology.harmonising import Harmonised, Reported, harmonise
from fhirbridge.terminology.laboratories import Laboratories, ReportedCode
from fhirbridge.terminology.structures import read_quantity
from fhirbridge.terminology.texts import read_text
from fhirbridge.validation import Validator
from tests.demo.conftest import STUDY_FILE

AS_OF = dt.date(2022, 12, 31)


@pytest.fixture(scope="module")
def clinic(study: Study) -> list[Chart]:
    """The charts of sixty subjects."""
    return list(charts(study, subjects=60, as_of=AS_OF))


@pytest.fixture(scope="module")
def laboratories() -> Laboratories:
    return laboratory_files.load([STUDY_FILE.parents[1] / "laboratories"])


def test_the_same_arguments_give_the_same_bytes(study: Study, clinic: list[Chart]) -> None:
    again = list(charts(study, subjects=3, as_of=AS_OF))
    assert [fhirjson.dumps(one) for chart in again for one in chart.resources()] == [
        fhirjson.dumps(one) for chart in clinic[:3] for one in chart.resources()
    ]


def test_another_seed_gives_other_hospital_numbers(study: Study) -> None:
    [subject] = [one.subject for one in participants(study, subjects=1)]
    assert patient_of(subject, SEED).number != patient_of(subject, SEED + 1).number


def test_every_resource_is_valid_r4(clinic: list[Chart], tmp_path: Path) -> None:
    validator = Validator.load(cache=tmp_path)
    resources = [*organizations(), *(one for chart in clinic[:12] for one in chart.resources())]
    wrong = [issue for one in resources for issue in validator.issues(one) if issue.severity == "error"]
    assert wrong == []


def test_no_two_resources_have_one_id(clinic: list[Chart]) -> None:
    names = [(one["resourceType"], one["id"]) for chart in clinic for one in chart.resources()]
    assert len(set(names)) == len(names)


def test_the_hospital_knows_no_subject_number_and_the_study_no_name(clinic: list[Chart]) -> None:
    for chart in clinic:
        for one in chart.resources():
            text = fhirjson.dumps(one).decode()
            assert chart.subject not in text
            assert (chart.patient.number in text) == (one["resourceType"] == "Patient")


def test_every_name_says_that_it_is_nobodys(clinic: list[Chart]) -> None:
    for patient in registered(clinic):
        if patient["resourceType"] == "Patient":
            [name] = patient["name"]
            assert (name["family"], name["given"]) == ("合成", ["病人"])
            assert name["text"].startswith("Synthetic Patient H")


def test_three_tenths_are_noise_and_the_other_troubles_are_there(clinic: list[Chart]) -> None:
    kinds = Counter(filed.kind for chart in clinic for filed in chart.filed)
    noise = (kinds["not collected"] + kinds["unmapped"]) / kinds.total()
    assert 0.27 <= noise <= 0.33
    assert 0.15 <= kinds["unmapped"] / (kinds["not collected"] + kinds["unmapped"]) <= 0.35
    assert {"duplicate", "taken back", "pending", "ours", "after withdrawal"} <= set(kinds)


def test_more_results_can_be_asked_for(study: Study) -> None:
    few, many = (next(charts(study, subjects=1, as_of=AS_OF, results=count)) for count in (None, 150))
    assert len(few.filed) < 150 <= len(many.filed)
    assert many.filed[: len(few.filed)] == few.filed


def test_only_what_is_ours_carries_the_studys_tag(study: Study, clinic: list[Chart]) -> None:
    for filed in (filed for chart in clinic for filed in chart.filed):
        tags = [(tag["system"], tag["code"]) for tag in filed.resource.get("meta", {}).get("tag", [])]
        assert tags == ([(STUDY_TAG, study.id)] if filed.kind == "ours" else [])


def test_after_a_withdrawal_the_hospital_goes_on(study: Study, clinic: list[Chart]) -> None:
    ended = {
        one.subject.subject: one.subject.consent_withdrawn
        for one in participants(study, subjects=60, as_of=AS_OF)
        if one.subject.consent_withdrawn
    }
    later = {
        chart.subject: [filed.resource["effectiveDateTime"][:10] for filed in chart.filed][-1]
        for chart in clinic
        if any(filed.kind == "after withdrawal" for filed in chart.filed)
    }
    assert ended.keys() == later.keys() != set()
    assert all(later[subject] > ended[subject].isoformat() for subject in ended)


@pytest.mark.parametrize("laboratory", LABORATORIES, ids=lambda one: one.id)
def test_codes_labels_and_units_are_those_of_the_laboratorys_file(
    laboratory: ClinicLaboratory, laboratories: Laboratories, study: Study
) -> None:
    for name, test in laboratory.tests.items():
        rows = laboratories.find(laboratory.name, (ReportedCode(laboratory.system, test.code),))
        known = [row for row in rows if row.takes(test.unit) and row.knows(test.label)]
        assert known, name
        assert all(row.analyte and study.analyte(row.analyte) for row in known)
        assert test.ucum is None or any(row.takes(test.ucum) for row in known)
    for test in laboratory.others:
        rows = laboratories.find(laboratory.name, (ReportedCode(laboratory.system, test.code),))
        assert any(row.takes(test.unit) and row.knows(test.label) and row.analyte is None for row in rows), test.code
    for test in laboratory.unknown:
        assert laboratories.find(laboratory.name, (ReportedCode(laboratory.system, test.code),)) == ()


def test_every_result_of_the_study_reads_back_as_the_table_has_it(
    study: Study, clinic: list[Chart], laboratories: Laboratories
) -> None:
    """Up to what a laboratory cannot measure, and what a printed logarithm does not know."""
    compared = 0
    for filed in (filed for chart in clinic for filed in chart.filed):
        if filed.source is None or filed.source.value is None:
            continue
        found = harmonised(filed.resource, laboratories, study)
        assert found.analyte == filed.source.analyte
        assert {flag.code for flag in found.flags} <= ({"assay unsaid"} if found.answer else set())
        assert agrees(filed.resource, found, filed.source.value), filed.resource["code"]
        compared += 1
    assert compared > 500


def harmonised(resource: Resource, laboratories: Laboratories, study: Study) -> Harmonised:
    [coding] = resource["code"]["coding"]
    laboratory = resource["performer"][0]["display"]
    if "valueQuantity" in resource:
        reading = read_quantity(resource["valueQuantity"])
    elif "valueCodeableConcept" in resource:
        reading = read_coded(resource["valueCodeableConcept"])
    else:
        reading = read_text(resource["valueString"], laboratories.decimal_mark(laboratory))
    codes = (ReportedCode(coding["system"], coding["code"], coding["display"]),)
    day = dt.date.fromisoformat(resource["effectiveDateTime"][:10])
    reported = Reported(
        laboratory=laboratory, codes=codes, label=resource["code"]["text"], reading=reading, collected=day
    )
    return harmonise(reported, laboratories, study)


def agrees(resource: Resource, found: Harmonised, value: LabValue) -> bool:
    """Compare with the table's value; a limit of the other laboratory's assay may have taken its place."""
    canonical = found.canonical
    if canonical is None:
        return found.answer == "not detected" and not isinstance(value, Number | Censored)
    if not isinstance(value, Number | Censored):
        return False
    if canonical.comparator in ("<", ">") and isinstance(value, Number):
        south = "south" in resource["code"]["coding"][0]["system"]
        beyond = value.value < canonical.value if canonical.comparator == "<" else value.value > canonical.value
        return south and beyond
    if canonical.unit == "{Log_IU}/mL":
        return abs(canonical.value - value.value.log10()) <= Decimal("0.005")
    if canonical.unit == "{copies}/mL":
        return canonical.value == value.value * Decimal("5.6")
    if isinstance(value, Censored) and canonical.comparator == value.comparator:
        limits = {laboratory.dna_lloq for laboratory in LABORATORIES} | {
            laboratory.hbsag_uloq for laboratory in LABORATORIES
        }
        return canonical.value in limits | {value.value}
    return canonical.comparator is None and isinstance(value, Number) and canonical.value == value.value


def test_the_enrolment_log_has_a_line_for_each_subject(study: Study, clinic: list[Chart], tmp_path: Path) -> None:
    log = tmp_path / "enrolment.csv"
    assert write_log(log, [(chart.subject, chart.patient) for chart in clinic]) == len(clinic)
    header, *lines = log.read_text(encoding="utf-8").splitlines()
    assert tuple(header.split(",")) == LOG_COLUMNS
    first = clinic[0]
    assert lines[0] == ",".join(
        (first.subject, HOSPITAL_NUMBERS, first.patient.number, str(first.patient.birth_date), first.patient.sex)
    )


def test_a_stranger_may_have_a_subjects_birth_date_and_sex_but_never_its_number(clinic: list[Chart]) -> None:
    who = clinic[0].patient
    other = stranger(1, who, SEED)
    assert (other.birth_date, other.sex) == (who.birth_date, who.sex)
    assert (other.number == who.number, other.id == who.id) == (False, False)


def test_a_real_server_takes_the_clinic_and_gives_it_back(clinic: list[Chart], hospital: str) -> None:
    some = clinic[:6]
    with Hospital(hospital) as server:
        taken = load(server, registered(some))
        taken += load(server, (one for chart in some for one in list(chart.resources())[1:]), at_once=60)
        assert taken == 2 + sum(len(list(chart.resources())) for chart in some)
        for chart in some:
            held = {one["id"] for one in server.search("Observation", {"patient": chart.patient.id, "_count": "200"})}
            assert held == {filed.resource["id"] for filed in chart.filed}
