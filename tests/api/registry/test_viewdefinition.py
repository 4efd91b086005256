"""$viewdefinition-run: tables over what a registry may see, of shipped views and of its own."""

from __future__ import annotations

import csv
import io
from typing import Any

import pyarrow.parquet
import pytest

from fhirbridge import fhirjson
from fhirbridge.audit.event import Access
from fhirbridge.errors import StoreError
from fhirbridge.views import library
from tests.api.registry.conftest import Serve
from tests.api.registry.exporting import withdraw
from tests.api.registry.serving import Registry, refusal
from tests.mappings.cases import ROOT

FHIR = {"Content-Type": "application/fhir+json"}
SHIPPED = library.names(ROOT / "profiles" / "views")


def own(path: str = "id", resource: str = "Patient", **more: Any) -> dict[str, Any]:
    select = [{"column": [{"name": "found", "path": path}]}]
    return {
        "resourceType": "ViewDefinition",
        "name": "own",
        "status": "active",
        "resource": resource,
        "select": select,
        **more,
    }


def rows(registry: Registry, path: str, **named: Any) -> list[dict[str, Any]]:
    answer = registry.ask(path, **named)
    assert answer.status_code == 200, answer.text
    assert answer.content_type == "application/x-ndjson"
    return [fhirjson.loads(line) for line in answer.data.splitlines()]


def posted(registry: Registry, body: Any, path: str = "$viewdefinition-run", **named: Any) -> Any:
    return registry.ask(path, method="POST", data=fhirjson.dumps(body), headers=FHIR, **named)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_view_runs_over_what_is_released(registry: Registry, name: str) -> None:
    found = rows(registry, f"ViewDefinition/{name}/$viewdefinition-run")
    known = {one["id"] for one in registry.every("Patient?_count=1000")}
    assert found or name == "recurrence"
    assert {row["subject_key"] for row in found} <= known


def test_a_view_is_named_in_the_path_or_by_reference(registry: Registry) -> None:
    path = rows(registry, "ViewDefinition/subject/$viewdefinition-run")
    for other in (
        "$viewdefinition-run?viewReference=ViewDefinition/subject",
        "ViewDefinition/$viewdefinition-run?viewReference=subject",
    ):
        assert rows(registry, other) == path
    given = [{"name": "viewReference", "valueReference": {"reference": "ViewDefinition/subject"}}]
    answer = posted(registry, {"resourceType": "Parameters", "parameter": given})
    assert [fhirjson.loads(line) for line in answer.data.splitlines()] == path


def test_the_same_rows_come_in_every_form(registry: Registry) -> None:
    base = "ViewDefinition/laboratory/$viewdefinition-run"
    wanted = rows(registry, base)
    as_json = registry.ask(f"{base}?_format=json")
    assert as_json.content_type == "application/json"
    assert fhirjson.loads(as_json.data) == wanted
    as_csv = registry.ask(base, headers={"Accept": "text/csv"})
    assert as_csv.content_type == "text/csv; charset=utf-8"
    table = list(csv.DictReader(io.StringIO(as_csv.text, newline="")))
    assert [row["result_key"] for row in table] == [row["result_key"] for row in wanted]
    headless = registry.ask(f"{base}?_format=csv&header=false")
    assert headless.text == as_csv.text.partition("\r\n")[2]
    as_parquet = registry.ask(f"{base}?_format=parquet")
    assert pyarrow.parquet.read_table(io.BytesIO(as_parquet.data)).num_rows == len(wanted)


def test_a_view_of_ones_own_runs_bare_and_in_parameters(registry: Registry) -> None:
    ids = [one["id"] for one in registry.every("Patient?_count=1000")]
    wrapped = {"resourceType": "Parameters", "parameter": [{"name": "viewResource", "resource": own()}]}
    for body in (own(), wrapped):
        answer = posted(registry, body)
        assert answer.status_code == 200, answer.text
        assert sorted(fhirjson.loads(line)["found"] for line in answer.data.splitlines()) == sorted(ids)


def test_rows_are_of_whom_and_when_and_how_many_as_is_asked(registry: Registry) -> None:
    first, second = (one["id"] for one in registry.every("Patient")[:2])
    base = "ViewDefinition/laboratory/$viewdefinition-run"
    assert {row["subject_key"] for row in rows(registry, f"{base}?patient=Patient/{first}")} == {first}
    assert {row["subject_key"] for row in rows(registry, f"{base}?patient={second}")} == {second}
    (group,) = registry.every("Group")
    assert rows(registry, f"{base}?group=Group/{group['id']}") == rows(registry, base)
    assert len(rows(registry, f"{base}?_limit=3")) == 3
    assert rows(registry, f"{base}?_since=2027-01-01") == []


