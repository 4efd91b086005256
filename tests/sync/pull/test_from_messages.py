"""What a result of an HL7 v2 message becomes: its name, status, codes, value, times, and the text it is part of."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from fhirbridge.records.hl7v2.reader import read
from fhirbridge.sync.pull.from_messages import REFLEX, Senders, results
from fhirbridge.sync.pull.incoming import Incoming, SetAside, as_bytes, read_back
from fhirbridge.sync.pull.message_versions import completed, names_no_value, outdated
from fhirbridge.sync.pull.reading import read as read_value
from fhirbridge.sync.pull.recognising import LaboratoryNames
from fhirbridge.sync.pull.remarks import NOT_KEPT
from fhirbridge.terminology.laboratories import Laboratories, ReportedCode
from fhirbridge.terminology.laboratory_files import load
from tests.records.hl7v2.making import MSH, OBR, OBX, PID, message, obx, oru

ROOT = Path(__file__).parents[3]
LOINC = "http://loinc.org"


@cache
def laboratories() -> Laboratories:
    return load([ROOT / "mappings" / "laboratories"])


def all_of(raw: bytes, assume: str | None = None, **names: str) -> list[Incoming | SetAside]:
    reading = read(raw, assume=assume)
    assert reading.message is not None, reading.faults
    senders = Senders(
        names={name.replace("_", "^"): laboratory for name, laboratory in names.items()},
        laboratories=LaboratoryNames(laboratories()),
    )
    found = [one for patient in reading.message.patients for one in results(reading.message, patient, senders)]
    lines = sum(len(order.results) for patient in reading.message.patients for order in patient.orders)
    assert sum(one.lines for one in found) == lines, "an OBX is in no result, or in two"
    for one in found:
        if isinstance(one.result, Incoming):
            assert read_back(as_bytes(one.result)) == one.result
    return [one.result for one in found]


def only(raw: bytes, **names: str) -> Incoming:
    (one,) = all_of(raw, **names)
    assert isinstance(one, Incoming), one
    return one


def texts(raw: bytes) -> list[str]:
    """Each result's value as text, and its remarks."""
    found = []
    for one in all_of(raw):
        assert isinstance(one, Incoming), one
        found.append("" if one.value is None else "^".join(one.value["repetitions"][0]))
    return found


def test_a_result_says_all_that_the_message_says_of_it_and_nothing_of_the_patient() -> None:
    found = only(oru(OBX))
    assert found == Incoming(
        feed="hl7v2 LIS^LAB",
        reference="F-9^LAB^1.2.3^ISO|42595-9^LN||0",
        version="F 2026-03-30T12:00:00+08:00 M-1",
        updated="2026-03-30T11:59:00+08:00",
        status="final",
        laboratory="",
        codes=(ReportedCode(LOINC, "42595-9", "HBV DNA"),),
        label="HBV DNA",
        value={"hl7v2": "NM", "repetitions": [["1234"]]},
        unit="[IU]/mL",
        collected="2026-03-30T08:10:00+08:00",
        issued="2026-03-30T11:59:00+08:00",
        interpretation=("H",),
    )
    assert b"Secret" not in as_bytes(found)
    assert b"H0042" not in as_bytes(found)


@pytest.mark.parametrize(
    ("code", "status", "absent"),
    [
        ("C", "corrected", "unknown"),
        ("D", "entered-in-error", None),
        ("F", "final", "unknown"),
        ("I", "registered", "temp-unknown"),
        ("N", "cancelled", "not-asked"),
        ("P", "preliminary", "temp-unknown"),
        ("R", "preliminary", "temp-unknown"),
        ("S", "preliminary", "temp-unknown"),
        ("U", "final", None),
        ("W", "entered-in-error", None),
        ("X", "cancelled", "not-performed"),
    ],
)
def test_each_status_of_table_0085_has_its_counterpart(code: str, status: str, absent: str | None) -> None:
    assert only(oru(obx(status=code))).status == status
    empty = only(oru(obx(value="", status=code)))
    assert (empty.status, empty.value, empty.absent) == (status, None, absent)


def test_a_detail_of_the_order_is_no_result() -> None:
    (one,) = all_of(oru(obx(status="O")))
    assert isinstance(one, SetAside)
    assert one.why == "not collected"


