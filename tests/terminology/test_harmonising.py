"""What laboratories report becomes what the study can use, or a flag says why not; a new laboratory is a CSV row."""

from __future__ import annotations

import csv
import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirbridge import study as studies
from fhirbridge.elements import LOINC
from fhirbridge.terminology.analytes import with_laboratories
from fhirbridge.terminology.flags import ASKS, STOPS, Flag
from fhirbridge.terminology.harmonising import Harmonised, Reported, harmonise
from fhirbridge.terminology.labels import contradict
from fhirbridge.terminology.laboratories import ANY, ReportedCode
from fhirbridge.terminology.laboratory_files import load
from fhirbridge.terminology.structures import read_quantity
from fhirbridge.terminology.texts import read_text
from fhirbridge.terminology.units import Amount

ROOT = Path(__file__).parent.parent.parent
FILES = ROOT / "mappings" / "laboratories"
SHIPPED = load([FILES])
TRIAL = studies.load(ROOT / "mappings" / "studies" / "nct07120750.toml")
STUDY = with_laboratories(TRIAL, SHIPPED)
NORTH, SOUTH = "North Hospital", "South Reference Laboratory"
DAY = dt.date(2026, 3, 1)

with (Path(__file__).parent / "gold" / "unit_pairs.csv").open(encoding="utf-8", newline="") as _file:
    PAIRS = list(csv.DictReader(_file))


def reported(
    laboratory: str,
    code: str,
    text: str,
    unit: str | None = None,
    *,
    label: str | None = None,
    day: dt.date = DAY,
    system: str | None = None,
) -> Reported:
    system = LOINC if laboratory == ANY else system
    reading = read_text(text, SHIPPED.decimal_mark(laboratory))
    codes = (ReportedCode(system, code),) if code else ()
    return Reported(laboratory=laboratory, codes=codes, label=label, reading=reading, collected=day, unit=unit)


def harmonised(*args: str, **named: object) -> Harmonised:
    return harmonise(reported(*args, **named), SHIPPED, STUDY)  # type: ignore[arg-type]


def flags(result: Harmonised) -> list[str]:
    return [flag.code for flag in result.flags]


def amount(value: str, unit: str, comparator: str | None = None) -> Amount:
    return Amount(Decimal(value), unit, comparator)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "row", PAIRS, ids=lambda row: f"{row['laboratory']} {row['code']} {row['text']} {row['unit']!a}"
)
def test_every_gold_pair_of_code_and_unit_has_its_canonical_value_or_its_flag(row: dict[str, str]) -> None:
    day = dt.date.fromisoformat(row["date"])
    found = harmonised(row["laboratory"], row["code"], row["text"], row["unit"] or None, day=day)
    if row["flag"]:
        assert row["flag"] in flags(found)
        assert (found.canonical, found.derived) == (None, ())
        return
    assert flags(found) == []
    assert found.canonical is not None
    assert (found.loinc, found.canonical.unit) == (row["loinc"], row["canonical_unit"])
    assert str(found.canonical.value) == str(Decimal(row["value"]))
    assert (found.canonical.comparator or "") == row["comparator"]


def test_the_gold_pairs_are_at_least_fifty_and_some_are_refused() -> None:
    assert sum(not row["flag"] for row in PAIRS) >= 45
    assert sum(bool(row["flag"]) for row in PAIRS) >= 20


def test_reported_and_canonical_value_stand_side_by_side() -> None:
    found = harmonised(SOUTH, "1020", "1,20", "mg/dl")
    assert found.reported == amount("1.20", "mg/dl")
    assert found.canonical == amount("20.52480", "umol/L")


def test_a_comparator_survives_conversion_and_logarithm() -> None:
    found = harmonised(SOUTH, "4711", "<20", "IU/ml")
    assert found.canonical == amount("20", "[IU]/mL", "<")
    assert {one.loinc: one.amount for one in found.derived}["48398-2"] == amount("1.30", "{Log_IU}/mL", "<")


def test_not_detected_is_an_answer_and_never_its_limit() -> None:
    found = harmonised(NORTH, "HBVDNA", "未检出(<10IU/mL)", "IU/mL")
    assert (found.canonical, found.answer, found.quantification) == (None, "not detected", "not detected")
    assert (found.derived, flags(found)) == ((), [])


