"""Several questions in one request: each answered as if it were asked alone, and nothing written."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fhirbridge import fhirjson
from fhirbridge.release.agreement import CountRules
from tests.api.registering import BASE
from tests.api.registry.conftest import Serve
from tests.api.registry.serving import AGREEMENT, Registry, refusal, validator

JSON = "application/fhir+json"


def asked(*requests: str | dict[str, Any], kind: str = "batch") -> bytes:
    entries = [{"request": {"method": "GET", "url": one} if isinstance(one, str) else one} for one in requests]
    return fhirjson.dumps({"resourceType": "Bundle", "type": kind, "entry": entries})


def batch(registry: Registry, *requests: str | dict[str, Any], **named: Any) -> list[dict[str, Any]]:
    answer = registry.ask("", method="POST", data=asked(*requests), content_type=JSON, **named)
    assert answer.status_code == 200, answer.text
    bundle = fhirjson.loads(answer.data)
    assert bundle["type"] == "batch-response"
    assert [one for one in validator().validate(bundle)["issue"] if one["severity"] in ("error", "fatal")] == []
    return list(bundle["entry"])


def test_each_entry_is_answered_as_if_it_were_asked_alone(registry: Registry) -> None:
    id = registry.one("Patient")["id"]
    paths = (
        f"Patient/{id}",
        f"Patient/{id}/_history/1",
        "Patient?gender=male&_count=2",
        f"Patient/{id}?_elements=gender",
    )
    for path, entry in zip(paths, batch(registry, *paths), strict=True):
        alone = registry.get(path)
        for varying in ("id", "meta") if alone["resourceType"] == "Bundle" else ():
            del alone[varying], entry["resource"][varying]
        assert entry["resource"] == alone
        assert entry["response"]["status"] == "200 OK"
    first = batch(registry, f"Patient/{id}")[0]["response"]
    assert first == {"status": "200 OK", "etag": 'W/"1"', "lastModified": "2026-03-01T12:00:00.000Z"}
    for address in (f"{BASE}/Patient/{id}", f"/Patient/{id}", f"Patient/{id}/_history", "Patient/_history?_count=1"):
        assert batch(registry, address)[0]["response"]["status"] == "200 OK"


def test_an_entry_that_fails_is_no_failure_of_the_others(registry: Registry) -> None:
    id = registry.one("Patient")["id"]
    answers = batch(
        registry, "Patient/nobody", "Patient?_count=x", "Medication/1", "", "a/b/c/d", {"method": "GET"},
        {"method": "DELETE", "url": f"Patient/{id}"}, {"method": "POST", "url": "Patient"}, "metadata?%",
        "Patient?gender=%ff", f"Patient/{id}",
    )  # fmt: skip
    statuses = [one["response"]["status"].split()[0] for one in answers]
    assert statuses == ["404", "400", "404", "404", "404", "400", "405", "405", "404", "400", "200"]
    assert all(one["response"]["outcome"]["resourceType"] == "OperationOutcome" for one in answers[:-1])
    assert registry.get(f"Patient/{id}")["id"] == id


def test_who_has_the_version_already_is_sent_nothing(registry: Registry) -> None:
    id = registry.one("Patient")["id"]
    for condition in ({"ifNoneMatch": 'W/"1"'}, {"ifModifiedSince": "2026-03-01T12:00:00Z"}):
        [entry] = batch(registry, {"method": "GET", "url": f"Patient/{id}", **condition})
        assert "resource" not in entry
        assert entry["response"]["status"] == "304 Not Modified"
    [entry] = batch(registry, {"method": "GET", "url": f"Patient/{id}", "ifModifiedSince": "nonsense"})
    assert entry["resource"]["id"] == id


def test_a_token_reaches_no_further_in_a_batch(registry: Registry) -> None:
    id = registry.one("Patient")["id"]
    allowed, closed, anothers = batch(
        registry, "Observation?_count=1", f"Patient/{id}", "Patient?_count=1", scope="system/Observation.rs"
    )
    assert allowed["response"]["status"] == "200 OK"
    assert [one["response"]["status"] for one in (closed, anothers)] == ["403 Forbidden"] * 2
    [theirs] = batch(registry, f"Patient/{id}", client="c2")
    assert theirs["response"]["status"] == "404 Not Found"
    answer = registry.ask("", client=None, method="POST", data=asked("Patient"), content_type=JSON)
    assert refusal(answer) == (401, "login")


def test_counts_of_one_batch_cannot_be_taken_from_each_other(serve: Serve) -> None:
    guarded = msgspec.structs.replace(AGREEMENT, counts=CountRules(threshold=3))
    registry = serve(agreements=(guarded,))
    person = registry.one("Patient")["id"]
    totals = [
        one["resource"].get("total")
        for one in batch(
            registry, "Patient?_summary=count", f"Patient?_id:not={person}&_summary=count", "ResearchStudy"
        )
    ]
    assert totals == [6, 6, 1]  # of 8 and 7
    totals = [
        one["resource"].get("total")
        for one in batch(registry, "Patient?_summary=count", f"Patient?_id={person}&_summary=count")
    ]
    assert totals == [None, None]
    assert batch(registry, "Patient?_summary=count")[0]["resource"]["total"] == 8


def test_each_entry_is_on_record_before_the_answer(registry: Registry) -> None:
    id = registry.one("Patient")["id"]
    before = len(registry.recorded)
    batch(registry, f"Patient/{id}", "Patient/nobody", "Observation?_count=2")
    noted = registry.recorded[before:]
    assert [(one.interaction, one.status) for one in noted] == [
        ("read", 200), ("read", 404), ("search-type", 200), ("batch", 200),
    ]  # fmt: skip
    assert noted[0].people == {id: 1}
    assert noted[2].records == 2
    assert {one.client for one in noted} == {"c1"}
    assert noted[0].query == f"GET Patient/{id}"


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (asked("Patient", kind="transaction"), JSON, 400),
        (asked("Patient", kind="collection"), JSON, 400),
        (b'{"resourceType":"Patient"}', JSON, 400),
        (b"[]", JSON, 400),
        (b"{", JSON, 400),
        (b"\xff\xfe", JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (b"", JSON, 400),
        (b'{"resourceType":"Bundle","type":"batch","entry":{}}', JSON, 400),
        (asked(*["Patient"] * 101), JSON, 400),
        (b" " * 2_000_000, JSON, 413),
        (asked("Patient"), "text/plain", 415),
        (b"<Bundle/>", "application/fhir+xml", 400),
    ],
)
def test_what_is_no_batch_is_refused(registry: Registry, data: bytes, kind: str, status: int) -> None:
    assert refusal(registry.ask("", method="POST", data=data, content_type=kind))[0] == status


def test_strange_entries_are_refused_one_by_one(registry: Registry) -> None:
    entries: list[Any] = [None, 7, {}, {"request": []}, {"request": {"method": 1, "url": 2}}, {"resource": {}}]
    body = fhirjson.dumps({"resourceType": "Bundle", "type": "batch", "entry": entries})
    answer = fhirjson.loads(registry.ask("", method="POST", data=body, content_type=JSON).data)
    assert [one["response"]["status"] for one in answer["entry"]] == ["400 Bad Request"] * len(entries)
    empty = fhirjson.dumps({"resourceType": "Bundle", "type": "batch"})
    assert "entry" not in fhirjson.loads(registry.ask("", method="POST", data=empty, content_type=JSON).data)
