"""A laboratory is a CSV file: another one, or another analyte, is a row; broken rows are refused, gaps listed."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirbridge import study as studies
from fhirbridge.errors import ConfigurationError
from fhirbridge.identity import Identity
from fhirbridge.records.types import LaboratoryResult
from fhirbridge.records.values import Number
from fhirbridge.terminology.analytes import with_laboratories
from fhirbridge.terminology.concept_maps import concept_map
from fhirbridge.terminology.harmonising import Harmonised, Reported, harmonise
from fhirbridge.terminology.laboratories import Laboratories, ReportedCode
from fhirbridge.terminology.laboratory_files import COLUMNS, load
from fhirbridge.terminology.texts import read_text
from fhirbridge.terminology.units import Amount
from fhirbridge.terminology.worklist import merged, worklist
from fhirbridge.validation import Validator, has_errors
from fhirbridge.validation.ucum import is_unit
from mappings import resources

ROOT = Path(__file__).parent.parent.parent
FILES = ROOT / "mappings" / "laboratories"
SHIPPED = load([FILES])
TRIAL = studies.load(ROOT / "mappings" / "studies" / "nct07120750.toml")
STUDY = with_laboratories(TRIAL, SHIPPED)
NORTH, SOUTH = "North Hospital", "South Reference Laboratory"
DAY = dt.date(2026, 3, 1)


def flags(result: Harmonised) -> list[str]:
    return [flag.code for flag in result.flags]


# One-file changes

HEADER = ",".join(COLUMNS)


def written(tmp_path: Path, *lines: str) -> Laboratories:
    (tmp_path / "new.csv").write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return load([*FILES.glob("*.csv"), tmp_path / "new.csv"])


def row(**cells: str) -> str:
    basis = {"laboratory": "West", "system": "urn:west", "code": "AFP1", "loinc": "1834-1", "scale": "Qn",
             "loinc_name": "Alpha-1-Fetoprotein [Mass/volume] in Serum or Plasma", "unit": "kU/L",
             "canonical_unit": "ng/mL", "factor": "1.21"}  # fmt: skip
    cells = basis | cells
    return ",".join(cells.get(name, "") for name in COLUMNS)


def test_a_new_laboratory_and_a_new_analyte_are_one_row(tmp_path: Path) -> None:
    line = row(analyte="AFP", label="AFP", assay="West AFP", lloq="0.5", highest_possible="1E8")
    laboratories = written(tmp_path, line)
    study = with_laboratories(TRIAL, laboratories)
    result = Reported(
        laboratory="West", codes=(ReportedCode("urn:west", "AFP1"),), label="AFP", reading=read_text("10.0 kU/L"),
        collected=DAY,
    )  # fmt: skip
    found = harmonise(result, laboratories, study)
    assert (found.analyte, found.canonical, flags(found)) == ("AFP", Amount(Decimal("12.100"), "ng/mL"), [])
    assert found.canonical is not None
    record = LaboratoryResult(
        result="R1", subject="S001", visit="UNS", analyte=found.analyte or "", collected=DAY, assay=found.assay,
        value=Number(found.canonical.value), unit=found.canonical.unit,
    )  # fmt: skip
    ((_, observation),) = resources(record, study, Identity(bytes(range(32)), study.id))
    assert observation["code"]["coding"][0]["code"] == "1834-1"
    assert observation["referenceRange"][0]["low"]["value"] == Decimal("0.5")
    assert not has_errors(Validator.load([ROOT / "profiles"]).validate(observation))


@pytest.mark.parametrize(
    ("text", "flagged"),
    [("<20", ["assay not in the study file"]), ("<20 detected", ["assay not in the study file"]), ("500", [])],
)
def test_below_the_limit_of_an_assay_that_only_a_laboratory_knows_nobody_said_that_it_was_detected(
    tmp_path: Path, text: str, flagged: list[str]
) -> None:
    dna = {"code": "DNA", "analyte": "HBV-DNA", "loinc": "42595-9", "unit": "IU/mL", "canonical_unit": "[IU]/mL",
           "factor": "1", "assay": "West PCR", "lloq": "20"}  # fmt: skip
    laboratories = written(tmp_path, row(**dna))
    result = Reported(
        laboratory="West", codes=(ReportedCode("urn:west", "DNA"),), label=None, reading=read_text(text),
        collected=DAY, unit="IU/mL",
    )  # fmt: skip
    found = harmonise(result, laboratories, with_laboratories(TRIAL, laboratories))
    assert (found.assay, flags(found)) == ("West PCR", flagged)
    assert found.canonical is not None


def test_a_laboratory_without_codes_is_found_by_its_exact_label(tmp_path: Path) -> None:
    laboratories = written(tmp_path, row(code="", label="Alpha-Feto 2|AFP two"))
    result = Reported(laboratory="West", codes=(), label="afp TWO", reading=read_text("5 kU/L"), collected=DAY)
    assert harmonise(result, laboratories, STUDY).loinc == "1834-1"
    unknown = Reported(laboratory="West", codes=(), label="AFP", reading=read_text("5 kU/L"), collected=DAY)
    assert flags(harmonise(unknown, laboratories, STUDY)) == ["unmapped code"]


def test_a_code_outside_its_validity_is_told_apart_from_an_unknown_one(tmp_path: Path) -> None:
    laboratories = written(tmp_path, row(valid_from="2026-03-02"))
    result = Reported(
        laboratory="West", codes=(ReportedCode(None, "AFP1"),), label=None, reading=read_text("5 kU/L"), collected=DAY
    )
    assert flags(harmonise(result, laboratories, STUDY)) == ["code not valid then"]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"loinc": "1834-2"}, "check digit"),
        ({"factor": ""}, "factor"),
        ({"factor": "0"}, "above zero"),
        ({"factor": "1;5"}, "decimal point"),
        ({"canonical_unit": ""}, "scale Qn"),
        ({"scale": "Quant"}, "none of Qn"),
        ({"decimal": "."}, "neither point nor comma"),
        ({"lloq": "1"}, "name it"),
        ({"assay": "X", "lloq": "5", "uloq": "1"}, "counterpart"),
        ({"valid_from": "01.02.2026"}, "no date"),
        ({"valid_from": "2026-02-02", "valid_until": "2026-02-01"}, "counterpart"),
        ({"code": ""}, "label"),
        ({"system": ""}, "empty"),
    ],
)
def test_a_broken_row_is_refused_with_its_file_and_line(tmp_path: Path, cells: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^new\.csv:2: .*{said}"):
        written(tmp_path, row(**cells))


def test_rows_between_which_a_result_could_not_choose_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"new\.csv:4.*new\.csv:2"):
        written(tmp_path, row(valid_until="2026-06-30"), row(valid_from="2026-07-01"), row(valid_from="2026-06-30",
                valid_until="2026-06-30", unit="IU/mL|kU/L"))  # fmt: skip
    with pytest.raises(ConfigurationError, match="two decimal marks"):
        written(tmp_path, row(decimal="comma"), row(decimal="point", code="other"))


def test_a_row_that_contradicts_the_study_is_refused(tmp_path: Path) -> None:
    dna = {"analyte": "HBV-DNA", "loinc": "42595-9", "canonical_unit": "[IU]/mL"}
    for cells, said in (
        (dna | {"canonical_unit": "ng/mL"}, "canonical unit"),
        (dna | {"scale": "Ord", "canonical_unit": "", "unit": ""}, "scale"),
        (dna | {"canonical_unit": "{copies}/mL"}, "42595-9"),
        (dna | {"assay": "COBAS TaqMan HBV Test", "lloq": "20"}, "name another assay"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            with_laboratories(TRIAL, written(tmp_path, row(**cells)))


def test_unknown_columns_and_other_files_are_refused(tmp_path: Path) -> None:
    for text in ("laboratory,colour\n", "laboratory\n", "\ufeff" + HEADER + "\nWest\n", ""):
        (tmp_path / "bad.csv").write_text(text, encoding="utf-8")
        with pytest.raises(ConfigurationError, match=r"bad\.csv"):
            load([tmp_path])
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"bad\.csv"):
        load([tmp_path])


def test_every_canonical_unit_shipped_is_a_ucum_unit() -> None:
    units = {row.canonical_unit for row in SHIPPED.rows if row.canonical_unit}
    assert {unit for unit in units if not is_unit(unit)} == set()


def test_every_test_the_study_collects_in_a_laboratory_has_its_limits_at_every_time() -> None:
    for laboratory in SHIPPED.names():
        for row in SHIPPED.rows:
            if row.laboratory == laboratory and row.analyte and not row.logarithmic:
                assay = next(one for one in STUDY.analytes if one.name == row.analyte).assay(row.assay)
                assert row.lloq is not None or (assay is not None and assay.lloq is not None), row.source


# ConceptMap


@pytest.mark.parametrize("laboratory", SHIPPED.names())
@pytest.mark.parametrize("day", [dt.date(2025, 6, 1), DAY])
def test_the_concept_map_of_a_laboratory_is_valid_and_complete(laboratory: str, day: dt.date) -> None:
    made = concept_map(SHIPPED, laboratory, day)
    assert not has_errors(Validator.load([ROOT / "profiles"]).validate(made)), made
    codes = {element["code"] for group in made["group"] for element in group["element"]}
    assert codes == {row.code for row in SHIPPED.rows if row.laboratory == laboratory and row.valid_on(day)}


def test_a_code_that_means_two_tests_by_unit_says_so_in_the_concept_map() -> None:
    made = concept_map(SHIPPED, NORTH, dt.date(2025, 6, 1))
    (dna,) = [one for one in made["group"][0]["element"] if one["code"] == "HBVDNA"]
    assert {(target["code"], target["dependsOn"][0]["value"]) for target in dna["target"]} >= {
        ("42595-9", "IU/mL"), ("29615-2", "copies/mL"),
    }  # fmt: skip
    later = concept_map(SHIPPED, NORTH, DAY)
    (dna,) = [one for one in later["group"][0]["element"] if one["code"] == "HBVDNA"]
    assert [target["code"] for target in dna["target"]] == ["42595-9"]
    assert "dependsOn" not in dna["target"][0]


def test_a_code_whose_results_change_their_property_is_not_called_equivalent() -> None:
    elements = concept_map(SHIPPED, SOUTH, DAY)["group"][0]["element"]
    relations = {one["code"]: one["target"][0]["equivalence"] for one in elements}
    assert (relations["1020"], relations["1021"], relations["4711"]) == ("inexact", "equivalent", "equivalent")


# Worklist


def met(laboratory: str, code: str, text: str, unit: str | None = None) -> tuple[Reported, Harmonised]:
    reading = read_text(text, SHIPPED.decimal_mark(laboratory))
    codes = (ReportedCode(None, code),)
    result = Reported(laboratory=laboratory, codes=codes, label=None, reading=reading, collected=DAY, unit=unit)
    return result, harmonise(result, SHIPPED, STUDY)


MET = [
    met(NORTH, "XYZ", "5", "mg/dL"), met(NORTH, "XYZ", "7", "mg/dL"), met(NORTH, "XYZ", "Dunn, Tom", "mg/dL"),
    met(NORTH, "XYZ", "9", "mg/dL"), met(NORTH, "HBVDNA", "5", "parsec"), met(NORTH, "HBVDNA", "5", "IU/mL"),
    met(SOUTH, "9999", "positiv"),
]  # fmt: skip


def test_the_worklist_counts_gaps_with_three_examples_and_nothing_of_a_person() -> None:
    found = worklist(MET)
    assert [(gap.code, gap.wanting, work.count) for gap, work in found.items()] == [
        ("XYZ", "code", 4), ("HBVDNA", "unit", 1), ("9999", "code", 1),
    ]  # fmt: skip
    first = next(iter(found.values()))
    assert first.examples == ("5", "7", "9")
    assert "Dunn" not in repr(found)


@given(st.permutations(MET), st.integers(0, len(MET)))
def test_the_worklist_does_not_depend_on_the_order_or_on_how_it_was_split(
    results: list[tuple[Reported, Harmonised]], cut: int
) -> None:
    whole = worklist(MET)
    parts = merged(worklist(results[:cut]), worklist(results[cut:]))
    assert list(whole.items()) == list(parts.items())
