"""Searching over HTTP: what is in the Bundle, how pages fit together, what a token reaches, and what counts tell."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from fhirbridge import fhirjson
from fhirbridge.elements import CANONICAL
from fhirbridge.release.agreement import CountRules
from fhirbridge.search.table import SERVED
from tests.api.registering import BASE
from tests.api.registry.conftest import Serve
from tests.api.registry.serving import AGREEMENT, SUBJECTS, Registry, refusal, validator

FORM = "application/x-www-form-urlencoded"


def link(bundle: dict[str, Any], relation: str) -> str:
    return next((one["url"] for one in bundle["link"] if one["relation"] == relation), "")


def entries(bundle: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    return [one["resource"] for one in bundle.get("entry", ()) if one["search"]["mode"] == mode]


@pytest.mark.parametrize("type", SERVED)
def test_every_type_can_be_searched_and_its_bundle_is_valid(registry: Registry, type: str) -> None:
    bundle = registry.get(f"{type}?_count=3")
    assert bundle["type"] == "searchset"
    assert bundle["total"] == len(registry.every(type))
    for one in bundle.get("entry", ()):
        assert one["fullUrl"] == f"{BASE}/{type}/{one['resource']['id']}"
        assert one["search"] == {"mode": "match"}
    assert [one for one in validator().validate(bundle)["issue"] if one["severity"] in ("error", "fatal")] == []


def test_nothing_found_is_a_bundle_without_an_empty_array_or_null(registry: Registry) -> None:
    answer = registry.ask("Patient?gender=unknown")
    bundle = fhirjson.loads(answer.data)
    assert bundle["total"] == 0
    assert "entry" not in bundle
    assert b"[]" not in answer.data
    assert b"null" not in answer.data


def test_pages_hold_everything_once_and_links_are_absolute(registry: Registry) -> None:
    path, seen, totals = "Observation?_count=50&_sort=-date", [], set()
    while path:
        bundle = registry.get(path)
        totals.add(bundle["total"])
        seen += [one["id"] for one in entries(bundle, "match")]
        for url in (link(bundle, "self"), link(bundle, "next")):
            assert not url or (url.startswith(f"{BASE}/Observation?") and urlsplit(url).query)
        path = link(bundle, "next")
    assert totals == {len(seen)} == {len(set(seen))}
    assert len(seen) > 100


@pytest.mark.parametrize(
    "query", ["", "_count=20", "status=final&_sort=-date,_id&_count=20", "_include=Observation:patient&_count=7"]
)
def test_pages_stay_together_while_the_data_change(registry: Registry, query: str) -> None:
    before = [one["id"] for one in registry.every(f"Observation?{query}")]
    first = registry.get(f"Observation?{query}")
    stored = [one.content() for one in registry.store.iterate("nct07120750", types=["Observation"])]
    registry.put(*({**one, "status": "amended"} for one in stored[:40]))
    seen = [one["id"] for one in entries(first, "match")]
    seen += [one["id"] for one in registry.every(link(first, "next"))] if link(first, "next") else []
    assert seen == before


def test_a_page_of_a_state_that_is_kept_no_longer_is_gone(registry: Registry) -> None:
    url = link(registry.get("Observation?_count=5"), "next")
    for _ in range(2):
        stored = next(one.content() for one in registry.store.iterate("nct07120750", types=["Patient"]))
        registry.put({**stored, "gender": "other" if stored["gender"] != "other" else "male"})
        registry.clock.turn(48 * 3600)
    registry.refresh()
    assert refusal(registry.ask(url)) == (410, "expired")


@pytest.mark.parametrize("mark", ["x", "W10", "WzEsMl0", "WzksImEiXQ", "WzEsIngiXQ", "%00", "a" * 5000])
def test_a_mark_of_a_page_that_was_never_given_is_refused(registry: Registry, mark: str) -> None:
    answer = registry.ask(f"Patient?_page={mark}")
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 400:
        refusal(answer)


def test_a_search_by_post_is_the_same_and_goes_on_by_get(registry: Registry) -> None:
    got = registry.get("Observation?status=final&_count=5&_include=Observation:patient")
    answer = registry.ask(
        "Observation/_search?_count=5",
        method="POST",
        data="status=final&_include=Observation:patient",
        content_type=FORM,
    )
    posted = fhirjson.loads(answer.data)
    assert posted["total"] == got["total"]
    assert posted["entry"] == got["entry"]
    assert link(posted, "self") == f"{BASE}/Observation?_count=5&status=final&_include=Observation:patient"
    nexts = [registry.get(link(one, "next"))["entry"] for one in (got, posted)]
    assert nexts[0] == nexts[1]
    assert nexts[0] != got["entry"]


def test_the_next_page_of_a_long_form_can_be_had(registry: Registry) -> None:
    codes = ",".join(f"http://loinc.org|n{'ö' * 8}-{number:03d}" for number in range(200))
    form = f"code=63557-3,42595-9,{codes}&_count=1".encode()
    assert len(form) < 8192
    answer = registry.ask("Observation/_search", method="POST", data=form, content_type=FORM)
    assert answer.status_code == 200
    url = link(fhirjson.loads(answer.data), "next")
    assert len(url) > 8192
    assert registry.get(url)["total"] == fhirjson.loads(answer.data)["total"]


@pytest.mark.parametrize("kind", ["application/json", "application/fhir+json", "text/plain", "multipart/form-data", ""])
def test_a_search_by_post_takes_a_form_and_nothing_else(registry: Registry, kind: str) -> None:
    answer = registry.ask("Patient/_search", method="POST", data="gender=male", content_type=kind or None)
    assert refusal(answer) == (415, "not-supported")


def test_a_search_by_post_may_have_no_body(registry: Registry) -> None:
    for named in ({}, {"content_type": FORM}):
        answer = registry.ask("Patient/_search", method="POST", **named)
        assert fhirjson.loads(answer.data)["total"] == SUBJECTS


def test_a_form_too_large_is_refused(registry: Registry) -> None:
    answer = registry.ask("Patient/_search", method="POST", data="a=" + "b" * 70_000, content_type=FORM)
    assert refusal(answer) == (413, "too-long")
    answer = registry.ask("Patient/_search", method="POST", data="a=" + "b" * 9_000, content_type=FORM)
    assert refusal(answer) == (400, "too-costly")


def test_the_self_link_leaves_out_what_was_ignored_and_says_what_was_cut(registry: Registry) -> None:
    bundle = registry.get("Patient?unheard=of&gender=male&_count=5000&birthdate=")
    assert link(bundle, "self") == f"{BASE}/Patient?gender=male&_count=1000"
    assert link(registry.get("Patient"), "self") == f"{BASE}/Patient?_count=50"


@pytest.mark.parametrize("prefer", ["handling=strict", "respond-async, handling=strict", 'Handling="strict"'])
def test_strict_handling_refuses_what_lenient_ignores(registry: Registry, prefer: str) -> None:
    assert registry.ask("Patient?unheard=of").status_code == 200
    assert registry.ask("Patient?unheard=of", headers={"Prefer": "handling=lenient"}).status_code == 200
    assert refusal(registry.ask("Patient?unheard=of", headers={"Prefer": prefer})) == (400, "not-supported")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("birthdate=2026-99", "value"),
        ("_count=x", "value"),
        ("_count=1&_count=2", "invalid"),
        ("gender=%ff", "invalid"),
        ("gender=%", "invalid"),
        ("gender=a%00b", "invalid"),
        ("_contained=true", "not-supported"),
        ("gender:above=male", "not-supported"),
        ("_summary=x", "value"),
        ("_include=Patient:nothing", "value"),
        ("a=" + "b" * 10_000, "too-costly"),
        ("_id=" + ",".join("ab" for _ in range(500)), "too-costly"),
        ("&".join("_include=Patient:organization" for _ in range(40)), "too-costly"),
        ("_summary=text&_include=Patient:organization", "invalid"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_in_every_handling(registry: Registry, query: str, code: str) -> None:
    for headers in ({}, {"Prefer": "handling=lenient"}, {"Prefer": "handling=strict"}):
        assert refusal(registry.ask(f"Patient?{query}", headers=headers)) == (400, code)


def test_includes_are_marked_and_not_counted(registry: Registry) -> None:
    bundle = registry.get("Observation?_count=3&_include=Observation:patient&_revinclude=DiagnosticReport:result")
    assert bundle["total"] == registry.get("Observation?_summary=count")["total"]
    assert len(entries(bundle, "match")) == 3
    assert {one["resourceType"] for one in entries(bundle, "include")} >= {"Patient"}
    people = {one["subject"]["reference"] for one in entries(bundle, "match")}
    assert {f"Patient/{one['id']}" for one in entries(bundle, "include") if one["resourceType"] == "Patient"} == people
    urls = [one["fullUrl"] for one in bundle["entry"]]
    assert len(urls) == len(set(urls))


def test_includes_bring_nothing_that_the_token_does_not_reach(registry: Registry) -> None:
    scope = "system/Observation.rs"
    for include in ("_include=Observation:patient", "_include=Observation:*", "_include=*",
                    "_include=Observation:subject",
                    "_include=Observation:subject:Patient", "_revinclude=DiagnosticReport:result",
                    "_include:iterate=Observation:patient&_include:iterate=Patient:organization"):  # fmt: skip
        bundle = registry.get(f"Observation?_count=5&{include}", scope=scope)
        assert {one["resource"]["resourceType"] for one in bundle["entry"]} == {"Observation"}
        assert registry.get(f"Observation?_count=5&{include}")["total"] == bundle["total"]


def test_what_a_token_does_not_reach_cannot_be_found_out_by_a_chain_either(registry: Registry) -> None:
    scope = "system/Observation.rs"
    for query in ("Observation?patient.gender=male", "Observation?subject:Patient.gender=male",
                  "Observation?subject.gender=male",
                  "Observation?_has:DiagnosticReport:result:status=final",
                  "Observation?_has:DiagnosticReport:result:patient.gender=male"):  # fmt: skip
        assert refusal(registry.ask(query, scope=scope)) == (403, "forbidden")
        assert registry.ask(query).status_code == 200
    assert refusal(registry.ask("Observation", scope="system/Observation.r")) == (403, "forbidden")


def test_count_zero_and_a_summary_of_counts_have_a_total_and_no_entries(registry: Registry) -> None:
    everything = registry.get("Observation?_count=1")["total"]
    for query in ("_count=0", "_summary=count", "_summary=count&_include=Observation:patient"):
        bundle = registry.get(f"Observation?{query}")
        assert bundle["total"] == everything
        assert "entry" not in bundle
        assert not link(bundle, "next")
    assert "total" not in registry.get("Observation?_count=1&_total=none")
    assert registry.get("Observation?_count=1&_total=accurate")["total"] == everything


def test_small_counts_are_not_told(serve: Serve) -> None:
    hidden = msgspec.structs.replace(AGREEMENT, counts=CountRules(threshold=5))
    registry = serve(agreements=(hidden,))
    person = registry.one("Patient")["id"]
    for query in (f"Observation?patient={person}", f"Observation?patient={person}&_summary=count",
                  f"Observation?patient={person}&_count=0", f"Observation?patient={person}&_count=3",
                  f"Patient?_id={person}&_summary=count"):  # fmt: skip
        assert "total" not in registry.get(query)
    assert registry.get("Patient?_summary=count")["total"] == SUBJECTS
    assert registry.get("Patient?gender=unknown")["total"] == 0
    assert registry.get("ResearchStudy")["total"] == 1
    rounded = serve(agreements=(msgspec.structs.replace(hidden, counts=CountRules(threshold=5, small="round")),))
    assert rounded.get("Patient?_summary=count")["total"] == 5
    assert rounded.get(f"Patient?_id={person}")["total"] == 0


def test_value_sets_of_ours_can_be_searched_by(registry: Registry) -> None:
    url = f"{CANONICAL}/ValueSet/lirads-lesion-category"
    found = registry.every(f"Observation?value-concept:in={url}")
    assert found
    codes = {one["code"] for resource in found for one in resource["valueCodeableConcept"]["coding"]}
    assert all(code.startswith("LR-") for code in codes)
    assert refusal(registry.ask("Observation?code:in=http://hl7.org/fhir/ValueSet/observation-codes")) == (
        400,
        "not-supported",
    )


@pytest.mark.parametrize("mode", ["true", "text", "data", "false"])
def test_summaries_keep_what_is_mandatory_and_say_that_they_are_parts(registry: Registry, mode: str) -> None:
    whole = {one["id"]: one for one in entries(registry.get("Observation?_count=20"), "match")}
    cut = {one["id"]: one for one in entries(registry.get(f"Observation?_count=20&_summary={mode}"), "match")}
    assert set(whole) == set(cut)
    for id, one in cut.items():
        tags = {tag["code"] for tag in one["meta"]["tag"]}
        assert ("SUBSETTED" in tags) == (mode != "false")
        assert {"resourceType", "id", "meta", "status", "code"} <= set(one)
        if mode in ("data", "false"):
            assert set(one) == set(whole[id]) - ({"text"} if mode == "data" else set())
        if mode == "text":
            assert set(one) <= {"resourceType", "id", "meta", "text", "status", "code"}
        if mode == "true":
            assert "referenceRange" not in one
            assert ("valueQuantity" in one) == ("valueQuantity" in whole[id])
        assert [
            i
            for i in validator().validate({k: v for k, v in one.items() if k != "meta"})["issue"]
            if i["severity"] in ("error", "fatal")
        ] == []


def test_elements_keep_what_is_mandatory_and_say_that_they_are_parts(registry: Registry) -> None:
    bundle = registry.get("Observation?_count=5&_elements=subject,Patient.gender&_include=Observation:patient")
    for one in entries(bundle, "match"):
        assert set(one) == {"resourceType", "id", "meta", "status", "code", "subject"}
        assert {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"} in one[
            "meta"
        ]["tag"]
    for one in entries(bundle, "include"):
        assert set(one) == {"resourceType", "id", "meta", "gender"}
    [match] = entries(registry.get("Observation?_count=1&_elements=nothing"), "match")
    assert set(match) == {"resourceType", "id", "meta", "status", "code"}
    person = registry.one("Patient")["id"]
    assert set(registry.get(f"Patient/{person}?_elements=gender")) == {"resourceType", "id", "meta", "gender"}
    assert refusal(registry.ask(f"Patient/{person}?_summary=count")) == (400, "value")


def test_links_have_the_address_of_the_settings_whatever_headers_say(registry: Registry) -> None:
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher",
               "Forwarded": "host=evil.example", "X-Original-URL": "/evil", "X-Forwarded-Prefix": "/evil"}  # fmt: skip
    for path in ("Patient?_count=1", "metadata", "Patient/_history", "nothing", "Patient/", "Patient//1", "../x"):
        answer = registry.ask(path, headers=headers)
        assert "evil" not in answer.text
        assert "evil" not in str(answer.headers)
        assert answer.status_code not in (301, 302, 307, 308)
    assert parse_qs(urlsplit(link(registry.get("Patient?_count=1", headers=headers), "next")).query)["_count"] == ["1"]


def test_before_the_first_release_one_is_asked_to_come_again(serve: Serve) -> None:
    registry = serve(agreements=(msgspec.structs.replace(AGREEMENT, id="new-2026"),))
    registry.store.clients.add("c9", "c9", agreement="new-2026", scopes="system/*.rs", by="ann",
                               jwks=registry.store.clients.get("c1").jwks, jwks_uri=None)  # fmt: skip
    answer = registry.ask("Patient", client="c9")
    assert refusal(answer) == (503, "transient")
    assert answer.headers["Retry-After"]
