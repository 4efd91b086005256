"""Files of messages: however they are put together, each message is read once and nothing is lost silently."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhirbridge.errors import InputError
from fhirbridge.records.hl7v2.files import MOST_MESSAGES, Contents, read_bytes, read_file
from fhirbridge.records.hl7v2.framing import END, START, framed
from tests.records.hl7v2.making import MSH, OBX, obx, oru

ONE, TWO = oru(OBX), oru(obx(), obx(number=2), msh=MSH.replace("M-1", "M-2"))
FHS, BHS = b"FHS|^~\\&|LIS\r", b"BHS|^~\\&|LIS\r"


def ids(contents: Contents) -> list[str]:
    return [reading.message.control_id for reading in contents.readings if reading.message]


def rules(contents: Contents) -> list[str]:
    return [fault.rule for fault in contents.faults]


@pytest.mark.parametrize(
    "data",
    [
        ONE + TWO,
        ONE + b"\r\r" + TWO,
        (ONE + TWO).replace(b"\r", b"\n"),
        (ONE + TWO).replace(b"\r", b"\r\n"),
        framed(ONE) + framed(TWO),
        framed(ONE) + b"\r\n" + framed(TWO) + b"\n",
        framed(ONE + TWO),
        START + ONE + END + START + TWO + END,
        BHS + ONE + TWO + b"BTS|2\r",
        FHS + BHS + ONE + b"BTS|1\r" + BHS + TWO + b"BTS|1\rFTS|2\r",
        FHS + BHS + ONE + TWO + b"BTS\rFTS\r",
        FHS + ONE + TWO + b"FTS|2\r",
        b"\xef\xbb\xbf" + FHS + BHS + ONE + TWO + b"BTS|2\rFTS|1",
        framed(FHS + BHS + ONE + TWO + b"BTS|2\rFTS|1\r"),
    ],
)
def test_every_message_of_a_file_is_read(data: bytes) -> None:
    contents = read_bytes(data)
    assert ids(contents) == ["M-1", "M-2"]
    assert contents.faults == ()
    assert [len(reading.message.results) for reading in contents.readings if reading.message] == [1, 2]


@pytest.mark.parametrize(
    ("data", "rule", "found"),
    [
        (BHS + ONE + b"BTS|2\r", "count", ["M-1"]),
        (BHS + ONE + TWO, "cut", ["M-1", "M-2"]),
        (FHS + BHS + ONE + b"BTS|1\r", "cut", ["M-1"]),
        (FHS + BHS + ONE + b"BTS|1\rFTS|2\r", "count", ["M-1"]),
        (BHS + BHS + ONE + b"BTS|1\r", "cut", ["M-1"]),
        (b"some words\r" + ONE, "not-hl7", ["M-1"]),
        (BHS + b"OBX|1|NM|x\r" + ONE + b"BTS|1\r", "not-hl7", ["M-1"]),
        (framed(ONE) + b"noise" + framed(TWO), "not-hl7", ["M-1", "M-2"]),
        (framed(ONE) + START + TWO, "cut", ["M-1"]),
        (START + ONE[:80] + framed(TWO), "cut", ["M-2"]),
        (b"words only", "not-hl7", []),
        (b"{}", "not-hl7", []),
    ],
)
def test_what_is_wrong_with_the_file_is_told_and_its_whole_messages_are_read(
    data: bytes, rule: str, found: list[str]
) -> None:
    contents = read_bytes(data)
    assert rules(contents) == [rule]
    assert ids(contents) == found


def test_a_file_of_nothing_but_headers_is_refused_before_it_fills_the_memory() -> None:
    contents = read_bytes(b"MSH|\r" * (MOST_MESSAGES + 1))
    assert (contents.readings, rules(contents)) == ((), ["too-many-parts"])


@pytest.mark.parametrize(("count", "told"), [(b"1", []), (b"001", []), (b"9" * 5000, ["count"]), (b"0", ["count"])])
def test_a_trailers_count_is_compared_however_it_is_written(count: bytes, told: list[str]) -> None:
    assert rules(read_bytes(BHS + ONE + b"BTS|" + count + b"\r")) == told


def test_one_bad_message_does_not_stop_the_others() -> None:
    contents = read_bytes(ONE + oru("OBX|1|NM|x", "broken") + TWO)
    assert ids(contents) == ["M-1", "M-2"]
    assert [reading.outcome for reading in contents.readings] == ["accepted", "refused", "accepted"]


def test_a_file_is_read_from_its_path_and_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "results.hl7"
    file.write_bytes(ONE)
    assert ids(read_file(file)) == ["M-1"]
    file.write_bytes(b"\r\n")
    with pytest.raises(InputError, match=r"results\.hl7 is empty"):
        read_file(file)
    with pytest.raises(InputError, match=r"none\.hl7 cannot be read"):
        read_file(tmp_path / "none.hl7")
