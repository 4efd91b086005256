"""Answers that are remembered by their questions: as many as are told, or as heavy, and then the latest used."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")

SHARE = 8
"""No answer takes more than one such part of all the room: it would push out many that are asked more often."""


class Remembered(Generic[Answer]):
    """Answers by question, up to ``most`` of what they weigh together; shared by threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[Hashable, tuple[Answer, int]] = OrderedDict()
        self._weight = 0
        self._lock = threading.Lock()

    def get(self, question: Hashable) -> Answer | None:
        """Return the answer to a question, None where it is not known."""
        with self._lock:
            if (found := self._known.get(question)) is None:
                return None
            self._known.move_to_end(question)
            return found[0]

    def put(self, question: Hashable, answer: Answer, weight: int = 1) -> None:
        """Remember an answer; those that were used longest ago make room. One that is too heavy is not kept."""
        if weight > max(1, self._most // SHARE):
            return
        with self._lock:
            self._weight += weight - self._known.get(question, (None, 0))[1]
            self._known[question] = answer, weight
            self._known.move_to_end(question)
            while self._weight > self._most:
                self._weight -= self._known.popitem(last=False)[1][1]
