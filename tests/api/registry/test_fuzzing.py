"""Whatever is sent, what is answered is FHIR and no error of ours; what has no bound is refused before it costs."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any
from urllib.parse import quote, quote_from_bytes
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from fhirbridge import fhirjson
from fhirbridge.search.parameters import MODIFIERS
from fhirbridge.search.table import CATALOGUE, SERVED
from tests.api.registry.conftest import Serve
from tests.api.registry.serving import Registry, refusal, validator
from tests.api.registry.watching import statements

FORM = "application/x-www-form-urlencoded"
OTHER_FORMS = {
    "$viewdefinition-run": {"text/csv; charset=utf-8", "text/csv", "application/json", "application/ndjson",
                            "application/x-ndjson", "application/vnd.apache.parquet"},
    "auth/token": {"application/json"},
    ".well-known/smart-configuration": {"application/json"},
}  # fmt: skip
"""The addresses whose specifications ask for something else than FHIR, and what they ask for."""

seeded = settings(derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None)
"""The same examples in every run."""

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
written = st.one_of(
    text.map(quote),
    st.binary(max_size=12).map(quote_from_bytes),
    st.sampled_from(
        ["%", "%zz", "%c0%ae", "\\", "\\,", "|", "$", ",", ",,", "||", "a|b|c", "..", "*", "-", "+", "&", "="]
    ),
)
"""What may stand in a URL, in any encoding."""
ids = st.sampled_from(["nobody", "a" * 64, "a" * 65, "1", "%00", "%2e%2e", "x'--", "$everything", "_history", "é"])


@st.composite
def values(draw: st.DrawFn, kind: str) -> str:
    """A value of a parameter: of its kind, nearly so, or not at all."""
    prefix = draw(st.sampled_from(["", "", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap", "zz", "GT"]))
    of_kind = {
        "date": st.builds(
            lambda *parts: prefix + "-".join(f"{part:02d}" for part in parts),
            st.sampled_from([0, 1, 1900, 2026, 9999, 10000]), st.integers(0, 13), st.integers(0, 32),
        ) | st.datetimes().map(lambda one: prefix + quote(one.isoformat() + "+08:00")),
        "quantity": st.floats().map(lambda one: f"{prefix}{one}") | st.decimals().map(lambda one: f"{prefix}{one}|x|y"),
        "token": st.sampled_from(["http://loinc.org|1742-6", "|final", "http://loinc.org|", "true", "male", "final"]),
        "reference": st.sampled_from(["Patient/x", "Patient/x/_history/1", "urn:uuid:x", "x", "Nothing/x", "#x"]),
        "string": text.map(quote),
        "uri": text.map(quote),
    }  # fmt: skip
    one = draw(st.one_of(of_kind.get(kind, written), of_kind.get(kind, written), written))
    return ",".join([one] * draw(st.sampled_from([1, 1, 1, 2, 3])))


@st.composite
def searches(draw: st.DrawFn) -> str:
    """``Type?query`` by real parameters, alone, chained, and reversed, with what the answer is to look like."""
    type_ = draw(st.sampled_from(SERVED))
    asked = []
    for _ in range(draw(st.integers(0, 4))):
        one = draw(st.sampled_from(CATALOGUE.of(type_)))
        modifier = draw(st.sampled_from(["", "", "", *(f":{name}" for name in (*MODIFIERS[one.kind], "above", "x"))]))
        name, before = f"{one.code}{modifier}", draw(st.integers(0, 5))
        if before == 0:
            name = f"_has:{draw(st.sampled_from(SERVED))}:patient:{name}"
        elif before == 1:
            name = f"{draw(st.sampled_from(['patient', 'subject', 'subject:Patient', 'study', 'focus']))}.{name}"
        asked.append(
            f"{name}={draw(st.sampled_from(['true', 'false'])) if modifier == ':missing' else draw(values(one.kind))}"
        )
    looks = st.sampled_from(
        ["_count=0", "_count=3", "_count=-1", "_sort=-date,_id", "_sort=code,", "_summary=true", "_summary=count",
         "_elements=code,status", "_total=none", "_include=*", "_include=Observation:patient:Patient", "_pretty=true",
         "_revinclude=Observation:subject", "_revinclude:iterate=*:*", "_format=xml", "_format=json", "_page=WzEsIiJd"]
    )  # fmt: skip
    asked += draw(st.lists(looks, max_size=3))
    return f"{type_}?{'&'.join(asked)}"


@st.composite
def paths(draw: st.DrawFn) -> str:
    """An address of some interaction with anything for an id, or any address."""
    type_, id = draw(st.sampled_from([*SERVED, "Medication", "ViewDefinition", "x"])), draw(ids | written)
    return draw(
        st.sampled_from(
            ["metadata", type_, f"{type_}/{id}", f"{type_}/_history", f"{type_}/{id}/_history", f"{type_}/_search",
             f"{type_}/{id}/_history/{id}", f"{type_}/{id}/$everything", f"{type_}/$validate", "$validate", "$export",
             f"{type_}/$export", f"Group/{id}/$export", f"_export/{id}", f"_export/{id}/{id}", "$viewdefinition-run",
             f"{type_}/{id}/$validate", f"ViewDefinition/{id}/$viewdefinition-run", "auth/token", "auth/authorize",
             ".well-known/smart-configuration", f"{id}/{id}/{id}", "", id]
        )
    )  # fmt: skip


headers = st.dictionaries(
    st.sampled_from(
        ["Accept", "Accept-Encoding", "Prefer", "If-None-Match", "If-Modified-Since", "Content-Type", "X-Request-Id",
         "X-Forwarded-For", "Origin", "Range", "Expect", "Content-Encoding", "If-Match", "X-HTTP-Method-Override"]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30)
    | st.sampled_from(
        ["application/fhir+xml", "text/html", "*/*;q=0", "handling=strict", "respond-async", 'W/"1"', "*", "gzip;q=x",
         "Sun, 01 Mar 2026 12:00:00 GMT", FORM, "application/fhir+json", "application/fhir+json; charset=utf-99"]
    ),
    max_size=4,
)  # fmt: skip

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
anything = st.recursive(leaves, lambda one: st.lists(one, max_size=3) | st.dictionaries(text, one, max_size=3))
elements = st.dictionaries(
    st.sampled_from(
        ["type", "entry", "parameter", "name", "resource", "request", "method", "url", "valueString", "valueCode",
         "select", "column", "path", "where", "code", "subject", "status", "extension", "contained", "id", "meta"]
    ),
    anything
    | st.sampled_from(
        ["batch", "transaction", "GET", "POST", "Patient?_count=1", "Observation", "mode", "delete", "profile", "final"]
    ),
    max_size=5,
)  # fmt: skip
nested = st.recursive(
    elements,
    lambda one: st.builds(
        lambda outer, key, inner: {**outer, key: [inner, inner]},
        one, st.sampled_from(["entry", "parameter", "select", "extension"]), one,
    ),
    max_leaves=4,
)  # fmt: skip
bodies = st.one_of(
    st.builds(
        lambda type_, rest: json.dumps({**rest, "resourceType": type_}).encode(),
        st.sampled_from(["Bundle", "Bundle", "Parameters", "Patient", "Observation", "ViewDefinition", "x"]),
        nested,
    ),
    anything.map(lambda one: json.dumps(one).encode()),
    st.binary(max_size=60),
    written.map(lambda one: f"{one}={one}&_count={one}".encode()),
    st.sampled_from([b"", b"[" * 5000, b'{"a":' * 3000, b'{"id":"1","id":"2"}', b"\xef\xbb\xbf{}"]),
)  # fmt: skip


@pytest.fixture
def fuzzed(serve: Serve) -> Registry:
    return serve(api_requests_per_minute=0)


@settings(seeded, max_examples=300)
@given(searches(), st.sampled_from(["GET", "GET", "POST"]), st.booleans())
def test_every_search_is_answered_in_fhir(fuzzed: Registry, asked: str, method: str, strict: bool) -> None:
    prefer = {"Prefer": "handling=strict"} if strict else {}
    if method == "POST":
        path, _, query = asked.partition("?")
        answer = fuzzed.ask(f"{path}/_search", method="POST", data=query, content_type=FORM, headers=prefer)
    else:
        answer = fuzzed.ask(asked, headers=prefer)
    assert answer.status_code in (200, 400), answer.text
    in_fhir(answer, asked, method)


@settings(seeded, max_examples=400)
@given(paths(), st.lists(written, max_size=3), headers, st.data())
def test_every_request_is_answered_in_fhir(
    fuzzed: Registry, path: str, query: list[str], given_headers: dict[str, str], data: st.DataObject
) -> None:
    method = data.draw(st.sampled_from(["GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"]))
    named: dict[str, Any] = {"data": data.draw(bodies)} if method not in ("GET", "HEAD") else {}
    client = data.draw(st.sampled_from(["c1", "c1", "c1", None]))
    fuzzed.clock.turn(1)  # who knocks without a token again and again would be left standing
    asked = f"{path}{'?' + '&'.join(query) if query else ''}"
    in_fhir(fuzzed.ask(asked, client=client, method=method, headers=given_headers, **named), asked, method)


@settings(seeded, max_examples=300)
@given(
    st.sampled_from(
        ["", "$validate", "Patient/$validate", "Observation/$validate", "$export", "Patient/$export",
         "Patient/nobody/$everything", "$viewdefinition-run"]
    ),
    bodies,
    st.sampled_from(["application/fhir+json", "application/fhir+json", "application/json", "application/xml", FORM]),
)  # fmt: skip
def test_every_body_is_answered_in_fhir(fuzzed: Registry, path: str, body: bytes, kind: str) -> None:
    in_fhir(fuzzed.ask(path, method="POST", data=body, content_type=kind), path, "POST")


def in_fhir(answer: TestResponse, asked: str, method: str) -> None:
    """Check that an answer is none of our own errors, and FHIR or one of the named exceptions."""
    assert answer.status_code < 500, (method, asked, answer.text)
    kind = answer.content_type or ""
    if not answer.data:
        assert method in ("HEAD", "OPTIONS") or answer.status_code in (202, 204, 304), (method, asked, answer.status)
        return
    if answer.status_code < 400 or "auth/token" in asked:
        for address, forms in OTHER_FORMS.items():
            if address in asked and kind in forms:
                return
    if "xml" in kind:
        assert ElementTree.fromstring(answer.data).tag.startswith("{http://hl7.org/fhir}")
        return
    assert kind in ("application/fhir+json", "application/json"), (method, asked, kind)
    body = fhirjson.loads(answer.data)
    if answer.status_code >= 400:
        assert body["resourceType"] == "OperationOutcome", (method, asked)
        assert body["issue"][0]["severity"] in ("error", "fatal")
    assert body["resourceType"] in {"OperationOutcome", "Bundle", "CapabilityStatement", *SERVED}, (method, asked)
    if body["resourceType"] == "OperationOutcome":
        wrong = [one for one in validator().validate(body)["issue"] if one["severity"] in ("error", "fatal")]
        assert wrong == [], (method, asked)


TOO_MUCH = [
    "code=" + "b" * 10_000,
    "code=" + ",".join(f"c{number}" for number in range(500)),
    "code:not=" + ",".join(f"c{number}" for number in range(500)),
    "&".join("status=final" for _ in range(100)),
    "&".join(f"_include=Observation:{code}" for code in ["patient", "subject", "focus", "device"] * 5),
    "&".join(["_include:iterate=*", "_revinclude:iterate=*"] * 20),
    "_sort=" + ",".join(["date", "code", "status"] * 5),
    "patient.organization.partof.partof.partof.partof.name=x",
    "_has:Observation:has-member:" * 6 + "code=x",
    "date=2026-99",
    "date=ge2026-02-30",
    "_count=1&_count=2",
    "_sort=date&_sort=-date",
    "code=%ff",
    "code=%c3%28",
    "%ff=x",
    "code=a%00b",
    "value-quantity=lt1e999999",
    "value-quantity=" + "9" * 5000,
]
"""Queries that are refused wherever they are asked."""


def of_search(registry: Registry, query: str) -> TestResponse:
    return registry.ask(f"Observation?{query}")


def of_form(registry: Registry, query: str) -> TestResponse:
    return registry.ask("Observation/_search", method="POST", data=query, content_type=FORM)


def of_form_and_url(registry: Registry, query: str) -> TestResponse:
    half = len(query) // 2 if "%" not in query and "=" in query[: len(query) // 2] else 0
    at = query.find("&", half) if "&" in query else -1
    url, form = (query[:at], query[at + 1 :]) if at > 0 else ("", query)
    return registry.ask(f"Observation/_search?{url}", method="POST", data=form, content_type=FORM)


def of_filter(registry: Registry, query: str) -> TestResponse:
    return registry.ask(f"$export?_type=Observation&_typeFilter={quote('Observation?' + query)}")


@pytest.mark.parametrize("door", [of_search, of_form, of_form_and_url])
@pytest.mark.parametrize("query", TOO_MUCH, ids=lambda query: query[:30])
def test_what_has_no_bound_or_no_meaning_is_refused_before_the_database_is_asked(
    registry: Registry, door: Any, query: str
) -> None:
    registry.get("Observation?_count=1")  # what is remembered from request to request is remembered now
    with statements(registry.store) as asked:
        assert refusal(door(registry, query))[0] == 400
    assert [one for one in asked if "release_entry" in one or "release_term" in one] == []


@pytest.mark.parametrize("query", TOO_MUCH, ids=lambda query: query[:30])
def test_it_is_refused_as_a_filter_of_an_export_too(registry: Registry, query: str) -> None:
    assert refusal(of_filter(registry, query))[0] == 400
    assert not list(registry.folder.glob("released/*/job.json"))


@pytest.mark.parametrize("query", TOO_MUCH, ids=lambda query: query[:30])
def test_in_a_batch_it_costs_the_others_nothing(registry: Registry, query: str) -> None:
    urls = [f"Observation?{query}", "Patient?_count=1"]
    entries = [{"request": {"method": "GET", "url": url}} for url in urls]
    body = json.dumps({"resourceType": "Bundle", "type": "batch", "entry": entries})
    answer = registry.ask("", method="POST", data=body, content_type="application/fhir+json")
    statuses = [one["response"]["status"][:3] for one in fhirjson.loads(answer.data)["entry"]]
    assert statuses == ["400", "200"]


@pytest.mark.parametrize(
    "path",
    ["Patient/_history?", "Patient/{id}/_history?", "Patient/{id}?", "Patient/{id}/$everything?", "$export?",
     "ViewDefinition/subject/$viewdefinition-run?"],
)  # fmt: skip
@pytest.mark.parametrize("query", ["_since=2026-99", "_count=1&_count=1", "_elements=%ff", "_format=%c3%28", "_x=%"])
def test_elsewhere_what_has_no_meaning_is_refused_too(registry: Registry, path: str, query: str) -> None:
    asked = path.format(id=registry.one("Patient")["id"]) + query
    answer = registry.ask(asked)
    if query.startswith(("_since", "_count")) and answer.status_code in (200, 202):
        name = query.partition("=")[0]
        assert name not in _taken(path), f"{asked} was taken"
        return
    assert refusal(answer)[0] == 400


def _taken(path: str) -> tuple[str, ...]:
    """Return the parameters that an address knows."""
    if "_history" in path:
        return ("_since", "_count")
    if "everything" in path:
        return ("_since", "_count")
    return ("_since",) if "$" in path else ()


@pytest.mark.parametrize(
    "query",
    [
        "code=" + ",".join(f"c{number}" for number in range(250)),
        "&".join(f"_include:iterate=Observation:{one}" for one in ("patient", "subject", "focus", "derived-from"))
        + "&_revinclude:iterate=Observation:subject&_revinclude:iterate=DiagnosticReport:result&_include:iterate=*",
        "&".join(f"status:not=x{number}" for number in range(60)),
        "_has:Observation:derived-from:_has:DiagnosticReport:result:patient.gender=male",
        "_sort=date,code,status,-value-quantity,-_id,subject,category,visit",
    ],
    ids=lambda query: query[:30],
)
def test_the_most_that_may_be_asked_takes_a_bounded_number_of_statements(registry: Registry, query: str) -> None:
    with statements(registry.store) as asked:
        assert registry.ask(f"Observation?{query}&_count=1000").status_code == 200
    assert len(asked) < 200


def test_includes_that_add_more_than_a_page_may_have_are_refused(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    searching = import_module("fhirbridge.api.registry.search_type")  # which is also a function's name
    monkeypatch.setattr(searching, "MOST_INCLUDED", 20)
    for bomb in ("_revinclude=Observation:subject", "_revinclude=*&_revinclude:iterate=*&_include:iterate=*"):
        assert refusal(registry.ask(f"Patient?{bomb}")) == (400, "too-costly")
    assert registry.ask("Patient?_revinclude=ResearchSubject:patient").status_code == 200
