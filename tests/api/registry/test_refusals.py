"""What goes wrong: every refusal is an OperationOutcome, nothing is written, and nothing told that is nobody's."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from fhirbridge.api.registry import paging
from fhirbridge.audit.event import Access
from fhirbridge.audit.verifying import verify
from fhirbridge.errors import StoreError
from tests.api.registry.conftest import Serve
from tests.api.registry.serving import Registry, refusal, validator

WRITES = ("POST", "PUT", "PATCH", "DELETE")


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize(
    "path", ["Patient", "Patient/1", "Patient?identifier=1", "Patient/1/_history/1", "metadata", "Medication/1"]
)
def test_writes_are_not_allowed(registry: Registry, method: str, path: str) -> None:
    for client in ("c1", None):
        answer = registry.ask(path, client=client, method=method, json={"resourceType": "Patient"})
        assert refusal(answer) == (405, "not-supported")
        assert "GET" in answer.headers["Allow"]


def test_a_write_that_was_tried_is_on_record(registry: Registry) -> None:
    registry.ask("Patient/1", method="DELETE")
    assert (registry.recorded[-1].interaction, registry.recorded[-1].status) == ("delete", 405)


@pytest.mark.parametrize(
    "path", ["Patient", "Patient/1", "Patient/_history", "Patient/1/_history", "Patient/1/_history/1"]
)
@pytest.mark.parametrize("header", [None, "", "Basic YTpi", "Bearer", "Bearer x", "Bearer " + "x" * 9000, "bearer é"])
def test_without_a_token_that_counts_nothing_is_answered(registry: Registry, path: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = registry.ask(path, client=None, headers=headers)
    assert refusal(answer) == (401, "login")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert refusal(registry.ask(f"{path}?access_token={registry.token()}", client=None))[0] == 401


@pytest.mark.parametrize(
    "path",
    ["nothing/at/all/here", "Patient/1/2/3", "Patient/1/_history/1/2", "Patient//1", "$nothing", "Patient/$nothing",
     "Patient/_nothing", "_history", "Patient/%2e%2e/%2e%2e"],
)  # fmt: skip
def test_where_there_is_nothing_is_not_found(registry: Registry, path: str) -> None:
    answer = registry.ask(path)
    assert refusal(answer)[0] == 404
    assert [one for one in validator().validate(json.loads(answer.data))["issue"] if one["severity"] == "error"] == []


def test_addresses_outside_the_api_are_not_found_in_the_same_form(registry: Registry) -> None:
    for path in ("/", "/fhir2/Patient", "/Patient", "//fhir/Patient", "/fhir//Patient"):
        assert refusal(registry.http.get(path))[0] == 404


def test_an_error_of_our_own_tells_its_number_and_nothing_else(serve: Serve) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("the name of a person, and password=secret")

    registry = serve(releases=Broken())
    for path in ("Patient/abc", "Patient", "Patient/_history"):
        answer = registry.ask(path, headers={"X-Request-Id": "r-7"})
        assert refusal(answer) == (500, "exception")
        assert "r-7" in answer.text
        assert "secret" not in answer.text
        assert "RuntimeError" not in answer.text
        assert registry.recorded[-1].status == 500


def test_a_store_that_cannot_be_read_is_told_as_that(serve: Serve) -> None:
    class Away:
        def __getattr__(self, name: str) -> Any:
            raise StoreError("cannot open postgresql://user@db.hospital.example/secret")

    answer = serve(releases=Away()).ask("Patient/abc")
    assert refusal(answer) == (503, "transient")
    assert answer.headers["Retry-After"]
    assert "hospital" not in answer.text


@pytest.mark.parametrize("path", ["Patient?_count=1", "Patient/nobody", "Patient/_history", "Patient/1/_history"])
def test_what_cannot_be_put_on_record_is_not_answered(serve: Serve, path: str) -> None:
    def full(_: Access) -> None:
        raise StoreError("the audit trail cannot be written (No space left on device).")

    registry = serve(record=full)
    answer = registry.ask(path)
    assert refusal(answer) == (503, "transient")
    assert b'"Patient"' not in answer.data


def test_every_access_is_on_record_with_whose_records_it_gave(registry: Registry) -> None:
    person = registry.one("Patient")["id"]
    bundle = registry.get(f"Observation?patient={person}&_count=4&_include=Observation:patient")
    noted = registry.recorded[-1]
    assert (noted.interaction, noted.status, noted.records) == ("search-type", 200, len(bundle["entry"]))
    assert noted.people == {person: 5}
    assert (noted.client, noted.registry, noted.agreement, noted.purpose) == ("c1", "north", "north-2026", "HRESCH")
    assert noted.query == f"GET Observation?patient={person}&_count=4&_include=Observation:patient"
    assert noted.request
    assert noted.address == "127.0.0.1"
    posted = registry.ask("Patient/_search", method="POST", data={"gender": "male"})
    assert registry.recorded[-1].query == "POST Patient/_search with gender=male"
    assert registry.recorded[-1].records == len(json.loads(posted.data)["entry"])
    for path, code, status in (
        (f"Patient/{person}", "read", 200), (f"Patient/{person}/_history/1", "vread", 200),
        (f"Patient/{person}/_history", "history-instance", 200), ("Patient/_history", "history-type", 200),
        ("Patient/nobody", "read", 404), ("Patient?_count=x", "search-type", 400),
        ("Patient?_format=ttl", "search-type", 406),
    ):  # fmt: skip
        registry.ask(path)
        assert (registry.recorded[-1].interaction, registry.recorded[-1].status) == (code, status)
    registry.ask("Patient", client=None)
    assert (registry.recorded[-1].client, registry.recorded[-1].status) == (None, 401)
    before = len(registry.recorded)
    registry.ask("metadata", client=None)
    assert len(registry.recorded) == before
    registry.trail.close()
    assert not verify(registry.folder / "audit", None).problems


def test_what_is_asked_cannot_forge_a_line_of_the_trail(registry: Registry) -> None:
    registry.ask("Patient?gender=x%0a%7b%22number%22%3a1%7d&a=%f0%9f%98%80", headers={"X-Request-Id": "a\tb"})
    registry.ask("Patient/a%0d%0ab")
    registry.trail.close()
    assert not verify(registry.folder / "audit", None).problems


def test_too_many_requests_are_told_when_to_come_again(serve: Serve) -> None:
    registry = serve(api_requests_per_minute=3)
    assert [registry.ask("Patient?_count=0").status_code for _ in range(4)] == [200, 200, 200, 429]
    answer = registry.ask("Patient?_count=0")
    assert refusal(answer) == (429, "throttled")
    assert int(answer.headers["Retry-After"]) >= 1
    assert registry.ask("Patient?_count=0", client="c2").status_code == 200


PIECES = (
    "Patient", "Observation", "_history", "_search", "$everything", "..", "%00", "%ff", "'", '"', "<x>", "1", "a" * 70,
    "?", "&", "=", "_count", "_include", "_sort", "_format", "xml", "json", "-1", "2026-99", "*", ":", ":not", "_has:",
    ".", "\\", "$", "|", ",", "%", "%2", "+", " ", "_page", "code", "date", "value-quantity", "lt", "1e999", "9" * 400,
    "\u2028", "☃", "%0d%0aX: y", "_elements", "_summary", "true", "_since", "/", "//", ";", "#", "{{7*7}}",
    "' OR 1=1 --", "${jndi:x}", "_filter", "_lastUpdated", "_tag",
)  # fmt: skip
MEDIA = {"application/fhir+json", "application/json", "application/fhir+xml", "application/xml", "text/xml"}


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_asked_the_answer_is_fhir_and_never_an_error_of_ours(registry: Registry, seed: int) -> None:
    ask_anything(registry, seed)


@pytest.mark.postgresql
@pytest.mark.parametrize("seed", range(4, 6))
def test_nor_on_postgresql(on_postgresql: Registry, seed: int) -> None:
    ask_anything(on_postgresql, seed)
    assert len(on_postgresql.every("Observation?_count=100&_sort=-date")) > 100


@pytest.mark.parametrize("after", ["\x00", "'", "a" * 900, "[]", '["x"]', "\u2028", "{}", "1", "null"])
def test_a_mark_that_somebody_made_up_is_no_error_of_ours(registry: Registry, after: str) -> None:
    made_up(registry, after)


@pytest.mark.postgresql
def test_nor_is_one_on_postgresql(on_postgresql: Registry) -> None:
    for after in ("\x00", "'", '["\x00"]', '["\\u0000"]', '["\\u0000", "a"]', '["x"]', "1"):
        made_up(on_postgresql, after)


def made_up(registry: Registry, after: str) -> None:
    mark = paging.marked(1, after)
    for path in ("Patient?_sort=birthdate&", "Patient?", "Patient/_history?", "Observation?_sort=-date&_count=1&"):
        assert registry.ask(f"{path}_page={mark}").status_code in (200, 400, 410)


def ask_anything(registry: Registry, seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(250):
        path = "/".join(
            "".join(draw.choices(PIECES, k=draw.choice((1, 1, 2)))) for _ in range(draw.choice((1, 1, 2, 3)))
        )
        query = "&".join(
            "=".join("".join(draw.choices(PIECES, k=draw.choice((1, 2, 4)))) for _ in range(2))
            for _ in range(draw.choice((0, 1, 3)))
        )
        method = draw.choice(("GET", "GET", "GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"))
        asked = f"/fhir/{path}{'?' + query if query else ''}"
        kind = draw.choice(("application/x-www-form-urlencoded", "application/fhir+json", "text/plain"))
        body = query.encode("utf-8", "surrogatepass") if method == "POST" else None
        answer = registry.http.open(
            asked, method=method, data=body, content_type=kind, headers={"Authorization": f"Bearer {registry.token()}"}
        )
        assert answer.status_code < 500, (method, asked, answer.text)
        assert "\n" not in str(answer.headers.get("Location", ""))
        if answer.data and method != "OPTIONS":
            assert answer.content_type.split(";")[0] in MEDIA, (asked, answer.content_type)
            if "json" in answer.content_type:
                assert json.loads(answer.data)["resourceType"], asked
