"""The clinic's month on real servers: after each day's pull the inbox holds what a person reasons that it must hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhirbridge import fhirjson
from fhirbridge.cli.subjects import followed_up_at
from fhirbridge.sync.pull.replay import replay
from tests.sync.pull.living import Living


@pytest.fixture
def at_sekmet(tmp_path: Path, hospital: str) -> Iterator[Living]:
    living = Living(tmp_path, hospital, seed=1)
    yield living
    living.close()


@pytest.fixture
def at_hapi(tmp_path: Path, hapi: str) -> Iterator[Living]:
    living = Living(tmp_path, hapi, seed=20)
    yield living
    living.close()


def lives_through(living: Living) -> list[str]:
    """Live through all days, and return the runs of their pulls."""
    runs = []
    for day in living.told.days:
        living.morning(day)
        report = living.pull()
        expected = living.told.standing(day)
        assert living.stands(expected) == expected, (day.number, day.what)
        assert [one.state for one in report.refused] == (["mismatch"] if day.number < 8 else []), day.number
        runs.append(report.run)
        living.evening(day)
    return runs


def every_day_can_be_replayed(living: Living, runs: list[str]) -> None:
    """Whatever came and was decided since, each day's pull judged again gives what it gave on that day."""
    for day, run in zip(living.told.days, runs, strict=True):
        again = replay(living.place.store, run, followed_up_at(living.place))
        assert again.differences == [], (day.number, day.what)


def again_finds_nothing(living: Living) -> None:
    last = living.told.days[-1]
    before = living.candidates()
    for full in (False, True):
        report = living.pull(full=full)
        assert {fate for _, _, fate in report.funnel.fates} & {"new", "changed"} == set()
        assert living.candidates() == before
    assert living.stands(living.told.standing(last)) == living.told.standing(last)


def accepted_is_recorded(living: Living) -> None:
    """Each accepted result, and no other, stands in the study's data with a Provenance that names its source."""
    store, study = living.place.store, living.place.study.id
    sources = [fhirjson.dumps(one.content()).decode() for one in store.iterate(study, types=["Provenance"])]
    living_now = living.candidates()
    for name, one in living_now.items():
        named = [text for text in sources if one.reference.removeprefix("Observation/") in text]
        assert bool(named) >= (one.state == "accepted"), name
        assert one.state in ("accepted", "reopened", "rejected") or not named, name


def whole(living: Living) -> None:
    runs = lives_through(living)
    every_day_can_be_replayed(living, runs)
    again_finds_nothing(living)
    accepted_is_recorded(living)
    assert living.candidates().keys() & living.told.unseen == set()


def test_the_month_at_sekmet(at_sekmet: Living) -> None:
    whole(at_sekmet)


@pytest.mark.hapi
def test_the_month_at_hapi(at_hapi: Living) -> None:
    whole(at_hapi)