def test_a_value_under_a_cancelled_order_is_of_unknown_status() -> None:
    assert only(message(PID, OBR[:-1] + "X", OBX)).status == "unknown"


def test_a_correction_has_the_name_of_what_it_corrects_and_another_version() -> None:
    first, again = only(oru(OBX)), only(oru(obx(value="12", status="C"), msh=MSH.replace("M-1", "M-2")))
    assert first.reference == again.reference
    assert first.version != again.version


def test_lines_of_one_text_are_one_value_whatever_their_sub_ids() -> None:
    lines = [
        obx("TX", "HBV DNA not detected", "", number=1, sub_id="1"),
        obx("TX", "limit of detection:", "", number=2, sub_id="2"),
        obx("TX", "20 IU/mL", "", number=3, sub_id="3"),
    ]
    assert texts(oru(*lines)) == ["HBV DNA not detected\nlimit of detection:\n20 IU/mL"]


def test_strings_of_one_code_are_one_text_unless_their_sub_ids_tell_them_apart() -> None:
    assert texts(oru(obx("ST", "<20", ""), obx("ST", "35", "", number=2))) == ["<20\n35"]
    assert texts(oru(obx("ST", "<20", "", sub_id="a"), obx("ST", "35", "", sub_id="b", number=2))) == ["<20", "35"]


def test_two_numbers_of_one_code_stay_two_results() -> None:
    first, second = all_of(oru(obx(value="1"), obx(value="2", number=2)))
    assert isinstance(first, Incoming)
    assert isinstance(second, Incoming)
    assert (first.reference[-1], second.reference[-1]) == ("0", "1")


def test_a_text_behind_a_number_of_the_same_code_is_a_remark_on_it() -> None:
    found = only(oru(OBX, obx("TX", "haemolysed", "", number=2)))
    assert found.value == {"hl7v2": "NM", "repetitions": [["1234"]]}
    assert found.notes == ("haemolysed",)


def test_notes_with_words_that_may_be_names_are_not_kept() -> None:
    found = only(oru(OBX, "NTE|1|L|Herr Secret hat angerufen", "NTE|2|L|haemolysed"))
    assert set(found.notes) == {NOT_KEPT, "haemolysed"}


def test_repetitions_of_a_text_are_its_lines() -> None:
    assert texts(oru(obx("ST", "not~detected", ""))) == ["not\ndetected"]
    assert texts(oru(obx("FT", r"not\.br\detected", ""))) == ["not\ndetected"]


def test_a_text_of_which_a_line_was_set_aside_is_not_read_without_it() -> None:
    torn = obx("TX", "not detected", "", number=2)[:-1]
    (one,) = all_of(oru(obx("TX", "HBV DNA", "", number=1), torn, obx("TX", "20 IU/mL", "", number=3)))
    assert one == SetAside(
        why="unusable", detail="a line of its text was set aside, so what is left may say something else"
    )


def test_a_result_keeps_its_place_when_the_one_before_it_was_set_aside() -> None:
    whole = all_of(oru(obx(value="1"), obx(value="2", number=2)))
    (left,) = all_of(oru(obx(value="1")[:-1], obx(value="2", number=2)))
    assert isinstance(left, Incoming)
    assert isinstance(whole[1], Incoming)
    assert left.reference == whole[1].reference


def test_lines_of_a_text_with_different_statuses_are_set_aside() -> None:
    (one,) = all_of(oru(obx("TX", "not", "", status="F"), obx("TX", "detected", "", number=2, status="P")))
    assert isinstance(one, SetAside)


def test_the_same_test_under_two_orders_of_one_number_is_two_results() -> None:
    found = all_of(oru(OBX, OBR.replace("|1|", "|2|", 1), obx(value="99")))
    assert len({one.reference for one in found if isinstance(one, Incoming)}) == 2


def test_without_an_order_number_a_result_is_named_by_its_message_but_cannot_correct_another() -> None:
    nameless = OBR.replace("P-7^CLINIC", "").replace("F-9^LAB^1.2.3^ISO", "")
    assert only(message(PID, nameless, OBX)).reference == "message^M-1^3|42595-9^LN||4"
    (one,) = all_of(message(PID, nameless, obx(status="C")))
    assert isinstance(one, SetAside)
    assert "has no number" in one.detail


