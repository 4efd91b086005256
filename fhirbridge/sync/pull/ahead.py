"""Asks in threads: for the next answer while the last one is kept, and for several at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")

BOUND = 100
"""How many items wait at most, so that memory does not fill with what nobody has used yet."""


def ahead(items: Iterator[T], bound: int = BOUND) -> Iterator[T]:
    """Yield the items in their order, and raise what the iterator raises once all before it was yielded.

    Whoever stops early waits for the step that is under way; no further one is made.
    """
    found: SimpleQueue[T | _End] = SimpleQueue()
    room, left = threading.Semaphore(bound), threading.Event()

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                room.acquire()
                if left.is_set():
                    break
                found.put(item)
        except BaseException as raised:  # noqa: BLE001  # it is raised where the items are used
            error = raised
        found.put(_End(error))

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        while not isinstance(item := found.get(), _End):
            room.release()
            yield item
        if item.error is not None:
            raise item.error
    finally:
        left.set()
        room.release()
        worker.join()


def side_by_side(jobs: Iterable[Callable[[], T]], number: int) -> Iterator[T]:
    """Yield what the jobs return, in their order, with so many under way at a time; the first error is raised.

    What is done before its turn waits: as many again, so that a slow job does not keep the next ones from beginning.
    Whoever stops early waits for the jobs that are under way; no further one is begun.
    """
    left = iter(jobs)
    with ThreadPoolExecutor(number) as pool:
        running = deque[Future[T]](pool.submit(job) for job in islice(left, 2 * number))
        try:
            while running:
                found = running.popleft().result()
                running.extend(pool.submit(job) for job in islice(left, 1))
                yield found
        finally:
            for one in running:
                one.cancel()


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error
