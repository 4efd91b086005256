"""Bulk export as a client sees it: kick-off, status, files, deletion, at every level and with every parameter."""

from __future__ import annotations

import gzip

import pytest
from werkzeug.test import TestResponse

from fhirbridge import fhirjson
from fhirbridge.release.agreement import TYPES
from tests.api.registering import BASE
from tests.api.registry.exporting import begun, exported, finished, lines, withdraw
from tests.api.registry.serving import Registry, refusal

PUBLIC = {"Organization", "Location", "Group", "ResearchStudy"}


def test_an_export_holds_what_searches_find_byte_for_byte(registry: Registry) -> None:
    manifest = exported(registry)
    found = lines(registry, manifest)
    assert {"Patient", "Observation", "ResearchSubject", "ResearchStudy"} <= set(found) <= set(TYPES)
    for type_, records in found.items():
        assert records == sorted(registry.every(f"{type_}?_count=1000"), key=lambda one: one["id"])
    (item,) = [item for item in manifest["output"] if item["type"] == "Patient"]
    by_line = registry.ask(item["url"]).data.splitlines()
    for line, patient in zip(by_line, found["Patient"], strict=True):
        assert line == registry.ask(f"Patient/{patient['id']}").data


def test_a_manifest_says_what_a_client_needs(registry: Registry) -> None:
    manifest = exported(registry, "$export?_type=Patient,Observation")
    assert manifest["request"] == f"{BASE}/$export?_type=Patient,Observation"
    assert manifest["requiresAccessToken"] is True
    assert manifest["error"] == []
    assert manifest["transactionTime"].endswith("Z")
    assert [item["type"] for item in manifest["output"]] == ["Patient", "Observation"]
    assert all(item["url"].startswith(f"{BASE}/") and item["count"] > 0 for item in manifest["output"])
    assert "deleted" not in manifest


def test_kick_off_and_status_answer_as_the_specification_has_it(registry: Registry) -> None:
    answer = registry.ask("$export", headers={"Prefer": "respond-async", "Accept": "application/fhir+json"})
    assert answer.status_code == 202
    where = answer.headers["Content-Location"]
    assert where.startswith(f"{BASE}/")
    done = finished(registry, where)
    assert done.content_type == "application/json"
    assert done.headers["Expires"].endswith("GMT")
    assert registry.ask(where, method="DELETE").status_code == 202
    assert refusal(registry.ask(where)) == (404, "not-found")
    assert refusal(registry.ask(where, method="DELETE")) == (404, "not-found")


def test_an_export_under_way_says_so_and_when_to_ask_again(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    where = begun(registry)
    finished(registry, where)
    (job,) = (registry.folder / "released").glob("*/job.json")
    held = fhirjson.loads(job.read_bytes())
    job.write_bytes(fhirjson.dumps(held | {"state": "waiting", "attempts": 0}))
    with (job.parent / "lock").open("rb") as file:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)  # as if another process were at it
        answer = registry.ask(where)
        assert answer.status_code == 202
        assert 1 <= int(answer.headers["Retry-After"]) <= 5
        assert len(answer.headers["X-Progress"]) < 100
        assert answer.data == b""
    assert finished(registry, where).status_code == 200


def test_post_asks_by_parameters(registry: Registry) -> None:
    body = {"resourceType": "Parameters", "parameter": [{"name": "_type", "valueString": "Patient"}]}
    manifest = exported(registry, method="POST", json=body, headers={"Content-Type": "application/fhir+json"})
    assert set(lines(registry, manifest)) == {"Patient"}
    assert manifest["request"] == f"{BASE}/$export"


def test_of_patients_comes_what_is_of_people_alone(registry: Registry) -> None:
    found = lines(registry, exported(registry, "Patient/$export"))
    assert {"Patient", "Observation", "Consent"} <= set(found)
    assert not PUBLIC & set(found)


