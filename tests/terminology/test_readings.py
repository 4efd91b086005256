"""Every value string has its one right reading, or is refused with a reason: gold tables, properties, real inputs."""

from __future__ import annotations

import csv
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirbridge import fhirjson
from fhirbridge.elements import SNOMED, UCUM
from fhirbridge.terminology.concepts import read_coded
from fhirbridge.terminology.logarithms import agree, antilog10, log10
from fhirbridge.terminology.readings import Reading
from fhirbridge.terminology.structures import read_quantity, read_structured
from fhirbridge.terminology.texts import read_text

GOLD = Path(__file__).parent / "gold"


def gold(name: str) -> list[dict[str, str]]:
    with (GOLD / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


READINGS, REFUSED = gold("readings.csv"), gold("refused.csv")


def digits(value: Decimal | str | None) -> tuple[int, tuple[int, ...], Any] | None:
    """A decimal with its digits, so that 5.5 and 5.50 differ."""
    return tuple(Decimal(value).as_tuple()) if value not in (None, "") else None  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("row", READINGS, ids=lambda row: f"{row['text']!a}{row['decimal']}")
def test_every_gold_text_has_its_one_right_reading(row: dict[str, str]) -> None:
    read = read_text(row["text"], row["decimal"] or None)  # type: ignore[arg-type]
    assert read.reason is None
    assert (read.kind, digits(read.value), read.comparator or "", read.unit or "") == (
        row["kind"], digits(row["value"]), row["comparator"], row["unit"],
    )  # fmt: skip
    assert (read.answer or "", digits(read.limit), digits(read.upper), read.absence or "") == (
        row["answer"], digits(row["limit"]), digits(row["upper"]), row["absence"],
    )  # fmt: skip
    assert read.text == row["text"]


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: f"{row['text'][:40]!a}{row['decimal']}")
def test_every_doubtful_text_is_refused_with_its_text_and_a_reason(row: dict[str, str]) -> None:
    read = read_text(row["text"], row["decimal"] or None)  # type: ignore[arg-type]
    assert (read.kind, read.value, read.answer, read.absence) == ("unreadable", None, None, None), row["reason"]
    assert read.text == row["text"]
    assert read.reason


def test_the_gold_tables_are_as_large_and_as_many_tongued_as_promised() -> None:
    assert len({(row["text"], row["decimal"]) for row in READINGS}) == len(READINGS) >= 150
    assert len({(row["text"], row["decimal"]) for row in REFUSED}) == len(REFUSED) >= 100
    assert {"en", "zh", "de", "fr", "es", "it", "tr", "ru"} <= {row["language"] for row in READINGS}
    assert all(row["reason"] for row in REFUSED)


def test_a_reason_never_repeats_what_the_text_says() -> None:
    for name in ("Dunn, Tom", "12 Mueller", "Mueller 12.5", "positive Mueller"):
        assert "unn" not in (read_text(name).reason or "")
        assert "ueller" not in (read_text(name).reason or "")


# Properties

UNITS = ("IU/mL", "copies/ml", "mg/dL", "µmol/L", "[IU]/mL", "10^9/L", "拷贝/ml")
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value=10**12, places=3).map(
    lambda number: Decimal(str(number))
)


def grouped(number: Decimal, separator: str, point: str) -> str:
    whole, _, fraction = f"{number:f}".partition(".")
    return f"{int(whole):,}".replace(",", separator) + (point + fraction if fraction else "")


