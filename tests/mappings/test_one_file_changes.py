"""A second study is one file and another analyte is one entry: no code changes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from fhirbridge.identity import Identity
from fhirbridge.records.values import Number, Ordinal
from fhirbridge.study import Study, load
from fhirbridge.validation import Validator, has_errors
from mappings import resources
from tests.mappings.cases import EXAM, HBV_DNA, ROOT, STUDY_FILE, SUBJECT, following

ANALYTES = """
[[analytes]]
name = "AFP"
title = "Alpha-1-fetoprotein"
loinc = "1834-1"
display = "Alpha-1-Fetoprotein [Mass/volume] in Serum or Plasma"
scale = "Qn"
unit = "ng/mL"

[[analytes]]
name = "HBEAG"
title = "HBeAg"
loinc = "13954-3"
display = "Hepatitis B virus e Ag [Presence] in Serum or Plasma by Immunoassay"
scale = "Ord"
"""


@pytest.fixture(scope="module")
def validator() -> Validator:
    return Validator.load([ROOT / "profiles"])


def written(path: Path, text: str) -> Study:
    path.write_text(text, encoding="utf-8")
    return load(path)


def test_a_second_study_is_one_file(tmp_path: Path, validator: Validator) -> None:
    text = STUDY_FILE.read_text(encoding="utf-8")
    for old, new in (
        ('id = "nct07120750"', 'id = "second-study"'),
        ("sid/nct07120750", "sid/second-study"),
        ("NCT07120750", "NCT00000000"),
        ('name = "NA"\n', 'name = "Standard"\n'),
        ('"SZTPH"', '"Another Site"'),
        ("target = 332", "target = 12"),
    ):
        assert old in text
        text = text.replace(old, new)
    second = written(tmp_path / "second.toml", text)
    identity = Identity(bytes(range(32)), second.id)
    subject = replace(SUBJECT, arm="Standard", site="Another Site")
    made = [found for one in (second, subject, HBV_DNA, EXAM) for _, found in resources(one, second, identity)]
    assert {found["meta"]["tag"][0]["code"] for found in made} == {"second-study"}
    (study,) = following(made, "trial-research-study")
    assert (study["id"], study["arm"][0]["name"]) == ("second-study", "Standard")
    for found in made:
        assert not has_errors(validator.validate(found)), found


def test_another_analyte_is_one_entry(tmp_path: Path, validator: Validator) -> None:
    study = written(tmp_path / "more.toml", STUDY_FILE.read_text(encoding="utf-8") + ANALYTES)
    identity = Identity(bytes(range(32)), study.id)
    afp = replace(HBV_DNA, result="A1", analyte="AFP", value=Number(Decimal("12.30")), unit="ng/mL")
    antigen = replace(HBV_DNA, result="A2", analyte="HBEAG", value=Ordinal("positive"), unit=None)
    ((_, mass),) = resources(afp, study, identity)
    ((_, presence),) = resources(antigen, study, identity)
    assert mass["valueQuantity"]["code"] == "ng/mL"
    assert str(mass["valueQuantity"]["value"]) == "12.30"
    assert "method" not in mass
    assert presence["valueCodeableConcept"]["coding"][0]["code"] == "10828004"
    assert presence["interpretation"][0]["coding"][0]["code"] == "POS"
    for found in (mass, presence):
        assert following([found], "laboratory-result")
        assert not has_errors(validator.validate(found)), found