@pytest.mark.parametrize(
    ("code", "systems"),
    [
        ("42595-9^HBV DNA^LN^4711^HBV-DNA^L", [LOINC, None]),
        ("4711^HBV-DNA^99LAB", [None]),
        ("4711^HBV-DNA", [None]),
        ("4711^HBV-DNA^SWISSLAB", [None]),
        ("4711^HBV-DNA^L^0815^HBV^EBM", [None, "urn:hl7v2:EBM"]),
        ("10828004^Positive^SCT", ["http://snomed.info/sct"]),
    ],
)
def test_codes_have_the_systems_that_hl7_names_and_the_senders_own_have_none(
    code: str, systems: list[str | None]
) -> None:
    found = only(oru(f"OBX|1|NM|{code}||1|IU/mL|||||F"))
    assert [one.system for one in found.codes] == systems


def test_the_printed_name_is_the_laboratorys_own() -> None:
    assert (
        only(oru("OBX|1|NM|42595-9^Hepatitis B virus DNA^LN^4711^HBV-DNA quant^L||1||||||F")).label == "HBV-DNA quant"
    )


@pytest.mark.parametrize(
    ("field", "unit"),
    [
        ("[IU]/mL^IU/mL^UCUM", "[IU]/mL"),
        ("IU/ml", "IU/ml"),
        ("^IU/mL", "IU/mL"),
        ("IUML^IU/ml^99U", "IU/ml"),
        ("10^9/L", "10^9/L"),
        ("Kopien/ml", "Kopien/ml"),
        ("log10 IU/mL^^L", "log10 IU/mL"),
        ("", None),
    ],
)
def test_a_unit_is_its_code_or_its_text_but_never_a_number_for_it(field: str, unit: str | None) -> None:
    assert only(oru(obx(unit=field))).unit == unit


def test_a_time_without_an_offset_has_that_of_the_message() -> None:
    found = only(oru(OBX.replace("+0800", "")))
    assert found.collected == "2026-03-30T08:10:00+08:00"
    local = only(oru(OBX.replace("+0800", ""), msh=MSH.replace("+0800", "")))
    assert local.collected == "2026-03-30T08:10:00"


@pytest.mark.parametrize(
    ("names", "performer", "laboratory"),
    [
        ({}, "", ""),
        ({"LIS_LAB": "North Hospital"}, "", "North Hospital"),
        ({"LAB": "North Hospital"}, "", "North Hospital"),
        ({"LIS": "North Hospital"}, "", "North Hospital"),
        ({"LAB": "North Hospital", "1236": "South Reference Laboratory"}, "", "South Reference Laboratory"),
        ({"LAB": "North Hospital"}, "South Reference Laboratory", "South Reference Laboratory"),
        ({"LAB": "North Hospital"}, "Somebody", "North Hospital"),
    ],
)
def test_the_laboratory_is_who_performed_the_test_else_who_sent_it(
    names: dict[str, str], performer: str, laboratory: str
) -> None:
    end = f"|||||||||{performer or 'Lab'}^L^^^^CLIA&2.16&ISO^XX^^^1236"
    found = only(oru(OBX + end), **names)
    assert found.laboratory == laboratory


def test_a_result_of_a_reflex_order_says_so() -> None:
    child = "OBR|2||F-10^LAB^1.2.3^ISO|X^reflex^L|||20260330081500+0800|||||||||||||||||||42595-9&HBV DNA&LN||"
    child += "|P-7&CLINIC^F-9&LAB&1.2.3&ISO"
    first, second = all_of(oru(OBX, child, obx(code="29615-2")))
    assert isinstance(first, Incoming)
    assert isinstance(second, Incoming)
    assert (first.notes, second.notes) == ((), (REFLEX,))


def version(status: str = "F", *, reported: str = "20260330115900+0800", sent: str = "20260330120000+0800") -> Incoming:
    head = MSH.replace("20260330120000+0800", sent)
    return only(message(PID, OBR.replace("20260330115900+0800", reported), obx(status=status), msh=head))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (version("P"), version("F")),
        (version("F"), version("C")),
        (version("C"), version("W")),
        (version("C"), version("F", reported="20260401")),
        (version("F", reported="20260330235900+0800"), version("F", reported="20260330160000+0000")),
        (version("F", reported=""), version("F", reported="", sent="20260330120001+0800")),
    ],
)
def test_of_two_messages_about_one_result_the_later_one_counts(before: Incoming, after: Incoming) -> None:
    assert not outdated(after, before)
    assert outdated(before, after)