def test_of_a_group_come_its_members_alone(registry: Registry) -> None:
    (group,) = registry.every("Group")
    screened, refused = list(registry.store.iterate("nct07120750", types=["ResearchSubject"]))[:2]
    registry.put(screened.resource() | {"status": "screening"}, refused.resource() | {"status": "ineligible"})
    subjects = registry.every("ResearchSubject?_count=1000")
    members = {one["individual"]["reference"] for one in subjects if one["status"] not in ("screening", "ineligible")}
    assert len(members) == len(subjects) - 2
    found = lines(registry, exported(registry, f"Group/{group['id']}/$export"))
    assert {f"Patient/{one['id']}" for one in found["Patient"]} == members
    assert {one["subject"]["reference"] for one in found["Observation"]} <= members
    assert {one["individual"]["reference"] for one in found["ResearchSubject"]} == members
    assert not PUBLIC & set(found)
    assert refusal(registry.ask("Group/nonsense/$export")) == (404, "not-found")


def test_people_can_be_named_and_one_who_is_not_there_is_refused(registry: Registry) -> None:
    first, second = registry.every("Patient")[:2]

    def ask(*ids: str, path: str = "Patient/$export") -> TestResponse:
        given = [{"name": "patient", "valueReference": {"reference": f"Patient/{id}"}} for id in ids]
        body = {"resourceType": "Parameters", "parameter": given}
        return registry.ask(path, method="POST", json=body, headers={"Content-Type": "application/fhir+json"})

    found = lines(
        registry, fhirjson.loads(finished(registry, ask(first["id"], second["id"]).headers["Content-Location"]).data)
    )
    assert {one["id"] for one in found["Patient"]} == {first["id"], second["id"]}
    assert {one["subject"]["reference"] for one in found["Observation"]} <= {
        f"Patient/{one['id']}" for one in (first, second)
    }
    others = registry.every("Patient", client="c2")[0]["id"]
    unknown, foreign = ask("nobody"), ask(others)
    assert refusal(unknown) == refusal(foreign) == (400, "value")
    assert unknown.text.replace("nobody", "X") == foreign.text.replace(others, "X").replace(others[:39], "X")


def test_filters_choose_by_the_searches_of_which_one_must_match(registry: Registry) -> None:
    codes = sorted({one["code"]["coding"][0]["code"] for one in registry.every("Observation?_count=1000")})[:2]
    query = f"_type=Patient,Observation&_typeFilter=Observation%3Fcode%3D{codes[0]},Observation%3Fcode%3D{codes[1]}"
    found = lines(registry, exported(registry, f"$export?{query}"))
    assert {one["code"]["coding"][0]["code"] for one in found["Observation"]} == set(codes)
    assert len(found["Patient"]) == len(registry.every("Patient"))
    assert found["Observation"] == sorted(
        registry.every(f"Observation?code={','.join(codes)}&_count=1000"), key=lambda one: one["id"]
    )


def test_elements_leave_what_is_asked_for_and_mandatory_and_say_so(registry: Registry) -> None:
    found = lines(registry, exported(registry, "$export?_type=Observation&_elements=Observation.valueQuantity"))
    for one in found["Observation"]:
        assert {"resourceType", "id", "meta", "status", "code"} <= set(one)
        assert not {"subject", "effectiveDateTime"} & set(one)
        assert any(tag["code"] == "SUBSETTED" for tag in one["meta"]["tag"])


def test_since_the_last_export_comes_what_changed_and_what_is_gone(registry: Registry) -> None:
    first = exported(registry)
    again = exported(registry, f"$export?_since={first['transactionTime']}")
    assert again["output"] == []
    stored = next(
        one
        for one in registry.store.iterate("nct07120750", types=["Observation"])
        if one.resource()["status"] == "final"
    )
    registry.put(stored.resource() | {"status": "amended"})
    changed = exported(registry, f"$export?_since={first['transactionTime'].replace('Z', '%2B00:00')}")
    assert changed["transactionTime"] > first["transactionTime"]
    found = lines(registry, changed)
    assert {type_: [one["status"] for one in records] for type_, records in found.items()} == {
        "Observation": ["amended"]
    }


