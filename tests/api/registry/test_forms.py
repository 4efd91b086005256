"""The form of answers: JSON or XML, as asked for; compressed, without a body, pretty; and their headers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from lxml import etree

from fhirbridge import fhirjson
from fhirbridge.api.registry import fhirxml, negotiation
from fhirbridge.errors import InputError, Resource
from tests.api.registry.conftest import Serve
from tests.api.registry.serving import Registry, refusal, validator
from tests.mappings.cases import GOLDEN

JSON, XML = "application/fhir+json", "application/fhir+xml"
FORM = "application/x-www-form-urlencoded"
NS = "{http://hl7.org/fhir}"


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        ("application/json", "application/json"),
        ("application/json;q=0.9, */*;q=0.1", "application/json"),
        (f"{JSON}; charset=utf-8", JSON),
        (f"{JSON}; fhirVersion=4.0", JSON),
        ("application/json+fhir", JSON),
        ("text/html, */*;q=0.5", JSON),
        (XML, XML),
        ("application/xml", "application/xml"),
        ("text/xml", "text/xml; charset=utf-8"),
        (f"{XML}, {JSON};q=0.5", XML),
        (f"{JSON};q=0.5, {XML}", XML),
        (f"{XML};q=0, {JSON}", JSON),
    ],
)
def test_the_form_is_what_accept_asks_for(registry: Registry, accept: str | None, given: str) -> None:
    headers = {} if accept is None else {"Accept": accept}
    answer = registry.ask("Patient?_count=1", headers=headers)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, given)
    assert answer.data.startswith(b"<?xml" if "xml" in given else b"{")
    assert "Accept" in answer.headers["Vary"]


@pytest.mark.parametrize(
    ("wish", "given"),
    [("json", JSON), (JSON, JSON), ("application/json", "application/json"), ("text/json", "application/json"),
     ("application/fhir%2Bjson", JSON), ("xml", XML), (XML, XML), ("text/xml", "text/xml; charset=utf-8"),
     ("application/fhir%2Bxml", XML), ("application%2Fxml", "application/xml")],
)  # fmt: skip
def test_format_wins_over_accept(registry: Registry, wish: str, given: str) -> None:
    for accept in (JSON, XML, "text/turtle"):
        answer = registry.ask(f"Patient?_count=1&_format={wish}", headers={"Accept": accept})
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, given)
    posted = registry.ask("Patient/_search", method="POST", data=f"_format={wish}", content_type=FORM)
    assert posted.headers["Content-Type"] == given


@pytest.mark.parametrize("path", ["metadata", "Patient?_count=1", "Patient/nobody", "nothing/at/all/here"])
def test_a_form_that_nobody_writes_is_not_acceptable(registry: Registry, path: str) -> None:
    joined = "&" if "?" in path else "?"
    for answer in (
        registry.ask(path, headers={"Accept": "text/turtle"}),
        registry.ask(f"{path}{joined}_format=ttl"),
        registry.ask(path, headers={"Accept": f"{JSON}; fhirVersion=5.0"}),
    ):
        assert refusal(answer) == (406, "not-supported")


def test_errors_come_in_the_form_that_was_asked_for(registry: Registry) -> None:
    for path, method in (
        ("Patient/nobody", "GET"),
        ("nothing/at/all/here", "GET"),
        ("Patient/1", "DELETE"),
        ("Patient?_count=x", "GET"),
    ):
        answer = registry.ask(path, method=method, headers={"Accept": XML})
        assert answer.status_code >= 400
        assert answer.content_type == XML
        root = etree.fromstring(answer.data)
        assert root.tag == f"{NS}OperationOutcome"
        assert root.find(f"{NS}issue/{NS}code") is not None
    answer = registry.ask("Patient", client=None, headers={"Accept": XML})
    assert (answer.status_code, answer.content_type) == (401, XML)


def test_a_get_with_a_content_type_and_no_body_is_fine(registry: Registry) -> None:
    for kind in (JSON, "application/json", "text/plain", XML):
        assert registry.ask("Patient?_count=1", headers={"Content-Type": kind}).status_code == 200
        assert (
            registry.ask(f"Patient/{registry.one('Patient')['id']}", headers={"Content-Type": kind}).status_code == 200
        )
        assert registry.ask("metadata", client=None, headers={"Content-Type": kind}).status_code == 200


@pytest.mark.parametrize(
    "path", ["metadata", "Patient?_count=1&_summary=count", "Patient/{}", "Patient/{}/_history/1", "Patient/nobody"]
)
def test_head_is_get_without_the_body(registry: Registry, path: str) -> None:
    path = path.format(registry.one("Patient")["id"])
    got, head = registry.ask(path), registry.ask(path, method="HEAD")
    assert head.data == b""
    assert head.status_code == got.status_code
    for name in ("Content-Type", "Content-Length", "ETag", "Last-Modified"):
        assert head.headers.get(name) == got.headers.get(name)


def test_answers_are_compressed_for_who_takes_that(registry: Registry) -> None:
    plain = registry.ask("metadata")
    for accepted in ("gzip", "deflate, gzip;q=0.5, br", "gzip, deflate"):
        answer = registry.ask("metadata", headers={"Accept-Encoding": accepted})
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(answer.data) == plain.data
        assert int(answer.headers["Content-Length"]) == len(answer.data) < len(plain.data) // 3
    for refused in ("identity", "br", "gzip;q=0", "gzip; q=0.0", ""):
        assert "Content-Encoding" not in registry.ask("metadata", headers={"Accept-Encoding": refused}).headers
    assert "Content-Encoding" not in registry.ask("Patient/nobody", headers={"Accept-Encoding": "gzip"}).headers


def test_pretty_answers_say_the_same(registry: Registry) -> None:
    plain, pretty = registry.ask("Patient?_count=1&_total=none"), registry.ask("Patient?_count=1&_pretty=true")
    assert plain.data.count(b"\n") == 0
    assert pretty.data.count(b"\n") > 20
    assert json.loads(pretty.data)["entry"] == json.loads(plain.data)["entry"]


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.json")), ids=lambda file: file.stem)
def test_xml_says_all_that_json_says_in_the_order_of_the_definitions(file: Path) -> None:
    resource = fhirjson.loads(file.read_bytes())
    root = etree.fromstring(fhirxml.written(resource, validator().model))
    assert root.tag == NS + resource["resourceType"]
    assert sorted(_said(root)) == sorted(_told(resource))


def _said(element: etree._Element) -> list[str]:
    return [value for one in element.iter() for name in ("value", "url", "id") if (value := one.get(name)) is not None]


def _told(value: object) -> list[str]:
    if isinstance(value, dict):
        return [one for name, part in value.items() if name != "resourceType" for one in _told(part)]
    if isinstance(value, list):
        return [one for part in value for one in _told(part)]
    return [("true" if value else "false") if isinstance(value, bool) else str(value)]


def test_what_xml_has_signs_of_its_own_for_is_escaped_and_told_whole() -> None:
    text = "<b>\"&'\n\ttwo\r  lines\x01 ☃ 𝔘"
    resource: Resource = {
        "resourceType": "Observation",
        "id": "a",
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x &amp; <b>y</b></div>'},
        "contained": [{"resourceType": "Patient", "id": "p", "active": True}],
        "extension": [{"url": "urn:x?a=1&b=2", "id": "e1", "valueString": text}],
        "status": "final",
        "_status": {"id": "s1", "extension": [{"url": "urn:y", "valueDecimal": fhirjson.loads("1.10")}]},
        "code": {"text": text, "coding": [{"code": "a"},
                                          {"_code": {"extension": [{"url": "urn:z", "valueUri": "x"}]}}]},
        "component": [{"code": {"text": "c"}, "valueQuantity": {"value": fhirjson.loads("10.00")}}],
    }  # fmt: skip
    root = etree.fromstring(fhirxml.written(resource, validator().model))
    assert [one.tag.rpartition("}")[2] for one in root] == [
        "id", "text", "contained", "extension", "status", "code", "component",
    ]  # fmt: skip
    assert root.find(f"{NS}code/{NS}text").get("value") == text.replace("\x01", "\ufffd")
    assert root.find(f"{NS}extension").attrib == {"id": "e1", "url": "urn:x?a=1&b=2"}
    assert root.find(f"{NS}status").attrib == {"id": "s1", "value": "final"}
    assert root.find(f"{NS}status/{NS}extension/{NS}valueDecimal").get("value") == "1.10"
    assert root.find(f"{NS}contained/{NS}Patient/{NS}active").get("value") == "true"
    assert root.find(f"{NS}text/{{http://www.w3.org/1999/xhtml}}div").text == "x & "
    assert root.findall(f"{NS}code/{NS}coding")[1].find(f"{NS}code/{NS}extension") is not None
    assert root.find(f"{NS}component/{NS}valueQuantity/{NS}value").get("value") == "10.00"


@pytest.mark.parametrize(
    "div", ["<div>&nbsp;</div>", "no markup", "<div><p></div>", '<!DOCTYPE d [<!ENTITY a "b">]><div>&a;</div>']
)
def test_a_narrative_that_is_no_xml_becomes_text(div: str) -> None:
    resource = {"resourceType": "Patient", "text": {"status": "generated", "div": div}}
    root = etree.fromstring(fhirxml.written(resource, validator().model), etree.XMLParser(resolve_entities=False))
    assert root.find(f"{NS}text/{{http://www.w3.org/1999/xhtml}}div").text == div


def test_what_is_no_resource_has_no_xml() -> None:
    with pytest.raises(InputError, match="not a resource"):
        fhirxml.written({"resourceType": "Nothing"}, validator().model)


def test_the_wishes_of_strangers_are_not_kept_for_ever() -> None:
    for number in range(1_000):
        negotiation.chosen(f"{JSON}; x={number}", b"")
    assert negotiation._by_accept.cache_info().currsize <= 256


def test_what_a_browser_may_not_do_is_said_with_every_answer(registry: Registry) -> None:
    for path, client in (
        ("metadata", None),
        ("Patient", "c1"),
        ("Patient", None),
        ("nothing/at/all/here", None),
        ("Patient/1", "c1"),
    ):
        headers = registry.ask(path, client=client).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Strict-Transport-Security"].startswith("max-age=")
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in headers


def test_other_sites_pages_may_read_if_a_setting_says_so(serve: Serve) -> None:
    asked = {"Origin": "https://app.example.org"}
    assert "Access-Control-Allow-Origin" not in serve().ask("metadata", headers=asked).headers
    named = serve(api_cors_origins=("https://app.example.org",))
    answer = named.ask("Patient?_count=1", headers=asked)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.org"
    assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
    assert "Origin" in answer.headers["Vary"]
    other = named.ask("Patient?_count=1", headers={"Origin": "https://evil.example.org"})
    assert "Access-Control-Allow-Origin" not in other.headers
    assert named.http.get("/fhir/.well-known/smart-configuration", headers=asked).headers["Access-Control-Allow-Origin"]
    assert serve(api_cors_origins=("*",)).ask("metadata", headers=asked).headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", ["Patient", "Patient/1", "Patient/_search", "metadata", "auth/token"])
def test_a_browser_that_asks_first_is_told_what_it_may(serve: Serve, path: str) -> None:
    registry = serve(api_cors_origins=("https://app.example.org",))
    asked = {"Origin": "https://app.example.org", "Access-Control-Request-Headers": "authorization"}
    answer = registry.ask(path, client=None, method="OPTIONS", headers=asked)
    assert answer.status_code in (200, 204)
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]


def test_each_answer_bears_the_id_of_its_request(registry: Registry) -> None:
    assert registry.ask("metadata", headers={"X-Request-Id": "abc-1"}).headers["X-Request-Id"] == "abc-1"
    ids = {registry.ask("metadata", headers={"X-Request-Id": "a b\tc<x>"}).headers["X-Request-Id"] for _ in range(3)}
    assert len(ids) == 3
    assert not any("<" in id for id in ids)
