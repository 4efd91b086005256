"""Observations of a hospital's server become results that name nobody, or are set aside with the reason."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirbridge.elements import CANONICAL, LOINC, STUDY_TAG
from fhirbridge.sync.pull.incoming import Incoming, SetAside, as_bytes, read_back
from fhirbridge.sync.pull.observations import Source, incoming
from fhirbridge.sync.pull.recognising import LaboratoryNames
from fhirbridge.sync.pull.remarks import NOT_KEPT
from fhirbridge.sync.pull.reports import ReportStates
from fhirbridge.terminology.codes import ABSENT_REASON
from tests.sync.pull.judged import FEED, LABORATORIES, NORTH, SOUTH, TRIAL, W012

SOUTH_SYSTEM = "https://fhirbridge.github.io/sid/synthetic/south-reference/analysis"
TAKEN = {"resourceType": "Specimen", "collection": {"collectedDateTime": "2026-03-29"}}
PLAIN: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "1",
    "meta": {"versionId": "3", "lastUpdated": "2026-03-31T10:00:00Z"},
    "status": "final",
    "code": {"coding": [{"system": LOINC, "code": "42595-9", "display": "HBV DNA"}], "text": "HBV-DNA"},
    "subject": {"reference": "Patient/p", "display": "Somebody Known"},
    "effectiveDateTime": W012,
    "issued": "2026-03-31T09:00:00Z",
    "valueQuantity": {"value": Decimal("5.50"), "unit": "IU/mL"},
}


def read(
    changed: dict[str, Any] | None = None, *, reports: list[Any] | None = None, default: str = "", ours: str = ""
) -> tuple[Incoming | SetAside, ...]:
    source = Source(
        feed=FEED, study=TRIAL, laboratories=LaboratoryNames(LABORATORIES, default), ours=lambda id: id == ours
    )
    observation = {name: value for name, value in (PLAIN | (changed or {})).items() if value is not None}
    return incoming(observation, source, patients={"p"}, reports=ReportStates.of(reports or [], FEED))


def one(changed: dict[str, Any] | None = None, **named: Any) -> Incoming:
    (found,) = read(changed, **named)
    assert isinstance(found, Incoming)
    return found


def test_a_plain_result_is_read_whole_and_survives_its_way_through_the_store() -> None:
    found = one()
    assert (found.feed, found.reference, found.version) == (FEED, "Observation/1", "3")
    assert (found.status, found.collected, found.label) == ("final", W012, "HBV-DNA")
    assert str(found.value and found.value["valueQuantity"]["value"]) == "5.50"
    assert read_back(as_bytes(found)) == found


def test_nothing_that_names_a_person_is_read() -> None:
    secret = "Maria Muster"
    found = read(
        {
            "identifier": [{"system": "urn:x", "value": secret}], "text": {"div": secret}, "note": [{"text": secret}],
            "performer": [{"display": secret}], "encounter": {"display": secret}, "contained": [{"x": secret}],
            "extension": [{"url": "u", "valueString": secret}], "valueString": None,
            "valueQuantity": {"value": 5, "extension": [{"url": "u", "valueString": secret}], "id": secret},
            "_valueQuantity": {"extension": [{"valueString": secret}]}, "interpretation": [{"text": secret}],
            "bodySite": {"text": secret}, "dataAbsentReason": {"text": secret},
        }
    )  # fmt: skip
    assert all(isinstance(part, Incoming) and b"Muster" not in as_bytes(part) for part in found)
    assert all(isinstance(part, Incoming) and b"Somebody" not in as_bytes(part) for part in found)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"meta": {"tag": [{"system": STUDY_TAG, "code": "another-study"}]}}, "ours"),
        ({"meta": {"profile": [f"{CANONICAL}/StructureDefinition/hbv-dna"]}}, "ours"),
        ({"identifier": [{"system": f"{TRIAL.namespace}/result", "value": "x"}]}, "ours"),
        ({"subject": {"reference": "Patient/q"}}, "other patient"),
        ({"subject": {"reference": "https://elsewhere.example/Patient/p"}}, "other patient"),
        ({"subject": {"reference": "Group/p"}}, "other patient"),
        ({"subject": {"reference": "#p"}}, "other patient"),
        ({"subject": {"identifier": {"value": "p"}}}, "other patient"),
        ({"focus": [{"reference": "Patient/child"}]}, "other patient"),
        ({"focus": [{"reference": "RelatedPerson/1"}]}, "other patient"),
        ({"subject": None}, "unusable"),
        ({"resourceType": "Patient"}, "unusable"),
        ({"id": None}, "unusable"),
        ({"status": "activ"}, "unusable"),
        ({"status": ["final"]}, "unusable"),
        ({"code": None}, "unusable"),
        ({"code": {"coding": [{"display": "HBV"}]}}, "unusable"),
        ({"valueQuantity": None, "hasMember": [{"reference": "Observation/2"}]}, "not collected"),
        ({"valueQuantity": None, "component": [{"valueQuantity": {"value": 1}}]}, "unusable"),
    ],
)
def test_what_is_not_the_subject_s_result_is_set_aside_with_the_reason(changed: dict[str, Any], why: str) -> None:
    (found,) = read(changed)
    assert isinstance(found, SetAside)
    assert found.why == why


def test_an_observation_that_the_server_knows_as_ours_is_not_pulled_back() -> None:
    (found,) = read(ours="1")
    assert isinstance(found, SetAside)
    assert found.why == "ours"


@pytest.mark.parametrize("subject", ["Patient/p", f"{FEED}/Patient/p", "Patient/p/_history/4", "urn:uuid:p"])
def test_the_subject_is_recognised_however_the_server_writes_it(subject: str) -> None:
    assert one({"subject": {"reference": subject}}).reference == "Observation/1"


@pytest.mark.parametrize(
    ("effective", "collected"),
    [
        ({"effectiveDateTime": "2026-03"}, "2026-03"),
        ({"effectiveInstant": "2026-03-30T08:15:00.123Z"}, "2026-03-30T08:15:00.123Z"),
        ({"effectivePeriod": {"start": "2026-03-30T08:00:00Z"}}, "2026-03-30T08:00:00Z"),
        ({"effectivePeriod": {"start": "2026-03-30T08:00:00Z", "end": "2026-03-30T09:00:00Z"}}, "2026-03-30T08:00:00Z"),
        ({"effectivePeriod": {"start": "2026-03-30", "end": "2026-03-31"}}, "2026-03"),
        ({"effectivePeriod": {"start": "2026-03-31", "end": "2026-04-01"}}, "2026"),
        ({"effectivePeriod": {"start": "2025-12-31", "end": "2026-01-01"}}, None),
        ({"effectivePeriod": {"end": "2026-01-01"}}, None),
        ({"effectiveTiming": {"event": ["2026-03-30"]}}, "2026-03-30"),
        ({"effectiveTiming": {"event": ["2026-03-30", "2026-03-31"]}}, None),
        ({}, None),
        ({"contained": [TAKEN]}, "2026-03-29"),
    ],
)  # fmt: skip
def test_the_specimen_s_time_is_never_more_exact_than_it_was_sent(
    effective: dict[str, Any], collected: str | None
) -> None:
    assert one({"effectiveDateTime": None} | effective).collected == collected


@pytest.mark.parametrize(
    "value",
    [
        {"valueQuantity": {"value": 7, "comparator": "<", "unit": "IU/mL"}},
        {"valueCodeableConcept": {"coding": [{"system": "http://snomed.info/sct", "code": "260415000"}]}},
        {"valueString": "<40 copies/ml"},
        {"valueBoolean": False},
        {"valueInteger": 0},
        {"valueRange": {"low": {"value": 1}}},
        {"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 128}}},
        {"valueSampledData": {"origin": {"value": 0}, "period": 10, "dimensions": 1, "data": "1 2"}},
        {"valueTime": "08:00:00"},
        {"valueDateTime": "2026-01-01"},
        {"valuePeriod": {"start": "2026-01-01"}},
        {"valueQuantity": {"value": 1}, "valueString": "2"},
    ],
)
def test_every_kind_of_value_comes_as_it_was_sent(value: dict[str, Any]) -> None:
    assert one({"valueQuantity": None} | value).value == value


def test_a_value_too_long_or_of_no_kind_of_r4_is_kept_by_its_name_alone() -> None:
    found = one({"valueQuantity": None, "valueSampledData": {"data": "1 " * 20_000}, "valueAttachment": {"data": "x"}})
    assert found.value == {"valueSampledData": "(not kept)", "valueAttachment": "(not kept)"}


def test_components_are_results_of_their_own_with_references_of_their_own() -> None:
    pressure = {"code": {"coding": [{"system": LOINC, "code": "8480-6"}]}, "valueQuantity": {"value": 120}}
    missing = {"code": {"text": "note"}, "dataAbsentReason": {"coding": [{"code": "not-performed"}]}}
    found = read({"valueQuantity": None, "component": [pressure, pressure, missing]})
    assert [part.reference for part in found if isinstance(part, Incoming)] == [
        "Observation/1#8480-6", "Observation/1#8480-6-2", "Observation/1#note",
    ]  # fmt: skip
    assert [part.part for part in found if isinstance(part, Incoming)] == ["8480-6", "8480-6-2", "note"]
    assert [part.absent for part in found if isinstance(part, Incoming)] == [None, None, "not-performed"]
    assert len({part.collected for part in found if isinstance(part, Incoming)}) == 1


def test_a_value_beside_components_is_a_result_too() -> None:
    found = read({"component": [{"code": {"text": "titre"}, "valueString": "1:40"}]})
    assert [part.part for part in found if isinstance(part, Incoming)] == [None, "titre"]


@pytest.mark.parametrize(
    ("changed", "default", "laboratory"),
    [
        ({"code": {"coding": [{"system": SOUTH_SYSTEM, "code": "4711"}]}}, NORTH, SOUTH),
        ({"performer": [{"display": "north hospital"}]}, "", NORTH),
        ({"performer": [{"identifier": {"value": SOUTH}}]}, "", SOUTH),
        ({"performer": [{"display": "Dr. A. Person"}]}, "", ""),
        ({"performer": [{"display": "Dr. A. Person"}]}, NORTH, NORTH),
        ({"performer": [{"display": NORTH}, {"display": SOUTH}]}, NORTH, ""),
        ({"performer": [{"display": NORTH}], "code": {"coding": [{"system": SOUTH_SYSTEM, "code": "1"}]}}, "", SOUTH),
    ],
)
def test_the_laboratory_is_told_by_its_codes_then_by_who_performed_it_then_by_the_default(
    changed: dict[str, Any], default: str, laboratory: str
) -> None:
    assert one(changed, default=default).laboratory == laboratory


def test_without_a_version_of_the_server_the_content_is_the_version() -> None:
    first, again = one({"meta": None}), one({"meta": None})
    other = one({"meta": None, "valueQuantity": {"value": Decimal("5.5"), "unit": "IU/mL"}})
    assert first.version == again.version != other.version


@pytest.mark.parametrize(
    ("report", "own", "status"),
    [
        ("final", "final", "final"),
        ("preliminary", "final", "preliminary"),
        ("partial", "corrected", "preliminary"),
        ("registered", "registered", "registered"),
        ("cancelled", "final", "cancelled"),
        ("entered-in-error", "preliminary", "entered-in-error"),
        ("final", "entered-in-error", "entered-in-error"),
        ("entered-in-error", "cancelled", "cancelled"),
        ("unknown", "final", "final"),
    ],
)
def test_a_report_that_is_unfinished_or_withdrawn_takes_its_results_with_it(report: str, own: str, status: str) -> None:
    held = {"resourceType": "DiagnosticReport", "status": report, "result": [{"reference": f"{FEED}/Observation/1"}]}
    assert one({"status": own}, reports=[held]).status == status


def test_a_report_that_replaces_a_withdrawn_one_vouches_for_its_results() -> None:
    reports = [
        {"resourceType": "DiagnosticReport", "status": status, "result": [{"reference": "Observation/1"}]}
        for status in ("entered-in-error", "final")
    ]
    assert one(reports=reports).status == "final"


def test_the_laboratory_of_a_report_is_that_of_its_results() -> None:
    report = {
        "resourceType": "DiagnosticReport", "status": "final", "performer": [{"display": NORTH}],
        "result": [{"reference": "Observation/1"}],
    }  # fmt: skip
    assert one(reports=[report]).laboratory == NORTH


@pytest.mark.parametrize(
    ("notes", "kept"),
    [
        (["haemolysed"], ("haemolysed",)),
        (["Not detected"], ("Not detected",)),
        (["Told Dr. Muster by telephone"], (NOT_KEPT,)),
        (["haemolysed, told Dr. Muster", "555 1234"], (NOT_KEPT,)),
        ([""], ()),
        ([None, 7], ()),
    ],
)
def test_of_notes_only_those_are_kept_whose_every_word_is_known(notes: list[Any], kept: tuple[str, ...]) -> None:
    assert one({"note": [{"text": note} for note in notes]}).notes == kept


@pytest.mark.parametrize(
    ("reason", "absent"),
    [
        ({"coding": [{"system": "http://x", "code": "Q"}, {"system": ABSENT_REASON, "code": "error"}]}, "error"),
        ({"coding": [{"system": "http://x", "code": "Q"}]}, "Q"),
        ({"coding": [{"system": "http://x", "code": "Q", "display": "haemolysed"}]}, "haemolysed"),
        ({"text": "Maria Muster did not come"}, "unknown"),
        ({"text": "pending"}, "pending"),
        ({}, "unknown"),
    ],
)  # fmt: skip
def test_why_there_is_no_value_is_a_code_or_a_word_that_is_known(reason: dict[str, Any], absent: str) -> None:
    assert one({"valueQuantity": None, "dataAbsentReason": reason}).absent == absent


@pytest.mark.parametrize("nothing", [None, [], "Observation", 7, {"resourceType": "Observation", "id": 5}])
def test_what_is_no_resource_is_set_aside(nothing: Any) -> None:
    source = Source(feed=FEED, study=TRIAL, laboratories=LaboratoryNames(LABORATORIES))
    (found,) = incoming(nothing, source, patients={"p"}, reports=ReportStates())
    assert isinstance(found, SetAside)


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.just("Patient/p"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["coding", "code", "text", "reference", "value", "display", "x"]), inner)
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from([*PLAIN, "component", "note", "focus", "performer", "contained", "method"]), odd)
)
@settings(max_examples=300, deadline=None)
def test_no_observation_however_malformed_makes_the_reader_fail(changed: dict[str, Any]) -> None:
    source = Source(feed=FEED, study=TRIAL, laboratories=LaboratoryNames(LABORATORIES))
    found = incoming(PLAIN | changed | {"resourceType": "Observation"}, source, patients={"p"}, reports=ReportStates())
    assert found
    assert all(read_back(as_bytes(part)) == part for part in found if isinstance(part, Incoming))
