"""Proportions a clinician would look at first, in bands wide enough for chance and narrow enough for mistakes."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from statistics import mean, median

import pytest

DAY = dt.date.fromisoformat


@pytest.fixture(scope="module")
def subjects(table) -> dict[str, dict[str, str]]:
    return {row["subject"]: row for row in table("subjects")}


def share(rows, condition) -> float:
    rows = list(rows)
    return sum(bool(condition(row)) for row in rows) / len(rows)


def completed_years(born: dt.date, on: dt.date) -> int:
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day))


def test_people_are_mostly_men_in_their_fifties_within_the_age_criterion(subjects):
    ages = [completed_years(DAY(row["birth_date"]), DAY(row["consent_date"])) for row in subjects.values()]
    assert all(18 <= age <= 70 for age in ages)
    assert 51 <= mean(ages) <= 56
    assert 0.79 <= share(subjects.values(), lambda row: row["sex"] == "male") <= 0.90


def test_arms_are_about_equal_and_peginterferon_goes_to_the_younger(subjects):
    arms = Counter(row["arm"] for row in subjects.values())
    assert set(arms) == {"NA", "NA+PegIFN"}
    assert 0.42 <= arms["NA"] / 332 <= 0.58
    born = {arm: mean(DAY(r["birth_date"]).toordinal() for r in subjects.values() if r["arm"] == arm) for arm in arms}
    assert 0 < (born["NA+PegIFN"] - born["NA"]) / 365.25 < 5


def test_enrolment_is_spread_over_18_months(subjects):
    starts = [DAY(row["index_date"]) for row in subjects.values()]
    assert 530 <= (max(starts) - min(starts)).days <= 560
    months = Counter((start.year, start.month) for start in starts)
    assert len(months) == 18 or len(months) == 19
    assert max(months.values()) <= 25


def test_few_leave_early_and_few_die(subjects):
    rows = subjects.values()
    assert 0.01 <= share(rows, lambda row: row["consent_withdrawn"]) <= 0.08
    assert 0.04 <= share(rows, lambda row: row["death_date"]) <= 0.16
    early = [row for row in rows if DAY(row["end_date"]) - DAY(row["index_date"]) < dt.timedelta(weeks=150)]
    assert 0.12 <= len(early) / 332 <= 0.30


@pytest.mark.parametrize(("name", "date"), [("laboratory", "collected"), ("imaging", "performed")])
def test_visits_are_mostly_in_their_window_and_few_are_missed(name, date, table, subjects):
    offsets, expected, came = [], 0, 0
    present = {(row["subject"], row["visit"]) for row in table(name)}
    for row in table(name):
        if row["visit"] != "UNS":
            target = DAY(subjects[row["subject"]]["index_date"]) + dt.timedelta(weeks=int(row["visit"][1:]))
            offsets.append((DAY(row[date][:10]) - target).days)
    for subject in subjects.values():
        stay = DAY(subject["end_date"]) - DAY(subject["index_date"])
        for week in range(0, 157, 12):
            if stay > dt.timedelta(weeks=week, days=21) or week == 0:
                expected += 1
                came += (subject["subject"], f"W{week:03d}") in present
    assert 0.035 <= share(offsets, lambda offset: abs(offset) > 7) <= 0.085
    assert all(abs(offset) <= 24 for offset in offsets)
    assert 0.035 <= 1 - came / expected <= 0.075


def test_everybody_has_a_baseline_before_treatment(table, subjects):
    for name, date in (("laboratory", "collected"), ("imaging", "performed")):
        first = {row["subject"]: row[date][:10] for row in table(name) if row["visit"] == "W000"}
        assert set(first) == set(subjects)
        assert all(when <= subjects[subject]["index_date"] for subject, when in first.items())


def dna(table, visit):
    return [row["value"] for row in table("laboratory") if (row["analyte"], row["visit"]) == ("HBV-DNA", visit)]


def below(value: str) -> bool:
    return value == "not detected" or value.startswith("<")


def test_hbv_dna_falls_below_the_limit_of_quantification(table):
    assert 0.35 <= share(filter(None, dna(table, "W000")), below) <= 0.65
    assert 0.92 <= share(filter(None, dna(table, "W048")), below) <= 0.995
    assert {"<10", "not detected"} <= set(dna(table, "W048"))


def test_a_viral_load_beyond_the_assay_and_blips_do_happen(table):
    everything = [row for row in table("laboratory") if row["analyte"] == "HBV-DNA"]
    assert 1 <= sum(row["value"] == ">170000000" for row in everything) <= 6
    assert 10 <= sum(row["visit"] == "UNS" for row in everything) <= 60


def test_some_results_are_missing_with_their_reason_or_corrected(table):
    rows = table("laboratory")
    reasons = Counter(row["absent_reason"] for row in rows)
    assert set(reasons) == {"", "not-performed", "error"}
    assert 0.005 <= 1 - reasons[""] / len(rows) <= 0.02
    assert 5 <= sum(row["status"] == "corrected" for row in rows) <= 60
    assert all((row["status"] == "cancelled") == (row["absent_reason"] == "not-performed") for row in rows)


def hbsag(table, subjects, arm, visit):
    return [
        0.05 if row["value"].startswith("<") else float(row["value"])
        for row in table("laboratory")
        if row["analyte"] == "HBSAG"
        and row["visit"] == visit
        and row["value"]
        and subjects[row["subject"]]["arm"] == arm
    ]


def test_hbsag_declines_slowly_on_analogues_and_faster_with_peginterferon(table, subjects):
    ratio = {
        arm: median(hbsag(table, subjects, arm, "W048")) / median(hbsag(table, subjects, arm, "W000"))
        for arm in ("NA", "NA+PegIFN")
    }
    assert 0.6 <= ratio["NA"] <= 1.0
    assert 0.1 <= ratio["NA+PegIFN"] <= 0.5


def test_hbsag_loss_is_rare_on_analogues_and_a_sixth_with_peginterferon(table, subjects):
    lost = {row["subject"] for row in table("laboratory") if row["analyte"] == "HBSAG" and row["value"] == "<0.05"}
    of = {arm: [row for row in subjects.values() if row["arm"] == arm] for arm in ("NA", "NA+PegIFN")}
    assert share(of["NA"], lambda row: row["subject"] in lost) <= 0.05
    assert 0.11 <= share(of["NA+PegIFN"], lambda row: row["subject"] in lost) <= 0.26
