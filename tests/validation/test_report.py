"""Reading files to validate: what may be given, what cannot be read, and where findings stand."""

from __future__ import annotations

import gzip
import io
import json
import random
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from fhirbridge import fhirjson
from fhirbridge.errors import ProfileError
from fhirbridge.validation import Validator
from fhirbridge.validation.places import places
from fhirbridge.validation.report import Asked, FileOutcome, validate_paths
from tests.validation.building import OBSERVATION, PATIENT, element, profile


def run(validator: Validator, *paths: Path | str, asked: Asked | None = None) -> list[FileOutcome]:
    return list(validate_paths(validator, paths, asked))


def test_files_folders_and_patterns_are_read(plain: Validator, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "a.json").write_bytes(fhirjson.dumps(OBSERVATION))
    (tmp_path / "sub" / "b.ndjson").write_bytes(fhirjson.dumps(PATIENT) + b"\n\n" + fhirjson.dumps(OBSERVATION) + b"\n")
    found = run(plain, tmp_path)
    assert [(Path(o.file).name, o.line, o.label, o.is_valid) for o in found] == [
        ("a.json", None, "Observation/o-1", True),
        ("b.ndjson", 1, "Patient/p-1", True),
        ("b.ndjson", 3, "Observation/o-1", True),
    ]
    assert len(run(plain, str(tmp_path / "**" / "a*.json"))) == 1


def test_compressed_files_are_read_too(plain: Validator, tmp_path: Path) -> None:
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(fhirjson.dumps(PATIENT)))
    (tmp_path / "b.ndjson.gz").write_bytes(gzip.compress(fhirjson.dumps(PATIENT) + b"\n" + fhirjson.dumps(PATIENT)))
    assert [(o.line, o.is_valid) for o in run(plain, tmp_path)] == [(None, True), (1, True), (2, True)]


def test_a_compressed_file_that_is_cut_short_says_so(plain: Validator, tmp_path: Path) -> None:
    (tmp_path / "b.ndjson.gz").write_bytes(gzip.compress((fhirjson.dumps(PATIENT) + b"\n") * 10)[:-12])
    (tmp_path / "c.json.gz").write_bytes(b"{}")
    *_, cut, none = run(plain, tmp_path)
    assert "b.ndjson.gz: not a whole gzip file" in str(cut.error)
    assert "c.json.gz: not a whole gzip file" in str(none.error)


def pack(file: Path, **members: bytes) -> None:
    with tarfile.open(file, "w:gz") as archive:
        for name, content in members.items():
            about = tarfile.TarInfo("package/" + name.replace("_", "."))
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))


def test_a_package_is_read_without_being_unpacked(plain: Validator, tmp_path: Path) -> None:
    two = fhirjson.dumps(PATIENT) + b"\n{\n"
    pack(tmp_path / "p.tgz", package_json=b"{}", a_json=fhirjson.dumps(OBSERVATION), b_ndjson=two, readme_md=b"hi")
    found = run(plain, tmp_path / "p.tgz")
    assert [(o.place.removeprefix(f"{tmp_path}/"), o.is_valid) for o in found] == [
        ("p.tgz/package/a.json", True),
        ("p.tgz/package/b.ndjson:1", True),
        ("p.tgz/package/b.ndjson:2", False),
    ]
    assert str(found[-1].error).startswith(f"{tmp_path}/p.tgz/package/b.ndjson:2: not JSON")


