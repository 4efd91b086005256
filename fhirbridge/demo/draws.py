"""Reproducible random draws: one stream per subject and purpose, the same on every machine and Python version."""

from __future__ import annotations

import hashlib
import math
import random
from statistics import NormalDist
from typing import TypeVar

T = TypeVar("T")

_NORMAL = NormalDist()
_SMALLEST = 2.0**-54


class Draws:
    """A stream named by its key (seed, subject number, purpose).

    Only ``Random.random`` is used, the one sequence Python promises to keep between versions
    (https://docs.python.org/3/library/random.html#notes-on-reproducibility), and the seed is a SHA-256 digest.
    """

    def __init__(self, *key: str | int) -> None:
        digest = hashlib.sha256("/".join(str(part) for part in key).encode()).digest()
        self._next = random.Random(int.from_bytes(digest, "big")).random

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self._next() < probability

    def uniform(self, low: float, high: float) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * self._next()

    def integer(self, low: int, high: int) -> int:
        """Return a whole number from low to high, both inclusive."""
        return low + int((high - low + 1) * self._next())

    def normal(self, mean: float, sd: float) -> float:
        """Return a normally distributed number."""
        return mean + sd * _NORMAL.inv_cdf(max(self._next(), _SMALLEST))

    def normal_within(self, mean: float, sd: float, low: float, high: float) -> float:
        """Return a normally distributed number, drawn again until it lies in [low, high]."""
        while not low <= (value := self.normal(mean, sd)) <= high:
            pass
        return value

    def exponential(self, rate: float) -> float:
        """Return a waiting time at this rate, in the rate's unit of time."""
        return -math.log(1.0 - self._next()) / rate

    def pick(self, weighted: tuple[tuple[T, float], ...]) -> T:
        """Return one of the choices; the weights sum to 1."""
        left = self._next()
        for choice, weight in weighted:
            left -= weight
            if left < 0:
                return choice
        return weighted[-1][0]


def logistic(log_odds: float) -> float:
    """Return the probability with these log odds."""
    return 1.0 / (1.0 + math.exp(-log_odds))
