"""The small elements of FHIR are written as its specification has them."""

from __future__ import annotations

import datetime as dt

import pytest

from fhirbridge.elements import instant

EAST = dt.timezone(dt.timedelta(hours=8))


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (dt.datetime(2026, 11, 22, 14, 49, 24, tzinfo=dt.UTC), "2026-11-22T14:49:24.000Z"),
        (dt.datetime(2026, 11, 22, 14, 49, 24, 123999, tzinfo=dt.UTC), "2026-11-22T14:49:24.123Z"),
        (dt.datetime(2026, 11, 23, 1, 0, tzinfo=EAST), "2026-11-22T17:00:00.000Z"),
    ],
)
def test_an_instant_is_written_in_utc_to_the_millisecond_whatever_its_zone(moment: dt.datetime, text: str) -> None:
    assert instant(moment) == text
