"""Cases of the specification's page on search (http://hl7.org/fhir/R4/search.html), for each type of parameter."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhirbridge.errors import Resource
from fhirbridge.search.extract import Indexer
from fhirbridge.search.matching import included, matching
from tests.search.conftest import Read, Search

UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"
DNA = {"system": LOINC, "code": "42595-9", "display": "Hepatitis B virus DNA"}


def observation(**elements: Any) -> Resource:
    return {"resourceType": "Observation", "id": "o", "status": "final", "code": {"coding": [DNA]}} | elements


def patient(**elements: Any) -> Resource:
    return {"resourceType": "Patient", "id": "p"} | elements


def amount(value: str, unit: str = "mg", comparator: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "valueQuantity": {"value": Decimal(value), "unit": unit, "system": UCUM, "code": unit}
        | ({"comparator": comparator} if comparator else {})
        | more
    }


FROM_JANUARY = {"effectivePeriod": {"start": "2013-01-21"}}
FROM_MARCH = {"effectivePeriod": {"start": "2013-03-15"}}
UNTIL_JANUARY = {"effectivePeriod": {"end": "2013-01-21"}}


@pytest.mark.parametrize(
    ("value", "when", "found"),
    [
        ("eq2013-01-14", {"effectiveDateTime": "2013-01-14T00:00:00+08:00"}, True),
        ("2013-01-14", {"effectiveDateTime": "2013-01-14T10:00:00+08:00"}, True),
        ("eq2013-01-14", {"effectiveDateTime": "2013-01-15T00:00:00+08:00"}, False),
        ("ne2013-01-14", {"effectiveDateTime": "2013-01-15T00:00:00+08:00"}, True),
        ("ne2013-01-14", {"effectiveDateTime": "2013-01-14T00:00:00+08:00"}, False),
        ("ne2013-01-14", {"effectiveDateTime": "2013-01-14T10:00:00+08:00"}, False),
        ("lt2013-01-14T10:00", {"effectiveDateTime": "2013-01-14"}, True),
        ("gt2013-01-14T10:00", {"effectiveDateTime": "2013-01-14"}, True),
        ("ge2013-03-14", FROM_JANUARY, True),
        ("le2013-03-14", FROM_JANUARY, True),
        ("sa2013-03-14", FROM_MARCH, True),
        ("sa2013-03-14", FROM_JANUARY, False),
        ("sa2013-03-14", UNTIL_JANUARY, False),
        ("eb2013-03-14", FROM_MARCH, False),
        ("eb2013-03-14", FROM_JANUARY, False),
        ("eb2013-03-14", UNTIL_JANUARY, True),
        ("eb2013-03-14", {"effectiveDateTime": "2013-03-13"}, True),
        ("sa2013-03-14", {"effectiveDateTime": "2013-03-15"}, True),
        ("ap2013-03-14", {"effectiveDateTime": "2013-03-14"}, True),
        ("ap2013-03-14", {"effectiveDateTime": "2015-06-15"}, False),
        ("ap2026-11-22", {"effectiveDateTime": "2026-11-23"}, False),
        # A year is all of its days, and a day is no year.
        ("2013", {"effectiveDateTime": "2013-03-14"}, True),
        ("2013-03-14", {"effectiveDateTime": "2013"}, False),
        ("2013-03", {"effectiveDateTime": "2013-03-31T23:59:59+08:00"}, True),
        ("gt2013", {"effectiveDateTime": "2013-12-31"}, False),
        ("ge2013", {"effectiveDateTime": "2013-12-31"}, True),
        ("gt2013", {"effectiveDateTime": "2014"}, True),
        ("lt2013", {"effectiveDateTime": "2013-01-01"}, False),
        ("le2013", {"effectiveDateTime": "2013-01-01"}, True),
        ("2013-12", {"effectiveDateTime": "2013-12-31"}, True),
        # Seconds and fractions.
        ("2013-01-14T10:00:00Z", {"effectiveDateTime": "2013-01-14T10:00:00.250Z"}, True),
        ("2013-01-14T10:00:00.25Z", {"effectiveDateTime": "2013-01-14T10:00:00Z"}, False),
        ("2013-01-14T10:00:00Z", {"effectiveInstant": "2013-01-14T18:00:00.999+08:00"}, True),
        ("2013-01-14T10:00Z", {"effectiveDateTime": "2013-01-14T10:00:59Z"}, True),
        # Time zones: half past eleven at night in London is the next day in Shanghai, where the study is.
        ("2026-01-02", {"effectiveDateTime": "2026-01-01T23:30:00Z"}, True),
        ("2026-01-01", {"effectiveDateTime": "2026-01-01T23:30:00Z"}, False),
        ("2026-01-01T23:30:00Z", {"effectiveDateTime": "2026-01-02T07:30:00+08:00"}, True),
        ("2026-01-02T07:30:00+08:00", {"effectiveDateTime": "2026-01-01T23:30:00Z"}, True),
        # Periods and timings count by their outer limits.
        ("2013-02-01", {"effectivePeriod": {"start": "2013-02-01", "end": "2013-02-01"}}, True),
        ("2013-02", {"effectivePeriod": {"start": "2013-01-31", "end": "2013-02-03"}}, False),
        ("gt2013-02-02", {"effectivePeriod": {"start": "2013-01-31", "end": "2013-02-03"}}, True),
        ("2013", {"effectiveTiming": {"event": ["2013-01-31", "2013-03-24"]}}, True),
        ("sa2013-01", {"effectiveTiming": {"event": ["2013-03-24", "2013-01-31"]}}, False),
        ("2013", {"effectiveTiming": {"repeat": {"boundsPeriod": {"start": "2013-02-01", "end": "2013-02-09"}}}}, True),
        ("ne2013-01-14", {}, False),
    ],
)  # fmt: skip
def test_a_date_is_found_as_the_book_says(search: Search, value: str, when: Resource, found: bool) -> None:
    assert bool(search(f"Observation?date={value}", observation(**when))) is found


@pytest.mark.parametrize(
    ("value", "has", "found"),
    [
        ("100", "99.5", True),
        ("100", "100.49", True),
        ("100", "99.49", False),
        ("100", "100.5", False),
        ("100.00", "100.004", True),
        ("100.00", "100.005", False),
        ("1e2", "104", True),
        ("1.00e2", "100.6", False),
        ("lt100", "99.99", True),
        ("lt100", "100", False),
        ("le100", "100", True),
        ("gt100", "100", False),
        ("gt100", "100.01", True),
        ("ge100", "100", True),
        ("ge100", "99.99", False),
        ("ne100", "100.3", False),
        ("ne100", "101", True),
        ("sa100", "100", False),
        ("sa100", "100.1", True),
        ("eb100", "99.9", True),
        ("eb100", "100", False),
        ("ap100", "109", True),
        ("ap100", "91", True),
        ("ap100", "111", False),
        ("ap0", "0", True),
        ("-5", "-5", True),
        ("-5", "5", False),
        ("+5", "5", True),
        ("0.1", "0.10", True),
        ("1234567890.123", "1234567890.123", True),
    ],
)
def test_a_number_is_found_as_its_figures_say(search: Search, value: str, has: str, found: bool) -> None:
    asked = value.replace("+", "%2B")
    assert bool(search(f"Observation?value-quantity={asked}", observation(**amount(has)))) is found


@pytest.mark.parametrize(
    ("value", "has", "found"),
    [
        ("5.4|http://unitsofmeasure.org|mg", amount("5.44"), True),
        ("5.4|http://unitsofmeasure.org|mg", amount("5.45"), False),
        ("5.40e-3|http://unitsofmeasure.org|g", amount("5.403"), True),
        ("5.4||mg", amount("5.4"), True),
        ("5.4||milligram", amount("5.4", unit="mg") | {}, False),
        ("5.4", amount("5.4", unit="mmol/L"), True),
        ("5.4|http://unitsofmeasure.org|mmol", amount("5.4"), False),
        ("le5.4|http://unitsofmeasure.org|mg", amount("5.4"), True),
        ("ap5.4|http://unitsofmeasure.org|mg", amount("5.9"), True),
        ("ap5.4|http://unitsofmeasure.org|mg", amount("6.0"), False),
        ("5.4|http://unitsofmeasure.org|", amount("5.4"), True),
        ("5.4|http://example.org/units|mg", amount("5.4"), False),
        # Canonical units.
        ("1.4|http://unitsofmeasure.org|cm", amount("14", "mm"), True),
        ("lt2|http://unitsofmeasure.org|cm", amount("14", "mm"), True),
        ("gt2|http://unitsofmeasure.org|k[IU]/mL", amount("2001", "[IU]/mL"), True),
        ("gt2|http://unitsofmeasure.org|k[IU]/mL", amount("1999", "[IU]/mL"), False),
        ("2000|http://unitsofmeasure.org|[IU]/L", amount("2", "[IU]/mL"), True),
        ("150|http://unitsofmeasure.org|10*9/L", amount("150", "10*3/uL"), True),
        # What looks alike and is not: IU and U, logarithms, copies.
        ("2|http://unitsofmeasure.org|U/mL", amount("2", "[IU]/mL"), False),
        ("2|http://unitsofmeasure.org|{copies}/mL", amount("2", "[IU]/mL"), False),
        ("2|http://unitsofmeasure.org|{Log_IU}/mL", amount("2", "{Log_IU}/mL"), True),
        ("2000|http://unitsofmeasure.org|{Log_IU}/L", amount("2", "{Log_IU}/mL"), False),
        ("lt20||IU/mL", {"valueQuantity": {"value": 10, "unit": "IU/mL", "system": UCUM, "code": "[IU]/mL"}}, True),
    ],
)  # fmt: skip
def test_a_quantity_is_found_with_its_unit(search: Search, value: str, has: Resource, found: bool) -> None:
    assert bool(search(f"Observation?value-quantity={value}", observation(**has))) is found


@pytest.mark.parametrize(
    ("value", "comparator", "found"),
    [
        ("lt20", "<", True),
        ("lt10", "<", True),
        ("le10", "<", True),
        ("10", "<", False),
        ("ne10", "<", True),
        ("gt10", "<", False),
        ("ge10", "<", False),
        ("gt20", "<", False),
        ("eb20", "<", True),
        ("eb10", "<", True),
        # It may be 3 or 7: it is found on both sides of 5, and on neither where it must be sure.
        ("lt5", "<", True),
        ("gt5", "<", True),
        ("eb5", "<", False),
        ("sa5", "<", False),
        ("ge10", "<=", True),
        ("gt10", "<=", False),
        ("lt10", ">", False),
        ("le10", ">", False),
        ("gt10", ">", True),
        ("sa10", ">", True),
        ("gt1e9", ">", True),
        ("le10", ">=", True),
        ("sa10", ">=", False),
        ("10", ">=", False),
        ("lt0.02|http://unitsofmeasure.org|k[IU]/mL", "<", True),
        ("gt0.01|http://unitsofmeasure.org|k[IU]/mL", "<", False),
    ],
)
def test_a_result_beyond_a_limit_is_what_it_may_be(search: Search, value: str, comparator: str, found: bool) -> None:
    has = amount("10", "[IU]/mL", comparator)
    assert bool(search(f"Observation?value-quantity={value}", observation(**has))) is found


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("code=42595-9", True),
        ("code=http://loinc.org|42595-9", True),
        ("code=http://snomed.info/sct|42595-9", False),
        ("code=|42595-9", False),
        ("code=http://loinc.org|", True),
        ("code=http://snomed.info/sct|", False),
        ("code=42595", False),
        ("code=1,42595-9", True),
        ("code=42595-9&code=1", False),
        ("code:not=42595-9", False),
        ("code:not=1", True),
        ("code:not=1,42595-9", False),
        ("code:text=hepatitis b", True),
        ("code:text=HÉPATITIS", True),
        ("code:text=virus", False),
        ("code:in=http://example.org/fhir/ValueSet/viral", True),
        ("code:not-in=http://example.org/fhir/ValueSet/viral", False),
        ("code:missing=false", True),
        ("code:missing=true", False),
        ("method:missing=true", True),
        ("method:not=x", True),
        ("method=x", False),
        # The system of a code element is that of its binding, said or not.
        ("status=final", True),
        ("status=http://hl7.org/fhir/observation-status|final", True),
        ("status=|final", True),
        ("status=http://example.org|final", False),
        ("status=Final", False),
    ],
)
def test_a_token_is_found_as_the_book_says(search: Search, asked: str, found: bool) -> None:
    assert bool(search(f"Observation?{asked}", observation())) is found


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("identifier=http://acme.org/patient|2345", True),
        ("identifier=2345", True),
        ("identifier=http://acme.org/other|2345", False),
        ("identifier=|77", True),
        ("identifier=|2345", False),
        ("identifier:text=study number", True),
        ("active=true", True),
        ("active=false", False),
        ("active=http://terminology.hl7.org/CodeSystem/special-values|true", True),
        ("gender:in=http://hl7.org/fhir/ValueSet/administrative-gender", True),
        ("deceased=false", True),
        ("deceased=true", False),
        ("phone=555", True),
        ("email=555", False),
        ("telecom=a@b.c,555", True),
        ("_tag=http://acme.org/codes|needs-review", True),
        ("_security=R", True),
        ("_profile=http://acme.org/profile", True),
        ("_profile=http://acme.org/profile|1.0", True),
        ("_profile=http://acme.org/prof", False),
        ("_id=p", True),
        ("_id=P", False),
        ("_lastUpdated=gt2010-10-01", True),
        ("language=zh", True),
    ],
)
def test_what_a_patient_has_is_found(search: Search, asked: str, found: bool) -> None:
    has = patient(
        meta={
            "lastUpdated": "2026-11-22T14:49:24.000Z", "profile": ["http://acme.org/profile|1.0"],
            "tag": [{"system": "http://acme.org/codes", "code": "needs-review"}], "security": [{"code": "R"}],
        },
        identifier=[
            {"system": "http://acme.org/patient", "value": "2345", "type": {"text": "Study number"}}, {"value": "77"},
        ],
        active=True,
        gender="male",
        telecom=[{"system": "phone", "value": "555"}, {"system": "email", "value": "a@b.c"}],
        communication=[{"language": {"coding": [{"code": "zh"}]}}],
    )  # fmt: skip
    assert bool(search(f"Patient?{asked}", has)) is found


@pytest.mark.parametrize(
    ("dead", "found"),
    [
        ({"deceasedBoolean": True}, ["p"]),
        ({"deceasedDateTime": "2026"}, ["p"]),
        ({"deceasedBoolean": False}, []),
        ({}, []),
    ],
)
def test_dead_is_who_has_a_date_of_death_or_is_said_to_be(search: Search, dead: Resource, found: list[str]) -> None:
    assert search("Patient?deceased=true", patient(**dead)) == found
    assert search("Patient?deceased=false", patient(**dead)) == ([] if found else ["p"])


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("given=eve", True),
        ("given=Éve", True),
        ("given=lyn", False),
        ("given:contains=lyn", True),
        ("given:exact=Evelyn", True),
        ("given:exact=evelyn", False),
        ("given:exact=Eve", False),
        ("family=carreno", True),
        ("family=carreno  quinones", True),
        ("family:exact=Carreño Quiñones", True),
        ("family:exact=Carreno Quinones", False),
        ("name=eve", True),
        ("name=dr", True),
        ("name:contains=quino", True),
        ("name=quino", False),
        ("address=shen", True),
        ("address-city=Shenzhen", True),
        ("address=st marys", True),
        ("address-country=CN", True),
        ("address-use=home", True),
        ("name:missing=false", True),
        ("general-practitioner:missing=true", True),
    ],
)
def test_a_string_is_found_without_its_case_accents_and_punctuation(search: Search, asked: str, found: bool) -> None:
    has = patient(
        name=[{"given": ["Evelyn"], "family": "Carreño Quiñones", "prefix": ["Dr."]}],
        address=[{"use": "home", "city": "Shenzhen", "line": ["St. Mary's Road 1"], "country": "CN"}],
    )
    assert bool(search(f"Patient?{asked}", has)) is found


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("subject=p1", True),
        ("subject=Patient/p1", True),
        ("subject=https://registry.example/fhir/Patient/p1", True),
        ("subject=https://elsewhere.example/fhir/Patient/p1", False),
        ("subject=Group/p1", False),
        ("subject:Patient=p1", True),
        ("subject:Patient=Patient/p1", True),
        ("subject:Group=p1", False),
        ("patient=p1", True),
        ("patient=p2", False),
        ("patient=p2,p1", True),
        ("performer=https://hospital.example/r4/Practitioner/9", True),
        ("performer=9", False),
        ("performer:identifier=http://acme.org/staff|77", True),
        ("performer:identifier=78", False),
        ("specimen:missing=false", True),
        ("specimen:identifier=S1", True),
        ("derived-from=Observation/1", True),
        ("derived-from=Observation/1/_history/4", True),
        ("derived-from=Observation/1/_history/5", False),
        ("focus=#c", False),
        ("encounter:missing=true", True),
    ],
)
def test_a_reference_is_found_however_it_is_written(search: Search, asked: str, found: bool) -> None:
    has = observation(
        subject={"reference": "Patient/p1"},
        performer=[
            {"reference": "https://hospital.example/r4/Practitioner/9"},
            {"identifier": {"system": "http://acme.org/staff", "value": "77"}},
        ],
        specimen={"identifier": {"value": "S1"}},
        derivedFrom=[{"reference": "Observation/1/_history/4"}],
        focus=[{"reference": "#c"}],
    )
    if asked == "focus=#c":
        has["focus"] = [{"reference": "#c"}]
        assert search("Observation?focus=c", has) == []
        return
    assert bool(search(f"Observation?{asked}", has)) is found


def test_patient_leaves_out_subjects_that_are_no_patients(search: Search) -> None:
    group = observation(subject={"reference": "Group/g"})
    assert search("Observation?subject=g", group) == ["o"]
    assert search("Observation?patient=g", group) == []
    assert search("Observation?patient:missing=true", group) == ["o"]


LESION = observation(
    component=[
        {"code": {"coding": [{"system": LOINC, "code": "33728-7"}]}, **amount("14", "mm")},
        {"code": {"coding": [{"code": "aphe"}]}, "valueCodeableConcept": {"coding": [{"code": "nonrim"}]}},
        {"code": {"coding": [{"code": "depth"}]}, **amount("30", "mm")},
    ],
    valueCodeableConcept={"coding": [{"code": "LR-5"}], "text": "LI-RADS 5"},
)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("component-code-value-quantity=33728-7$gt10", True),
        ("component-code-value-quantity=33728-7$gt20", False),
        ("component-code-value-quantity=http://loinc.org|33728-7$1.4|http://unitsofmeasure.org|cm", True),
        ("component-code-value-quantity=depth$gt20", True),
        ("component-code-value-concept=aphe$nonrim", True),
        ("component-code-value-concept=depth$nonrim", False),
        ("combo-code-value-concept=42595-9$LR-5", True),
        ("combo-code-value-concept=aphe$LR-5", False),
        ("combo-code-value-quantity=33728-7$gt20,depth$gt20", True),
        ("code-value-concept=42595-9$LR-5", True),
        ("code-value-concept=42595-9$LR-4,42595-9$LR-5", True),
        ("code-value-quantity=42595-9$gt1", False),
        ("component-code=aphe&component-value-quantity=gt20", True),
        ("value-string=li-rads", True),
        ("code-value-string=42595-9$li-rads", True),
        ("combo-code=aphe", True),
        ("code=aphe", False),
    ],
)
def test_the_parts_of_a_composite_must_be_met_by_one_component(search: Search, asked: str, found: bool) -> None:
    assert bool(search(f"Observation?{asked}", LESION)) is found


def test_a_group_is_found_by_one_of_its_characteristics_and_its_value(search: Search) -> None:
    group = {
        "resourceType": "Group", "id": "g", "type": "person", "actual": False,
        "characteristic": [
            {"code": {"coding": [{"code": "I1"}]}, "valueBoolean": True, "exclude": False},
            {"code": {"coding": [{"code": "E1"}]}, "valueBoolean": False, "exclude": True},
        ],
    }  # fmt: skip
    assert search("Group?characteristic-value=I1$true", group) == ["g"]
    assert search("Group?characteristic-value=E1$true", group) == []


def test_a_mark_that_belongs_to_a_value_is_escaped(search: Search) -> None:
    odd = patient(identifier=[{"system": "http://a", "value": "1,2|3$4\\5"}])
    assert search("Patient?identifier=http://a|1\\,2\\|3\\$4\\\\5", odd) == ["p"]
    assert search("Patient?identifier=http://a|1%5C%2C2%5C%7C3%5C%244%5C%5C5", odd) == ["p"]
    assert search("Patient?identifier=1,2", odd) == []


def test_the_studys_own_parameters_find_visit_arm_and_study(search: Search) -> None:
    visit = {"url": "https://fhirbridge.github.io/fhir/StructureDefinition/study-visit", "valueString": "W012"}
    study = {
        "url": "http://hl7.org/fhir/StructureDefinition/workflow-researchStudy",
        "valueReference": {"reference": "ResearchStudy/nct07120750"},
    }
    made = observation(extension=[visit, study])
    subject = {"resourceType": "ResearchSubject", "id": "s", "assignedArm": "NA", "actualArm": "NA+PegIFN"}
    assert search("Observation?visit=W012&study=nct07120750", made) == ["o"]
    assert search("Observation?visit=W01", made) == []
    assert search("ResearchSubject?arm=NA%2BPegIFN", subject) == ["s"]
    assert search("ResearchSubject?arm=PegIFN", subject) == []


PEOPLE: tuple[Resource, ...] = (
    patient(id="anna", gender="female", managingOrganization={"reference": "Organization/szsy"}),
    patient(id="bo", gender="male"),
    {"resourceType": "Organization", "id": "szsy", "name": "Third Hospital"},
    observation(id="o1", subject={"reference": "Patient/anna"}, **amount("5"), effectiveDateTime="2026-01-01"),
    observation(id="o2", subject={"reference": "Patient/bo"}, **amount("7"), effectiveDateTime="2026-03-01"),
    observation(id="o3", subject={"reference": "Patient/gone"}, effectiveDateTime="2026-02-01"),
    {"resourceType": "DiagnosticReport", "id": "r", "result": [{"reference": "Observation/o1"}]},
    {
        "resourceType": "Provenance",
        "id": "v",
        "target": [{"reference": "Observation/o2"}],
        "agent": [{"type": {"text": "x"}}],
    },
)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("Observation?subject:Patient.gender=female", ["o1"]),
        ("Observation?patient.gender=male,female", ["o1", "o2"]),
        ("Observation?patient.gender:not=female", ["o2"]),
        ("Observation?patient.organization.name=third", ["o1"]),
        ("Observation?subject._id=bo", ["o2"]),
        ("DiagnosticReport?result.subject:Patient.organization.name=third", ["r"]),
        ("DiagnosticReport?result.value-quantity=gt6", []),
        ("Patient?_has:Observation:patient:value-quantity=gt6", ["bo"]),
        ("Patient?_has:Observation:patient:code=1", []),
        ("Patient?_has:Observation:patient:_has:DiagnosticReport:result:_id=r", ["anna"]),
        ("Patient?_has:Observation:subject:_has:Provenance:target:agent-type:text=x", ["bo"]),
        ("Observation?patient._has:Observation:patient:value-quantity=lt6", ["o1"]),
        ("Organization?_has:Patient:organization:gender=female", ["szsy"]),
        ("Observation?_sort=-date", ["o2", "o3", "o1"]),
        ("Observation?_sort=date&date=ge2026-02-01&date=lt2027", ["o3", "o2"]),
        ("Observation?_sort=value-quantity", ["o1", "o2", "o3"]),
        ("Observation?_sort=-value-quantity", ["o2", "o1", "o3"]),
        ("Observation?_sort=code,-_id", ["o3", "o2", "o1"]),
        ("Observation?_sort=subject", ["o1", "o2", "o3"]),
        ("Organization?_sort=name,_profile", ["szsy"]),
    ],
)
def test_chains_reverse_chains_and_order(search: Search, asked: str, found: list[str]) -> None:
    assert search(asked, *PEOPLE) == found


@pytest.mark.parametrize(
    ("asked", "added"),
    [
        ("Observation?_id=o1&_include=Observation:subject", ["anna"]),
        ("Observation?_id=o1&_include=Observation:subject:Group", []),
        ("Observation?_id=o3&_include=Observation:subject", []),
        ("Observation?_id=o1&_include=Observation:subject&_include=Patient:organization", ["anna"]),
        ("Observation?_id=o1&_include=Observation:subject&_include:iterate=Patient:organization", ["anna", "szsy"]),
        ("Patient?_revinclude=Observation:subject", ["o1", "o2"]),
        ("Patient?_id=bo&_revinclude=Observation:patient&_revinclude:iterate=Provenance:target", ["o2", "v"]),
        ("Patient?_id=anna&_revinclude=*", ["o1"]),
        ("Observation?_include=Observation:derived-from", []),
        ("Organization?_revinclude=Patient:organization:Organization&_include:iterate=Patient:organization", ["anna"]),
    ],
)
def test_includes_add_what_is_pointed_to_and_what_points(
    indexer: Indexer, read: Read, asked: str, added: list[str]
) -> None:
    index = {(one["resourceType"], one["id"]): indexer.rows(one) for one in PEOPLE}
    query = read(asked)
    assert [logical for _, logical in included(query, matching(query, index), index)] == added


def test_an_include_that_goes_round_in_circles_ends(indexer: Indexer, read: Read) -> None:
    ring = [
        observation(id=str(number), hasMember=[{"reference": f"Observation/{(number + 1) % 9}"}]) for number in range(9)
    ]
    index = {("Observation", one["id"]): indexer.rows(one) for one in ring}
    query = read("Observation?_id=0&_include:iterate=Observation:has-member")
    assert [logical for _, logical in included(query, matching(query, index), index)] == ["1", "2", "3", "4"]