def test_not_detected_under_a_code_that_two_assays_share_is_an_answer_of_neither() -> None:
    """Both rows of North's HBVDNA mean the same analyte; which limit the answer lies below is for a person to say."""
    found = harmonised(NORTH, "HBVDNA", "未检出", day=dt.date(2025, 6, 1))
    assert (found.analyte, found.answer, found.quantification) == ("HBV-DNA", "not detected", "not detected")
    assert (found.assay, found.lloq, flags(found)) == (None, None, ["assay unsaid"])
    later = harmonised(NORTH, "HBVDNA", "未检出", day=dt.date(2026, 6, 1))
    assert (later.assay, flags(later)) == ("COBAS TaqMan HBV Test", [])


# Copies and international units


def test_copies_become_international_units_only_by_the_assay_s_own_factor_and_only_as_a_derived_value() -> None:
    south = harmonised(SOUTH, "4712", "1,23E5", "Kopien/ml")
    north = harmonised(NORTH, "HBVDNA", "1.23E5", "copies/mL", day=dt.date(2025, 6, 1))
    assert south.canonical == north.canonical == amount("1.23E+5", "{copies}/mL")
    by_loinc = {one.loinc: one for one in south.derived}
    assert by_loinc["42595-9"].amount == amount("2.11E+4", "[IU]/mL")
    assert by_loinc["42595-9"].rule == "5.82 copies to an IU (South real-time PCR, first generation)"
    assert {one.loinc: one.amount for one in north.derived}["42595-9"] == amount("2.20E+4", "[IU]/mL")


def test_copies_of_an_unknown_assay_stay_copies() -> None:
    found = harmonised(ANY, "29615-2", "125,256,255 copies/ml")
    assert (found.canonical, found.derived) == (amount("125256255", "{copies}/mL"), ())


def test_international_units_give_copies_where_the_assay_has_a_factor() -> None:
    first = harmonised(SOUTH, "4711", "100", "IU/ml")
    second = harmonised(SOUTH, "4711", "100", "IU/ml", day=dt.date(2026, 7, 1))
    assert {one.loinc: one.amount for one in first.derived}["29615-2"] == amount("582", "{copies}/mL")
    assert [one.loinc for one in second.derived] == ["48398-2"]


def test_a_reported_logarithm_gives_a_derived_value_with_no_more_digits_than_it_knows() -> None:
    found = harmonised(NORTH, "HBVDNALOG", "3.45", "log IU/mL")
    assert found.canonical == amount("3.45", "{Log_IU}/mL")
    assert [(one.loinc, str(one.amount.value), one.rule) for one in found.derived] == [
        ("42595-9", "2.8E+3", "antilogarithm")
    ]


def test_a_logarithm_in_the_unit_of_a_plain_number_is_refused() -> None:
    assert flags(harmonised(NORTH, "HBVDNA", "log 3.45", "IU/mL")) == ["logarithm contradicts"]
    assert flags(harmonised(NORTH, "HBVDNA", "3.45 log IU/mL")) == ["unit unknown"]


# Limits, by assay and date


@pytest.mark.parametrize(
    ("text", "day", "state", "flagged"),
    [
        ("<20", dt.date(2026, 6, 30), "below", []),
        ("<20", dt.date(2026, 7, 1), None, ["limit is not the assay's"]),
        ("<10", dt.date(2026, 7, 1), "below", []),
        ("<10", dt.date(2026, 6, 30), "below", ["limit is not the assay's"]),
        ("15", dt.date(2026, 6, 30), "below", ["below the assay's limit"]),
        ("15", dt.date(2026, 7, 1), "within", []),
        ("20", dt.date(2026, 6, 30), "within", []),
        (">170000000", dt.date(2026, 6, 30), "above", []),
        ("200000000", dt.date(2026, 6, 30), "above", ["above the assay's limit"]),
        ("200000000", dt.date(2026, 7, 1), "within", []),
    ],
)
def test_limits_are_those_of_the_assay_in_use_when_the_specimen_was_taken(
    text: str, day: dt.date, state: str | None, flagged: list[str]
) -> None:
    found = harmonised(SOUTH, "4711", text, "IU/ml", day=day)
    assert (found.quantification, flags(found)) == (state, flagged)
    assert found.canonical is not None
    assert found.lloq == (20 if day < dt.date(2026, 7, 1) else 10)


def test_below_a_limit_of_detection_a_person_must_say_whether_it_was_detected() -> None:
    assert flags(harmonised(NORTH, "HBVDNA", "低于检测下限(10IU/mL)")) == ["detected or not is unsaid"]
    assert flags(harmonised(NORTH, "HBVDNA", "negative (<10)", "IU/mL")) == ["detected or not is unsaid"]
    assert flags(harmonised(NORTH, "HBSAGQ", "negative (<0.05)", "IU/mL")) == []


