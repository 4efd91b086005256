"""A set of small whole numbers, one bit each."""

from __future__ import annotations


class Bits:
    """The store's keys are counted up from 1, so that a bit for each is a set of few bytes."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, number: int) -> None:
        """Put a number of 0 or more into the set."""
        place = number >> 3
        if place >= len(self._bytes):
            self._bytes.extend(bytes(place + 1 - len(self._bytes) + len(self._bytes) // 8))
        self._bytes[place] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        place = number >> 3
        return place < len(self._bytes) and bool(self._bytes[place] & (1 << (number & 7)))
