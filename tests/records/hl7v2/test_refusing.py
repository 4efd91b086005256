"""What is refused or set aside, by which rule, and that the reasons name places and no values."""

from __future__ import annotations

import pytest

from fhirbridge.records.hl7v2 import segments
from fhirbridge.records.hl7v2.reader import LONGEST, read
from tests.records.hl7v2.making import MSH, OBR, OBX, PID, faults, message, obx, oru


@pytest.mark.parametrize(
    ("segment", "rule", "place"),
    [
        (obx("NM", "IU/mL", "10-100"), "shifted", "OBX-5"),
        (obx("NM", "copies/ml", ""), "shifted", "OBX-5"),
        (obx("ST", "IU/mL", "10-100"), "shifted", "OBX-5"),
        (obx("NM", "10*9/L", ""), "shifted", "OBX-5"),
        (obx("NM", "", "1234"), "shifted", "OBX-6"),
        (obx("NM", "5", "3.5-5.1"), "shifted", "OBX-6"),
        ("OBX|1|NM|1^a^L||5|g/L|IU/mL||||F", "shifted", "OBX-7"),
        (obx("", "1234"), "value-type", "OBX-2"),
        (obx("XY", "1234"), "value-type", "OBX-2"),
        (obx("42595-9", "1234"), "value-type", "OBX-2"),
        (obx("NM", "12^34"), "value-parts", "OBX-5"),
        (obx("NM", "12~34"), "value-parts", "OBX-5"),
        (obx("SN", "10"), "value-parts", "OBX-5"),
        (obx("SN", "<10"), "value-parts", "OBX-5"),
        (obx("SN", "<^"), "value-parts", "OBX-5"),
        (obx("SN", "^1^x^2"), "value-parts", "OBX-5"),
        (obx("SN", "^1^-^b"), "value-parts", "OBX-5"),
        (obx(status=""), "status", "OBX-11"),
        (obx(status="Q"), "status", "OBX-11"),
        (obx(status="1234"), "status", "OBX-11"),
        ("OBX|1|NM|42595-9^HBV DNA^LN||12", "status", "OBX-11"),
        ("OBX|1|NM|42595-9^HB", "status", "OBX-11"),
        ("OBX|1|NM|||1234|g/L|||||F", "required", "OBX-3"),
        ("OBX", "required", "OBX-3"),
        (OBX.replace("20260330081000", "2026033"), "time", "OBX-14"),
        (OBX.replace("20260330081000", "20260230081000"), "time", "OBX-14"),
        (obx("ST", "50\\% of"), "escape", "OBX-5"),
        (obx("ST", "50\\Q\\"), "escape", "OBX-5"),
        (obx("ST", "\\X0G\\"), "escape", "OBX-5"),
        (obx("ST", "\\X00\\"), "escape", "OBX-5"),
        (obx("ST", "\\C2842\\"), "escape", "OBX-5"),
    ],
)
def test_a_faulty_result_is_set_aside_and_the_others_are_kept(segment: str, rule: str, place: str) -> None:
    reading = read(oru(obx(number=1), segment, obx(number=3)))
    assert faults(reading) == [(rule, place)]
    assert reading.outcome == "accepted"
    assert reading.message is not None
    assert [result.set_id for _, _, result in reading.message.results] == ["1", "3"]
    alone = read(oru(segment))
    assert (alone.outcome, alone.message, faults(alone)) == ("refused", None, [(rule, place)])


@pytest.mark.parametrize(
    "value", ["N/A", "+/-", "pos/neg", "5 g/L", "40 copies/ml", "Negative", "1:128", "<10", "0", "阴/阳"]
)
def test_what_is_more_than_a_unit_is_no_shifted_unit(value: str) -> None:
    assert read(oru(obx("ST", value, ""), msh=f"{MSH}||||||UNICODE UTF-8")).faults == ()


@pytest.mark.parametrize(
    ("segments", "rule", "place"),
    [
        ([PID, "OBR|1|P-7|F-9||||20260330", OBX], "required", "OBR-4"),
        ([PID, "OBR|1|P-7|F-9|HBV^^L|||2026033", OBX], "time", "OBR-7"),
        ([PID, "OBR|1|P-7|F-9|HBV^^L", OBX, "SPM|1|||BLD|||||||||||||yesterday"], "time", "SPM-17"),
        ([PID, "OBR|1|P-7|F-9|HBV^^L", "NTE|1|L|lone \\ mark", OBX], "escape", "NTE-3"),
    ],
)
def test_a_faulty_order_is_set_aside_with_all_its_results_and_the_next_one_is_kept(
    segments: list[str], rule: str, place: str
) -> None:
    reading = read(message(*segments, "OBR|2||F-10|X^^L", obx(value="7")))
    assert faults(reading) == [(rule, place)]
    assert reading.message is not None
    assert [order.filler.value for _, order, _ in reading.message.results if order.filler] == ["F-10"]


def test_a_result_whose_comment_cannot_be_read_is_set_aside_too() -> None:
    reading = read(oru(obx(number=1), "NTE|1|L|not valid \\ see", "NTE|2|L|more", obx(number=2)))
    assert faults(reading) == [("escape", "NTE-3")]
    assert reading.message is not None
    assert [result.set_id for _, _, result in reading.message.results] == ["2"]


