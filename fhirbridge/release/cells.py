"""Counts that rest on few people: hidden or rounded, so that nobody is counted out by a question or its complement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fhirbridge.release.agreement import CountRules


class Count(NamedTuple):
    """A number of resources, and of how many people they are; None for those of the study itself."""

    resources: int
    people: int | None


def shown(counts: Sequence[Count], rules: CountRules) -> list[int | None]:
    """Return each count of one answer as the agreement shows it, None where it gives no number. 0 is told.

    A count alone is exact unless it is small. Several in one answer could be subtracted from each other, whatever they
    count, so there none is exact: a small one takes all others with it, and without one each is rounded down to a
    multiple of the threshold. Then any difference lies in a range at least as wide as the threshold, from 0 on or
    above it.
    """
    of_people = [count for count in counts if count.people is not None]
    small = any(_is_small(count, rules.threshold) for count in of_people)
    alone = len(of_people) < 2
    return [_shown(count, rules, alone=alone, small=small) for count in counts]


def _shown(count: Count, rules: CountRules, *, alone: bool, small: bool) -> int | None:
    if count.people is None or rules.threshold <= 1:
        return count.resources
    if rules.small == "round":
        return _rounded(count, rules.threshold)
    if small:
        return None
    return count.resources if alone else _rounded(count, rules.threshold)


def _is_small(count: Count, threshold: int) -> bool:
    return count.people is not None and 0 < count.people < threshold


def _rounded(count: Count, threshold: int) -> int:
    if _is_small(count, threshold):
        return 0
    return count.resources - count.resources % threshold
