"""Acknowledgements, as the other side's parser reads them."""

from __future__ import annotations

import datetime as dt

import hl7
import pytest

from fhirbridge.records.hl7v2.acknowledgement import Answer, acknowledgement, answer_to, not_stored
from fhirbridge.records.hl7v2.reader import Reading, read
from tests.records.hl7v2.making import MSH, OBX, message, obx, oru

NOW = dt.datetime(2026, 3, 30, 4, 5, 6, tzinfo=dt.UTC)
ORM = oru(OBX, msh=MSH.replace("ORU^R01^ORU_R01", "ORM^O01"))
ADT = message(msh=MSH.replace("ORU^R01^ORU_R01", "ADT^A01"))


def written(reading: Reading, answer: Answer | None = None) -> hl7.Message:
    told = answer or answer_to(reading)
    assert told is not None
    return hl7.parse(acknowledgement(reading, told, now=NOW, control_id="A-1").decode(reading.codec))


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (oru(OBX), "AA"),
        (oru(OBX, obx(status="")), "AE"),
        (oru(obx(status="")), "AE"),
        (oru(OBX, "NTE|1|L|ü"), "AE"),
        (oru(OBX, "broken"), "AE"),
        (ADT, "AR"),
        (ORM, "AR"),
        (oru(OBX, msh=MSH.replace("2.5.1", "2.7")), "AR"),
        (oru(OBX, msh=MSH.replace("ORU^R01^ORU_R01", "ORU^R30")), "AR"),
        (b"GET / HTTP/1.1", "AR"),
        (message("MSA|AA|M-1", msh=MSH.replace("ORU^R01^ORU_R01", "ACK^R01^ACK")), None),
    ],
)
def test_content_decides_between_aa_ae_ar_and_silence(raw: bytes, answer: str | None) -> None:
    assert answer_to(read(raw)) == answer


def test_an_acknowledgement_repeats_the_control_id_and_turns_sender_and_receiver_round() -> None:
    ack = written(read(oru(OBX)))
    msh, msa = ack.segment("MSH"), ack.segment("MSA")
    assert [str(msh[n]) for n in (3, 4, 5, 6)] == ["FHIRBRIDGE", "STUDY", "LIS^1.2.3^ISO", "LAB"]
    assert [str(msh[n]) for n in (7, 9, 10, 11, 12)] == ["20260330040506+0000", "ACK^R01^ACK", "A-1", "P", "2.5.1"]
    assert [str(field) for field in msa] == ["MSA", "AA", "M-1"]
    assert len(ack) == 2


def test_from_2_5_on_errors_name_place_code_and_rule_and_no_value() -> None:
    ack = written(read(oru(obx(), obx("NM", "IU/mL", "10-100"), obx(status="?"))))
    first, second = ack.segments("ERR")
    assert [str(first[n]) for n in (2, 3, 4, 5)] == ["OBX^2^5", "102^Data type error^HL70357", "E", "shifted^^L"]
    assert str(first[7]) == "OBX-5 holds a unit where a value belongs"
    assert [str(second[n]) for n in (2, 3)] == ["OBX^3^11", "103^Table value not found^HL70357"]
    assert "IU/mL" not in str(ack)


def test_before_2_5_the_error_is_told_in_msa_and_the_older_form() -> None:
    ack = written(read(oru(obx(status=""), msh=MSH.replace("2.5.1", "2.3"))))
    assert str(ack.segment("MSA")[3]) == "OBX-11 is empty: the result has no status"
    assert str(ack.segment("ERR")[1]) == "OBX^1^11^103&Table value not found&HL70357"
    assert str(ack.segment("MSH")[12]) == "2.3"


def test_an_answer_stays_short_whatever_the_header_holds() -> None:
    raw = oru(OBX, msh=MSH.replace("M-1", "M" * 100_000).replace("|LAB|", f"|{'L' * 100_000}|"))
    assert len(acknowledgement(read(raw), "AA", now=NOW, control_id="A-1")) < 1_000


def test_many_errors_are_told_up_to_ten() -> None:
    assert len(written(read(oru(*[obx(status="")] * 30))).segments("ERR")) == 10


def test_what_is_no_message_is_answered_in_usual_form() -> None:
    ack = written(read(b"GET / HTTP/1.1\r\n"))
    assert [str(field) for field in ack.segment("MSA")] == ["MSA", "AR"]
    assert str(ack.segment("MSH")[9]) == "ACK"


def test_separators_character_set_and_processing_are_the_senders() -> None:
    msh = MSH.replace("|P|", "|T|") + "||||||GB 18030-2000"
    raw = oru(OBX, msh=msh.replace("|LAB|", "|检验科|")).decode().replace("^", "*").encode("gb18030")
    ack = written(read(raw))
    assert [str(ack.segment("MSH")[n]) for n in (6, 9, 11, 18)] == ["检验科", "ACK*R01*ACK", "T", "GB 18030-2000"]


def test_texts_are_escaped_for_the_separators_at_hand() -> None:
    raw = oru("OBX|1|SN|1^a^L||10|g/L|||||F").replace(b"&", b"-")
    ack = acknowledgement(read(raw), "AE", now=NOW, control_id="A-1")
    assert b"OBX\\T\\5 is not comparator \\S\\ number" in ack


def test_a_message_that_could_not_be_stored_is_told_so_and_nothing_else() -> None:
    ack = hl7.parse(not_stored(read(oru(OBX)), now=NOW, control_id="A-1").decode())
    assert [str(field) for field in ack.segment("MSA")] == ["MSA", "AE", "M-1"]
    assert str(ack.segment("ERR")[3]) == "207^Application internal error^HL70357"