@pytest.mark.parametrize(
    ("raw", "rule", "place"),
    [
        (b"", "not-hl7", ""),
        (b"<ORU_R01 xmlns='urn:hl7-org:v2xml'/>", "not-hl7", ""),
        (b'{"resourceType": "Observation"}', "not-hl7", ""),
        (b"MSH", "separators", "MSH-2"),
        (oru(OBX).replace(b"^~\\&", b"^~\\^"), "separators", "MSH-2"),
        (oru(OBX).replace(b"^~\\&", b"^~"), "separators", "MSH-2"),
        (oru(OBX).replace(b"PID|", b"PID,"), "separators", "PID"),
        (message(OBR, OBX), "required", "OBR"),
        (message(PID), "required", "OBR"),
        (message(PID, OBX), "no-order", "OBX"),
        (message(PID.replace("H0042^^^HOSP&1.2.3.4&ISO^MR", ""), OBR, OBX), "required", "PID-3"),
        (message(PID.replace("19700102", "F"), OBR, OBX), "time", "PID-7"),
        (message(PID.replace("|F|", "|19700102|"), OBR, OBX), "shifted", "PID-8"),
        (oru(OBX, "broken off text"), "line-break", "OBX"),
        (oru(OBX, "NTE|1|L|one", "two", end="\n"), "line-break", "NTE"),
        (oru(OBX, "OB"), "line-break", "OBX"),
        (oru(OBX, "OBY|1|x"), "unknown-segment", "OBY"),
        (oru("OBX|1|NM|4259" + MSH), "cut", "MSH"),
        (oru(OBX, "NTE|1|L|\x07"), "line-break", ""),
        (oru(OBX, "DSC|next"), "continued", "DSC-1"),
        (oru(OBX, msh=MSH.replace("2.5.1", "2.2")), "version", "MSH-12"),
        (oru(OBX, msh=MSH.replace("2.5.1", "2.6")), "version", "MSH-12"),
        (oru(OBX, msh=MSH.replace("|2.5.1", "")), "version", "MSH-12"),
        (oru(OBX, msh=MSH.replace("M-1", "")), "required", "MSH-10"),
        (oru(OBX, msh=MSH.replace("20260330120000", "today")), "time", "MSH-7"),
        (oru(OBX, msh=MSH.replace("ORU^R01^ORU_R01", "ORU^R30")), "event", "MSH-9"),
        (message("EVN|A08", PID, msh=MSH.replace("ORU^R01^ORU_R01", "ADT^A08")), "message-type", "MSH-9"),
        (message(msh=MSH.replace("ORU^R01^ORU_R01", "MDM^T02")), "message-type", "MSH-9"),
    ],
)
def test_a_message_that_cannot_be_trusted_is_refused_whole(raw: bytes, rule: str, place: str) -> None:
    reading = read(raw)
    assert (reading.outcome, reading.message) == ("refused", None)
    assert faults(reading) == [(rule, place)]


@pytest.mark.parametrize("kind", ["ORM^O01", "OML^O21", "ACK^R01", "ACK", "ORR^O02", "QRY^R02"])
def test_orders_queries_and_acknowledgements_make_no_result(kind: str) -> None:
    reading = read(oru(OBX, msh=MSH.replace("ORU^R01^ORU_R01", kind)))
    assert (reading.outcome, reading.message) == ("ignored", None)
    assert faults(reading) == [("message-type", "MSH-9")]


def test_admissions_are_refused_for_what_they_are_whatever_their_characters() -> None:
    raw = message(PID, msh=MSH.replace("ORU^R01^ORU_R01", "ADT^A01")).replace(b"Secret", b"\xff\xfe")
    (fault,) = read(raw).faults
    assert fault.rule == "message-type"
    assert "admissions" in fault.message
    assert "ORU^R01" in fault.remedy


def test_a_message_beyond_the_limit_is_refused_and_one_at_the_limit_is_read() -> None:
    room = LONGEST - len(oru(OBX, "NTE|1|L|"))
    at = oru(OBX, "NTE|1|L|" + "x" * room)
    assert len(at) == LONGEST
    assert read(at).outcome == "accepted"
    assert faults(read(at + b"\r")) == [("too-long", "")]


@pytest.mark.parametrize("part", ["^", "|", "&", "\\E\\", "\rOBX", "\nOBX"])
def test_a_message_of_nothing_but_separators_is_refused_before_it_fills_the_memory(part: str) -> None:
    assert faults(read(oru(OBX, "NTE|1|L|" + part * (segments.MOST_PARTS + 1)))) == [("too-many-parts", "")]


def test_a_fault_says_which_segment_of_its_name_and_of_all_it_means() -> None:
    (fault,) = read(oru(obx(), obx(), obx(status="?"))).faults
    assert (fault.segment, fault.occurrence, fault.line, fault.field) == ("OBX", 3, 6, 11)


def test_findings_name_message_rule_and_place_and_no_value() -> None:
    reading = read(oru(obx("NM", "IU/mL", "10-100"), OBX.replace("1234", "55555"), obx("SN", "Secret")))
    texts = [str(finding) for finding in reading.findings("batch.hl7")]
    assert texts[0].startswith("batch.hl7:4: message M-1 OBX-5: OBX-5 holds a unit where a value belongs [shifted].")
    for text in texts:
        assert not any(value in text for value in ("IU/mL", "10-100", "Secret", "Person", "H0042", "1970"))


def test_a_control_id_of_no_usual_form_is_not_repeated() -> None:
    reading = read(oru(obx(status=""), msh=MSH.replace("M-1", "Secret Person 1970")))
    assert reading.record == "a message"
