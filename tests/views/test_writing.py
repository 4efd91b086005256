"""Tables as CSV, NDJSON, JSON and Parquet: what a reader of each finds, and that files are whole or not there."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirbridge import fhirjson
from fhirbridge.errors import ConfigurationError, InputError, Refused, Resource
from fhirbridge.validation.node import Model
from fhirbridge.views.exporting import export, stream
from fhirbridge.views.faults import ViewError
from fhirbridge.views.view import View
from fhirbridge.views.writing import FORMULA, Format, harmless

COLUMNS = [
    {"name": "id", "path": "id", "type": "id"},
    {"name": "value", "path": "value.ofType(Quantity).value", "type": "decimal"},
    {"name": "count", "path": "component.count()", "type": "integer"},
    {"name": "final", "path": "status = 'final'", "type": "boolean"},
    {"name": "text", "path": "code.text", "type": "string"},
    {"name": "notes", "path": "note.text", "type": "string", "collection": True},
    {"name": "code", "path": "code", "type": "CodeableConcept"},
]
VIEW = {"name": "results", "resource": "Observation", "select": [{"column": COLUMNS}]}


def result(id: str, text: str, value: str | None = None, **more: Any) -> Resource:
    quantity = {} if value is None else {"valueQuantity": {"value": Decimal(value)}}
    return {"resourceType": "Observation", "id": id, "status": "final", "code": {"text": text}, **quantity, **more}


RESULTS = [
    result("a", 'say "hi",\r\nnow', "5.50", note=[{"text": "=1+1"}]),
    result("b", "=cmd|' /C calc'!A0", status="amended"),
]


@pytest.fixture
def view(model: Model) -> View:
    return View.of(VIEW, model)


def whole(view: View, format_: Format, *resources: Resource) -> bytes:
    return b"".join(stream(view, resources, format_))


def test_csv_is_rfc_4180_with_a_header_and_digits_as_they_came(view: View) -> None:
    written = whole(view, "csv", *RESULTS)
    assert written.startswith(b"id,value,count,final,text,notes,code\r\n")
    assert written.endswith(b"\r\n")
    first, second = list(csv.DictReader(io.StringIO(written.decode(), newline="")))
    assert (first["value"], first["count"], first["final"], first["text"]) == ("5.50", "0", "true", 'say "hi",\r\nnow')
    assert (first["notes"], json.loads(first["code"])) == ('["=1+1"]', {"text": 'say "hi",\r\nnow'})
    assert (second["value"], second["final"], second["notes"]) == ("", "false", "[]")


def test_a_text_that_a_spreadsheet_would_run_is_made_harmless_in_csv_alone(view: View) -> None:
    (row,) = csv.DictReader(io.StringIO(whole(view, "csv", RESULTS[1]).decode(), newline=""))
    assert row["text"] == "'=cmd|' /C calc'!A0"
    assert json.loads(whole(view, "ndjson", RESULTS[1]))["text"] == "=cmd|' /C calc'!A0"


def test_a_negative_number_is_a_number_in_csv(view: View) -> None:
    (row,) = csv.DictReader(io.StringIO(whole(view, "csv", result("a", "x", "-1.0")).decode(), newline=""))
    assert row["value"] == "-1.0"


@given(text=st.text(min_size=1) | st.builds(str.__add__, st.sampled_from([*FORMULA, "'"]), st.text()))
def test_a_harmless_text_can_be_read_back_whatever_it_was(text: str) -> None:
    shown = harmless(text)
    assert not shown.startswith(FORMULA)
    assert (shown[1:] if shown.startswith("'") else shown) == text


def test_ndjson_has_every_column_in_every_line_and_json_is_a_list_of_the_same(view: View) -> None:
    lines = [fhirjson.loads(line) for line in whole(view, "ndjson", *RESULTS).splitlines()]
    assert [list(line) for line in lines] == [[column["name"] for column in COLUMNS]] * 2
    assert (str(lines[0]["value"]), lines[1]["value"], lines[0]["notes"]) == ("5.50", None, ["=1+1"])
    assert fhirjson.loads(whole(view, "json", *RESULTS)) == lines
    assert fhirjson.loads(whole(view, "json")) == []


def test_parquet_has_types_and_exact_decimals(view: View) -> None:
    table = pyarrow.parquet.read_table(io.BytesIO(whole(view, "parquet", *RESULTS)))
    types = ["string", "decimal128(38, 15)", "int64", "bool", "string", "list<element: string>", "string"]
    assert [str(field.type) for field in table.schema] == types
    first, second = table.to_pylist()
    assert (first["value"], first["count"], first["final"], first["notes"]) == (Decimal("5.5"), 0, True, ["=1+1"])
    assert (second["value"], second["text"], json.loads(second["code"])) == (
        None,
        RESULTS[1]["code"]["text"],
        RESULTS[1]["code"],
    )
    large = whole(view, "parquet", result("a", "x", "1.7E+8"))
    assert pyarrow.parquet.read_table(io.BytesIO(large)).to_pylist()[0]["value"] == 170_000_000
    assert pyarrow.parquet.read_table(io.BytesIO(whole(view, "parquet"))).num_rows == 0


def test_parquet_refuses_to_round_and_says_what_to_do(view: View) -> None:
    with pytest.raises(ViewError, match=r"column value: .*does not fit.*csv or ndjson"):
        whole(view, "parquet", result("a", "x", "0.1234567890123456"))


def test_without_pyarrow_the_way_to_it_is_told_before_anything_is_read(
    view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'fhirbridge\[parquet\]'"):
        whole(view, "parquet", *RESULTS)


@pytest.mark.parametrize("format_", ["csv", "ndjson", "parquet"])
def test_a_stream_comes_in_parts_while_resources_are_read(model: Model, format_: Format) -> None:
    view = View.of({"name": "texts", "resource": "Observation", "select": [{"column": [COLUMNS[4]]}]}, model)
    read = 0

    def many() -> Iterator[Resource]:
        nonlocal read
        for number in range(25_000):
            read = number + 1
            yield result(str(number), f"a text that is not short {number}")

    parts = stream(view, many(), format_)
    first = next(parts)
    assert 0 < read < 25_000
    rest = b"".join(parts)
    assert len(first) < len(rest)
    assert read == 25_000
    if format_ == "parquet":
        assert pyarrow.parquet.ParquetFile(io.BytesIO(first + rest)).metadata.num_row_groups == 3
    else:
        assert (first + rest).count(b"\n") == 25_000 + (format_ == "csv")


def test_a_stream_can_be_limited_to_some_rows_and_then_reads_no_further(view: View) -> None:
    left = iter([*RESULTS, *RESULTS])
    assert b"".join(stream(view, left, "ndjson", limit=1)).count(b"\n") == 1
    assert len(list(left)) == 3
    assert b"".join(stream(view, RESULTS, "csv", limit=0)).count(b"\r\n") == 1


def nothing_more() -> None:
    pass


def test_an_export_writes_each_view_once_over_in_one_pass_and_replaces_what_was_there(
    model: Model, view: View, tmp_path: Path
) -> None:
    people = View.of({"name": "people", "resource": "Patient", "select": [{"column": [COLUMNS[0]]}]}, model)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "people.csv").write_text("old", encoding="utf-8")
    once = iter([*RESULTS, {"resourceType": "Patient", "id": "p"}])
    written = export(once, [view, people], tmp_path / "out", "csv", ready=nothing_more)
    assert [(one.view, one.resources, one.rows, one.path.name) for one in written] == [
        ("results", 2, 2, "results.csv"),
        ("people", 1, 1, "people.csv"),
    ]
    assert (tmp_path / "out" / "people.csv").read_bytes() == b"id\r\np\r\n"
    assert [one.bytes for one in written] == [one.path.stat().st_size for one in written]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o600}


@pytest.mark.parametrize("format_", ["csv", "ndjson", "parquet"])
def test_an_export_that_fails_leaves_the_folder_as_it_was(view: View, tmp_path: Path, format_: Format) -> None:
    before = tmp_path / f"results.{format_}"
    before.write_bytes(b"before")

    def broken() -> Iterator[Resource]:
        yield RESULTS[0]
        yield RESULTS[0] | {"code": [{"text": "a"}, {"text": "b"}]}

    with pytest.raises(ViewError, match=r"Observation/a: .*several-values"):
        export(broken(), [view], tmp_path, format_, ready=nothing_more)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(before.name, b"before")]


def test_the_caller_has_the_last_word_before_files_appear(view: View, tmp_path: Path) -> None:
    def no() -> None:
        raise Refused("somebody withdrew")

    with pytest.raises(Refused):
        export(RESULTS, [view], tmp_path, "csv", ready=no)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(view: View, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be written"):
        export(RESULTS, [view], tmp_path / "file", "csv", ready=nothing_more)
    (tmp_path / "results.csv").mkdir()
    with pytest.raises(InputError, match="is there and is no file"):
        export(RESULTS, [view], tmp_path, "csv", ready=nothing_more)
    assert list((tmp_path / "results.csv").iterdir()) == []
