"""Asking in threads: the order, the errors and the end stay what they were."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from fhirbridge.sync.pull.ahead import ahead, side_by_side


def test_everything_comes_in_its_order() -> None:
    assert list(ahead(iter(range(500)), bound=7)) == list(range(500))


def test_the_next_is_made_while_the_last_is_used() -> None:
    asked = threading.Event()

    def answers() -> Iterator[str]:
        yield "first"
        asked.set()
        yield "second"

    using = ahead(answers())
    assert next(using) == "first"
    assert asked.wait(60)
    assert next(using) == "second"


def test_an_error_comes_after_all_that_came_before_it() -> None:
    def answers() -> Iterator[str]:
        yield "first"
        raise LookupError("down")

    using = ahead(answers())
    assert next(using) == "first"
    with pytest.raises(LookupError, match="down"):
        next(using)


def test_whoever_stops_early_leaves_no_thread_and_no_further_step() -> None:
    made = []

    def answers() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            yield number

    before = threading.active_count()
    using = ahead(answers(), bound=3)
    assert next(using) == 0
    using.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert len(made) < 10


def test_jobs_are_done_side_by_side_and_told_in_their_order() -> None:
    met = threading.Barrier(3, timeout=60)  # which nobody passes alone

    def job(number: int) -> int:
        met.wait()
        return number

    assert list(side_by_side((partial(job, number) for number in range(9)), 3)) == list(range(9))


@pytest.mark.parametrize("number", [1, 3])
def test_a_job_that_fails_ends_it_and_hardly_more_are_begun(number: int) -> None:
    begun = []

    def job(at: int) -> int:
        begun.append(at)
        if at == 2:
            raise LookupError("down")
        return at

    told = side_by_side((partial(job, at) for at in range(100)), number)
    assert [next(told), next(told)] == [0, 1]
    with pytest.raises(LookupError, match="down"):
        next(told)
    assert len(begun) <= 2 + 2 * number


def test_a_slow_job_does_not_keep_the_next_ones_from_beginning() -> None:
    done = threading.Event()
    jobs = [lambda: done.wait(60), lambda: True, lambda: True, lambda: done.set() is None]
    assert all(side_by_side(jobs, 2))


def test_whoever_stops_early_waits_for_what_is_under_way() -> None:
    before, begun = threading.active_count(), list[int]()
    told = side_by_side((partial(begun.append, at) for at in range(100)), 3)
    assert next(told) is None
    told.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert len(begun) <= 2 * 3 + 1
