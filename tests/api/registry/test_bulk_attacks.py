"""Exports under attack and under stress: others' tokens, made-up paths, withdrawals, changed rules, dying workers."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from werkzeug.test import TestResponse

from fhirbridge import fhirjson
from fhirbridge.audit.event import Access
from fhirbridge.errors import StoreError
from fhirbridge.release.agreement import CountRules, ViewRules
from fhirbridge.store.releases import Released, Releases
from tests.api.registering import BASE
from tests.api.registry.conftest import Serve
from tests.api.registry.exporting import at_rest, begun, exported, finished, lines, withdraw
from tests.api.registry.serving import AGREEMENT, OTHER, Registry, refusal


def urls(registry: Registry) -> tuple[str, str]:
    """Return the addresses of a finished export and of its file of Patients."""
    where = begun(registry)
    manifest = fhirjson.loads(finished(registry, where).data)
    (file,) = [item["url"] for item in manifest["output"] if item["type"] == "Patient"]
    return where, file


def others(registry: Registry, **named: Any) -> list[TestResponse]:
    """Ask for an export of c1 and its file, and delete it, as somebody else."""
    where, file = urls(registry)
    return [
        registry.ask(where, **named),
        registry.ask(file, **named),
        registry.ask(where, method="DELETE", **named),
    ]


def test_a_token_of_one_registry_opens_nothing_of_anothers_export(registry: Registry) -> None:
    for answer in others(registry, client="c2"):
        assert refusal(answer) == (404, "not-found")
    where, _ = urls(registry)
    unknown = registry.ask(f"{BASE}/_export/{'a' * 32}", client="c2")
    assert registry.ask(where, client="c2").json == unknown.json, "that an export is there must not be told"


def test_another_client_of_the_same_registry_has_exports_of_its_own(registry: Registry) -> None:
    client = registry.store.clients.get("c1")
    assert client is not None
    registry.store.clients.add(
        "c3", "c3", agreement=client.agreement, scopes="system/Patient.rs", by="ann", jwks=client.jwks, jwks_uri=None
    )
    registry.clock.turn(2)
    for answer in others(registry, client="c3"):
        assert refusal(answer) == (404, "not-found")


def test_without_a_token_nothing_is_to_be_had(registry: Registry) -> None:
    for answer in [*others(registry, client=None), registry.ask("$export", client=None)]:
        assert refusal(answer) == (401, "login")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_token_in_the_url_of_a_file_is_none(registry: Registry) -> None:
    _, file = urls(registry)
    assert refusal(registry.ask(f"{file}?access_token={registry.token()}", client=None)) == (401, "login")


def test_a_narrower_token_gets_only_the_files_of_its_types(registry: Registry) -> None:
    manifest = exported(registry)
    for item in manifest["output"]:
        answer = registry.ask(item["url"], scope="system/Observation.rs")
        assert answer.status_code == (200 if item["type"] == "Observation" else 403)


@pytest.mark.parametrize("scope", ["system/Observation.r", "system/Observation.s"])
def test_an_export_takes_the_right_to_read_and_to_search(registry: Registry, scope: str) -> None:
    assert refusal(registry.ask("$export?_type=Observation", scope=scope)) == (403, "forbidden")
    assert refusal(registry.ask("$export", scope=scope)) == (403, "forbidden")


def test_a_token_for_some_types_exports_these_and_is_refused_others(registry: Registry) -> None:
    manifest = exported(registry, scope="system/Observation.rs system/Patient.r")
    assert {item["type"] for item in manifest["output"]} == {"Observation"}
    assert refusal(registry.ask("$export?_type=Patient", scope="system/Observation.rs")) == (403, "forbidden")


def test_a_filter_cannot_look_into_types_that_the_token_does_not_open(registry: Registry) -> None:
    query = quote("Observation?patient.gender=male", safe="")
    asked = f"$export?_type=Observation&_typeFilter={query}"
    assert refusal(registry.ask(asked, scope="system/Observation.rs")) == (403, "forbidden")
    assert registry.ask(asked).status_code == 202


@pytest.mark.parametrize(
    "name",
    [
        "job.json",
        "lock",
        "Patient.1.ndjson.people",
        "Patient.1.ndjson.runs",
        "..%2F..%2Fstore.db",
        "../../store.db",
        "%2e%2e/%2e%2e/store.db",
        "..%5C..%5Cstore.db",
        "Patient.1.ndjson%00.txt",
        "%2Fetc%2Fpasswd",
        "./Patient.1.ndjson/.",
        "Patient.1.NDJSON",
    ],
)
def test_no_path_leads_to_what_is_no_file_of_the_export(registry: Registry, name: str) -> None:
    where, _ = urls(registry)
    status, _ = refusal(registry.ask(f"{where}/{name}"))
    assert status == 404


@pytest.mark.parametrize("export", ["..", "%2e%2e", ".", "lock", "%00", "é", "a" * 5000, "..%2fstore.db", "*" * 32])
def test_no_path_leads_to_what_is_no_export(registry: Registry, export: str) -> None:
    urls(registry)
    for path in (f"_export/{export}", f"_export/{export}/Patient.1.ndjson"):
        assert refusal(registry.ask(path))[0] in (404, 405)


def test_a_link_that_somebody_laid_among_the_files_is_not_followed(registry: Registry) -> None:
    where, _ = urls(registry)
    (job,) = (registry.folder / "released").glob("*/job.json")
    (job.parent / "Extra.1.ndjson").symlink_to(registry.folder / "store.db")
    assert refusal(registry.ask(f"{where}/Extra.1.ndjson")) == (404, "not-found")


def test_addresses_never_follow_the_host_that_a_request_names(registry: Registry) -> None:
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
    answer = registry.ask("$export?_type=Patient", headers=headers)
    where = answer.headers["Content-Location"]
    assert where.startswith(f"{BASE}/")
    finished(registry, where)
    manifest = registry.ask(where, headers=headers)
    assert "evil" not in manifest.text
    assert fhirjson.loads(manifest.data)["request"] == f"{BASE}/$export?_type=Patient"


def test_who_withdraws_is_out_of_a_finished_export_at_once(registry: Registry) -> None:
    where = begun(registry)
    manifest = fhirjson.loads(finished(registry, where).data)
    before = lines(registry, manifest)
    gone = before["Patient"][3]["id"]
    withdraw(registry, gone)
    after_manifest = fhirjson.loads(registry.ask(where).data)
    after = lines(registry, after_manifest)
    for type_, records in before.items():
        expected = [one for one in records if gone not in fhirjson.dumps(one).decode()]
        assert after[type_] == expected
        stale = [item["url"] for item in manifest["output"] if item["type"] == type_]
        assert all(gone not in registry.ask(url).text for url in stale)
    assert len(after["Patient"]) == len(before["Patient"]) - 1
    assert all(gone not in one.people for one in registry.recorded[-2 * len(before) :])


class Watched(Releases):
    """Releases that tell what is read of them, and let a test step in."""

    def __init__(self, registry: Callable[[], Registry], store: Any) -> None:
        super().__init__(store._engine, store._clock)
        self.types: list[str] = []
        self.step: Callable[[int, Released], None] = lambda number, one: None

    def iterate(self, agreement: str, types: Any, **named: Any) -> Iterator[Released]:
        self.types += types
        for number, one in enumerate(super().iterate(agreement, types, **named)):
            self.step(number, one)
            yield one


@pytest.fixture
def watched(serve: Serve) -> tuple[Registry, Watched]:
    first = serve()
    releases = Watched(lambda: first, first.store)
    return serve(releases=releases), releases


def test_who_withdraws_while_an_export_is_made_is_not_in_it(watched: tuple[Registry, Watched]) -> None:
    registry, releases = watched
    gone = registry.every("Patient")[2]["id"]

    def step(number: int, one: Released) -> None:
        if one.type == "Observation" and number == 100:
            withdraw(registry, gone)

    releases.step = step
    manifest = exported(registry)
    found = lines(registry, manifest)
    assert len(found["Patient"]) == 7
    assert gone not in fhirjson.dumps(found).decode()


def test_an_export_that_was_deleted_while_it_is_made_ends_and_leaves_nothing(watched: tuple[Registry, Watched]) -> None:
    registry, releases = watched
    held: list[str] = []

    def step(number: int, one: Released) -> None:
        if one.type == "Observation" and number == 0:
            (job,) = (registry.folder / "released").glob("*/job.json")
            held.append(job.parent.name)
            assert registry.ask(f"_export/{job.parent.name}", method="DELETE").status_code == 202

    releases.step = step
    where = begun(registry)
    assert refusal(finished(registry, where)) == (404, "not-found")
    at_rest()
    assert [path.name for path in (registry.folder / "released").iterdir() if path.name not in held] == ["lock"]


def test_an_export_goes_on_after_an_error_where_it_was(watched: tuple[Registry, Watched]) -> None:
    registry, releases = watched
    broken = [True]

    def step(number: int, one: Released) -> None:
        if one.type == "Observation" and number == 50 and broken:
            broken.pop()
            raise StoreError("the database went away.")

    releases.step = step
    found = lines(registry, exported(registry))
    assert releases.types.count("Patient") == 1
    assert releases.types.count("Observation") == 2
    assert len(found["Observation"]) == len({one["id"] for one in found["Observation"]})
    assert found["Observation"] == sorted(registry.every("Observation?_count=1000"), key=lambda one: one["id"])


def test_another_process_goes_on_with_an_export_that_a_dead_one_left(
    watched: tuple[Registry, Watched], serve: Serve
) -> None:
    registry, releases = watched
    where = begun(registry)
    finished(registry, where)
    (path,) = (registry.folder / "released").glob("*/job.json")
    job = fhirjson.loads(path.read_bytes())
    made = [one for one in job["files"] if one["type"] != "Observation"]
    done = [one for one in job["types_done"] if one not in ("Observation", "Provenance")]
    path.write_bytes(
        fhirjson.dumps(job | {"state": "waiting", "types_done": done, "ended": None,
                              "files": [one for one in made if one["type"] != "Provenance"]})
    )  # fmt: skip
    (path.parent / "Observation.1.ndjson").write_bytes(b'{"half":')
    releases.types.clear()
    other = serve(releases=releases)
    found = lines(other, fhirjson.loads(finished(other, where).data))
    assert releases.types[:2] == ["Observation", "Provenance"]
    assert found["Observation"] == sorted(other.every("Observation?_count=1000"), key=lambda one: one["id"])
    assert len(found["Patient"]) == 8


def test_an_export_whose_worker_is_killed_is_finished_by_the_next_who_is_asked(
    registry: Registry, tmp_path: Path
) -> None:
    worker = f"""
