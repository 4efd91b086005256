"""Reading files to validate, and the table of what was found."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from fhirbridge import fhirjson
from fhirbridge.validation import Validator
from fhirbridge.validation.report import FileOutcome, table, validate_paths
from tests.validation.building import OBSERVATION, PATIENT


def run(validator: Validator, *paths: Path | str) -> list[FileOutcome]:
    return list(validate_paths(validator, paths))


def test_files_folders_and_patterns_are_read(plain: Validator, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.json").write_bytes(fhirjson.dumps(OBSERVATION))
    (tmp_path / "sub" / "b.ndjson").write_bytes(fhirjson.dumps(PATIENT) + b"\n\n" + fhirjson.dumps(OBSERVATION) + b"\n")
    found = run(plain, tmp_path)
    assert [(Path(o.file).name, o.line, o.label, o.is_valid) for o in found] == [
        ("a.json", None, "Observation/o-1", True),
        ("b.ndjson", 1, "Patient/p-1", True),
        ("b.ndjson", 3, "Observation/o-1", True),
    ]
    assert len(run(plain, str(tmp_path / "**" / "*.json"))) == 1


def test_what_cannot_be_read_does_not_stop_the_rest(plain: Validator, tmp_path: Path) -> None:
    lines = [fhirjson.dumps(PATIENT), b"{broken", b"[]", b'{"a": 1}', b"\xff\xfe", fhirjson.dumps(PATIENT)]
    (tmp_path / "x.ndjson").write_bytes(b"\n".join(lines))
    found = run(plain, tmp_path / "x.ndjson", tmp_path / "none.json", tmp_path / "*.xml")
    assert [o.is_valid for o in found] == [True, False, False, False, False, True, False, False]
    assert all(o.error is not None and o.place.split(":")[0] in str(o.error) for o in found if not o.is_valid)
    assert str(tmp_path / "x.ndjson") + ":2" in str(found[1].error)


@pytest.mark.parametrize("content", [b"", b"  \n", b"\xef\xbb\xbf", b"nonsense", b"[" * 5000 + b"]" * 5000])
def test_a_file_that_is_no_resource_says_why(plain: Validator, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    (found,) = run(plain, tmp_path / "x.json")
    assert found.error is not None
    assert "x.json" in str(found.error)


def test_a_byte_order_mark_is_forgiven(plain: Validator, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\xef\xbb\xbf" + fhirjson.dumps(PATIENT))
    assert [o.is_valid for o in run(plain, tmp_path / "x.json")] == [True]


def test_an_empty_folder_is_said(plain: Validator, tmp_path: Path) -> None:
    (found,) = run(plain, tmp_path)
    assert "holds no" in str(found.error)


def test_the_table_begins_with_what_is_wrong(plain: Validator, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(fhirjson.dumps(PATIENT))
    (tmp_path / "b.json").write_bytes(fhirjson.dumps({**OBSERVATION, "status": "done"}))
    (tmp_path / "c.json").write_bytes(b"{")
    console = Console(file=io.StringIO(), width=200)
    console.print(table(run(plain, tmp_path), limit=3))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.index("fatal") < text.index("Observation.status")
    assert "… and" in text
