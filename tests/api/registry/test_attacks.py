"""Attacks on what registries reach: guessing ids, injecting SQL and log lines, smuggling addresses, measuring work."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.test import TestResponse

from fhirbridge import fhirjson
from fhirbridge.api.registry import paging
from fhirbridge.audit.verifying import verify
from fhirbridge.automation import logs
from fhirbridge.elements import STUDY_TAG
from fhirbridge.errors import Resource
from fhirbridge.release.pseudonyms import Pseudonyms
from tests.api.registering import BASE
from tests.api.registry.conftest import Serve
from tests.api.registry.exporting import exported, lines, withdraw
from tests.api.registry.serving import AGREEMENT, RELEASE_KEY, Registry
from tests.api.registry.watching import statements, steps

OTHER_STUDY = "nct00000001"


def of_other_study(type_: str, id: str, **elements: Any) -> Resource:
    meta = {"tag": [{"system": STUDY_TAG, "code": OTHER_STUDY}]}
    return {"resourceType": type_, "id": id, "meta": meta, **elements}


@pytest.fixture
def beside(registry: Registry) -> Registry:
    """The registry, with a person of another study in the same store; one Observation of ours names them."""
    whom = {"reference": "Patient/stranger"}
    code = {"coding": [{"system": "http://loinc.org", "code": "63557-3"}]}
    registry.put(
        of_other_study("Patient", "stranger", gender="other"),
        of_other_study("Consent", "stranger-c", status="active", patient=whom, dateTime="2026-01-02"),
        of_other_study("Observation", "stranger-o", status="final", code=code, subject=whom),
    )
    ours = next(one.content() for one in registry.store.iterate(AGREEMENT.study, types=["Observation"]))
    registry.put({**ours, "id": "crossing", "focus": [whom]})
    return registry


def test_ids_of_another_study_lead_nowhere_by_any_way(beside: Registry) -> None:
    names = Pseudonyms(RELEASE_KEY, AGREEMENT.registry)
    for id in ("stranger", names.id("Patient", "stranger")):
        made_up = "a" * len(id)
        for path in (
            "Patient/{}", "Patient/{}/_history", "Patient/{}/_history/1", "Patient/{}/$everything", "Patient?_id={}",
            "Observation?patient={}", "Observation?subject=Patient/{}", "Observation?focus:Patient._id={}",
            "Patient?_has:Observation:subject:_id={}",
            "Patient?_id={}&_revinclude=Observation:subject", "Consent?patient={}", "$export?patient=Patient/{}",
            "ViewDefinition/subject/$viewdefinition-run?patient={}&_format=ndjson",
        ):  # fmt: skip
            asked, other = beside.ask(path.format(id)), beside.ask(path.format(made_up))
            assert asked.status_code == other.status_code, path
            assert bare(asked).replace(id, made_up) == bare(other), path
    for observation in ("stranger-o", names.id("Observation", "stranger-o")):
        assert beside.ask(f"Observation/{observation}").status_code == 404


def test_nothing_of_another_study_is_in_what_is_listed_counted_or_exported(beside: Registry) -> None:
    names = Pseudonyms(RELEASE_KEY, AGREEMENT.registry)
    hidden = [
        name
        for type_, id in (("Patient", "stranger"), ("Observation", "stranger-o"), ("Consent", "stranger-c"))
        for name in (f'"{id}"', f"/{id}", names.id(type_, id))
    ]
    manifest = exported(beside)
    told = [fhirjson.dumps(lines(beside, manifest)).decode(), beside.ask("Patient/_history?_count=1000").text]
    for type_ in AGREEMENT.types:
        told.append(beside.ask(f"{type_}?_count=1000&_include=*&_revinclude=*").text)
        assert beside.get(f"{type_}?_summary=count")["total"] == len(beside.every(type_))
    assert [name for name in hidden for text in told if name in text] == []
    assert beside.get("Patient?gender=other&_summary=count")["total"] == sum(
        one["gender"] == "other" for one in beside.every("Patient")
    )


PAYLOADS = (
    "' OR '1'='1", "x' OR 1=1 --", '" OR ""="', "'; DROP TABLE release_entry; --",
    "1) UNION SELECT body FROM release_body --",
    "\\' OR 1=1 --", "x%' OR 1=1 --", "%", "_", "%%", ":release", "%(release)s", "?1", "{0}", "$1", "x'||'y", "0x27",
    "x' AND randomblob(100000000) --", "x'; SELECT pg_sleep(10); --", "ⅹ＇ or 1=1",
)  # fmt: skip
PLACES = (
    "Patient?_id={}", "Patient?identifier=http://x|{}", "Patient?identifier={}|x", "Organization?name:exact={}z",
    "Organization?name:contains=zqx{}", "Observation?code={}", "Observation?code:text=zqx{}",
    "Observation?patient.identifier={}",
    "Observation?_has:DiagnosticReport:result:identifier={}", "Observation?subject:identifier={}",
    "Observation?value-quantity=5||{}", "Observation?_tag={}", "Observation?_profile={}", "Observation?visit={}",
    "Observation?code-value-quantity={}$5", "Observation?{}=x", "Observation?patient={}", "Observation?date={}",
    "Observation?value-quantity={}", "Observation?_sort={}", "Observation?_sort=-date,{}", "Observation?_include={}",
    "Observation?_revinclude=Observation:{}", "Observation?_elements={}", "Observation?_count={}",
    "Observation?_page={}",
    "Observation?_summary={}", "Observation?_has:{}:subject:code=x", "Observation?subject:{}.gender=male",
    "Observation?status:{}=x", "Observation/{}", "Observation/{}/_history", "Patient/_history?_since={}",
    "Patient/_history?_at={}", "Patient/{}/$everything", "{}/1", "{}", "$export?_type={}", "$export?patient=Patient/{}",
    "$export?_type=Observation&_typeFilter=Observation%3Fcode%3D{}", "_export/{}", "_export/{}/x",
    "ViewDefinition/{}/$viewdefinition-run",
)  # fmt: skip
"""Where a text of the client's can come near a statement; whoever asks for all gets none."""
TAKEN_FOR_NOTHING = ("Observation?{}=x", "Observation?_elements={}", "Patient/_history?_at={}")


