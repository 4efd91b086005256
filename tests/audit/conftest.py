"""A trail in a folder of the test's own, and what it holds."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fhirbridge.audit.anchors import NAME
from fhirbridge.audit.event import Access
from fhirbridge.audit.trail import Trail

KEY = bytes(range(32))
NOW = dt.datetime(2026, 3, 1, 23, 59, 30, tzinfo=dt.UTC)
ACCESS = Access(
    interaction="search-type",
    status=200,
    query="GET /Observation?code=42595-9",
    client="client-1",
    registry="north",
    agreement="north-2026",
    purpose="HRESCH",
    records=4,
    people={"aaa": 3, "bbb": 1},
    address="192.0.2.7",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@pytest.fixture
def make(folder: Path) -> Iterator[Callable[..., Trail]]:
    """Make a trail; it is closed after the test."""
    made = []

    def trail(folder: Path = folder, now: Callable[[], dt.datetime] = lambda: NOW, **chosen: Any) -> Trail:
        made.append(Trail(folder, now, **chosen))
        return made[-1]

    yield trail
    for one in made:
        one.close()


@pytest.fixture
def trail(make: Callable[..., Trail]) -> Trail:
    return make()


def trail_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != NAME)


def events(folder: Path) -> list[Any]:
    """Return every AuditEvent of the trail as it lies there."""
    lines = [line for name in trail_files(folder) for line in (folder / name).read_bytes().splitlines()[1:]]
    return [json.loads(line)["event"] for line in lines]