def test_a_value_that_no_living_person_has_is_flagged_and_still_shown() -> None:
    found = harmonised(NORTH, "HBVDNA", "1.0E14", "IU/mL")
    assert "impossible" in flags(found)
    assert found.canonical is not None
    assert not found.stopped
    assert "impossible" in flags(harmonised(ANY, "1751-7", "-4.2", "g/dL"))
    assert "impossible" not in flags(harmonised(NORTH, "HBVDNA", "<10", "IU/mL"))


def test_an_answer_that_its_own_number_contradicts_is_flagged() -> None:
    assert flags(harmonised(NORTH, "HBSAGQ", "negative (12.5 IU/mL)")) == ["answer and number contradict"]
    assert flags(harmonised(NORTH, "HBSAGQ", "positive (0.01 IU/mL)")) == [
        "answer and number contradict", "below the assay's limit",
    ]  # fmt: skip
    assert flags(harmonised(NORTH, "HBSAGQ", "positive (12.5 IU/mL)")) == []


# Contradictions


def test_a_surface_antibody_under_the_antigen_s_code_is_refused() -> None:
    found = harmonised(NORTH, "HBSAG", "阳性", label="乙肝表面抗体")
    assert Flag("code and label contradict", "molecule") in found.flags
    assert found.answer is None
    assert flags(harmonised(ANY, "5196-1", "positive", label="Hepatitis B surface antibody")) == [
        "code and label contradict"
    ]


@pytest.mark.parametrize(
    ("label", "name", "kind"),
    [
        ("HBsAb", "Hepatitis B virus surface Ag [Presence] in Serum", "molecule"),
        ("Antibody to hepatitis B surface antigen", "Hepatitis B virus surface Ag [Units/volume] in Serum", "molecule"),
        ("HBeAg", "Hepatitis B virus surface Ag [Presence] in Serum", "part"),
        ("HCV RNA", "Hepatitis B virus DNA [Units/volume] (viral load) in Serum", "nucleic acid"),
        ("丙肝抗体", "Hepatitis B virus surface Ab [Presence] in Serum", "virus"),
        ("谷草转氨酶", "Alanine aminotransferase [Enzymatic activity/volume] in Serum or Plasma", "enzyme"),
        ("直接胆红素", "Bilirubin.total [Moles/volume] in Serum or Plasma", "bilirubin"),
        ("HBs-Antikörper", "Hepatitis B virus surface Ag [Presence] in Serum", "molecule"),
        ("Anticorps anti-HBs", "Hepatitis B virus surface Ag [Presence] in Serum", "molecule"),
        ("поверхностный антиген", "Hepatitis B virus surface Ab [Presence] in Serum", "molecule"),
    ],
)
def test_a_label_that_means_another_test_is_told_by_what_differs(label: str, name: str, kind: str) -> None:
    assert contradict(label, name) == kind


def test_no_label_shipped_contradicts_its_own_loinc_name() -> None:
    labels = [(row.source, label, row.loinc_name) for row in SHIPPED.rows for label in row.labels]
    assert [(source, label) for source, label, name in labels if contradict(label, name)] == []


def test_a_label_the_laboratory_never_printed_is_shown_to_a_person_but_stops_nothing() -> None:
    found = harmonised(NORTH, "HBVDNA", "100", "IU/mL", label="HBV-DNA new panel")
    assert flags(found) == ["label unfamiliar"]
    assert found.canonical == amount("100", "[IU]/mL")


def test_codes_that_mean_different_tests_are_refused() -> None:
    codes = (ReportedCode(None, "HBSAG"), ReportedCode(LOINC, "13954-3"))
    result = Reported(laboratory=NORTH, codes=codes, label=None, reading=read_text("positive"), collected=DAY)
    assert flags(harmonise(result, SHIPPED, STUDY)) == ["codes contradict"]


def test_a_number_under_a_code_for_answers_is_refused_and_so_is_a_word_under_a_measurement() -> None:
    assert flags(harmonised(NORTH, "HBSAG", "12.5")) == ["scale contradicts"]
    assert flags(harmonised(NORTH, "HBSAGQ", "positive", "IU/mL")) == ["scale contradicts"]
    assert flags(harmonised(NORTH, "HBVDNA", "negative", "IU/mL")) == ["scale contradicts"]
    assert flags(harmonised(NORTH, "HBSAB", "1:80", "mIU/mL")) == ["no single number"]


