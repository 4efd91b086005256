"""The visit windows by hand-made examples; docs/windows.md shows the same rules to readers."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import msgspec
import pytest

from fhirbridge.errors import ConfigurationError
from fhirbridge.protocol.slots import FollowUp, follow_up
from fhirbridge.protocol.windows import Candidate, Placed, Placement, place
from fhirbridge.study import Procedure, Schedule, Visit, Window, load

DAY = dt.timedelta(days=1)
ANCHOR = dt.date(2026, 1, 5)
LONG_AFTER = dt.date(2031, 1, 1)
SCHEDULE = Schedule(
    time_zone="Asia/Shanghai",
    before_days=7,
    after_days=7,
    visits=(
        Visit(name="SCR", week=-4, before_days=14, after_days=10),
        Visit(name="W000", week=0, before_days=20, after_days=0, pick="last"),
        Visit(name="W012", week=12),
        Visit(name="W024", week=24),
    ),
    procedures=(
        Procedure(name="imaging", before_days=7, after_days=7, grace_days=10, visits=("W000", "W012", "W024")),
        Procedure(name="laboratory", analytes=("HBV-DNA", "HBSAG"), before_days=10, after_days=21, grace_days=28),
    ),
)
W012 = ANCHOR + 84 * DAY


def placed(
    *candidates: tuple[str, object],
    schedule: Schedule = SCHEDULE,
    today: dt.date = LONG_AFTER,
    end: dt.date | None = None,
) -> Placed:
    """Place (item, when) pairs, whose keys are a, b, c …"""
    found = [Candidate(key="abcdefgh"[n], item=item, when=when) for n, (item, when) in enumerate(candidates)]  # type: ignore[arg-type]
    return place(schedule, FollowUp(anchor=ANCHOR, end=end), found, today)


def one(item: str, when: object, **how: object) -> Placement:
    return placed((item, when), **how).placements[0]  # type: ignore[arg-type]


def state(placed: Placed, visit: str, item: str) -> str:
    return next(e.state for e in placed.expectations if (e.visit, e.item) == (visit, item))


@pytest.mark.parametrize(
    ("item", "days", "visit", "offset"),
    [
        ("imaging", 84, "W012", 0),
        ("imaging", 77, "W012", -7),
        ("imaging", 91, "W012", 7),
        ("imaging", 76, "UNS", -8),
        ("imaging", 92, "UNS", 8),
        ("HBV-DNA", 74, "W012", -10),
        ("HBV-DNA", 105, "W012", 21),
        ("HBV-DNA", 73, "UNS", -11),
        ("HBV-DNA", 106, "UNS", 22),
        ("imaging", 126, "UNS", 42),
        ("imaging", 127, "UNS", -41),
        ("a test nobody planned", 91, "W012", 7),
        ("a test nobody planned", 92, "UNS", 8),
    ],
)
def test_a_window_includes_both_its_edges_and_each_procedure_has_its_own(
    item: str, days: int, visit: str, offset: int
) -> None:
    found = one(item, ANCHOR + days * DAY)
    assert (found.visit, found.offset, found.inside) == (visit, offset, visit != "UNS")
    assert found.placed_by == ("window" if found.inside else "outside")


@pytest.mark.parametrize(
    ("when", "date", "offset"),
    [
        ("2026-03-30T15:59:59Z", dt.date(2026, 3, 30), 0),
        ("2026-03-30T16:00:00Z", dt.date(2026, 3, 31), 1),
        ("2026-03-30T23:30:00Z", dt.date(2026, 3, 31), 1),
        ("2026-03-31T07:30:00+08:00", dt.date(2026, 3, 31), 1),
        ("2026-03-30T23:59:60.25+08:00", dt.date(2026, 3, 30), 0),
        ("2026-03-30T23:30:00", dt.date(2026, 3, 30), 0),
        (dt.datetime(2026, 3, 30, 23, 30, tzinfo=dt.UTC), dt.date(2026, 3, 31), 1),
        (dt.date(2026, 3, 30), dt.date(2026, 3, 30), 0),
    ],
)
def test_the_day_is_that_of_the_studys_time_zone(when: object, date: dt.date, offset: int) -> None:
    found = one("imaging", when)
    assert (found.date, found.offset) == (date, offset)


@pytest.mark.parametrize(
    ("when", "rule"),
    [
        ("2026-03", "partial-date"),
        ("2026", "partial-date"),
        ("", "no-date"),
        (None, "no-date"),
        ("2026-02-30", "unreadable-date"),
        ("30.03.2026", "unreadable-date"),
        ("20260330", "unreadable-date"),
        ("2026-W14-1", "unreadable-date"),
        ("2026-13", "unreadable-date"),
        ("2026-03-30T24:10:00Z", "unreadable-date"),
        ("9999-12-31T23:00:00Z", "unreadable-date"),
    ],
)
def test_no_day_is_made_up_for_a_date_that_has_none(when: object, rule: str) -> None:
    found = one("imaging", when)
    assert (found.visit, found.date, found.offset, found.picked, found.placed_by) == ("UNS", None, None, False, rule)


@pytest.mark.parametrize(
    ("pick", "tie", "days", "picked", "rules"),
    [
        ("nearest", "earlier", [84 - 5, 84 + 2], "b", ["nearest", "nearest"]),
        ("nearest", "earlier", [84 - 3, 84 + 3], "a", ["tie-earlier", "tie-earlier"]),
        ("nearest", "later", [84 - 3, 84 + 3], "b", ["tie-later", "tie-later"]),
        ("nearest", "earlier", [84 + 3, 84 + 3], "a", ["same-moment", "same-moment"]),
        ("nearest", "earlier", [84 - 3, 84 + 3, 84 + 6], "a", ["tie-earlier", "tie-earlier", "nearest"]),
        ("first", "earlier", [84 - 5, 84], "a", ["first", "first"]),
        ("last", "earlier", [84 - 5, 84 + 6], "b", ["last", "last"]),
        ("nearest", "earlier", [84], "a", ["only"]),
    ],
)
def test_of_several_in_one_window_the_rule_picks_one_and_says_why_against_each_other(
    pick: str, tie: str, days: list[int], picked: str, rules: list[str]
) -> None:
    procedure = msgspec.structs.replace(SCHEDULE.procedures[0], pick=pick, tie=tie)
    schedule = msgspec.structs.replace(SCHEDULE, procedures=(procedure,))
    found = placed(*(("imaging", ANCHOR + day * DAY) for day in days), schedule=schedule)
    assert [p.key for p in found.placements if p.picked] == [picked]
    assert [p.chosen_by for p in sorted(found.placements, key=lambda p: p.key)] == rules


@pytest.mark.parametrize(("pick", "picked"), [("nearest", "b"), ("first", "b"), ("last", "c")])
def test_on_one_day_a_known_time_wins_over_an_unknown_one_and_then_the_hour_decides(pick: str, picked: str) -> None:
    procedure = msgspec.structs.replace(SCHEDULE.procedures[0], pick=pick)
    schedule = msgspec.structs.replace(SCHEDULE, procedures=(procedure,))
    day = W012.isoformat()
    found = placed(("imaging", day), ("imaging", f"{day}T08:00+08:00"), ("imaging", f"{day}T09:30Z"), schedule=schedule)
    assert [p.key for p in found.placements if p.picked] == [picked]
    assert {p.chosen_by for p in found.placements} == {"same-day"}


@pytest.mark.parametrize(
    ("days", "visit", "rule"),
    [
        (-21, "SCR", "window"),
        (-20, "SCR", "nearest-target"),
        (-18, "SCR", "nearest-target"),
        (-17, "W000", "window"),
        (0, "W000", "window"),
        (-42, "SCR", "window"),
        (-43, "UNS", "outside"),
    ],
)
def test_visits_before_the_anchor_have_windows_like_any_other(days: int, visit: str, rule: str) -> None:
    schedule = msgspec.structs.replace(SCHEDULE, procedures=())
    assert one("x", ANCHOR + days * DAY, schedule=schedule).visit == visit
    assert one("x", ANCHOR + days * DAY, schedule=schedule).placed_by == rule


def test_of_two_windows_with_equally_near_targets_the_earlier_visit_takes_the_result() -> None:
    visits = (Visit(name="later", week=2), Visit(name="earlier", week=0))
    schedule = msgspec.structs.replace(SCHEDULE, visits=visits, procedures=())
    found = one("x", ANCHOR + 7 * DAY, schedule=schedule)
    assert (found.visit, found.offset, found.placed_by) == ("earlier", 7, "earlier-visit")


def test_the_baseline_is_the_last_result_on_or_before_the_anchor() -> None:
    found = placed(("imaging", ANCHOR - 6 * DAY), ("imaging", ANCHOR), ("imaging", ANCHOR + DAY))
    assert [(p.key, p.visit, p.picked) for p in found.placements] == [
        ("a", "W000", False),
        ("b", "W000", True),
        ("c", "UNS", False),
    ]


def test_a_result_is_not_given_to_a_visit_at_which_it_is_not_expected() -> None:
    found = one("imaging", ANCHOR - 28 * DAY)
    assert (found.visit, found.near) == ("UNS", "W000")
    assert "SCR" not in {e.visit for e in placed().expectations if e.item == "imaging"}


@pytest.mark.parametrize(
    ("day", "expected"),
    [(76, "upcoming"), (77, "due"), (91, "due"), (92, "late"), (101, "late"), (102, "missed")],
)
def test_what_is_expected_is_upcoming_due_late_and_then_missed(day: int, expected: str) -> None:
    assert state(placed(today=ANCHOR + day * DAY), "W012", "imaging") == expected


def test_a_picked_result_fills_its_visit_and_one_beside_the_window_is_named_but_does_not() -> None:
    found = placed(("imaging", W012), ("imaging", W012 + 84 * DAY + 9 * DAY))
    filled = {e.visit: (e.state, e.key, e.beside) for e in found.expectations if e.item == "imaging"}
    assert filled == {
        "W000": ("missed", None, ()),
        "W012": ("filled", "a", ()),
        "W024": ("missed", None, ("b",)),
    }


@pytest.mark.parametrize(("end", "expected"), [(76, "ended"), (90, "ended"), (91, "missed"), (200, "missed")])
def test_a_window_still_open_when_follow_up_ends_is_not_missed_and_one_closed_by_then_is(
    end: int, expected: str
) -> None:
    assert state(placed(end=ANCHOR + end * DAY), "W012", "imaging") == expected


def test_an_end_that_is_known_but_still_to_come_leaves_an_open_window_due() -> None:
    assert state(placed(end=ANCHOR + 90 * DAY, today=ANCHOR + 80 * DAY), "W012", "imaging") == "due"


def test_the_last_day_of_follow_up_still_counts_and_the_day_after_does_not() -> None:
    on, after = (one("imaging", W012 + n * DAY, end=W012) for n in (0, 1))
    assert (on.visit, on.picked) == ("W012", True)
    assert (after.visit, after.picked, after.placed_by, after.date) == ("UNS", False, "after-end", W012 + DAY)


def test_a_date_in_the_future_fills_nothing() -> None:
    found = placed(("imaging", W012), today=W012 - DAY)
    assert found.placements[0].placed_by == "future"
    assert state(found, "W012", "imaging") == "due"


def test_without_an_anchor_nothing_is_expected_and_nothing_is_lost() -> None:
    found = place(SCHEDULE, FollowUp(anchor=None), [Candidate(key="a", item="imaging", when="2026-03-30")], LONG_AFTER)
    assert [(p.visit, p.placed_by, p.date) for p in found.placements] == [("UNS", "no-anchor", dt.date(2026, 3, 30))]
    assert found.expectations == ()


def test_targets_beyond_the_calendar_break_nothing() -> None:
    for anchor in (dt.date.min, dt.date.max):
        found = place(SCHEDULE, FollowUp(anchor=anchor), [Candidate(key="a", item="imaging", when=anchor)], dt.date.max)
        assert found.placements[0].visit == "W000"


def test_the_anchor_is_the_date_that_the_study_file_names_and_the_first_end_counts() -> None:
    dates = {"index_date": ANCHOR, "consent_date": ANCHOR - DAY, "enrolment_date": ANCHOR - 2 * DAY}
    for name, date in dates.items():
        assert follow_up(msgspec.structs.replace(SCHEDULE, anchor=name), **dates).anchor == date
    ends = {"consent_withdrawn": W012, "end_date": W012 + DAY, "death_date": W012 - DAY}
    assert follow_up(SCHEDULE, **ends).end == W012 - DAY  # type: ignore[arg-type]
    assert follow_up(SCHEDULE).end is None


def test_the_window_of_a_procedure_at_a_visit_is_more_particular_than_the_visits_own() -> None:
    window = Window(visit="W012", after_days=3, pick="last")
    procedure = Procedure(name="imaging", before_days=5, windows=(window,))
    visit = Visit(name="W012", week=12, before_days=6, after_days=6)
    schedule = msgspec.structs.replace(SCHEDULE, visits=(visit,), procedures=(procedure,))
    assert schedule.window(visit, "imaging") == (6, 3, "last")
    assert schedule.window(visit, "another") == (6, 6, "nearest")


PAGE = Path(__file__).parents[2] / "docs" / "windows.md"
ROWS = re.findall(
    r"^\| (imaging|HBV-DNA) \| (\d\S*) \| (\S+) \| (\S+) \| (.*?)\| `(\S+)` \|$", PAGE.read_text("utf-8"), re.M
)


def test_the_page_has_its_examples() -> None:
    assert len(ROWS) >= 11


@pytest.mark.parametrize(("item", "when", "date", "visit", "days", "rule"), ROWS)
def test_the_examples_of_the_page_are_true(item: str, when: str, date: str, visit: str, days: str, rule: str) -> None:
    found = one(item, when)
    assert (found.date.isoformat() if found.date else "none", found.visit, found.placed_by) == (date, visit, rule)
    offset, _, near = days.strip().partition(" of ")
    assert found.offset == (int(offset.replace("−", "-")) if offset else None)
    assert not near or found.near == near


SHIPPED = Path(__file__).parents[2] / "mappings" / "studies" / "nct07120750.toml"


def test_the_shipped_study_expects_imaging_and_both_analytes_at_every_visit() -> None:
    study = load(SHIPPED)
    found = place(study.schedule, FollowUp(anchor=ANCHOR), [], LONG_AFTER)
    assert len(found.expectations) == 3 * len(study.schedule.visits)
    assert [e.item for e in found.expectations[:3]] == ["imaging", "HBV-DNA", "HBSAG"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'analytes = ["HBV-DNA", "HBSAG"]',
            'analytes = ["HBV-DNA", "HBVDNA"]',
            "'HBVDNA' is none of the study's analytes",
        ),
        ('visit = "W000", before', 'visit = "W001", before', "'W001' is none of the study's visits"),
        ('name = "imaging"', 'name = "laboratory"', "'laboratory' is defined twice"),
        ("grace_days = 28", "grace_days = -1", "grace_days is negative"),
        ("before_days = 28, after_days = 0", "before_days = -5, after_days = 0", "ends before it begins"),
        ('name = "imaging"', 'name = "imaging"\nanalytes = ["HBSAG"]', "'HBSAG' belongs to 'imaging' already"),
        ('name = "W012", week = 12', 'name = "UNS", week = 12', "is the name of a planned visit"),
    ],
)
def test_a_schedule_that_contradicts_itself_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    assert old in text
    file = tmp_path / "broken.toml"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=said):
        load(file)