def test_what_is_released_no_longer_is_told_as_deletions(registry: Registry) -> None:
    first = exported(registry)
    gone = registry.one("Patient")["id"]
    had = {type_: {one["id"] for one in records} for type_, records in lines(registry, first).items()}
    withdraw(registry, gone)
    registry.refresh()
    now = lines(registry, exported(registry))
    changed = exported(registry, f"$export?_since={first['transactionTime']}")
    deleted = {
        entry["request"]["url"]
        for bundle in lines(registry, changed, "deleted")["Bundle"]
        for entry in bundle["entry"]
        if (bundle["type"], entry["request"]["method"]) == ("transaction", "DELETE")
    }
    assert f"Patient/{gone}" in deleted
    assert deleted == {f"{type_}/{id}" for type_ in had for id in had[type_] - {one["id"] for one in now[type_]}}
    assert "deleted" not in exported(registry, f"$export?_since={changed['transactionTime']}")


def test_files_go_compressed_to_who_accepts_that(registry: Registry) -> None:
    manifest = exported(registry, "$export?_type=Patient")
    url = manifest["output"][0]["url"]
    plain = registry.ask(url)
    packed = registry.ask(url, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert plain.headers["Content-Length"] == str(len(plain.data))


def test_a_head_of_a_file_says_what_a_get_would(registry: Registry) -> None:
    url = exported(registry, "$export?_type=Patient")["output"][0]["url"]
    head, got = registry.ask(url, method="HEAD"), registry.ask(url)
    assert (head.status_code, head.data) == (200, b"")
    assert head.content_type == got.content_type


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("$export?_type=Condition", 400),
        ("$export?_outputFormat=text/csv", 400),
        ("$export?_since=2026-99", 400),
        ("$export?_typeFilter=Observation%3Fnonsense%3D1", 400),
        ("Patient/$export?_type=Organization", 400),
        ("Observation/$export", 404),
        ("Patient/x/$export", 404),
    ],
)
def test_what_cannot_be_exported_is_refused_before_anything_begins(registry: Registry, path: str, status: int) -> None:
    assert refusal(registry.ask(path))[0] == status
    assert not list((registry.folder / "released").glob("*/job.json"))


def test_a_kick_off_of_another_method_or_body_is_refused_in_fhir(registry: Registry) -> None:
    assert refusal(registry.ask("$export", method="PUT"))[0] == 405
    assert (
        refusal(registry.ask("$export", method="POST", data=b"x=1", headers={"Content-Type": "text/plain"}))[0] == 415
    )
    assert (
        refusal(registry.ask("$export", method="POST", data=b"{", headers={"Content-Type": "application/json"}))[0]
        == 400
    )
    big = b" " * 100_000
    assert (
        refusal(registry.ask("$export", method="POST", data=big, headers={"Content-Type": "application/json"}))[0]
        == 413
    )


@pytest.mark.parametrize("accept", ["application/fhir+json", "application/fhir+ndjson", "application/json", "*/*", ""])
def test_a_client_may_say_what_it_likes_to_accept(registry: Registry, accept: str) -> None:
    where = begun(registry, "$export?_type=Patient", headers={"Accept": accept})
    finished(registry, where)
    assert registry.ask(where, headers={"Accept": accept}).content_type == "application/json"


def test_a_head_begins_no_export(registry: Registry) -> None:
    assert registry.ask("$export", method="HEAD").status_code == 405
    assert not list((registry.folder / "released").glob("*/job.json"))


def test_every_step_is_on_record_and_a_file_with_whose_records_it_gave(registry: Registry) -> None:
    manifest = exported(registry, "$export?_type=Observation")
    records = lines(registry, manifest)["Observation"]
    kick_off, file = registry.recorded[0], registry.recorded[-1]
    assert (kick_off.interaction, kick_off.operation, kick_off.status, kick_off.people) == (
        "operation",
        "export",
        202,
        {},
    )
    assert (file.operation, file.status, file.records) == ("export-file", 200, len(records))
    of = [one["subject"]["reference"].removeprefix("Patient/") for one in records]
    assert dict(file.people) == {person: of.count(person) for person in of}
