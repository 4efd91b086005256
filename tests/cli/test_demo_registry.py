"""The registry at the demo's end: it is answered what is released, and a demo that is answered otherwise says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from fhirbridge.cli.demo_questions import QUESTIONS, Reply, held
from fhirbridge.cli.demo_registry import AGREEMENT, Visit, leaks, own_names, prepared, served, visit
from fhirbridge.cli.registries import agreements_of
from fhirbridge.cli.workplace import Workplace
from fhirbridge.demo.cohort import participants, write_cohort
from fhirbridge.identity import new_key
from fhirbridge.settings import Settings

SUBJECTS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def place(folder: Path) -> Iterator[Workplace]:
    """A workplace as the demo makes it, whose store holds some subjects."""
    new_key(folder / "fhirbridge.key")
    database = f"sqlite:///{folder / 'fhirbridge.db'}"
    opened = Workplace(Settings(database=database, pseudonym_key=folder / "fhirbridge.key", **prepared(folder)))
    write_cohort(opened.study, folder / "cohort", subjects=SUBJECTS)
    for one in participants(opened.study, subjects=SUBJECTS):
        for record in (opened.study, one.subject, *one.laboratory, *one.imaging):
            with opened.bound_store.transaction() as transaction:
                transaction.put(opened.map(record), run="load")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def visited(place: Workplace, folder: Path) -> Visit:
    """What became of the registry's questions, asked once."""
    return visit(place, folder, folder / "cohort")


def test_a_registry_is_answered_what_is_released_and_every_access_is_on_record(visited: Visit) -> None:
    search, include, export = visited.replies
    assert visited.true
    assert search.came.matches["Observation"] > 0
    assert set(include.came.included) == {"Patient", "BodyStructure"}
    assert export.came.matches["Patient"] == len(export.came.people) == export.came.told["Patient"] == SUBJECTS
    assert export.came.matches["Observation"] > 100
    assert visited.accesses == visited.audit.events > len(QUESTIONS)


def test_the_number_of_few_people_is_withheld(visited: Visit) -> None:
    (small, *_) = [one for one in visited.replies if len(one.came.people) < 5]
    assert set(small.came.told.values()) == {None}
    assert small.agrees
    assert small.withheld == ["Observation"]


def test_no_name_that_the_study_has_for_a_person_is_in_what_came(
    visited: Visit, place: Workplace, folder: Path, tmp_path: Path
) -> None:
    names = own_names(place, folder / "cohort")
    assert (visited.names, visited.leaked) == (len(names), 0)
    (tmp_path / "leak.json").write_bytes(b'{"reference":"Patient/' + min(names) + b'"}')
    assert leaks([tmp_path / "leak.json"], names) == {min(names)}
    assert not replace(visited, leaked=1).true


def test_an_answer_that_is_not_what_the_store_holds_is_told(visited: Visit, place: Workplace) -> None:
    agreement = agreements_of(place).all()[AGREEMENT]
    export = visited.replies[-1]
    consent = next(place.store.iterate(place.study.id, types=["Consent"]))
    with place.store.transaction() as transaction:
        transaction.put([(20, {**consent.content(), "status": "inactive"})], run="withdraw")
    now = Reply(export.question, export.came, held(place, agreement, export.question))
    assert now.held.matches["Patient"] == SUBJECTS - 1
    assert not now.agrees
    assert not replace(visited, replies=[now]).true
    with place.store.transaction() as transaction:
        transaction.put([(20, consent.content())], run="consent again")


def test_a_number_that_must_not_be_told_is_no_agreement(visited: Visit) -> None:
    small = next(one for one in visited.replies if one.withheld)
    told = replace(small.came, told={"Observation": small.came.matches["Observation"]})
    assert not replace(small, came=told).agrees


def test_an_access_that_is_not_on_record_is_told(visited: Visit) -> None:
    assert not replace(visited, accesses=visited.accesses + 1).true


def test_the_service_ends_with_its_block_whatever_ends_that(place: Workplace, visited: Visit) -> None:
    asked: list[str] = []

    def interrupted(client: requests.Session) -> None:
        with served(Workplace(place.settings)) as base:
            asked.append(f"{base}/metadata")
            assert client.get(asked[0], timeout=30).status_code == 200
            raise KeyboardInterrupt

    with requests.Session() as client, pytest.raises(KeyboardInterrupt):
        interrupted(client)
    assert not [one for one in threading.enumerate() if one.name == "api"]
    with pytest.raises(requests.ConnectionError):
        requests.get(asked[0], timeout=30)
