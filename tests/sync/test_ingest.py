"""Ingest: a record is stored whole or refused whole, and every record is accounted for."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from fhirbridge.elements import STUDY_TAG
from fhirbridge.errors import Finding, RecordError, Resource
from fhirbridge.records.types import Subject
from fhirbridge.store import Store
from fhirbridge.sync.ingest import Ingest, Sourced

META = {"tag": [{"system": STUDY_TAG, "code": "s1"}]}


class Checks:
    """Refuses a resource whose status is wrong."""

    def is_valid(self, resource: Resource) -> bool:
        return resource.get("status") != "wrong"

    def validate(self, resource: Resource) -> Resource:
        issue = {"severity": "error", "code": "code-invalid", "details": {"text": "status is wrong"}}
        return {"resourceType": "OperationOutcome", "issue": [{**issue, "expression": ["Observation.status"]}]}


def observation(name: str, status: str = "final", about: str = "Patient/p1") -> tuple[int, Resource]:
    return 2, {
        "resourceType": "Observation",
        "id": name,
        "meta": META,
        "status": status,
        "subject": {"reference": about},
    }


def patient(name: str) -> tuple[int, Resource]:
    return 1, {"resourceType": "Patient", "id": name, "meta": META}


class OfSubject(list[tuple[int, Resource]]):
    """A record of one subject: its ranked resources."""

    def __init__(self, subject: str, *ranked: tuple[int, Resource]) -> None:
        super().__init__(ranked)
        self.subject = subject


def mapper(record: Any) -> list[tuple[int, Resource]]:
    """Test records are lists of ranked resources; a string cannot be mapped."""
    if isinstance(record, Subject):
        return [patient(record.subject)]
    if isinstance(record, str):
        raise RecordError(Finding(record=record, rule="mapping/arm", message="no such arm", remedy="Mend it."))
    return list(record)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as opened:
        yield opened


class Bench:
    """An ingest whose quarantine is a list."""

    def __init__(self, store: Store, mapper: Any = mapper) -> None:
        self.found: list[Finding] = []
        self.line = Ingest(store, mapper, Checks(), self.found.append, store.start_run("ingest"))

    def load(self, *groups: list[Sourced]) -> None:
        for _ in self.line.subjects(groups):
            pass


def row(record: Any, line: int = 2) -> Sourced:
    return Sourced(record, f"laboratory R-{line}", "laboratory.csv", line)


def a_subject(name: str) -> Subject:
    day = dt.date(2025, 10, 1)
    return Subject(subject=name, site="S", sex="male", birth_date=day, status="on-study", consent_date=day)


def test_a_record_with_one_refused_resource_is_refused_whole_and_the_next_goes_on(store: Store) -> None:
    bench = Bench(store)
    bench.load([row([observation("o1"), observation("o2", "wrong")]), row([observation("o3")], 3)])
    assert store.counts("s1") == {"Observation": 1}
    assert store.read("Observation", "o3") is not None
    [finding] = bench.found
    assert (finding.record, finding.file, finding.line) == ("laboratory R-2", "laboratory.csv", 2)
    assert "status is wrong" in finding.message
    assert (bench.line.report.stored, bench.line.report.refused) == (1, 1)
    assert bench.line.report.balanced


def test_a_record_that_cannot_be_mapped_is_refused_with_its_place(store: Store) -> None:
    bench = Bench(store)
    bench.load([row("unmappable", 7)])
    [finding] = bench.found
    assert (finding.record, finding.line, finding.rule) == ("laboratory R-7", 7, "mapping/arm")


def test_the_same_records_twice_change_nothing(store: Store) -> None:
    Bench(store).load([row([patient("p1"), observation("o1")])])
    again = Bench(store)
    again.load([row([patient("p1"), observation("o1")])])
    assert again.line.report.resources == {"unchanged": 2}
    found = store.read("Observation", "o1")
    assert found is not None
    assert found.version == 1


def test_two_records_may_give_the_same_resource_but_not_contradict_each_other(store: Store) -> None:
    bench = Bench(store)
    same, other = observation("shared"), observation("shared", "amended")
    bench.load([row([same, observation("o1")]), row([same, observation("o2")], 3), row([other, observation("o4")], 4)])
    assert store.counts("s1") == {"Observation": 3}
    assert [(finding.rule, finding.line) for finding in bench.found] == [("conflict", 4)]
    assert bench.line.report.balanced


def test_what_belongs_to_a_refused_subject_is_held_and_other_subjects_go_on(store: Store) -> None:
    def refusing(record: Any) -> list[tuple[int, Resource]]:
        return mapper("refused") if isinstance(record, Subject) and record.subject == "a" else mapper(record)

    bench = Bench(store, refusing)
    bench.load(
        [row(a_subject("a")), row(OfSubject("a", observation("o1", about="Patient/a")), 3)],
        [row(a_subject("b"), 4), row(OfSubject("b", observation("o2", about="Patient/b")), 5)],
    )
    assert store.counts("s1") == {"Observation": 1, "Patient": 1}
    assert [finding.rule for finding in bench.found] == ["mapping/arm", "held"]
    assert "laboratory.csv:2" in bench.found[1].message


def test_a_study_that_its_own_profile_refuses_stops_the_run(store: Store) -> None:
    class Trial(list[tuple[int, Resource]]):
        id = "s1"

    with pytest.raises(RecordError, match="status is wrong"):
        Bench(store).line.study(Trial([observation("o1", "wrong")]))
    assert store.counts("s1") == {}


@bounds(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["good", "wrong", "unmappable"]), max_size=12))
def test_whatever_comes_every_record_is_stored_or_refused(kinds: list[str]) -> None:
    records = [
        row("x" if kind == "unmappable" else [observation(f"o{n}", "wrong" if kind == "wrong" else "final")], n)
        for n, kind in enumerate(kinds)
    ]
    with tempfile.TemporaryDirectory() as folder, Store.open(f"sqlite:///{folder}/store.db") as store:
        bench = Bench(store)
        bench.load(records)
    assert bench.line.report.stored == kinds.count("good")
    assert bench.line.report.refused == len(bench.found) == len(kinds) - kinds.count("good")
    assert bench.line.report.balanced