def test_of_two_messages_that_nothing_tells_apart_the_one_that_comes_later_counts() -> None:
    assert not outdated(version(), version())


def test_a_status_without_a_value_says_the_value_before_is_final() -> None:
    before, after = only(oru(obx(status="P"))), only(oru(obx(value="", unit="", status="U")))
    assert names_no_value(after)
    whole = completed(after, before)
    assert (whole.status, whole.value, whole.unit) == ("final", before.value, before.unit)


READINGS = [
    # type, value as sent, unit, charset in MSH-18, codec, what it says
    ("NM", "1234.5", "IU/mL", "", "ascii", "1234.5"),
    ("NM", "<20", "IU/mL", "", "ascii", "<20"),
    ("NM", "1,5", "IU/mL", "", "ascii", "unreadable"),
    ("SN", "<^10", "IU/mL", "", "ascii", "<10"),
    ("SN", "^1^:^128", "", "", "ascii", "1:128"),
    ("SN", ">^1.7E8", "IU/mL", "", "ascii", "unreadable"),
    ("ST", "<20 IU/ml nachweisbar", "", "8859/1", "latin-1", "detected <20 IU/ml"),
    ("ST", "nicht nachweisbar", "", "8859/1", "latin-1", "not detected"),
    ("ST", "Probe hämolytisch", "", "8859/1", "latin-1", "haemolysed"),
    ("ST", "siehe Kommentar", "", "8859/1", "latin-1", "unreadable"),
    ("ST", "indétectable", "", "8859/15", "iso8859_15", "not detected"),
    ("ST", "Indétectable (<10 UI/mL)", "", "UNICODE UTF-8", "utf8", "not detected (limit of detection: 10 UI/mL)"),
    ("ST", "inférieur à 20 UI/mL", "", "8859/1", "latin-1", "<20 UI/mL"),
    ("ST", "no detectado", "", "8859/1", "latin-1", "not detected"),
    ("ST", "Não reagente", "", "UNICODE UTF-8", "utf-8", "non-reactive"),
    ("TX", "未检出", "", "GB 18030-2000", "gb18030", "not detected"),
    ("ST", "阴性(-)", "", "GB 18030-2000", "gb18030", "negative"),
    ("ST", "＜2.0E+01", "IU/mL", "GB 18030-2000", "gb18030", "<20"),
    ("ST", r"<1.0×10\S\2", "copies/mL", "UNICODE UTF-8", "utf-8", "<1.0E+2"),
    ("CE", "10828004^Positive^SCT", "", "", "ascii", "positive"),
    ("CWE", "260385009^Negative^SCT^NEG^negativ^L", "", "", "ascii", "negative"),
    ("CWE", "260385009^Positive^SCT", "", "", "ascii", "unreadable"),
    ("CE", "^Not detected", "", "", "ascii", "not detected"),
    ("FT", r"HBV-DNA:\.br\nicht nachweisbar", "", "8859/1", "latin-1", "not detected"),
    ("DT", "20260330", "", "", "ascii", "unreadable"),
    ("ED", "^APPLICATION^PDF^Base64^JVBERi0x", "", "", "ascii", "unreadable"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "unit", "charset", "codec", "said"), READINGS)
def test_values_of_every_type_and_in_four_languages_are_read_as_what_they_say(
    kind: str, value: str, unit: str, charset: str, codec: str, said: str
) -> None:
    raw = oru(obx(kind, value, unit), msh=f"{MSH}||||||{charset}").decode().encode(codec)
    found = only(raw)
    reading = read_value(found, None)
    assert ("unreadable" if reading.kind == "unreadable" else reading.canonical) == said
    assert found.unit == (unit or None)


def test_a_sender_who_names_no_character_set_is_read_in_the_one_that_is_assumed() -> None:
    raw = oru(obx("ST", "未检出", "")).decode().encode("gb18030")
    (found,) = all_of(raw, assume="GB18030")
    assert isinstance(found, Incoming)
    assert read_value(found, None).kind == "not detected"
