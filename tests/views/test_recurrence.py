"""The SQL of docs/views.md, run as it stands there, finds the recurrences that the synthetic cohort planted."""

from __future__ import annotations

import datetime as dt
import re
import sqlite3
from typing import Any

import pytest

from fhirbridge.demo.cohort import participants
from fhirbridge.identity import Identity
from fhirbridge.study import load
from fhirbridge.validation.node import Model
from fhirbridge.views import library
from fhirbridge.views.view import View
from mappings import resources
from tests.views.page import PAGE, ROOT, VIEWS

STUDY = load(ROOT / "mappings" / "studies" / "nct07120750.toml")
IDENTITY = Identity(bytes(range(32)), STUDY.id)
_SQL = re.compile(r"```sql\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def views(model: Model) -> list[View]:
    """The views that the SQL asks."""
    return library.chosen(("subject", "imaging", "recurrence"), VIEWS, model)


@pytest.fixture
def database(views: list[View]) -> sqlite3.Connection:
    """An empty table for each of these."""
    made = sqlite3.connect(":memory:")
    for view in views:
        made.execute(f"CREATE TABLE {view.name} ({', '.join(field.name for field in view.fields)})")
    return made


def fill(database: sqlite3.Connection, views: list[View], found: list[Any]) -> None:
    for view in views:
        marks = ", ".join("?" * len(view.fields))
        database.executemany(f"INSERT INTO {view.name} VALUES ({marks})", view.table(found))


def asked(database: sqlite3.Connection) -> dict[str, tuple[str, int, str | None]]:
    """Run the page's SQL; return arm, whether and when by subject."""
    (sql,) = _SQL.findall(PAGE.read_text(encoding="utf-8"))
    return {key: (arm, recurred, until) for key, arm, _, recurred, until in database.execute(sql)}


def test_every_detected_recurrence_is_found_on_its_day_and_no_other(
    database: sqlite3.Connection, views: list[View]
) -> None:
    planted: dict[str, str | None] = {}
    routes = set()
    for one in participants(STUDY, subjects=150):
        records = [one.subject, *one.imaging]
        found = [resource for record in records for _, resource in resources(record, STUDY, IDENTITY)]
        fill(database, views, found)
        if one.subject.index_date is None:
            continue
        route, day = one.truth["route"], one.truth["detected_day"]
        counts = day is not None and route != "targetoid"  # by category alone, LR-M is for a board to decide
        routes |= {route} if counts else set()
        at = one.subject.index_date + dt.timedelta(days=day) if counts else None
        planted[IDENTITY.id("Patient", one.subject.subject)] = at.isoformat() if at else None
    answers = asked(database)
    assert {key: until if recurred else None for key, (_, recurred, until) in answers.items()} == planted
    assert routes == {"new", "precursor", "local", "vein"}


def test_what_was_there_before_the_index_is_no_recurrence_and_residual_tumor_is_none(
    database: sqlite3.Connection,
) -> None:
    database.execute("INSERT INTO subject (subject_key, assigned_arm, index_date) VALUES ('p', 'NA', '2026-01-05')")
    rows = [
        ("old", "2026-01-02", "tumor"),
        ("old", "2026-04-01", "tumor"),
        ("zone", "2026-04-01", "viable"),
        ("zone", "2026-07-01", "nonviable"),
        ("doubtful", "2026-07-01", "adjudicate"),
    ]
    insert = "INSERT INTO recurrence (subject_key, lesion_key, performed, evidence) VALUES ('p', ?, ?, ?)"
    database.executemany(insert, rows)
    exams = [
        ("2026-07-01T09:00:00+08:00", "final", "LR-4"),
        ("2026-10-01", "final", "LR-NC"),
        ("2026-11-01", "partial", "LR-3"),
    ]
    database.executemany("INSERT INTO imaging (subject_key, performed, status, category) VALUES ('p', ?, ?, ?)", exams)
    assert asked(database) == {"p": ("NA", 0, "2026-07-01")}
    database.execute(insert, ("zone", "2026-09-01", "viable"))
    assert asked(database) == {"p": ("NA", 1, "2026-09-01")}