def escaped(payload: str) -> str:
    return quote(re.sub(r"([\\,$|])", r"\\\1", payload), safe="")


def attack(registry: Registry) -> None:
    everything = {type_: registry.every(f"{type_}?_count=1000") for type_ in ("Patient", "Observation", "Consent")}
    for place in PLACES:
        for payload in PAYLOADS:
            answer = registry.ask(place.format(escaped(payload)), headers={"Prefer": "handling=strict"})
            assert answer.status_code in (200, 202, 400, 404), (place, payload, answer.text)
            if answer.status_code == 202:
                registry.ask(answer.headers["Content-Location"], method="DELETE")
            for word in ("release_entry.", "SELECT release", "sqlite", "psycopg", "syntax error"):
                assert word not in answer.text, (place, payload)
            if answer.status_code == 200 and place not in TAKEN_FOR_NOTHING:
                assert fhirjson.loads(answer.data)["total"] == 0, (place, payload)
    kept = registry.get(f"Observation?code:not={escaped(PAYLOADS[0])}&_summary=count")["total"]
    assert kept == len(everything["Observation"])
    assert everything == {type_: registry.every(f"{type_}?_count=1000") for type_ in everything}


def test_what_a_client_writes_is_never_part_of_a_statement(serve: Serve) -> None:
    attack(serve(api_requests_per_minute=0))


@pytest.mark.postgresql
def test_nor_is_it_on_postgresql(on_postgresql: Registry) -> None:
    attack(on_postgresql)


def test_a_mark_of_a_page_cannot_bring_sql_either(registry: Registry) -> None:
    for payload in PAYLOADS:
        for path in (
            "Patient?_sort=birthdate&",
            "Patient?",
            "Patient/_history?",
            "Observation?_sort=-date,code&_count=1&",
        ):
            for after in (payload, f'["{payload}","a"]', f'[null,"{payload}"]', f'[0,"{payload}"]', f"1.{payload}"):
                answer = registry.ask(f"{path}_page={paging.marked(1, after)}")
                assert answer.status_code in (200, 400, 410), (path, after, answer.text)


HOSTILE = 'x\n2026-03-01T12:00:00Z [error] forged_event id=1\r\n{"event":"forged_event"}\x1b[2J\u2028forged_event'


@contextlib.contextmanager
def logging_to(file: Path, form: logs.Form) -> Iterator[None]:
    with logs.written(form=form, level="debug", file=file):
        yield


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_a_client_writes_is_never_part_of_a_log(serve: Serve, tmp_path: Path, form: logs.Form) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(HOSTILE)

    log = tmp_path / "log"
    with logging_to(log, form):
        registry = serve(releases=Broken(), note=logs.noting())
        bearer = {"HTTP_AUTHORIZATION": f"Bearer {registry.token()}"}
        asked = [f"Patient/{quote(HOSTILE)}", f"Patient?gender={quote(HOSTILE)}", f"{quote(HOSTILE)}/1", "Patient/a"]
        failed = 0
        for path in asked:
            for name in ("HTTP_X_REQUEST_ID", "HTTP_USER_AGENT", "HTTP_REFERER", "HTTP_X_FORWARDED_FOR", "HTTP_ACCEPT"):
                answer = registry.http.get(f"/fhir/{path}", environ_overrides={**bearer, name: HOSTILE})
                failed += answer.status_code == 500
                assert "\n" not in answer.headers.get("X-Request-Id", "")
    text = log.read_text(encoding="utf-8")
    assert "forged" not in text
    assert "\x1b" not in text
    assert text.count("request_failed") == failed > 0
    assert len(text.splitlines()) == failed
    registry.trail.close()
    assert not verify(registry.folder / "audit", None).problems
    trail = [line for file in (registry.folder / "audit").glob("*.ndjson") for line in file.read_bytes().split(b"\n")]
    events = [line for line in trail if b'"AuditEvent"' in line]
    assert len(events) == len(registry.recorded), "an access is one line, whatever was asked"


