"""The character set by MSH-18 and by the bytes: read right, or refused; never other characters than were sent."""

from __future__ import annotations

import pytest

from fhirbridge.records.hl7v2.reader import read
from fhirbridge.records.hl7v2.types import Value
from tests.records.hl7v2.making import MSH, OBX, faults, obx, only, oru

CHINESE = "未检出"
GERMAN = "nicht nachweisbar, Größe üblich"
RUSSIAN = "не обнаружено"


def sent(text: str, named: str, codec: str, kind: str = "ST") -> bytes:
    """Return a message with this text as its value, MSH-18 as named, and encoded as told."""
    return oru(obx(kind, text, ""), msh=f"{MSH}||||||{named}").decode().encode(codec)


@pytest.mark.parametrize(
    ("text", "named", "codec"),
    [
        (CHINESE, "UNICODE UTF-8", "utf-8"),
        (CHINESE, "UTF-8", "utf-8"),
        (CHINESE, "UNICODE", "utf-8"),
        (CHINESE, "GB 18030-2000", "gb18030"),
        (CHINESE, "GB18030", "gb18030"),
        ("＜10，阴性", "GB 18030-2000", "gb18030"),
        (GERMAN, "8859/1", "latin-1"),
        (GERMAN, "UNICODE UTF-8", "utf-8"),
        (GERMAN, "UNICODE UTF-8~", "utf-8"),
        (RUSSIAN, "8859/5", "iso8859_5"),
        (RUSSIAN, "UNICODE UTF-8", "utf-8"),
        ("negativ", "ASCII", "ascii"),
        ("negativ", "", "ascii"),
        ("negativ", "8859/1", "ascii"),
    ],
)
def test_text_in_the_set_that_msh_18_names_is_read_as_written(text: str, named: str, codec: str) -> None:
    assert only(sent(text, named, codec)).value == Value("ST", ((text,),))


@pytest.mark.parametrize(
    ("text", "named", "codec"),
    [
        (CHINESE, "", "utf-8"),
        (CHINESE, "", "gb18030"),
        (CHINESE, '""', "utf-8"),
        (CHINESE, "ASCII", "utf-8"),
        (CHINESE, "UNICODE UTF-8", "gb18030"),
        (CHINESE, "GB 18030-2000", "utf-8"),
        (CHINESE, "8859/1", "utf-8"),
        ("阴性", "8859/1", "gbk"),
        (GERMAN, "UNICODE UTF-8", "latin-1"),
        (GERMAN, "8859/1", "utf-8"),
        (GERMAN, "GB 18030-2000", "latin-1"),
        (GERMAN, "", "latin-1"),
        ("10 – 20", "8859/1", "cp1252"),
        (RUSSIAN, "GB 18030-2000", "utf-8"),
        ("negativ", "BIG-5", "ascii"),
        ("negativ", "ISO IR87", "ascii"),
        ("negativ", "ASCII~ISO IR87", "ascii"),
        ("negativ", "UNICODE UTF-8", "utf-16"),
    ],
)
def test_a_wrong_missing_or_unknown_set_is_an_error(text: str, named: str, codec: str) -> None:
    if codec == "gbk" and named == "8859/1":
        text = "丂丄"  # bytes in the range that no 8859 set has
    reading = read(sent(text, named, codec))
    assert reading.message is None
    assert faults(reading) in ([("charset", "MSH-18")], [("not-hl7", "")])


def test_a_sender_who_never_fills_msh_18_can_be_taken_at_a_word_given_beforehand() -> None:
    assert only(sent(CHINESE, "", "utf-8"), assume="UNICODE UTF-8").value == Value("ST", ((CHINESE,),))
    assert only(sent(CHINESE, "", "gb18030"), assume="GB 18030-2000").value == Value("ST", ((CHINESE,),))
    assert faults(read(sent(CHINESE, "", "gb18030"), assume="UNICODE UTF-8")) == [("charset", "MSH-18")]
    assert only(sent(CHINESE, "GB18030", "gb18030"), assume="UNICODE UTF-8").value == Value("ST", ((CHINESE,),))


def test_a_byte_order_mark_says_utf_8() -> None:
    assert only(b"\xef\xbb\xbf" + sent(CHINESE, "", "utf-8")).value == Value("ST", ((CHINESE,),))
    assert faults(read(b"\xef\xbb\xbf" + sent(CHINESE, "GB18030", "utf-8"))) == [("charset", "MSH-18")]


def test_bytes_of_gb18030_that_look_like_separators_are_none() -> None:
    # The second bytes of the last four are 0x7C, 0x5E, 0x5C and 0x7E: | ^ \ ~.
    tricky = "鰘乗誠髜檤" + bytes([0xD5, 0x7C, 0xB5, 0x5E, 0xB5, 0x5C, 0xB5, 0x7E]).decode("gb18030")
    text = tricky + CHINESE * 20
    header = MSH.replace("|LAB|", f"|{tricky}|")
    found = read(oru(obx("ST", text, ""), msh=f"{header}||||||GB 18030-2000").decode().encode("gb18030")).message
    assert found is not None
    assert found.results[0][2].value == Value("ST", ((text,),))
    assert found.facility is not None
    assert found.facility.value == tricky


@pytest.mark.parametrize(
    ("escaped", "named", "text"),
    [
        ("\\XE69CAAE6A380E587BA\\", "UNICODE UTF-8", CHINESE),
        ("\\XCEB4BCECB3F6\\", "GB 18030-2000", CHINESE),
        ("\\XFC\\", "8859/1", "ü"),
        ("a\\X0D0A\\b", "ASCII", "a\nb"),
        ("\\F\\\\S\\\\T\\\\R\\\\E\\", "", "|^&~\\"),
        ("\\H\\high\\N\\", "", "high"),
        ("a\\.br\\b\\.sp+2\\c\\.sk3\\d\\.in+4\\", "", "a\nb\n\nc   d"),
    ],
)
def test_escape_sequences_are_resolved_in_the_messages_own_set(escaped: str, named: str, text: str) -> None:
    assert only(sent(escaped, named, "ascii")).value == Value("ST", ((text,),))


def test_escaped_bytes_of_another_set_are_an_error() -> None:
    assert faults(read(sent("\\XFC\\", "UNICODE UTF-8", "ascii"))) == [("escape", "OBX-5")]
    assert faults(read(sent("\\XFC\\", "", "ascii"))) == [("escape", "OBX-5")]


def test_a_refused_message_still_has_its_header_to_answer_by() -> None:
    reading = read(oru(OBX, "NTE|1|L|\xfc", msh=MSH))
    assert reading.header is not None
    assert reading.header.control_id == "M-1"
