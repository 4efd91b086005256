"""The study file: the trial as shipped, and what a broken one says."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest

import mappings
from fhirbridge import study
from fhirbridge.errors import ConfigurationError

SHIPPED = Path(mappings.__file__).parent / "studies" / "nct07120750.toml"


def broken(tmp_path: Path, old: str, new: str) -> Path:
    text = SHIPPED.read_text(encoding="utf-8")
    assert old in text
    file = tmp_path / "broken.toml"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    return file


def test_the_trial_is_as_registered() -> None:
    trial = study.load(SHIPPED)
    assert [(one.system, one.value) for one in trial.identifiers] == [
        ("https://clinicaltrials.gov/nctid", "NCT07120750"),
        ("https://fhirbridge.github.io/sid/szsy/protocol", "IIT-2024-077"),
    ]
    assert [arm.name for arm in trial.arms] == ["NA", "NA+PegIFN"]
    assert (trial.target, trial.start, trial.end) == (332, "2025-09-01", "2030-12-31")
    assert [visit.week for visit in trial.schedule.visits] == list(range(0, 157, 12))
    assert (trial.schedule.before_days, trial.schedule.after_days) == (7, 7)
    assert sum(not criterion.exclude for criterion in trial.eligibility) == 7
    assert sum(criterion.exclude for criterion in trial.eligibility) == 15


def test_limits_of_quantification_keep_their_digits() -> None:
    trial = study.load(SHIPPED)
    dna, antigen = trial.analyte("HBV-DNA"), trial.analyte("HBSAG")
    assert dna is not None
    assert antigen is not None
    assert [str(assay.lloq) for assay in (*dna.assays, *antigen.assays)] == ["10", "20", "10", "0.05"]
    assert dna.assays[0].uloq == Decimal("1.7E8")


def test_the_last_visit_is_planned_156_weeks_after_the_anchor() -> None:
    trial = study.load(SHIPPED)
    last = trial.schedule.visits[-1]
    assert trial.schedule.target(last, dt.date(2026, 1, 5)) == dt.date(2026, 1, 5) + dt.timedelta(days=1092)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("target = 332", "targett = 332", "targett"),
        ("target = 332", 'target = "many"', "target"),
        ('name = "NA+PegIFN"', 'name = "NA"', "'NA' is defined twice"),
        ('sponsor = "SZTPH"', 'sponsor = "NOBODY"', "NOBODY"),
        ('time_zone = "Asia/Shanghai"', 'time_zone = "Asia/Atlantis"', "Asia/Atlantis"),
        ('unit = "[IU]/mL"\n', "", "HBV-DNA"),
        ('id = "nct07120750"', 'id = "nct', "line"),
        ('id = "nct07120750"', 'id = "NCT 07120750"', "NCT 07120750"),
    ],
)
def test_a_broken_study_file_says_what_is_wrong(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        study.load(broken(tmp_path, old, new))
    assert said in str(error.value)
    assert "broken.toml" in str(error.value)


def test_a_missing_study_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no study file"):
        study.load(tmp_path / "none.toml")