def superscript(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"))


@given(NUMBERS, st.sampled_from(UNITS), st.sampled_from(["", "<", ">", "<=", "≥", "＜"]))
def test_any_decimal_written_in_any_supported_way_keeps_value_and_digits(number: Decimal, unit: str, sign: str) -> None:
    if sign in ("<", "＜") and not number:
        return
    ways = [
        (f"{number:f}", "."),
        (f"{number:f}".replace(".", ","), ","),
        (grouped(number, ",", "."), "."),
        (grouped(number, ".", ","), ","),
        (grouped(number, "'", "."), "."),
        (grouped(number, "’", ","), ","),
        (grouped(number, " ", ","), ","),
        (grouped(number, "\u202f", ","), ","),
        (grouped(number, "\u00a0", "."), "."),
        ("".join(chr(ord(one) + 0xFEE0) for one in f"{number:f}"), "."),
    ]
    if number:
        mantissa, exponent = f"{number:E}".split("E")
        power = int(exponent)
        ways += [(f"{number:E}", "."), (f"{number:e}", "."), (f"{mantissa}×10{superscript(power)}", ".")]
        ways += [(f"{mantissa} x 10^{power}", "."), (f"{mantissa.replace('.', ',')}*10^{power}", ",")]
    for written, mark in ways:
        read = read_text(f"{sign}{written} {unit}", mark)  # type: ignore[arg-type]
        assert (digits(read.value), read.unit) == (digits(number), unit), (written, read.reason)
        assert read.comparator == ({"≥": ">=", "＜": "<"}.get(sign, sign) or None)


@given(NUMBERS)
def test_without_a_declared_mark_a_number_is_read_the_same_or_refused_but_never_otherwise(number: Decimal) -> None:
    for written in (f"{number:f}", grouped(number, ",", "."), grouped(number, ".", ","), grouped(number, "'", ",")):
        read = read_text(f"{written} IU/mL")
        assert read.kind == "unreadable" or digits(read.value) == digits(number), written


@given(st.text(), st.sampled_from([None, ".", ","]))
def test_reading_never_raises(text: str, mark: Any) -> None:
    read = read_text(text, mark)
    assert (read.kind == "unreadable") == (read.reason is not None)


PIECES = st.sampled_from(
    [row["text"] for row in READINGS]
    + [row["text"] for row in REFUSED if len(row["text"]) < 60]
    + list("0123456789.,'<>=≤×^+-±/()[]:;% *HL") + ["E", "10", " ", "log", "limit of detection", "IU/mL", "²", "未检出"]
)  # fmt: skip


@given(st.lists(PIECES, min_size=1, max_size=6).map("".join), st.sampled_from([None, ".", ","]))
def test_what_is_read_is_read_the_same_from_its_own_canonical_text(text: str, mark: Any) -> None:
    first = read_text(text, mark)
    again = read_text(first.canonical, ".")
    assert again.canonical == first.canonical
    assert said(again) == said(first)


@pytest.mark.parametrize("row", READINGS, ids=lambda row: f"{row['text']!a}")
def test_every_gold_reading_is_read_the_same_from_its_canonical_text(row: dict[str, str]) -> None:
    first = read_text(row["text"], row["decimal"] or None)  # type: ignore[arg-type]
    assert said(read_text(first.canonical, ".")) == said(first)


def said(read: Reading) -> tuple[object, ...]:
    """What a reading means, without the words it was said in."""
    return (
        read.kind, digits(read.value), digits(read.upper), read.comparator, read.unit, read.answer, read.grade,
        digits(read.limit), read.limit_unit, read.absence, read.logarithm,
    )  # fmt: skip


@given(st.text(alphabet="0123456789.,' eE+-^x×", max_size=30))
def test_a_number_is_never_read_with_more_digits_than_were_printed(text: str) -> None:
    read = read_text(text)
    if read.value is not None and read.kind == "number":
        printed = sum(sign.isdigit() for sign in text)
        assert len(read.value.as_tuple().digits) <= printed


# Quantity

IU = {"unit": "IU/mL", "system": UCUM, "code": "[IU]/mL"}


def test_a_quantity_keeps_its_digits_comparator_and_both_units() -> None:
    read = read_quantity({"value": Decimal("10.0"), "comparator": "<", **IU})
    assert (read.kind, str(read.value), read.comparator) == ("censored", "10.0", "<")
    assert (read.unit, read.unit_code) == ("IU/mL", "[IU]/mL")


def test_a_quantity_s_code_is_a_unit_only_under_ucum() -> None:
    assert read_quantity({"value": 5, **IU, "system": "http://example.org/units"}).unit_code is None
    assert read_quantity({"value": 5, **IU, "system": "http://example.org/units"}).unit == "IU/mL"


@pytest.mark.parametrize(
    "quantity",
    [
        {}, {"value": None, **IU}, {"value": "5", **IU}, {"value": True, **IU}, {"value": 5.5, **IU},
        {"value": Decimal("NaN"), **IU}, {"value": Decimal("Infinity"), **IU}, {"value": Decimal("1E30"), **IU},
        {"value": 5, "comparator": "ad", **IU}, {"value": 5, "comparator": "~", **IU},
        {"value": 5, "comparator": ["<"]},
        {"value": 0, "comparator": "<", **IU}, None, [], "5",
    ],
)  # fmt: skip
def test_a_quantity_without_a_certain_number_is_refused(quantity: object) -> None:
    assert read_quantity(quantity).kind == "unreadable"


def test_a_quantity_in_a_unit_of_logarithms_is_a_logarithm() -> None:
    assert read_quantity({"value": Decimal("3.45"), "system": UCUM, "code": "{Log_IU}/mL"}).logarithm
    assert not read_quantity({"value": Decimal("3.45"), **IU}).logarithm


# SN


@pytest.mark.parametrize(
    ("parts", "kind", "canonical"),
    [
        (("", "200", "", ""), "number", "200"),
        (("<", "10", None, None), "censored", "<10"),
        ((">=", "1.70", "", ""), "censored", ">=1.70"),
        (("=", "5", "", ""), "number", "5"),
        ((None, "2", "+", None), "ordinal", "positive (2+)"),
        (("", "1", ":", "128"), "titre", "1:128"),
        ((">", "1", ":", "640"), "titre", ">1:640"),
        (("", "5", "-", "10"), "range", "5-10"),
        (("", "3", "/", "8"), "ratio", "3/8"),
        (("", "-2.5", "", ""), "number", "-2.5"),
        (("＜", "10", "", ""), "censored", "<10"),
    ],
)  # fmt: skip
def test_a_structured_numeric_is_read_by_its_fields(parts: Any, kind: str, canonical: str) -> None:
    read = read_structured(*parts)
    assert (read.kind, read.canonical) == (kind, canonical)


@pytest.mark.parametrize(
    "parts",
    [
        ("", "", "", ""), ("<", "", "", ""), ("<>", "10", "", ""), ("", "1,5", "", ""), ("", "ten", "", ""),
        ("", "5", "-", ""), ("", "5", "", "10"), ("", "10", "-", "5"), ("", "5", "*", "10"), ("", "5", "/", "0"),
        ("<", "0", "", ""), ("", "1E5", "", ""), ("", "5", ".", "2"), ("<", "5", "-", "10"), ("", "12", "+", ""),
    ],
)  # fmt: skip
def test_a_structured_numeric_that_says_no_one_thing_is_refused(parts: Any) -> None:
    assert read_structured(*parts).kind == "unreadable"


# CodeableConcept


def coded(code: str, display: str | None = None, text: str | None = None) -> dict[str, Any]:
    coding = {"system": SNOMED, "code": code} | ({"display": display} if display else {})
    return {"coding": [coding]} | ({"text": text} if text else {})


@pytest.mark.parametrize(
    ("concept", "answer"),
    [
        (coded("10828004", "Positive (qualifier value)"), "positive"),
        (coded("260385009", text="Negativ"), "negative"),
        (coded("260415000", text="Target not detected"), "not detected"),
        (coded("260373001"), "detected"),
        (coded("82334004", text="not one of our words"), "indeterminate"),
        ({"text": "阴性(-)"}, "negative"),
        ({"coding": [{"system": "http://example.org", "code": "7", "display": "Reactive"}]}, "reactive"),
    ],
)
def test_an_answer_is_read_from_its_code_or_else_from_its_words(concept: dict[str, Any], answer: str) -> None:
    assert read_coded(concept).answer == answer


@pytest.mark.parametrize(
    "concept",
    [
        coded("260385009", "Positive"),
        coded("10828004", text="阴性"),
        coded("10828004", text="specimen hemolyzed"),
        coded("260385009", text="12.5 IU/mL"),
        {"coding": [*coded("10828004")["coding"], *coded("260385009")["coding"]]},
        coded("8517006", "Former smoker", "Former smoker"),
        {"text": "Positive", "coding": [{"system": "http://example.org", "code": "7", "display": "Negative"}]},
        {}, {"coding": "x"}, {"coding": [None, 5]}, {"text": 7}, None, "positive",
    ],
)  # fmt: skip
def test_a_concept_that_contradicts_itself_or_says_nothing_known_is_refused(concept: object) -> None:
    assert read_coded(concept).kind == "unreadable"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["coding", "system", "code", "display", "text", "value", "comparator", "unit"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON, st.lists(st.none() | st.text(max_size=6), min_size=4, max_size=4))
def test_no_quantity_concept_or_fields_make_a_reader_raise(anything: object, fields: list[str | None]) -> None:
    for read in (read_quantity(anything), read_coded(anything), read_structured(*fields)):
        assert (read.kind == "unreadable") == (read.reason is not None)


# Logarithms


def test_a_logarithm_and_its_number_agree_to_the_decimals_printed() -> None:
    assert agree(Decimal(125), Decimal("2.10"))
    assert agree(Decimal("1.7E8"), Decimal("8.2"))
    assert not agree(Decimal(125), Decimal("2.15"))
    assert not agree(Decimal(0), Decimal(0))


@given(st.decimals(min_value=1, max_value=9, places=2))
def test_an_antilogarithm_has_the_logarithm_it_came_from(logarithm: Decimal) -> None:
    assert abs(log10(antilog10(logarithm)) - logarithm) <= Decimal("0.03")


# Real inputs


@pytest.mark.shared
def test_every_value_of_the_real_observations_is_read_or_refused_for_a_known_reason(shared: Path) -> None:
    kinds: Counter[str] = Counter()
    for path in (shared / "data" / "3_fhir").rglob("*.json"):
        content = fhirjson.loads(path.read_bytes())
        resources = [entry["resource"] for entry in content.get("entry", [])] or [content]
        for resource in resources:
            for part in (resource, *resource.get("component", [])) if resource["resourceType"] == "Observation" else ():
                if "valueQuantity" in part:
                    read = read_quantity(part["valueQuantity"])
                    kinds[read.kind] += 1
                    assert read.kind == "unreadable" or read.value == part["valueQuantity"]["value"]
                elif "valueCodeableConcept" in part:
                    kinds[read_coded(part["valueCodeableConcept"]).kind] += 1
    assert kinds["number"] == 70
    # "smoker" is no laboratory answer; HL7's example of extreme decimals goes beyond 18 digits on purpose.
    assert kinds["unreadable"] == 9, json.dumps(kinds)


@pytest.mark.shared
def test_every_laboratory_value_of_the_real_messages_is_read(shared: Path) -> None:
    read: list[Reading] = []
    for path in sorted((shared / "data" / "4_hl7v2").rglob("*.hl7")):
        for line in path.read_text(encoding="utf-8-sig").replace("\r", "\n").split("\n"):
            fields = line.split("|")
            if fields[0] == "OBX" and len(fields) > 6 and fields[5]:
                if fields[2] == "NM":
                    read.append(read_text(fields[5], "."))
                elif fields[2] == "SN":
                    read.append(read_structured(*(fields[5].split("^") + [None] * 4)[:4]))
    assert len(read) == 30
    assert {one.kind for one in read} == {"number"}
