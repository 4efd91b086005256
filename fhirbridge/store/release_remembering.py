"""Answers that are remembered by their questions: as many as are told, and then the latest used."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Remembered(Generic[Answer]):
    """Answers by question, ``most`` of them; shared by threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[Hashable, Answer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, question: Hashable) -> Answer | None:
        """Return the answer to a question, None where it is not known."""
        with self._lock:
            if question in self._known:
                self._known.move_to_end(question)
            return self._known.get(question)

    def put(self, question: Hashable, answer: Answer) -> None:
        """Remember an answer; the one that was used longest ago makes room."""
        with self._lock:
            self._known[question] = answer
            if len(self._known) > self._most:
                self._known.popitem(last=False)
