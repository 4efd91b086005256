"""Files of exports: whose records lie where, and what is sent of them once somebody withdrew."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from fhirbridge.api.registry.bulk_files import CHUNK, Files, content, told
from fhirbridge.errors import StoreError

PEOPLE = ("ann", "ann", "", "bob", "ann", "cy", "cy")


def body(person: str, number: int) -> bytes:
    return b'{"resourceType":"Observation","of":"%s","n":%d}' % (person.encode(), number)


def written(folder: Path, people: Collection[str] = PEOPLE, *, largest: int = 10**9) -> list[str]:
    files = Files(folder, "Observation", "Observation", largest=largest)
    for number, person in enumerate(people):
        files.add(person, body(person, number))
    return [made.name for made in files.complete()]


def sent_of(folder: Path, name: str, absent: Collection[str] = ()) -> bytes:
    return b"".join(content(folder, name, told(folder, name, absent), lambda: absent))


def lines(folder: Path, name: str, absent: Collection[str] = ()) -> list[bytes]:
    return sent_of(folder, name, absent).splitlines()


def test_a_file_holds_every_record_in_its_order_one_a_line(tmp_path: Path) -> None:
    (name,) = written(tmp_path)
    assert name == "Observation.1.ndjson"
    assert lines(tmp_path, name) == [body(person, number) for number, person in enumerate(PEOPLE)]
    assert (tmp_path / name).read_bytes().endswith(b"}\n")


def test_what_is_told_of_a_file_is_what_is_sent(tmp_path: Path) -> None:
    (name,) = written(tmp_path)
    for absent in (set(), {"ann"}, {"bob"}, {"cy", "ann"}, {"ann", "bob", "cy"}, {"nobody"}):
        sent = told(tmp_path, name, absent)
        found = lines(tmp_path, name, absent)
        assert sent.bytes == len(sent_of(tmp_path, name, absent))
        assert sent.resources == len(found)
        assert found == [body(person, number) for number, person in enumerate(PEOPLE) if person not in absent]
        assert {person: PEOPLE.count(person) for person in PEOPLE if person not in absent} == dict(sent.people)


def test_a_type_that_outgrows_a_file_goes_on_in_the_next_and_each_has_its_own_ledger(tmp_path: Path) -> None:
    names = written(tmp_path, largest=100)
    assert len(names) > 1
    assert [line for name in names for line in lines(tmp_path, name)] == [
        body(person, number) for number, person in enumerate(PEOPLE)
    ]
    assert not any(b'"ann"' in line for name in names for line in lines(tmp_path, name, {"ann"}))


def test_a_type_without_a_record_has_no_file(tmp_path: Path) -> None:
    assert written(tmp_path, ()) == []
    assert list(tmp_path.iterdir()) == []


def test_what_an_earlier_try_left_is_not_mixed_with_what_is_written_now(tmp_path: Path) -> None:
    written(tmp_path, largest=1)
    before = len(list(tmp_path.iterdir()))
    (name,) = written(tmp_path, ("bob",))
    assert before > 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, f"{name}.people", f"{name}.runs"]


def test_a_download_breaks_off_when_somebody_withdraws_meanwhile(tmp_path: Path) -> None:
    files = Files(tmp_path, "Observation", "Observation")
    for number in range(3):
        files.add("ann" if number else "bob", b"x" * CHUNK)
    (made,) = files.complete()
    answers: Iterator[set[str]] = iter([set(), {"somebody else"}, {"ann"}])
    sent: list[bytes] = []
    with pytest.raises(StoreError, match="withdrew"):
        sent.extend(content(tmp_path, made.name, told(tmp_path, made.name, ()), lambda: next(answers)))
    assert sent
    assert sum(map(len, sent)) < made.bytes


def test_a_file_that_is_gone_or_cut_short_is_told_and_never_passes_for_whole(tmp_path: Path) -> None:
    (name,) = written(tmp_path)
    with (tmp_path / name).open("rb+") as file:
        file.truncate(10)
    with pytest.raises(StoreError, match="cut short"):
        lines(tmp_path, name)
    (tmp_path / name).unlink()
    with pytest.raises(StoreError, match="Begin the export again"):
        lines(tmp_path, name)
    (tmp_path / f"{name}.people").unlink()
    with pytest.raises(StoreError, match="Begin the export again"):
        told(tmp_path, name, ())
