"""Reading registry records: every kind of source, lazily, going on after a bad one."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fhirbridge.errors import Finding, InputError
from fhirbridge.records.ctgov import read
from fhirbridge.records.ctgov_record import RegistryRecord, leaves


def record(number: int = 1, **modules: Any) -> dict[str, Any]:
    identification = {"nctId": f"NCT{number:08}", "briefTitle": f"Study {number}"}
    status = {"overallStatus": "RECRUITING"}
    return {"protocolSection": {"identificationModule": identification, "statusModule": status, **modules}}


def lines(*records: object) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in records)


def numbers(found: Iterator[RegistryRecord | Finding]) -> list[str]:
    return [each.nct_id if isinstance(each, RegistryRecord) else "refused" for each in found]


def only_finding(path: Path) -> Finding:
    [found] = read(path)
    assert isinstance(found, Finding), found
    return found


def test_a_file_holds_one_record(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps(record()), encoding="utf-8")
    [found] = read(path)
    assert isinstance(found, RegistryRecord)
    assert (found.nct_id, found.file, found.line) == ("NCT00000001", str(path), None)
    assert found.protocol.identification.brief_title == "Study 1"


def test_a_byte_order_mark_is_no_part_of_the_record(tmp_path: Path) -> None:
    for name in ("one.json", "one.ndjson"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + json.dumps(record()).encode())
        assert numbers(read(tmp_path / name)) == ["NCT00000001"]


def test_a_page_of_the_api_and_an_array_hold_many(tmp_path: Path) -> None:
    (tmp_path / "page.json").write_text(
        json.dumps({"totalCount": 2, "studies": [record(1), record(2)], "nextPageToken": "x"}), encoding="utf-8"
    )
    (tmp_path / "array.json").write_text(json.dumps([record(1), {"no": "record"}, record(2)]), encoding="utf-8")
    assert numbers(read(tmp_path / "page.json")) == ["NCT00000001", "NCT00000002"]
    assert numbers(read(tmp_path / "array.json")) == ["NCT00000001", "refused", "NCT00000002"]


def test_reading_goes_on_after_a_bad_line_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl.gz"
    path.write_bytes(gzip.compress(lines(record(1), record(2)) + b'{"protocolSection": {"ident\n\n' + lines(record(3))))
    found = list(read(path))
    assert numbers(iter(found)) == ["NCT00000001", "NCT00000002", "refused", "NCT00000003"]
    bad = found[2]
    assert isinstance(bad, Finding)
    assert (bad.file, bad.line, bad.rule) == (str(path), 3, "JSON")
    last = found[3]
    assert isinstance(last, RegistryRecord)
    assert last.line == 5


def test_a_line_that_is_not_utf_8_is_refused_alone(tmp_path: Path) -> None:
    path = tmp_path / "many.ndjson"
    path.write_bytes(lines(record(1)) + '{"protocolSection": "é"}\n'.encode("latin-1") + lines(record(2)))
    assert numbers(read(path)) == ["NCT00000001", "refused", "NCT00000002"]


def test_a_file_that_breaks_off_gives_what_stands_before(tmp_path: Path) -> None:
    path = tmp_path / "many.ndjson.gz"
    whole = gzip.compress(lines(*(record(n) for n in range(1, 2000))))
    path.write_bytes(whole[: len(whole) // 2])
    *before, last = read(path)
    assert before
    assert isinstance(last, Finding)
    assert last.rule == "a readable file"


def test_what_is_called_gz_and_is_not_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.json.gz").write_text("{}", encoding="utf-8")
    assert only_finding(tmp_path / "one.json.gz").rule == "a readable file"


def test_a_folder_is_read_by_name_and_nothing_else_in_it(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(json.dumps(record(2)), encoding="utf-8")
    (tmp_path / "a.NDJSON").write_bytes(lines(record(1)))
    (tmp_path / "c.json.gz").write_bytes(gzip.compress(json.dumps(record(3)).encode()))
    (tmp_path / "notes.md").write_text("no record", encoding="utf-8")
    assert numbers(read(tmp_path)) == ["NCT00000001", "NCT00000002", "NCT00000003"]


def test_a_missing_path_and_a_folder_without_records_are_unusable(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file or folder"):
        list(read(tmp_path / "none.json"))
    with pytest.raises(InputError, match="holds no registry records"):
        list(read(tmp_path))


@pytest.mark.parametrize("text", [b"", b"  \n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_said_to_be_empty(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "one.json").write_bytes(text)
    assert "empty" in only_finding(tmp_path / "one.json").message


def test_lines_under_the_name_of_a_record_are_told_to_be_renamed(tmp_path: Path) -> None:
    (tmp_path / "many.json").write_bytes(lines(record(1), record(2)))
    assert "NDJSON must end in .ndjson" in only_finding(tmp_path / "many.json").message


def test_json_nested_too_deep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.ndjson").write_bytes(b"[" * 100_000 + b"\n" + lines(record(1)))
    (tmp_path / "deep.json").write_bytes(b'{"studies": ' + b"[" * 100_000)
    assert numbers(read(tmp_path / "deep.ndjson")) == ["refused", "NCT00000001"]
    assert numbers(read(tmp_path / "deep.json")) == ["refused"]


def test_a_study_read_before_is_refused_and_the_first_kept(tmp_path: Path) -> None:
    path = tmp_path / "many.ndjson"
    path.write_bytes(lines(record(1), record(2), record(1)))
    *_, second = read(path)
    assert isinstance(second, Finding)
    assert (second.record, second.line) == ("NCT00000001", 3)
    assert f"{path}:1" in second.message


def test_two_sources_are_one_run(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.ndjson"
    first.write_text(json.dumps(record(1)), encoding="utf-8")
    second.write_bytes(lines(record(2), record(1)))
    assert numbers(read(first, second)) == ["NCT00000001", "NCT00000002", "refused"]
    with pytest.raises(InputError, match="no file or folder"):
        next(read(first, tmp_path / "none.json"))


def test_thousands_of_records_need_no_more_memory_than_a_few(tmp_path: Path) -> None:
    path = tmp_path / "thousands.jsonl.gz"
    text = {"briefSummary": "word " * 2000}
    with gzip.open(path, "wb", compresslevel=1) as file:
        for number in range(1, 5001):
            file.write(lines(record(number, descriptionModule=text)))
    tracemalloc.start()
    assert sum(isinstance(each, RegistryRecord) for each in read(path)) == 5000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000, f"{peak} bytes for records of 50,000,000"


def test_numbers_keep_their_digits(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    text = json.dumps(record(contactsLocationsModule={"locations": [{"geoPoint": {"lat": "LAT", "lon": 18}}]}))
    path.write_text(text.replace('"LAT"', "49.8300"), encoding="utf-8")
    [found] = read(path)
    assert isinstance(found, RegistryRecord)
    point = found.protocol.contacts.locations[0].geo_point
    assert point is not None
    assert (str(point.lat), point.lon) == ("49.8300", Decimal(18))


@pytest.mark.shared
def test_the_real_records_are_read_whole_and_what_is_no_record_is_refused(shared: Path) -> None:
    found = list(read(shared / "data" / "1_ctgov"))
    records = [each for each in found if isinstance(each, RegistryRecord)]
    assert [each.nct_id for each in records] == [
        "NCT03198546", "NCT04207047", "NCT06171568", "NCT06777628", "NCT07362693"
    ]  # fmt: skip
    assert all(len(list(leaves(each.raw))) > 100 for each in records)
    [other] = [each for each in found if isinstance(each, Finding)]
    assert "a FHIR resource" in other.message
