"""One number of days for each person: every interval stays, and no date does."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirbridge.errors import ConfigurationError
from fhirbridge.release.pseudonyms import Pseudonyms, read_key
from fhirbridge.release.shifting import shifted
from tests.release.conftest import FOLDER, KEY

INSTANTS = st.builds(
    dt.datetime.combine,
    st.dates(dt.date(1950, 1, 1), dt.date(2080, 1, 1)),
    st.times(timezones=st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=8))])),
)
DAYS = st.integers(-3650, 3650).filter(bool)


@given(INSTANTS, INSTANTS, DAYS)
def test_the_time_between_two_moments_stays_to_the_microsecond(one: dt.datetime, other: dt.datetime, days: int) -> None:
    moved = [dt.datetime.fromisoformat(shifted(moment.isoformat(), days) or "") for moment in (one, other)]
    assert moved[1] - moved[0] == other - one
    assert moved[0] - one == dt.timedelta(days=days)
    assert moved[0].timetz() == one.timetz()


@given(st.dates(dt.date(1950, 1, 1), dt.date(2080, 1, 1)), DAYS)
def test_a_date_stays_a_date(day: dt.date, days: int) -> None:
    assert shifted(day.isoformat(), days) == (day + dt.timedelta(days)).isoformat()


@pytest.mark.parametrize(
    ("moment", "days", "seen"),
    [
        ("2028-02-29", 1, "2028-03-01"),
        ("2028-02-29T23:59:60.5+08:00", 366, "2029-03-01T23:59:60.5+08:00"),
        ("2026-01-01T00:00:00Z", -1, "2025-12-31T00:00:00Z"),
        ("2028-02", 20, "2028-03"),
        ("2028-02", -10, "2028-02"),
        ("2028", 200, "2029"),
        ("2028", -10, "2028"),
        ("2028", 0, "2028"),
    ],
)
def test_every_precision_is_kept(moment: str, days: int, seen: str) -> None:
    assert shifted(moment, days) == seen


@pytest.mark.parametrize(
    "moment",
    ["", "yesterday", "2028-02-30", "2028-2-1", "2028-13", "20280229", "2028-02-29T10:00", "2028-02-29 10:00:00Z",
     "2028-02-29T25:00:00Z", "9999-12-31", "2028-02-29T10:00:00+08:00 (Li Wei)", "２０２８-01-01", "0000"],
)  # fmt: skip
def test_what_is_no_date_or_leaves_the_calendar_is_hidden(moment: str) -> None:
    assert shifted(moment, 30) is None


def test_partial_dates_are_hidden_where_the_agreement_says_so() -> None:
    assert shifted("2028-02", 30, partial=False) is None
    assert shifted("2028-02", 0, partial=False) == "2028-02"
    assert shifted("2028-02-01", 30, partial=False) == "2028-03-02"


@given(st.text(max_size=20), st.integers(7, 3650))
def test_a_shift_is_never_zero_and_never_beyond_its_bound(patient: str, bound: int) -> None:
    names = Pseudonyms(KEY, "north")
    days = names.days(patient, bound)
    assert 1 <= abs(days) <= bound
    assert names.days(patient, bound) == days


def test_every_shift_within_the_bound_occurs() -> None:
    names = Pseudonyms(KEY, "north")
    assert {names.days(f"p{number}", 7) for number in range(500)} == {*range(-7, 0), *range(1, 8)}


def test_no_shift_is_asked_for_and_none_is_made() -> None:
    assert Pseudonyms(KEY, "north").days("p1", 0) == 0


@pytest.mark.parametrize("held", [b"", b"abc", "é".encode(), b"00" * 31])
def test_a_bad_key_file_is_told_without_showing_it(held: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"release_key: .* holds no line of 64 hexadecimal digits") as told:
        read_key(held, FOLDER / "release.key")
    assert not held or held.decode() not in str(told.value).replace(str(FOLDER), "")


def test_a_key_file_may_end_in_a_new_line() -> None:
    assert read_key(KEY.hex().encode() + b"\n", FOLDER) == KEY
