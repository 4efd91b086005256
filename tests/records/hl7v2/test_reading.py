"""What a result message says, part by part."""

from __future__ import annotations

import pytest

from fhirbridge.records.hl7v2.reader import read
from fhirbridge.records.hl7v2.types import (
    Authority,
    Coding,
    Concept,
    Identity,
    Note,
    Number,
    Value,
    ancestors,
    sampled,
)
from tests.records.hl7v2.making import MSH, OBR, OBX, PID, accepted, message, obx, only, oru


def test_a_message_is_read_with_header_patient_order_and_result() -> None:
    found = read(oru(OBX)).message
    assert found is not None
    assert (found.control_id, found.version, found.processing, found.sent) == (
        "M-1",
        "2.5.1",
        "P",
        "2026-03-30T12:00:00+08:00",
    )
    assert found.application == Number("LIS", Authority("", "1.2.3", "ISO"))
    assert found.facility == Number("LAB")
    (patient,) = found.patients
    assert patient.numbers == (Number("H0042", Authority("HOSP", "1.2.3.4", "ISO"), "MR"),)
    assert (patient.birth_date, patient.sex) == ("1970-01-02", "F")
    (order,) = patient.orders
    assert order.placer == Number("P-7", Authority("CLINIC"))
    assert order.filler == Number("F-9", Authority("LAB", "1.2.3", "ISO"))
    assert order.service.first == Coding("HBV", "HBV panel", "L")
    assert (order.collected, order.reported, order.status) == (
        "2026-03-30T08:15:00+08:00",
        "2026-03-30T11:59:00+08:00",
        "F",
    )
    (result,) = order.results
    assert (result.set_id, result.sub_id, result.status, result.flags) == ("1", "", "F", ("H",))
    assert result.code == Concept((Coding("42595-9", "HBV DNA", "LN"),))
    assert result.value == Value("NM", (("1234",),))
    assert result.unit == Concept((Coding("[IU]/mL", "IU/mL", "UCUM"),))
    assert (result.reference_range, result.observed) == ("10-100", "2026-03-30T08:10:00+08:00")


def test_names_and_addresses_are_left_where_they_came_from() -> None:
    reading = read(oru(OBX))
    for telling in ("Secret", "Person", "Hidden"):
        assert telling not in repr(reading)
    assert "H0042" not in repr(reading)
    assert "1970" not in repr(reading)


@pytest.mark.parametrize(
    ("kind", "value", "parts"),
    [
        ("NM", "5.50", (("5.50",),)),
        ("NM", " 40 ", (("40",),)),
        ("NM", "<10", (("<10",),)),
        ("NM", "-0.5", (("-0.5",),)),
        ("SN", "<^10", (("<", "10"),)),
        ("SN", "^100^-^200", (("", "100", "-", "200"),)),
        ("SN", "^1^:^128", (("", "1", ":", "128"),)),
        ("ST", "<40 copies/ml", (("<40 copies/ml",),)),
        ("ST", "<1.0×10\\S\\2", (("<1.0×10^2",),)),
        ("ST", "<1.0×10^2", (("<1.0×10^2",),)),
        ("ST", "A & B", (("A & B",),)),
        ("ST", "未检出", (("未检出",),)),
        ("TX", "line one~ line two", (("line one",), (" line two",))),
        ("FT", "one\\.br\\two", (("one\ntwo",),)),
        ("CE", "260385009^Negative^SCT", (("260385009", "Negative", "SCT"),)),
        ("CWE", "^^^L1^Reactive^L", (("", "", "", "L1", "Reactive", "L"),)),
        ("CWE", "A^^L~B^^L", (("A", "", "L"), ("B", "", "L"))),
        ("DT", "20140202", (("20140202",),)),
        ("ED", "^APPLICATION^PDF^Base64^JVBERi0x", ()),
        ("XPN", "Secret^Person", ()),
    ],
)
def test_a_value_is_handed_on_in_the_parts_of_its_type(kind: str, value: str, parts: object) -> None:
    msh = f"{MSH}||||||UNICODE UTF-8"
    assert only(oru(obx(kind, value, ""), msh=msh)).value == Value(kind, parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["", '""', "^^"])
@pytest.mark.parametrize("status", ["I", "X", "F"])
def test_an_empty_or_null_value_is_none_whatever_its_status(value: str, status: str) -> None:
    found = only(oru(obx("CWE", value, "", status=status)))
    assert (found.value, found.status) == (None, status)


@pytest.mark.parametrize("status", "CDFINOPRSUWX")
def test_every_result_status_is_taken(status: str) -> None:
    assert only(oru(obx(status=status))).status == status