SMUGGLED = (
    {"Host": "evil.example"},
    {"Host": "registry.example@evil.example"},
    {"Host": "evil.example:99999"},
    {"Host": ""},
    {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher", "X-Forwarded-Port": "6666"},
    {"X-Forwarded-Prefix": "/evil.example", "X-Script-Name": "/evil.example", "X-Original-URL": "/evil.example"},
    {"X-Rewrite-URL": "/evil.example", "X-Forwarded-Server": "evil.example", "X-Host": "evil.example"},
    {"Forwarded": 'for=127.0.0.1;host="evil.example";proto=http', "Via": "1.1 evil.example"},
    {"Referer": "http://evil.example/", "Origin": "http://evil.example", "X-FHIR-Base-URL": "http://evil.example"},
    {"X-Request-URL": "http://evil.example", "X-HTTP-Host-Override": "evil.example", "X-Forwarded-For": "evil.example"},
)


def test_no_header_moves_an_address_in_any_answer(serve: Serve) -> None:
    registry = serve(api_exports=100)
    person = registry.one("Patient")["id"]
    batch = {"resourceType": "Bundle", "type": "batch",
             "entry": [{"request": {"method": "GET", "url": "Patient?_count=1"}}]}  # fmt: skip
    asked: list[tuple[str, dict[str, Any]]] = [
        ("metadata", {"client": None}), ("Patient?_count=1", {}), (f"Patient/{person}", {}), ("Patient/nobody", {}),
        (f"Patient/{person}/_history", {}), ("Patient/_history?_count=1", {}), ("Patient", {"client": None}),
        (f"Patient/{person}/$everything?_count=1", {}), (".well-known/smart-configuration", {"client": None}),
        ("Patient/_search", {"method": "POST", "data": {"_count": "1"}}), ("", {"method": "POST", "json": batch}),
        ("nothing/at/all/here", {}), ("Patient/", {}), ("Patient/1", {"method": "DELETE"}),
    ]  # fmt: skip
    for path, named in asked:
        plain = registry.ask(path, **named)
        for headers in SMUGGLED:
            assert told(registry.ask(path, headers=headers, **named)) == told(plain), (path, headers)
    for headers in SMUGGLED:
        begun = registry.ask("$export?_type=Patient", headers=headers)
        assert begun.status_code == 202
        assert begun.headers["Content-Location"].startswith(f"{BASE}/_export/")
        assert "evil" not in begun.text + str(begun.headers)


def bare(answer: TestResponse) -> str:
    """Return the text of an answer without the ids that every request, and every Bundle, has of its own."""
    text = re.sub(r'"id":"[0-9a-f-]{36}"', "", answer.text)
    return text.replace(answer.headers.get("X-Request-Id", "-"), "")


def told(answer: TestResponse) -> tuple[Any, ...]:
    """Return all of an answer but for the id that every request has of its own."""
    headers = {name: value for name, value in answer.headers.items() if name != "X-Request-Id"}
    return answer.status_code, headers, bare(answer)


LOOKS: tuple[Callable[[str], str], ...] = (
    lambda id: f"Patient/{id}",
    lambda id: f"Patient/{id}/_history",
    lambda id: f"Patient/{id}/_history/1",
    lambda id: f"Patient?_id={id}",
    lambda id: f"Patient?_id={id}&_summary=count",
    lambda id: f"Observation?patient={id}",
    lambda id: f"Observation?patient=Patient/{id}&_sort=-date",
    lambda id: f"Observation?patient._id={id}",
    lambda id: f"Patient?_has:Observation:patient:patient={id}",
    lambda id: f"Patient/{id}/$everything",
)


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look("ID"))
def test_the_work_done_for_an_id_does_not_tell_whether_it_is_somebodys(
    registry: Registry, look: Callable[[str], str]
) -> None:
    """Time is not measured but what takes it: statements, and the steps of the database, to the last one."""
    stored = next(registry.store.iterate(AGREEMENT.study, types=["Patient"])).id
    theirs = [one["id"] for one in registry.every("Patient", client="c2")]
    made_up = ["a" * 32, "7" * 32, "zyxwvutsrqponmlkjihgfedcba765432"]
    registry.ask(look("b" * 32))  # what is prepared once is prepared now
    work = {}
    for id in (*made_up, *theirs, stored):
        with statements(registry.store) as said, steps(registry.store) as taken:
            answer = registry.ask(look(id))
        work[id] = (answer.status_code, len(answer.data.replace(id.encode(), b"")), tuple(said), taken[0])
    assert work[made_up[0]][3] > 0
    assert len(set(work.values())) == 1, {id: (one[0], one[1], len(one[2]), one[3]) for id, one in work.items()}


def test_who_withdrew_is_answered_like_somebody_who_never_was(registry: Registry) -> None:
    gone = registry.every("Patient")[2]["id"]
    withdraw(registry, gone)
    for look in LOOKS:
        withdrawn, never = registry.ask(look(gone)), registry.ask(look("a" * 32))
        assert withdrawn.status_code == never.status_code, look(gone)
        assert bare(withdrawn).replace(gone, "a" * 32) == bare(never), look(gone)
