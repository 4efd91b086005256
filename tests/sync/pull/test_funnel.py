"""The funnel of a pull accounts for everything that was found, and says when it does not."""

from __future__ import annotations

from fhirbridge.sync.pull.funnel import Funnel
from tests.sync.pull.judged import Inbox, context, dna


def _counted() -> Funnel:
    inbox = Inbox(context())
    inbox.run(dna("1"), dna("2", collected="2026-05-05"), dna("3", code="99999-9"))
    funnel = Funnel()
    funnel.found("s1", 5)
    funnel.fate("s1", "ours")
    funnel.fate("s1", "unchanged", "HBV-DNA")
    for one in inbox.judged.values():
        funnel.fate("s1", "new", one.analyte)
        funnel.ended("s1", one)
    return funnel


def test_every_result_found_has_a_fate_and_every_new_one_a_state() -> None:
    counted = _counted().as_dict()
    assert counted["balanced"] is True
    assert counted["total"]["found"] == 5
    assert counted["total"]["fates"]["new"] == 3
    states = {state: count for state, count in counted["total"]["states"].items() if count}
    assert states == {"accepted": 1, "out of window": 1, "unmapped": 1}
    assert counted["subjects"]["s1"]["states"] == counted["total"]["states"]
    assert counted["analytes"]["HBV-DNA"]["states"]["accepted"] == 1
    assert counted["analytes"][""]["fates"]["ours"] == 1


def test_a_result_that_was_lost_on_the_way_unbalances_the_funnel_and_names_the_subject() -> None:
    funnel = _counted()
    funnel.found("s2")
    assert not funnel.balanced
    assert list(funnel.imbalances()) == ["s2: 1 found, but 0 with a fate"]


def test_a_new_result_without_a_state_unbalances_the_funnel() -> None:
    funnel = Funnel()
    funnel.found("s1")
    funnel.fate("s1", "new", "HBV-DNA")
    assert list(funnel.imbalances()) == ["s1: 1 new or changed, but 0 with a state"]


def test_two_funnels_together_count_what_both_counted() -> None:
    both, other = _counted(), _counted()
    both.merge(other)
    assert both.as_dict()["total"]["found"] == 10
    assert both.balanced


def test_results_that_others_moved_are_counted_apart_from_the_sums() -> None:
    inbox = Inbox(context())
    inbox.run(dna())
    funnel = Funnel()
    funnel.shifted("s1", inbox.judged["Observation/1"])
    assert funnel.balanced
    assert funnel.as_dict()["subjects"]["s1"]["moved"] == {"accepted": 1}
