"""What holds of the visit windows for any schedule, any subject and any dates."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from fhirbridge.protocol.slots import FollowUp
from fhirbridge.protocol.windows import CHOSEN_BY, PLACED_BY, Candidate, place
from fhirbridge.study import Procedure, Schedule, Visit

ITEMS = ("imaging", "A", "B", "unplanned")
PLAIN = st.dates(dt.date(2025, 1, 1), dt.date(2027, 12, 31))
TIMES = st.datetimes(dt.datetime(2025, 1, 1), dt.datetime(2027, 12, 31), timezones=st.just(dt.UTC))  # noqa: DTZ001
ANY_WHEN = st.one_of(
    PLAIN, TIMES, st.dates(), st.datetimes(), st.datetimes(timezones=st.timezones()), st.none(), st.text(max_size=12),
    st.from_regex(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?"),
)  # fmt: skip
PICKS = st.sampled_from(["nearest", "first", "last"])


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    days = st.integers(0, 40)
    weeks = draw(st.lists(st.integers(-8, 60), min_size=1, max_size=8, unique=True))
    visits = tuple(
        Visit(name=f"V{n}", week=week, day=draw(st.integers(0, 6)), after_days=draw(st.none() | days))
        for n, week in enumerate(weeks)
    )
    procedures = tuple(
        Procedure(name=name, analytes=analytes, before_days=draw(days), after_days=draw(days), grace_days=draw(days),
                  pick=draw(PICKS), tie=draw(st.sampled_from(["earlier", "later"])))
        for name, analytes in (("imaging", ()), ("laboratory", ("A", "B")))
    )  # fmt: skip
    return Schedule(time_zone="Asia/Shanghai", before_days=7, after_days=7, visits=visits, procedures=procedures)


def candidates(when: st.SearchStrategy[object]) -> st.SearchStrategy[list[Candidate]]:
    one = st.builds(Candidate, key=st.sampled_from("abcdefghij"), item=st.sampled_from(ITEMS), when=when)
    return st.lists(one, max_size=14)


def distinct(when: st.SearchStrategy[object]) -> st.SearchStrategy[list[Candidate]]:
    return candidates(when).map(lambda found: [replace(one, key=f"{n:02}") for n, one in enumerate(found)])


SUBJECTS = st.builds(FollowUp, anchor=PLAIN, end=st.none() | PLAIN)


@given(
    schedules(), st.builds(FollowUp, anchor=st.none() | st.dates(), end=st.none() | st.dates()), candidates(ANY_WHEN),
    st.dates(),
)  # fmt: skip
def test_any_dates_at_all_are_placed_and_every_candidate_is_accounted_for(
    schedule: Schedule, subject: FollowUp, found: list[Candidate], today: dt.date
) -> None:
    placed = place(schedule, subject, found, today)
    assert Counter((p.key, p.item) for p in placed.placements) == Counter((c.key, c.item) for c in found)
    for p in placed.placements:
        assert p.placed_by in PLACED_BY
        assert p.inside == (p.visit != schedule.unscheduled) == (p.chosen_by in CHOSEN_BY)
        assert p.inside or not p.picked
        assert (p.near is None) == (p.offset is None)


@given(schedules(), SUBJECTS, candidates(PLAIN | TIMES), PLAIN, st.randoms())
def test_the_order_of_arrival_changes_nothing(
    schedule: Schedule, subject: FollowUp, found: list[Candidate], today: dt.date, chance: object
) -> None:
    placed = place(schedule, subject, found, today)
    chance.shuffle(found)  # type: ignore[attr-defined]
    assert place(schedule, subject, found, today) == placed


@given(schedules(), SUBJECTS, distinct(PLAIN | TIMES), PLAIN)
def test_each_visit_and_item_has_one_pick_exactly_where_anything_lies_in_its_window(
    schedule: Schedule, subject: FollowUp, found: list[Candidate], today: dt.date
) -> None:
    placed = place(schedule, subject, found, today)
    within = {(p.visit, p.item) for p in placed.placements if p.inside}
    assert Counter((p.visit, p.item) for p in placed.placements if p.picked) == Counter(within)
    filled = {(e.visit, e.item): e.key for e in placed.expectations if e.state == "filled"}
    picked = {(p.visit, p.item): p.key for p in placed.placements if p.picked and p.item != "unplanned"}
    assert filled == picked


@given(schedules(), SUBJECTS, distinct(PLAIN | TIMES), PLAIN, st.sampled_from(ITEMS), PLAIN)
def test_a_candidate_of_another_item_changes_nothing_else(
    schedule: Schedule, subject: FollowUp, found: list[Candidate], today: dt.date, item: str, when: dt.date
) -> None:
    before = place(schedule, subject, found, today)
    after = place(schedule, subject, [*found, Candidate(key="new", item=item, when=when)], today)
    new = next(p for p in after.placements if p.key == "new")
    touched = {(new.visit, item)} if new.inside else {(new.near, item)}
    kept = [p for p in after.placements if p.key != "new"]
    for old, now in zip(before.placements, kept, strict=True):
        # What shares its visit and item may lose the pick; no placement moves.
        same = (old.visit, old.item) in touched and new.inside
        assert replace(old, picked=False, chosen_by=None) == replace(now, picked=False, chosen_by=None)
        assert old == now or same
    for expected, still in zip(before.expectations, after.expectations, strict=True):
        assert expected == still or (expected.visit, expected.item) in touched


@given(schedules(), SUBJECTS, distinct(PLAIN | TIMES), PLAIN, st.integers(-3000, 3000))
def test_shifting_every_date_shifts_every_result(
    schedule: Schedule, subject: FollowUp, found: list[Candidate], today: dt.date, days: int
) -> None:
    by = dt.timedelta(days=days)
    placed = place(schedule, subject, found, today)
    assert subject.anchor is not None
    moved = place(
        schedule,
        FollowUp(anchor=subject.anchor + by, end=subject.end + by if subject.end else None),
        [replace(one, when=one.when + by) for one in found],  # type: ignore[operator]
        today + by,
    )
    assert moved.placements == tuple(replace(p, date=p.date + by) for p in placed.placements if p.date)
    assert [(e.visit, e.item, e.state, e.key, e.beside) for e in moved.expectations] == [
        (e.visit, e.item, e.state, e.key, e.beside) for e in placed.expectations
    ]
    assert [e.target for e in moved.expectations] == [e.target + by for e in placed.expectations]


@given(schedules(), PLAIN, st.sampled_from(["imaging", "A", "unplanned"]), st.data())
def test_a_day_is_inside_exactly_when_some_window_holds_it_edges_included(
    schedule: Schedule, anchor: dt.date, item: str, data: st.DataObject
) -> None:
    visit = data.draw(st.sampled_from(schedule.visits))
    before, after, _ = schedule.window(visit, item)
    days = data.draw(st.sampled_from([-before - 1, -before, 0, after, after + 1]))
    day = anchor + dt.timedelta(days=visit.offset + days)
    found = place(schedule, FollowUp(anchor=anchor), [Candidate(key="a", item=item, when=day)], dt.date.max).placements[
        0
    ]
    held = [
        (abs((day - schedule.target(one, anchor)).days), one.offset)
        for one in schedule.visits
        if -schedule.window(one, item)[0] <= (day - schedule.target(one, anchor)).days <= schedule.window(one, item)[1]
    ]
    assert found.inside == bool(held)
    if held:
        assert found.offset is not None
        assert (abs(found.offset), (day - anchor).days - found.offset) == min(held)
