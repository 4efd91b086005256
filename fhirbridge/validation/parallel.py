"""Validates files in several processes: in their order, in bounded memory, and with an end that is clean or clear."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from fhirbridge.errors import ConfigurationError
from fhirbridge.validation import report
from fhirbridge.validation.accepted import Accepted
from fhirbridge.validation.mustsupport import MustSupport, Seen
from fhirbridge.validation.reading import Progress, Text, texts
from fhirbridge.validation.report import Asked, FileOutcome
from fhirbridge.validation.validator import Validator

CHUNK_LINES, CHUNK_BYTES = 200, 1 << 20
"""What one process is given at a time; a larger resource goes alone."""
AHEAD = 3
"""Chunks under way for each process: enough that none waits for the next, few enough to hold in memory."""
PATIENCE = 0.2
"""Seconds after which Ctrl-C is looked for again."""


class Judged(NamedTuple):
    """What came of a chunk: outcomes without file and line, which are known where it came from, and what they told."""

    outcomes: list[tuple[Any, ...]]
    seen: dict[str, Seen]
    problems: list[str]
    """Of the profiles that this chunk was the first in its process to use."""


def validate_paths(
    validator: Validator,
    paths: Iterable[str | Path],
    asked: Asked | None = None,
    progress: Progress | None = None,
    *,
    jobs: int = 1,
) -> Iterator[FileOutcome]:
    """Do what ``report.validate_paths`` does in ``jobs`` processes, with the same outcomes in the same order.

    Each process loads the validator for itself, so this pays from some thousand resources on. Raises as
    ``report.validate_paths`` does, and ConfigurationError where a process ends before its work is done.
    """
    asked = asked or Asked()
    if jobs <= 1:
        return report.validate_paths(validator, paths, asked, progress)
    report.check_profiles(validator, asked)
    return judged(validator, texts(paths, progress), asked, jobs)


def judged(validator: Validator, given: Iterable[Text], asked: Asked, jobs: int) -> Iterator[FileOutcome]:
    """Judge texts in ``jobs`` processes (see ``report.judge``), in their order."""
    pool = ProcessPoolExecutor(
        jobs,
        multiprocessing.get_context("spawn"),  # fork would copy threads' locks, and half the platforms cannot
        _begin,
        (validator.reload, tuple(asked.profiles), asked.errors_only, asked.must_support is not None),
    )
    waiting: deque[tuple[list[tuple[str, int | None]], Future[Judged]]] = deque()
    try:
        for chunk in chunks(given):
            waiting.append(([(text.file, text.line) for text in chunk], _submitted(pool, chunk)))
            if len(waiting) >= jobs * AHEAD:
                yield from _outcomes(validator, *waiting.popleft(), asked)
        while waiting:
            yield from _outcomes(validator, *waiting.popleft(), asked)
    finally:
        with _uninterrupted():
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _uninterrupted() -> Iterator[list[int]]:
    """Hold Ctrl-C back until the end, and give a list that fills when it comes.

    The pool is not made for an exception in its middle, which leaves a lock held or a process half begun; and a signal
    that another thread receives (one that draws a progress bar) raises here too, whatever this one blocks.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came  # Python never raises it here
        return
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
        if came:
            signal.raise_signal(signal.SIGINT)


def _submitted(pool: ProcessPoolExecutor, chunk: list[Text]) -> Future[Judged]:
    with _uninterrupted():
        if not hasattr(signal, "pthread_sigmask"):
            return pool.submit(_judge, chunk)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return pool.submit(_judge, chunk)  # a process begun now inherits that, and so lives to ignore Ctrl-C
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _awaited(future: Future[Judged]) -> Judged:
    while True:
        with _uninterrupted() as came:
            while not came:
                if wait([future], PATIENCE).done:
                    return future.result()


def chunks(given: Iterable[Text]) -> Iterator[list[Text]]:
    """Divide texts into lists, small enough that a few of them fit in memory."""
    chunk: list[Text] = []
    size = 0
    for text in given:
        if chunk and size + len(text.content) > CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(text)
        size += len(text.content)
        if len(chunk) >= CHUNK_LINES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _outcomes(
    validator: Validator, places: Sequence[tuple[str, int | None]], future: Future[Judged], asked: Asked
) -> Iterator[FileOutcome]:
    try:
        found = _awaited(future)
    except BrokenProcessPool as error:
        first, last = (file if line is None else f"{file}:{line}" for file, line in (places[0], places[-1]))
        raise ConfigurationError(
            f"a validating process ended suddenly, at or before {first} to {last}: out of memory, or killed. "
            "Use fewer processes (--jobs 1 shows the resource at fault)."
        ) from error
    validator.problems_elsewhere.update(found.problems)
    if asked.must_support is not None:
        asked.must_support.merge(found.seen)
    for (file, line), told in zip(places, found.outcomes, strict=True):
        one = FileOutcome(file, line, *told)
        if one.issues:
            types = [label.partition("/")[0] for label in one.entries]
            one = replace(one, issues=asked.accepted.apply(one.issues, types))
        yield one


_here: list[Callable[[list[Text]], Judged]] = []
"""In a validating process: what judges a chunk."""


def _begin(load: Callable[[], Validator], profiles: tuple[str, ...], errors_only: bool, must_support: bool) -> None:
    """Prepare a process. Ctrl-C reaches every process of a terminal; the first one decides what comes of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    validator = load()
    noted = 0

    def judge(chunk: list[Text]) -> Judged:
        nonlocal noted
        asked = Asked(profiles, Accepted(), MustSupport(validator) if must_support else None, errors_only)
        found = [report.judge(validator, text, asked) for text in chunk]
        told = [(list(one.issues), one.label, one.error, one.entries, one.places) for one in found]
        before, noted = noted, len(validator.snapshots.made()) + len(validator.snapshots.problems)
        problems = validator.problems if noted > before else []  # it runs through all invariants: not for every chunk
        return Judged(told, asked.must_support.profiles if asked.must_support else {}, problems)

    _here.append(judge)


def _judge(chunk: list[Text]) -> Judged:
    return _here[0](chunk)