@pytest.mark.parametrize(
    ("text", "answer", "flagged"),
    [
        ("阳性(+)", "positive", []),
        ("Reactive", "positive", []),
        ("阴性", "negative", []),
        ("non-reactive", "negative", []),
        ("not detected", "not detected", []),
        ("可疑", "indeterminate", []),
        ("弱阳性", None, ["answer not in the study's words"]),
    ],
)
def test_answers_come_in_the_study_s_words_or_go_to_a_person(text: str, answer: str | None, flagged: list[str]) -> None:
    found = harmonised(NORTH, "HBSAG", text)
    assert (found.answer, flags(found)) == (answer, flagged)


@pytest.mark.parametrize(
    ("text", "reason", "pending"),
    [("标本溶血", "error", False), ("取消", "not-performed", False), ("标本量不足", "not-performed", False),
     ("n/a", "unknown", False), ("待复查", None, True)],
)  # fmt: skip
def test_no_result_gives_a_reason_or_is_still_to_come(text: str, reason: str | None, pending: bool) -> None:
    found = harmonised(NORTH, "HBVDNA", text)
    assert (found.absent_reason, found.pending, flags(found)) == (reason, pending, [])


def test_a_quantity_whose_code_and_printed_unit_mean_different_things_is_refused() -> None:
    def one(code: str, unit: str) -> Harmonised:
        reading = read_quantity({"value": 5, "unit": unit, "system": "http://unitsofmeasure.org", "code": code})
        codes = (ReportedCode(LOINC, "63557-3"),)
        result = Reported(laboratory="Elsewhere", codes=codes, label=None, reading=reading, collected=DAY)
        return harmonise(result, SHIPPED, STUDY)

    assert flags(one("[IU]/mL", "IU/mL")) == []
    assert flags(one("[IU]/mL", "IU/L")) == ["units contradict"]
    assert flags(one("[IU]/mL", "international units")) == ["unit's text unknown"]
    assert flags(one("g/L", "IU/mL")) == ["unit unknown"]


def test_a_foreign_system_with_the_same_code_is_not_the_laboratory_s_code() -> None:
    assert flags(harmonised(NORTH, "HBVDNA", "5", "IU/mL", system="http://example.org/other")) == ["unmapped code"]


def test_an_unreadable_result_keeps_its_mapping_and_its_reason() -> None:
    found = harmonised(NORTH, "HBVDNA", "see comment", "IU/mL")
    assert (found.loinc, found.analyte) == ("42595-9", "HBV-DNA")
    assert found.flags == (Flag("unreadable", "it says that the value stands elsewhere"),)


def test_every_flag_has_its_meaning_and_a_stopping_flag_takes_every_value_with_it() -> None:
    assert not STOPS.keys() & ASKS.keys()
    assert all(Flag(code).meaning for code in (*STOPS, *ASKS))


CODES = st.sampled_from([*sorted({row.code or "" for row in SHIPPED.rows}), "", "XYZ"])
TEXTS = st.sampled_from(
    ["12", "<10", "1,5", "未检出", "阳性", "log 3.45", "3.45 log IU/mL", "1:80", "5-10 IU/mL", "see comment", "溶血",
     "-5", "negative (<10)", "20 IU/mL", "1E14", "0", "detected <20 IU/mL", "2+"]
) | st.text(max_size=10)  # fmt: skip
UNITS = st.sampled_from([None, "", *sorted({unit for row in SHIPPED.rows for unit in row.units}), "parsec"])


@given(
    st.sampled_from([NORTH, SOUTH, ANY, "Elsewhere"]), CODES, TEXTS, UNITS, st.sampled_from([None, LOINC, "urn:x"]),
    st.none() | st.text(max_size=10), st.dates(),
)  # fmt: skip
def test_harmonising_is_total_and_the_same_every_time(
    laboratory: str, code: str, text: str, unit: str | None, system: str | None, label: str | None, day: dt.date
) -> None:
    result = reported(laboratory, code, text, unit, label=label, day=day, system=system)
    found = harmonise(result, SHIPPED, STUDY)
    assert harmonise(result, SHIPPED, STUDY) == found
    assert list(found.flags) == sorted(found.flags)
    if found.stopped:
        assert (found.canonical, found.answer, found.absent_reason, found.derived) == (None, None, None, ())
    if found.canonical is not None and found.test is not None:
        assert found.canonical.unit == found.test.canonical_unit
        assert found.reported is not None
        assert found.canonical.value == found.reported.value * found.test.factor
        assert found.canonical.comparator == found.reported.comparator
