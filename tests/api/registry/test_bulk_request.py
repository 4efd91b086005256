"""What a kick-off asks for: every parameter of the specification, in a URL and in Parameters, and what is refused."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.exceptions import Forbidden

from fhirbridge import fhirjson
from fhirbridge.api.registry import bulk_request
from fhirbridge.api.registry.bulk_jobs import Asked, Level
from fhirbridge.api.registry.bulk_request import KINDS, LONGEST, Handling, elements_of, queries
from fhirbridge.api.registry.parameters import from_body, from_url
from fhirbridge.release.agreement import TYPES
from fhirbridge.search.refused import SearchError
from fhirbridge.search.values import Surroundings

BASE = "https://fhir.trial.example/fhir"
AROUND = Surroundings(
    zone=dt.timezone(dt.timedelta(hours=8)), now=dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC), base=BASE
)


def allow(_type: str) -> None:
    """Allow every type."""


def read(
    query: str | dict[str, Any],
    level: Level = "system",
    *,
    prefer: str = "",
    allowed: Any = TYPES,
    require: Any = allow,
) -> Asked:
    if isinstance(query, str):
        given = from_url(query.encode(), LONGEST)
    else:
        given, _ = from_body(fhirjson.dumps(query), BASE, KINDS)
    return bulk_request.read(
        given,
        level=level,
        group="g1" if level == "Group" else None,
        allowed=allowed,
        handling=Handling.of(prefer),
        around=AROUND,
        by_url=isinstance(query, str),
        require=require,
    )


def parameters(*given: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": list(given)}


def test_without_a_type_everything_is_asked_for_that_the_client_may_have() -> None:
    assert read("", allowed=["Patient", "Observation", "ResearchStudy"]).types == (
        "ResearchStudy",
        "Patient",
        "Observation",
    )


@pytest.mark.parametrize("level", ["Patient", "Group"])
def test_of_patients_and_groups_what_is_the_studys_own_comes_only_if_named(level: Level) -> None:
    assert read("", level, allowed=["Patient", "ResearchStudy"]).types == ("Patient",)
    assert read("_type=Patient,ResearchStudy", level).types == ("ResearchStudy", "Patient")
    with pytest.raises(SearchError, match="none of these is about a patient"):
        read("_type=ResearchStudy", level)


@pytest.mark.parametrize(
    "query", ["_type=Patient,Observation", "_type=Observation&_type=Patient", "_type=Patient,%20Observation,Patient"]
)
def test_types_are_told_with_commas_or_one_by_one(query: str) -> None:
    assert read(query).types == ("Patient", "Observation")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("_type=Nonsense", "_type"),
        ("_type=Patient,Condition", "_type"),
        ("_type=,", "_type"),
        ("_since=yesterday", "_since"),
        ("_since=2026-99", "_since"),
        ("_since=2026&_since=2027", "_since"),
        ("_outputFormat=text/csv", "_outputFormat"),
        ("_elements=Patient.name.family", "_elements"),
        ("_elements=..%2Fid", "_elements"),
        ("_typeFilter=status%3Dactive", "_typeFilter"),
        ("_typeFilter=Observation%3Fnonsense%3D1", "nonsense"),
        ("_typeFilter=Observation%3Fdate%3D2026-99", "date"),
        ("_typeFilter=Observation%3F_include%3DObservation:subject", "_typeFilter"),
        ("_typeFilter=Observation%3F_sort%3Ddate", "_typeFilter"),
        ("_typeFilter=Observation%3F_count%3D5", "_typeFilter"),
        ("_type=Patient&_typeFilter=Observation%3Fcode%3D1", "_typeFilter"),
        ("includeAssociatedData=LatestProvenanceResources", "includeAssociatedData"),
        ("patient=Patient/1", "patient"),
        ("_type=%ff", "_type"),
        ("_type=" + "Patient," * 10_000, "the query"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_by_name(query: str, named: str) -> None:
    with pytest.raises(SearchError) as raised:
        read(query)
    assert raised.value.parameter == named
    assert raised.value.http_status == 400


def test_a_lenient_client_gets_what_there_is_of_what_it_asks_for() -> None:
    asked = read(
        "_type=Patient,Condition&includeAssociatedData=x&patient=Patient/1&nonsense=1",
        prefer="respond-async, handling=lenient",
    )
    assert asked.types == ("Patient",)
    with pytest.raises(SearchError):
        read("_type=Condition", prefer="handling=lenient")


def test_an_unknown_parameter_passes_unless_the_client_is_strict() -> None:
    assert read("nonsense=1") == read("")
    with pytest.raises(SearchError, match="nonsense"):
        read("nonsense=1", prefer="respond-async; handling=strict")


def test_a_type_that_the_client_may_not_have_is_refused_only_if_it_is_named() -> None:
    def require(type_: str) -> None:
        if type_ != "Patient":
            raise Forbidden(type_)

    assert read("", allowed=["Patient"], require=require).types == ("Patient",)
    with pytest.raises(Forbidden, match="Observation"):
        read("_type=Patient,Observation", require=require)


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00.000Z"),
        ("2026-03-01T20:00:00%2B08:00", "2026-03-01T12:00:00.000Z"),
        ("2026-03-01T20:00:00+08:00", "2026-03-01T12:00:00.000Z"),
        ("2026-03-01T12:00:00.123456Z", "2026-03-01T12:00:00.123Z"),
        ("2026-03-01", "2026-02-28T16:00:00.000Z"),
        ("2026", "2025-12-31T16:00:00.000Z"),
    ],
)
def test_since_is_an_instant_of_any_zone_and_precision(written: str, means: str) -> None:
    assert read(f"_since={written}").since == means


@pytest.mark.parametrize(
    "format_", ["application/fhir+ndjson", "application/fhir%2Bndjson", "application/ndjson", "ndjson"]
)
def test_every_name_of_ndjson_is_understood(format_: str) -> None:
    read(f"_outputFormat={format_}")


FILTERS = (
    "Observation?code=http://loinc.org|1,http://loinc.org|2",
    "Observation?status=final&date=ge2026-01-01T00:00:00%2B08:00",
)


@pytest.mark.parametrize(
    "query",
    [
        "_typeFilter=" + ",".join(quote(one, safe="") for one in FILTERS),
        "&".join("_typeFilter=" + quote(one, safe="") for one in FILTERS),
        "_typeFilter=" + quote(",".join(FILTERS), safe=""),
    ],
    ids=["joined by commas", "repeated", "joined, then encoded"],
)
def test_filters_are_searches_of_which_a_record_must_meet_one(query: str) -> None:
    found = queries(read(query), AROUND)
    assert [[filter_.code for filter_ in one.filters] for one in found["Observation"]] == [["code"], ["status", "date"]]
    assert len(found["Observation"][0].filters[0].values) == 2  # type: ignore[union-attr]


def test_elements_are_of_one_type_or_of_all() -> None:
    asked = read("_elements=Patient.gender,id,status")
    assert elements_of(asked, "Patient") == ("gender", "id", "status")
    assert elements_of(asked, "Observation") == ("id", "status")
    assert elements_of(read("_elements=Patient.gender"), "Observation") == ("id",)
    assert elements_of(read(""), "Patient") == ()


def test_parameters_say_the_same_as_a_url() -> None:
    body = parameters(
        {"name": "_type", "valueString": "Patient,Observation"},
        {"name": "_since", "valueInstant": "2026-03-01T12:00:00Z"},
        {"name": "_typeFilter", "valueString": FILTERS[0]},
        {"name": "_elements", "valueString": "id"},
        {"name": "_outputFormat", "valueString": "application/fhir+ndjson"},
    )
    url = f"_type=Patient,Observation&_since=2026-03-01T12:00:00Z&_elements=id&_typeFilter={quote(FILTERS[0], safe='')}"
    assert read(body) == read(url)


def test_people_are_named_by_reference_relative_or_not() -> None:
    body = parameters(
        {"name": "patient", "valueReference": {"reference": "Patient/a"}},
        {"name": "patient", "valueReference": {"reference": f"{BASE}/Patient/b"}},
    )
    assert read(body, "Patient").patients == ("a", "b")
    assert read(body, "Group").patients == ("a", "b")
    with pytest.raises(SearchError, match="patient"):
        read(body, "system")


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Patient"},
        [],
        5,
        {"resourceType": "Parameters", "parameter": {}},
        parameters({"valueString": "Patient"}),
        parameters({"name": "_type"}),
        parameters({"name": "_type", "valueInteger": 5}),
        parameters({"name": "patient", "valueString": "Patient/1"}),
        parameters({"name": "patient", "valueReference": {"display": "x"}}),
        parameters({"name": "patient", "valueReference": {"reference": "https://evil.example/Patient/1"}}),
        parameters({"name": "patient", "valueReference": {"reference": "Observation/1"}}),
    ],
)
def test_a_body_that_is_no_question_is_refused(body: Any) -> None:
    with pytest.raises(SearchError):
        read(body, "Patient")