def test_who_withdrew_is_in_no_table_from_that_moment(registry: Registry) -> None:
    gone = registry.one("Patient")["id"]
    withdraw(registry, gone)
    for name in SHIPPED:
        assert gone not in {row["subject_key"] for row in rows(registry, f"ViewDefinition/{name}/$viewdefinition-run")}
    assert rows(registry, f"ViewDefinition/laboratory/$viewdefinition-run?patient={gone}") == []


def test_a_view_sees_what_the_registry_may_see_and_no_more(registry: Registry) -> None:
    theirs = {row["subject_key"] for row in rows(registry, "ViewDefinition/subject/$viewdefinition-run", client="c2")}
    mine = {row["subject_key"] for row in rows(registry, "ViewDefinition/subject/$viewdefinition-run")}
    assert mine
    assert not mine & theirs
    answer = posted(registry, own("birthDate"))
    assert all(len(fhirjson.loads(line)["found"]) == 4 for line in answer.data.splitlines())


def test_a_view_takes_the_rights_to_read_and_search_its_type(registry: Registry) -> None:
    path = "ViewDefinition/laboratory/$viewdefinition-run"
    for scope in ("system/Patient.rs", "system/Observation.r", "system/Observation.s"):
        assert refusal(registry.ask(path, scope=scope)) == (403, "forbidden")
    assert refusal(posted(registry, own(), scope="system/Observation.rs")) == (403, "forbidden")
    assert refusal(registry.ask(path, client=None)) == (401, "login")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("ViewDefinition/nonsense/$viewdefinition-run", 404),
        ("ViewDefinition/..%2F..%2Fpackage/$viewdefinition-run", 404),
        ("$viewdefinition-run", 400),
        ("$viewdefinition-run?viewReference=../package", 404),
        ("ViewDefinition/subject/$viewdefinition-run?viewReference=laboratory", 400),
        ("ViewDefinition/subject/$viewdefinition-run?_format=xlsx", 400),
        ("ViewDefinition/subject/$viewdefinition-run?_limit=-1", 400),
        ("ViewDefinition/subject/$viewdefinition-run?_since=2026-99", 400),
        ("ViewDefinition/subject/$viewdefinition-run?header=perhaps", 400),
        ("ViewDefinition/subject/$viewdefinition-run?patient=../x", 400),
        ("ViewDefinition/subject/$viewdefinition-run?group=nonsense", 404),
        ("ViewDefinition/subject/$viewdefinition-run?source=s3://x", 400),
    ],
)
def test_what_makes_no_sense_is_refused_in_fhir(registry: Registry, path: str, status: int) -> None:
    assert refusal(registry.ask(path))[0] == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (own("nonsense"), 422),
        (own("'a'.matches('(')"), 422),
        (own("name", resource="Nonsense"), 404),
        (own("id", resource="Condition"), 404),
        ({"resourceType": "ViewDefinition", "resource": "Patient"}, 422),
        ({"resourceType": "Patient"}, 422),
        ([], 422),
        ({"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": {}}]}, 400),
        (own("'" + "x" * 300_000 + "'"), 413),
    ],
)  # fmt: skip
def test_a_view_that_is_wrong_is_told_before_a_row_is_sent(registry: Registry, body: Any, status: int) -> None:
    assert refusal(posted(registry, body))[0] == status


def test_a_view_that_fails_on_some_resource_is_told_without_what_stood_there(registry: Registry) -> None:
    answer = posted(registry, own("meta.tag.code | meta.security.code"))
    assert refusal(answer)[0] == 422
    assert "several-values" in answer.text


def test_every_resource_that_made_rows_is_on_record(registry: Registry) -> None:
    found = rows(registry, "ViewDefinition/laboratory/$viewdefinition-run")
    accesses = [one for one in registry.recorded if one.operation == "viewdefinition-run"]
    assert sum(one.records for one in accesses) == len(registry.every("Observation?_count=1000"))
    assert {row["subject_key"] for row in found} <= {person for one in accesses for person in one.people}


def test_a_table_that_cannot_be_put_on_record_is_never_complete(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhirbridge.api.registry.viewdefinition_run.BATCH", 100)
    calls: list[int] = []

    def record(access: Access) -> None:
        if access.operation == "viewdefinition-run":
            calls.append(access.records)
            if len(calls) == 2:
                raise StoreError("the audit trail cannot be written.")

    registry = serve(record=record)
    assert registry.ask("ViewDefinition/laboratory/$viewdefinition-run").status_code == 503
