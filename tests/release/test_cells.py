"""Counts of few people, and what can be worked out from several counts in one answer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fhirbridge.release.agreement import CountRules
from fhirbridge.release.cells import Count, shown

HIDE, ROUND = CountRules(threshold=5, small="hide"), CountRules(threshold=5, small="round")


def of(*people: int) -> list[Count]:
    return [Count(number, number) for number in people]


def test_a_count_alone_is_exact_unless_it_is_small() -> None:
    assert [shown(of(number), HIDE)[0] for number in (0, 1, 4, 5, 103)] == [0, None, None, 5, 103]


def test_what_counts_is_how_many_people_it_rests_on() -> None:
    assert shown([Count(250, 4)], HIDE) == [None]
    assert shown([Count(250, 5)], HIDE) == [250]


def test_counts_of_the_study_itself_are_exact() -> None:
    assert shown([Count(1, None), Count(2, None), Count(3, 3)], HIDE) == [1, 2, None]


def test_a_small_count_takes_those_it_could_be_worked_out_from_with_it() -> None:
    assert shown(of(103, 100, 3), HIDE) == [None, None, None]


def test_counts_that_differ_by_few_people_are_not_exact_together() -> None:
    assert shown(of(103, 100), HIDE) == [100, 100]


def test_rounding_goes_for_every_count_alone_or_not() -> None:
    assert [shown(of(number), ROUND)[0] for number in (0, 3, 5, 103)] == [0, 0, 5, 100]
    assert shown(of(103, 100, 3), ROUND) == [100, 100, 0]


def test_a_threshold_of_one_hides_nothing() -> None:
    assert shown(of(3, 2, 1), CountRules(threshold=1)) == [3, 2, 1]


@given(st.lists(st.integers(0, 40), min_size=2, max_size=5), st.integers(0, 40), st.integers(2, 12))
def test_no_complement_within_one_answer_tells_a_small_count(asked: list[int], rest: int, threshold: int) -> None:
    """The total and all parts but one are asked for: every small size of that part fits what is shown, or none does."""
    rules = CountRules(threshold=threshold)
    answer = shown(of(sum(asked) + rest, *asked), rules)
    if None in answer:
        assert set(answer) == {None}
        return
    total, *numbers = [number for number in answer if number is not None]
    spread = threshold - 1
    most = total + spread - sum(numbers)
    least = max(0, total - sum(number + (spread if number else 0) for number in numbers))
    assert least <= rest <= most
    assert most - least >= spread