def test_a_package_that_is_cut_short_or_holds_nothing_says_so(plain: Validator, tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(50_000).hex()
    pack(tmp_path / "p.tgz", a_json=fhirjson.dumps(PATIENT), b_json=fhirjson.dumps({**PATIENT, "id": noise}))
    (tmp_path / "cut.tgz").write_bytes((tmp_path / "p.tgz").read_bytes()[:20_000])
    (tmp_path / "none.tgz").write_bytes(b"{}")
    pack(tmp_path / "bare.tgz", readme_md=b"hi")
    whole, cut, none, bare = run(plain, *(tmp_path / name for name in ("cut.tgz", "none.tgz", "bare.tgz")))
    assert whole.is_valid
    assert "cut.tgz: not a whole" in str(cut.error)
    assert "none.tgz: not a whole" in str(none.error)
    assert "bare.tgz: the package holds no .json" in str(bare.error)


def test_nothing_on_standard_input_says_so(plain: Validator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO()))
    assert "nothing came on standard input" in str(run(plain, "-")[0].error)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (json.dumps(PATIENT, indent=2), [None]),
        (json.dumps(PATIENT), [None]),
        (json.dumps(PATIENT) + "\n\n" + json.dumps(PATIENT) + "\n", [1, 2]),
    ],
)
def test_standard_input_is_json_or_ndjson_as_it_looks(
    plain: Validator, monkeypatch: pytest.MonkeyPatch, text: str, lines: list[int | None]
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    assert [(o.line, o.is_valid) for o in run(plain, "-")] == [(line, True) for line in lines]


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
    assert found.outcome["issue"][0]["severity"] == "fatal"


def test_broken_json_names_line_and_column(plain: Validator, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"resourceType": "Patient",\n "active" true}')
    (found,) = run(plain, tmp_path / "x.json")
    assert "x.json:2: not JSON" in str(found.error)
    assert "(line 2, column 11)" in str(found.error)


def test_ndjson_that_is_called_json_says_what_to_do(plain: Validator, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"resourceType": "Patient"}\n{"resourceType": "Patient"}\n')
    assert "call the file .ndjson" in str(run(plain, tmp_path / "x.json")[0].error)


def test_a_byte_order_mark_is_forgiven(plain: Validator, tmp_path: Path) -> None:
    for name in ("x.json", "x.ndjson"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + fhirjson.dumps(PATIENT))
    assert [o.is_valid for o in run(plain, tmp_path)] == [True, True]


def test_an_empty_folder_is_said(plain: Validator, tmp_path: Path) -> None:
    (found,) = run(plain, tmp_path)
    assert "holds no" in str(found.error)


def test_a_key_that_comes_twice_is_an_error_with_its_path_and_lines(plain: Validator, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"resourceType": "Patient",\n"name": [{"family": "A",\n"family": "B"}]}')
    (tmp_path / "y.ndjson").write_text('{"resourceType": "Patient"}\n{"resourceType": "Patient", "id": "a", "id": "b"}')
    one, two, three = run(plain, tmp_path)
    issue = next(issue for issue in one.issues if issue.rule == "duplicate-key")
    assert issue.path == "Patient.name[0].family"
    assert "in lines 2 and 3" in issue.text
    assert (two.is_valid, three.is_valid) == (True, False)
    assert (three.line, [i.path for i in three.issues if i.severity == "error"]) == (2, ["Patient.id"])


def test_a_finding_has_the_line_of_its_element_or_of_the_nearest_above(plain: Validator, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps({**OBSERVATION, "status": "done", "component": [{}, {}]}, indent=1))
    (found,) = run(plain, tmp_path / "x.json")
    text = (tmp_path / "x.json").read_text().splitlines()
    shown = {issue.path: text[found.line_of(issue) - 1].strip() for issue in found.issues if issue.severity == "error"}
    assert shown["Observation.status"] == '"status": "done",'
    assert shown["Observation.component[1]"] == "{}"


def test_places_end_at_what_is_there() -> None:
    found = places(b'{"a":\n[{"b": "x\\"y,{"},\n{"b": [1,\n"z"]}]}')
    assert found.line("X.a[0].b") == 2
    assert found.line("X.a[1].b[1]") == 4
    assert found.line("X.a[1].b[7].c.d") == 3
    assert found.line("X..") == found.line("X.nothing.at('all')") == found.line("X") == 1


def test_each_entry_of_a_bundle_is_named(plain: Validator, tmp_path: Path) -> None:
    entries = [{"fullUrl": f"https://x.test/{r['resourceType']}/{r['id']}", "resource": r}
               for r in (PATIENT, {**OBSERVATION, "status": "done"})]  # fmt: skip
    bundle = {"resourceType": "Bundle", "id": "b", "type": "collection", "entry": entries}
    (tmp_path / "x.json").write_bytes(fhirjson.dumps(bundle))
    (found,) = run(plain, tmp_path / "x.json")
    assert {found.name_of(i) for i in found.issues if i.severity == "error"} == {"Bundle/b entry[1] Observation/o-1"}


def test_a_profile_that_is_not_loaded_stops_before_anything_is_read(plain: Validator, tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="not loaded"):
        validate_paths(plain, [tmp_path / "none.json"], Asked(["https://x.test/none"]))


def test_a_broken_profile_in_meta_is_told_with_file_and_line_and_the_rest_goes_on(
    compiled: Path, tmp_path: Path
) -> None:
    broken = profile("broken", "Patient", element("Patient.nothing", max="0"))
    lines = [{**PATIENT, "meta": {"profile": [broken["url"]]}}, PATIENT]
    (tmp_path / "x.ndjson").write_bytes(b"\n".join(fhirjson.dumps(line) for line in lines))
    for errors_only in (False, True):
        asked = Asked(errors_only=errors_only)
        one, two = run(Validator.load([broken], cache=compiled), tmp_path / "x.ndjson", asked=asked)
        assert "x.ndjson:1: " in str(one.error)
        assert "Patient.nothing" in str(one.error)
        assert two.is_valid


def test_errors_only_finds_the_same_errors_and_no_warnings(plain: Validator, tmp_path: Path) -> None:
    lines = [OBSERVATION, {**OBSERVATION, "status": "done", "note": [{"text": "x "}]}]
    (tmp_path / "x.ndjson").write_bytes(b"\n".join(fhirjson.dumps(line) for line in lines))
    every, errors = run(plain, tmp_path / "x.ndjson"), run(plain, tmp_path / "x.ndjson", asked=Asked(errors_only=True))
    assert [[i for i in o.issues if i.severity == "error"] for o in every] == [list(o.issues) for o in errors]
    assert any(i.severity == "warning" for o in every for i in o.issues)
