"""UTF-8 and GB18030 are read and named; what is neither is refused with the offset of the byte."""

from __future__ import annotations

import pytest

from fhirbridge.records.types import LaboratoryResult
from tests.records.source import Folder, text


@pytest.mark.parametrize(
    ("encoding", "name"), [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("gb18030", "gb18030"), ("gbk", "gb18030")]
)
def test_chinese_text_arrives_whatever_the_encoding(folder: Folder, encoding: str, name: str) -> None:
    folder.tables["laboratory"][0]["comment"] = "轻度溶血，复查"
    folder.write("laboratory", text(folder.tables["laboratory"]).encode(encoding))
    outcome = folder.read()
    result = next(record for record in outcome.records if isinstance(record, LaboratoryResult))
    assert result.comment == "轻度溶血，复查"
    assert outcome.tables["laboratory"].encoding == name
    assert not outcome.findings


def test_a_gb18030_file_with_its_byte_order_mark_is_read(folder: Folder) -> None:
    folder.tables["imaging"][0]["conclusion"] = "未见新发病灶"
    folder.write("imaging", ("\ufeff" + text(folder.tables["imaging"])).encode("gb18030"))
    assert folder.read().tables["imaging"].accepted == 2


def test_a_character_cut_by_the_end_of_a_chunk_is_read(folder: Folder) -> None:
    folder.tables["laboratory"][0]["comment"] = "溶血" * 1000
    rows = folder.tables["laboratory"][:1] * 1
    many = [{**rows[0], "result": f"C-{n}", "comment": "x" * (n % 3) + "溶血" * 500} for n in range(500)]
    folder.write("laboratory", text(many).encode("gb18030"))
    assert folder.read().tables["laboratory"].accepted == 500


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (text([{"result": "R-1"}]).encode("utf-16"), "UTF-16 or UTF-32 (byte order mark at byte 0)"),
        (text([{"result": "R-1"}]).encode("utf-32"), "UTF-16 or UTF-32 (byte order mark at byte 0)"),
        (text([{"result": "R-1"}]).encode("utf-16-le"), "NUL at byte 1"),
        (b"PK\x03\x04\x14\x00\x06\x00", "NUL at byte 5"),
        (b"result,comment\nR-1,\xe9\n", "neither UTF-8 (byte 19, counted from 0) nor GB18030 (byte 19)"),
        (b"result,comment\nR-1,M\xfcller\n", "probably in a Western encoding"),
        (b"x" * (1 << 20) + b"\xff\xff", "neither UTF-8 (byte 1048576, counted from 0) nor GB18030 (byte 1048576)"),
    ],
)
def test_another_encoding_is_refused_with_the_byte_and_the_other_tables_go_on(
    folder: Folder, content: bytes, said: str
) -> None:
    folder.write("laboratory", content)
    outcome = folder.read()
    assert said in outcome.errors()["laboratory"]
    assert "laboratory.csv" in outcome.errors()["laboratory"]
    assert "Save the file as CSV UTF-8" in outcome.errors()["laboratory"]
    assert outcome.tables["laboratory"].rows == 0
    assert [outcome.tables[name].accepted for name in ("subjects", "imaging", "lesions")] == [2, 2, 2]