@pytest.mark.parametrize(
    ("unit", "code", "text"),
    [
        ("10*9/L", "10*9/L", ""),
        ("10^9/L", "10^9/L", ""),
        ("x10^3/uL", "x10^3/uL", ""),
        ("10\\S\\9/L", "10^9/L", ""),
        ("%", "%", ""),
        ("1", "1", ""),
        ("^IU/mL", "", "IU/mL"),
    ],
)
def test_a_unit_is_handed_on_as_sent_and_powers_of_ten_are_put_together_again(unit: str, code: str, text: str) -> None:
    found = only(oru(obx(unit=unit))).unit
    assert found is not None
    assert (found.first.code, found.first.text) == (code, text)


def test_a_code_keeps_the_laboratorys_own_coding_beside_it() -> None:
    segment = "OBX|1|NM|10368-9^Lead BldC-mCnc^LN^345^Blood lead test^99USI^^^as written||50|ug/dL|||||F"
    assert only(oru(segment)).code == Concept(
        (Coding("10368-9", "Lead BldC-mCnc", "LN"), Coding("345", "Blood lead test", "99USI")), "as written"
    )


def test_method_laboratory_and_analysis_time_are_read() -> None:
    segment = (
        "OBX|1|NM|1^a^L||5|g/L|||||F|||20260330|||M1^^L~M2^^L||20260331070000||||Central Lab^L^^^^CLIA&2.16&ISO^XX^^^77"
    )
    found = only(oru(segment))
    assert [method.first.code for method in found.methods] == ["M1", "M2"]
    assert (found.observed, found.analysed) == ("2026-03-30", "2026-03-31T07:00:00")
    assert (found.laboratory, found.laboratory_name) == (Number("77", Authority("CLIA", "2.16", "ISO")), "Central Lab")
    older = only(oru("OBX|1|NM|1^a^L||5|g/L|||||F||||77^Central Lab^L"))
    assert (older.laboratory, older.laboratory_name) == (Number("77", Authority("L")), "Central Lab")


def test_notes_belong_to_the_result_or_order_they_follow_and_never_to_the_patient() -> None:
    raw = message(
        PID, "NTE|1|L|about the person", OBR, "NTE|1|L|about the order", OBX, "NTE|1|L|haemolysed~repeat",
        "NTE|2|L|again", obx(number=2),
    )  # fmt: skip
    (order, first), (_, second) = accepted(raw)
    assert order.notes == (Note("L", "about the order"),)
    assert first.notes == (Note("L", "haemolysed\nrepeat"), Note("L", "again"))
    assert second.notes == ()
    assert "about the person" not in repr(read(raw))


def test_the_specimen_is_read_from_spm_or_from_the_older_field_of_the_order() -> None:
    ((order, _),) = accepted(oru(OBX, "SPM|1|^S-1&LAB||BLD^Blood^HL70487|||||||||||||20260330080000|20260330090000"))
    (specimen,) = order.specimens
    assert specimen.number == Number("S-1", Authority("LAB"))
    assert specimen.collected == "2026-03-30T08:00:00"
    older = "OBR|1||F-9|HBV^^L|||||||||||SER&Serum&HL70070"
    ((order, _),) = accepted(message(PID, older, OBX))
    assert order.specimens[0].type == Concept((Coding("SER", "Serum", "HL70070"),))


def test_a_result_after_the_specimen_is_marked_as_possibly_about_it() -> None:
    (_, first), (_, second) = accepted(oru(OBX, "SPM|1|||BLD", obx(number=2)))
    assert (first.of_specimen, second.of_specimen) == (False, True)


@pytest.mark.parametrize(
    ("result", "order", "specimens", "day"),
    [
        ("20260328", "20260329", ["20260330"], "2026-03-28"),
        ("", "20260329", ["20260330"], "2026-03-29"),
        ("", "", ["20260330"], "2026-03-30"),
        ("", "", ["20260330", "20260331"], None),
        ("", "", [], None),
    ],
)
def test_the_sampling_time_is_the_results_else_the_orders_else_that_of_the_only_specimen(
    result: str, order: str, specimens: list[str], day: str | None
) -> None:
    spm = [f"SPM|{n}|||BLD|||||||||||||{taken}" for n, taken in enumerate(specimens, start=1)]
    segment = f"OBX|1|NM|1^a^L||5|g/L|||||F|||{result}"
    ((ordered, found),) = accepted(message(PID, f"OBR|1||F-9|HBV^^L|||{order}", segment, *spm))
    assert sampled(ordered, found) == day


def test_several_patients_in_one_message_keep_their_own_results() -> None:
    other = "PID|2||H0099^^^HOSP||Else^Someone"
    found = read(message(PID, OBR, OBX, other, OBR, obx(value="7"), obx(number=2, value="8"))).message
    assert found is not None
    assert [(patient.numbers[0].value, result.value) for patient, _, result in found.results] == [
        ("H0042", Value("NM", (("1234",),))),
        ("H0099", Value("NM", (("7",),))),
        ("H0099", Value("NM", (("8",),))),
    ]


def test_a_correction_has_the_identity_of_what_it_corrects() -> None:
    first, again = (only(oru(obx(value=value, status=status))) for value, status in (("25", "F"), ("52", "C")))
    assert first.identity == again.identity
    assert first.identity == Identity(
        "", Number("F-9", Authority("LAB", "1.2.3", "ISO")), "42595-9", "LN", "", occurrence=0
    )


