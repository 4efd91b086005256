"""An iterator that goes ahead in a thread: its order, its errors and its end stay what they were."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from fhirbridge.sync.pull.ahead import ahead


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