import pathlib, sys
from fhirbridge.store import Store
from tests.api.registering import Clock
from tests.api.registry.exporting import begun
from tests.api.registry.serving import Registry
from tests.api.registry.test_bulk_attacks import Watched
folder, clock = pathlib.Path({str(tmp_path)!r}), Clock()
store = Store.open("sqlite:///" + str(folder / "store.db"), clock=clock.now)
releases = Watched(None, store)
def step(number, one):
    if one.type == "Observation" and number == 100:
        print(where, flush=True)
        sys.stdin.read()
releases.step = step
where = begun(Registry(store, folder, clock, releases=releases))
sys.stdin.read()
"""
    command, root = [sys.executable, "-c", worker], Path(__file__).parents[3]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        where = process.stdout.readline().strip()
        assert registry.ask(where).status_code == 202
        process.kill()
    found = lines(registry, fhirjson.loads(finished(registry, where).data))
    assert found["Observation"] == sorted(registry.every("Observation?_count=1000"), key=lambda one: one["id"])
    assert len(found["Patient"]) == 8


def test_an_export_that_fails_again_and_again_says_so_and_quotes_no_data(watched: tuple[Registry, Watched]) -> None:
    registry, releases = watched

    def step(number: int, one: Released) -> None:
        raise StoreError("the database went away.")

    releases.step = step
    answer = finished(registry, begun(registry))
    assert refusal(answer) == (500, "processing")
    assert "the database went away" in answer.text


def test_what_was_exported_under_other_rules_is_to_be_had_no_more(registry: Registry) -> None:
    where, file = urls(registry)
    stricter = msgspec.structs.replace(AGREEMENT, view=ViewRules(birth_date="five-years"))
    registry.agreements["north-2026"] = stricter
    registry.clock.turn(2)
    assert refusal(registry.ask(where))[0] == 410
    assert refusal(registry.ask(file))[0] == 410


def test_a_type_that_the_agreement_lets_out_no_more_is_refused_in_exports_too(registry: Registry) -> None:
    _, file = urls(registry)
    types = tuple(type_ for type_ in AGREEMENT.types if type_ != "Patient")
    registry.agreements["north-2026"] = msgspec.structs.replace(AGREEMENT, types=types)
    registry.clock.turn(2)
    assert refusal(registry.ask(file))[0] == 403


def test_an_agreement_that_is_over_closes_its_exports(registry: Registry) -> None:
    where, file = urls(registry)
    registry.agreements["north-2026"] = msgspec.structs.replace(AGREEMENT, expires=dt.date(2026, 2, 1))
    registry.clock.turn(2)
    for url in (where, file):
        assert refusal(registry.ask(url)) == (401, "login")


def test_an_export_is_gone_when_its_time_is_over(serve: Serve) -> None:
    registry = serve(api_export_hours=0.5)
    where, file = urls(registry)
    registry.clock.turn(1790)
    assert registry.ask(file).status_code == 200
    registry.clock.turn(20)
    for url in (where, file):
        assert refusal(registry.ask(url)) == (404, "not-found")


def test_a_client_that_begins_too_many_exports_has_to_wait(serve: Serve) -> None:
    first = serve()
    releases = Watched(lambda: first, first.store)
    registry = serve(releases=releases, api_exports=1)
    answers: list[TestResponse] = []

    def step(number: int, one: Released) -> None:
        if not answers:
            answers.append(registry.ask("$export"))
            answers.append(registry.ask("$export", client="c2"))

    releases.step = step
    finished(registry, begun(registry))
    assert refusal(answers[0]) == (429, "throttled")
    assert int(answers[0].headers["Retry-After"]) > 0
    assert answers[1].status_code == 202


def test_no_file_is_sent_that_cannot_be_put_on_record(serve: Serve) -> None:
    full: list[bool] = []

    def record(access: Access) -> None:
        if full:
            raise StoreError("the audit trail cannot be written.")

    registry = serve(record=record, api_costly=1)
    _, file = urls(registry)
    full.append(True)
    assert registry.ask(file).status_code == 503
    assert b"Patient" not in registry.ask(file).data
    full.clear()
    assert registry.ask(file).status_code == 200, "the place of what was not sent is free again"


def test_counts_of_few_people_are_not_given_and_files_are_whole(serve: Serve) -> None:
    rules = msgspec.structs.replace(AGREEMENT, counts=CountRules(threshold=9))
    registry = serve(agreements=(rules, OTHER))
    manifest = exported(registry)
    counted = {item["type"]: "count" in item for item in manifest["output"]}
    assert counted == {type_: type_ in ("Organization", "Location", "Group", "ResearchStudy") for type_ in counted}
    assert len(lines(registry, manifest)["Patient"]) == 8


def test_pseudonyms_of_two_registries_have_nothing_in_common_in_their_exports(registry: Registry) -> None:
    one = lines(registry, exported(registry, "$export?_type=Patient,Observation"))
    where = begun(registry, "$export?_type=Patient,Observation", client="c2")
    manifest = fhirjson.loads(finished(registry, where, client="c2").data)
    other = {
        fhirjson.loads(line)["id"]
        for item in manifest["output"]
        for line in registry.ask(item["url"], client="c2").data.splitlines()
    }
    assert not other & {record["id"] for records in one.values() for record in records}