def test_code_sub_id_order_and_place_among_equals_make_results_different_ones() -> None:
    segments = [obx(), obx(code="63557-3"), obx(sub_id="2"), obx("TX", "line one", ""), obx("TX", "line two", "")]
    identities = [
        result.identity for _, result in accepted(message(PID, OBR, *segments, "OBR|2||F-10^LAB|X^^L", obx()))
    ]
    assert len(set(identities)) == 6
    assert None not in identities


def test_an_order_number_without_an_authority_counts_for_its_sender_only() -> None:
    plain = message(PID, "OBR|1||77|HBV^^L", OBX)
    other = message(PID, "OBR|1||77|HBV^^L", OBX, msh=MSH.replace("|LAB|", "|OTHER|"))
    assert only(plain).identity != only(other).identity
    assert only(plain).identity == only(plain).identity
    assert only(message(PID, "OBR|1|||HBV^^L", OBX)).identity is None


def test_an_order_takes_the_numbers_that_only_its_orc_has() -> None:
    ((order, _),) = accepted(message(PID, "ORC|RE|P-1|F-2", "OBR|1|||HBV^^L", OBX))
    assert (order.placer, order.filler) == (Number("P-1"), Number("F-2"))


def test_a_reflex_order_points_at_the_result_it_follows_from() -> None:
    child = "OBR|2||F-10^LAB|HBVG^Genotype^L|||||||||||||||||||||F|42595-9&HBV DNA&LN^^1234|||P-7&CLINIC^F-9&LAB"
    grandchild = "OBR|3||F-11^LAB|HBVR^Resistance^L|||||||||||||||||||||F||||^F-10&LAB"
    found = read(message(PID, OBR, obx("ST", "x", "", code="other"), OBX, child, obx(), grandchild, obx())).message
    assert found is not None
    (patient,) = found.patients
    first, second, third = patient.orders
    assert first.parent is None
    assert second.parent is not None
    assert (second.parent.order, second.parent.result) == (0, 1)
    assert ancestors(patient, third) == (second, first)


def test_a_parent_that_is_not_in_the_message_keeps_its_numbers() -> None:
    ((order, _),) = accepted(message(PID, "OBR|1||F-10^LAB|X^^L|||||||||||||||||||||||||^F-1&LAB", OBX))
    assert order.parent is not None
    assert (order.parent.filler, order.parent.order) == (Number("F-1", Authority("LAB")), None)


def test_orders_that_are_each_others_parent_do_not_hang_anything() -> None:
    one = "OBR|1||F-1|X^^L|||||||||||||||||||||||||^F-2"
    two = "OBR|2||F-2|X^^L|||||||||||||||||||||||||^F-1"
    found = read(message(PID, one, OBX, two, OBX)).message
    assert found is not None
    orders = found.patients[0].orders
    assert ancestors(found.patients[0], orders[0]) == (orders[1], orders[0])


@pytest.mark.parametrize("version", ["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.5^DEU"])
def test_versions_from_2_3_to_2_5_1_are_read(version: str) -> None:
    assert only(oru(OBX, msh=MSH.replace("2.5.1", version))).status == "F"


@pytest.mark.parametrize("kind", ["ORU^R01", "ORU^R01^ORU_R01", "ORU"])
def test_a_result_message_is_known_by_its_type(kind: str) -> None:
    assert only(oru(OBX, msh=MSH.replace("ORU^R01^ORU_R01", kind))).status == "F"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_any_line_ends_will_do(end: str) -> None:
    assert only(oru(OBX, "", "NTE|1|L|x", end=end)).notes == (Note("L", "x"),)


def test_a_line_feed_within_a_text_is_text_where_segments_end_as_hl7_says() -> None:
    assert only(oru(OBX, "NTE|1|L|one\ntwo")).notes == (Note("L", "one\ntwo"),)


def test_sites_own_segments_and_those_without_results_are_passed_over() -> None:
    raw = message("SFT|x", PID, "PV1|1|O", "NK1|1|Relative^Some", "ORC|RE", OBR, "TQ1|1", OBX, "ZXX|own", "FT1|1")
    assert only(raw).status == "F"


def test_other_separators_are_the_messages_own() -> None:
    raw = oru(OBX).decode().replace("\\", "!").replace("^", "*").replace("|", "#").encode()
    found = only(raw)
    assert found.code.first == Coding("42595-9", "HBV DNA", "LN")
    assert only(raw.replace(b"1234", b"!F!1!S!", 1).replace(b"#NM#", b"#ST#")).value == Value("ST", (("#1*",),))


def test_an_order_without_results_is_taken_as_that() -> None:
    reading = read(message(PID, OBR))
    assert (reading.outcome, reading.faults) == ("accepted", ())
    assert reading.message is not None
    assert reading.message.results == ()
