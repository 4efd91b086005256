"""Every lesion of the cohort against LI-RADS v2018, by rules written here once more and not taken from the code."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict

import pytest

from fhirbridge.protocol.lirads import major_feature_category

TABLE = {
    # enhancement, size class: category with no, one, two or more additional major features
    ("none", "<20"): ("LR-3", "LR-3", "LR-4"),
    ("none", ">=20"): ("LR-3", "LR-4", "LR-4"),
    ("nonrim", "<10"): ("LR-3", "LR-4", "LR-4"),
    ("nonrim", "10-19"): ("LR-3", "LR-5", "LR-5"),
    ("nonrim", ">=20"): ("LR-4", "LR-5", "LR-5"),
}
"""The one cell that depends on which feature it is (10-19 mm, capsule alone: LR-4) is in ``expected``."""


def expected(size: int, aphe: str, washout: bool, capsule: bool, growth: bool) -> str:
    features = washout + capsule + growth
    if aphe == "none":
        size_class = "<20" if size < 20 else ">=20"
    else:
        size_class = "<10" if size < 10 else "10-19" if size < 20 else ">=20"
    if size_class == "10-19" and features == 1 and capsule:
        return "LR-4"
    return TABLE[aphe, size_class][min(features, 2)]


@pytest.fixture(scope="module")
def seen(table) -> list[dict[str, str]]:
    """Each lesion row with the subject and date of its exam, in time."""
    exams = {row["exam"]: row for row in table("imaging")}
    rows = [
        {**row, "subject": exams[row["exam"]]["subject"], "date": exams[row["exam"]]["performed"][:10]}
        for row in table("lesions")
    ]
    return sorted(rows, key=lambda row: (row["subject"], row["lesion"], row["date"]))


@pytest.mark.parametrize("growth", [False, True])
@pytest.mark.parametrize("capsule", ["absent", "enhancing", "nonenhancing"])
@pytest.mark.parametrize("washout", ["absent", "nonperipheral", "peripheral"])
@pytest.mark.parametrize("size", [5, 9, 10, 19, 20, 45])
@pytest.mark.parametrize("aphe", ["none", "nonrim"])
def test_the_decision_table_is_the_published_one(size, aphe, washout, capsule, growth):
    found = major_feature_category(size, aphe, washout, capsule, growth)
    assert found == expected(size, aphe, washout == "nonperipheral", capsule == "enhancing", growth)


def test_categories_3_to_5_follow_the_table(seen):
    rows = [row for row in seen if row["category"] in ("LR-3", "LR-4", "LR-5")]
    for row in rows:
        assert row["category"] == expected(
            int(row["size_mm"]),
            row["aphe"],
            row["washout"] == "nonperipheral",
            row["capsule"] == "enhancing",
            row["threshold_growth"] == "true",
        ), row
    assert {row["category"] for row in rows} == {"LR-3", "LR-4", "LR-5"}


def test_lr_5_enhances_measures_10_mm_and_has_no_targetoid_feature(seen):
    for row in seen:
        if row["category"] == "LR-5":
            assert row["aphe"] == "nonrim"
            assert int(row["size_mm"]) >= 10
            assert row["washout"] != "peripheral"


def test_tumour_in_vein_is_flagged_exactly_where_the_category_says_so(seen):
    assert all((row["category"] == "LR-TIV") == (row["tumor_in_vein"] == "true") for row in seen)


def test_lr_m_has_a_targetoid_feature_and_nothing_else_has(seen):
    for row in seen:
        targetoid = row["aphe"] == "rim" or row["washout"] == "peripheral"
        assert targetoid == (row["category"] == "LR-M")


def test_benign_categories_have_no_major_feature(seen):
    for row in seen:
        if row["category"] in ("LR-1", "LR-2"):
            assert (row["aphe"], row["washout"], row["capsule"]) == ("none", "absent", "absent")
            assert row["ancillary_benign"] == "true"
            assert row["threshold_growth"] == row["tumor_in_vein"] == "false"


def test_a_lesion_that_cannot_be_categorised_has_no_features(seen):
    for row in seen:
        if row["category"] in ("LR-NC", "LR-TR-NE"):
            assert not row["size_mm"] + row["aphe"] + row["washout"] + row["threshold_growth"]


def test_treated_lesions_and_only_they_have_a_treatment_response(seen):
    for row in seen:
        assert row["treated"] in ("true", "false")
        assert (row["treated"] == "true") == row["category"].startswith("LR-TR-")


def test_threshold_growth_is_flagged_exactly_where_half_a_years_sizes_show_it(seen):
    by_lesion = defaultdict(list)
    flagged = 0
    for row in seen:
        if not row["threshold_growth"]:
            continue
        date, size = dt.date.fromisoformat(row["date"]), int(row["size_mm"])
        earlier = by_lesion[row["subject"], row["lesion"]]
        grew = any((date - then).days <= 182 and 2 * size >= 3 * was for then, was in earlier)
        assert (row["threshold_growth"] == "true") == grew, row
        flagged += grew
        earlier.append((date, size))
    assert flagged > 20


def test_a_lesion_keeps_its_segment_and_numbers_start_at_one(seen):
    segments, numbers = defaultdict(set), defaultdict(set)
    for row in seen:
        segments[row["subject"], row["lesion"]].add(row["segment"])
        numbers[row["subject"]].add(row["lesion"])
    assert all(len(found) == 1 for found in segments.values())
    assert all(found == {f"L{n:02d}" for n in range(1, len(found) + 1)} for found in numbers.values())


def test_a_treated_lesion_never_returns_to_a_diagnostic_category(seen):
    treated = set()
    for row in seen:
        key = row["subject"], row["lesion"]
        assert row["treated"] == "true" or key not in treated
        if row["treated"] == "true":
            treated.add(key)


def test_tumours_grow_and_benign_observations_do_not(seen):
    sizes = defaultdict(list)
    worst = defaultdict(set)
    for row in seen:
        if row["treated"] == "false" and row["size_mm"]:
            sizes[row["subject"], row["lesion"]].append(int(row["size_mm"]))
            worst[row["subject"], row["lesion"]].add(row["category"])
    tumours = [sizes[key] for key, found in worst.items() if found & {"LR-5", "LR-TIV", "LR-M"}]
    assert all(found == sorted(found) for found in tumours)
    assert sum(found[-1] > found[0] for found in tumours) > 30
    benign = [sizes[key] for key, found in worst.items() if found <= {"LR-1", "LR-2"}]
    assert all(max(found) - min(found) <= 2 for found in benign)


def test_some_exams_have_no_reportable_observation_and_say_so(table):
    with_lesions = {row["exam"] for row in table("lesions")}
    empty = [row for row in table("imaging") if row["exam"] not in with_lesions]
    assert 0.1 < len(empty) / len(table("imaging")) < 0.4
    assert {row["conclusion"] for row in empty} == {"There are no reportable LI-RADS observations."}
