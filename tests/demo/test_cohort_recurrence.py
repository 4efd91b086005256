"""The planted effect comes back: recurrence as the tables show it, analysed as the trial would."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from statistics import mean

import pandas as pd
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter

from fhirbridge.demo.cohort import CohortSummary, Participant, participants
from fhirbridge.study import Study

RECURRENCE = {"LR-5", "LR-TIV", "LR-M", "LR-TR-V"}
"""New LR-5, tumour in vein, biopsied LR-M, and viable tumour where a treated zone was not viable before."""


def times(cohort: Iterable[Participant]) -> pd.DataFrame:
    """One row per subject: days to the detecting exam, or to the last exam without recurrence."""
    rows = []
    for participant in cohort:
        index = participant.subject.index_date
        assert index is not None
        days = [(exam.performed.date() - index).days for exam in participant.imaging]
        hits = [i for i, exam in enumerate(participant.imaging) if RECURRENCE & {le.category for le in exam.lesions}]
        truth = participant.truth
        assert (participant.imaging[hits[0]].exam if hits else None) == truth["detected_exam"]
        rows.append(
            {
                "days": max(days[hits[0]] if hits else days[-1], 1),
                "recurred": int(bool(hits)),
                "peg": int(participant.subject.arm == "NA+PegIFN"),
                "age": float(truth["age_years"]),
                "hbsag": float(truth["hbsag_log10"]),
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def observed(study: Study) -> pd.DataFrame:
    return times(participants(study))


def test_the_default_cohort_gives_the_planted_hazard_ratio_back(observed):
    cox = CoxPHFitter().fit(observed, "days", "recurred")
    low, high = (math.exp(bound) for bound in cox.confidence_intervals_.loc["peg"])
    assert low < 0.6 < high < 1.0
    assert 0.5 < math.exp(cox.params_["peg"]) < 0.72


def test_over_several_cohorts_the_hazard_ratio_averages_to_the_planted_one(study: Study):
    """Six cohorts' worth in two runs: a standard error of 0.07 in the log hazard ratio; the band is under three."""
    estimates = [
        CoxPHFitter().fit(times(participants(study, seed=seed, subjects=996)), "days", "recurred").params_["peg"]
        for seed in (11, 12)
    ]
    assert 0.6 * math.exp(-0.18) < math.exp(mean(estimates)) < 0.6 * math.exp(0.18)


def test_three_year_recurrence_is_about_half_on_analogues_alone(observed):
    curve = KaplanMeierFitter()
    at_three_years = {}
    for peg, rows in observed.groupby("peg"):
        at_three_years[peg] = 1 - curve.fit(rows.days, rows.recurred).predict(1095)
    assert 0.40 <= at_three_years[0] <= 0.60
    assert 0.24 <= at_three_years[1] <= 0.45


def test_the_exam_that_detects_is_the_first_after_the_event(cohort: CohortSummary, table):
    truth = json.loads((cohort.directory / "truth.json").read_text(encoding="utf-8"))
    subjects = {row["subject"]: row for row in table("subjects")}
    assert truth["planted"]["hazard_ratio"] == "0.6"
    routes = set()
    for subject in truth["subjects"]:
        assert subject["arm"] == subjects[subject["subject"]]["arm"]
        if subject["detected_day"] is not None:
            assert subject["detected_day"] >= subject["event_day"] > 0
            routes.add(subject["route"])
    assert routes == {"new", "precursor", "local", "vein", "targetoid"}
