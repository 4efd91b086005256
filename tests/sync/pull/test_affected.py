"""A part of a subject's results judged alone comes out as if all had been judged; the rest would not have moved."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhirbridge.store.judgements import Judgement
from fhirbridge.store.outlines import Outline
from fhirbridge.store.schema import AWAITED
from fhirbridge.sync.pull import affected
from fhirbridge.sync.pull.incoming import Incoming
from fhirbridge.sync.pull.judging import Picture, judge
from fhirbridge.sync.pull.meaning import mean
from tests.sync.pull.judged import DNA, DNA_LOG, W012, Inbox, dna
from tests.sync.pull.test_judging_properties import POLICIES, results

SURFACE_ANTIGEN = "63557-3"
W024 = "2026-06-22T09:00:00+08:00"
ANOTHER_OF_W012 = "2026-04-02"
BETWEEN, ANOTHER_DAY = "2026-05-11T09:00:00+08:00", "2026-05-12T09:00:00+08:00"


def _outlines(inbox: Inbox) -> list[Outline]:
    """What a store would hold of an inbox, in a few words each."""
    found = []
    for (feed, reference), held in sorted(inbox.held.items()):
        judged = inbox.judged.get(reference)
        found.append(
            Outline(
                feed=feed, reference=reference, arrival=held.arrival, moved=False, candidate=1 if judged else None,
                judged=judged.arrival if judged else None, analyte=judged.analyte if judged else "",
                day=judged.collected[:10] if judged and judged.collected else None,
                visit=judged.visit if judged and judged.inside else None, reasons=judged.reasons if judged else (),
            )
        )  # fmt: skip
    return found


def _part(inbox: Inbox) -> set[str]:
    """The references that are judged where the inbox has what came since it was judged last."""
    outlined = _outlines(inbox)
    said = [one.value or b"" for held in inbox.held.values() for one in held.decisions]
    if any(b'"analyte"' in value or b'"visit"' in value for value in said):
        return {one.reference for one in outlined}
    moving = [one for one in outlined if (one.judged or 0) < one.arrival or AWAITED in one.reasons]
    came = (inbox.held[one.feed, one.reference].incoming for one in moving)
    says = (mean(one, inbox.context.laboratories, inbox.context.study) for one in came)
    spots = affected.spots(moving, says, inbox.follow_up, inbox.context)
    return {one.reference for one in outlined if one in moving or spots.intersection(one.spots)}


def _judged(inbox: Inbox, references: set[str]) -> dict[str, Judgement]:
    some = tuple(held for (_, reference), held in inbox.held.items() if reference in references)
    found = judge(Picture(follow_up=inbox.follow_up, results=some), inbox.context)
    return {one.reference: one for one in found}


def _check(inbox: Inbox) -> set[str]:
    """Judge a part and all, compare, and return the references of the part."""
    part = _part(inbox)
    whole = _judged(inbox, {reference for _, reference in inbox.held})
    assert _judged(inbox, part) == {reference: whole[reference] for reference in part}
    for reference in whole.keys() - part:
        before, now = inbox.judged[reference], whole[reference]
        assert now.decision is None
        assert (now.state, now.reasons, now.proposal) == (before.state, before.reasons, before.proposal)
    return part


def _decides(draw: Any, inbox: Inbox) -> None:
    action = draw(st.sampled_from(["accept", "reject", "override"]))
    number = draw(st.integers(0, len(inbox.judged) - 1))
    state = inbox.judged[f"Observation/{number}"].state
    value = draw(st.sampled_from([b'{"visit":"W024"}', b'{"analyte":"HBSAG"}', b'{"value":"7"}']))
    if state in ("waiting", "reopened") or (state in ("unreadable", "duplicate") and action != "accept"):
        inbox.decide(str(number), action, value=value if action == "override" else None)


@st.composite
def near(draw: Any) -> list[Incoming]:
    """Results of one analyte, so close to one another that most move some other."""
    days = st.sampled_from([W012, "2026-03-30", ANOTHER_OF_W012, W024, BETWEEN, BETWEEN[:10], "2027-03-01"])
    values = st.sampled_from([("1234", DNA, "[IU]/mL"), ("43", DNA, "[IU]/mL"), ("3.09", DNA_LOG, "{Log_IU}/mL")])
    found = []
    for number in range(draw(st.integers(1, 6))):
        value, code, unit = draw(values)
        status = draw(st.sampled_from(["final", "final", "final", "cancelled"]))
        found.append(dna(str(number), value, code=code, unit=unit, status=status, collected=draw(days)))
    return found


@given(st.one_of(results(), near()), st.one_of(results(), near()), st.integers(0, len(POLICIES) - 1), st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_part_comes_out_as_the_whole_would(
    some: list[Incoming], later: list[Incoming], policy: int, data: st.DataObject
) -> None:
    inbox = Inbox(POLICIES[policy])
    inbox.run(*some)
    for _ in range(data.draw(st.integers(0, 3))):
        _decides(data.draw, inbox)
    inbox.judge()  # whoever was decided on is judged whole by the next pull
    inbox.judge()  # and what that reopened
    inbox.arrive(*later)
    _check(inbox)


@pytest.fixture
def inbox_of_visits() -> Inbox:
    """Two results on two days of one visit's window, one in another's, and two beside all windows."""
    inbox = Inbox(POLICIES[3])
    inbox.run(
        dna("1"), dna("2", "43", collected=ANOTHER_OF_W012), dna("3", "44", collected=W024),
        dna("4", collected=BETWEEN), dna("5", collected=ANOTHER_DAY),
    )  # fmt: skip
    return inbox


def test_only_what_may_share_a_window_is_judged_again() -> None:
    inbox = Inbox(POLICIES[0])
    inbox.run(dna("1"), dna("2", "0.5", code=SURFACE_ANTIGEN), dna("3", collected=W024), dna("4", code="99999-9"))
    inbox.arrive(dna("5", "3.2", code=DNA_LOG, unit="{Log_IU}/mL"))
    assert _check(inbox) == {"Observation/1", "Observation/5"}


def test_a_result_that_moves_to_another_visit_moves_what_both_have(inbox_of_visits: Inbox) -> None:
    inbox_of_visits.arrive(dna("1", version="2", collected=W024))
    assert _check(inbox_of_visits) == {"Observation/1", "Observation/2", "Observation/3"}


def test_what_lies_in_no_window_moves_only_what_is_of_its_day(inbox_of_visits: Inbox) -> None:
    inbox_of_visits.arrive(dna("6", "77", collected=BETWEEN))
    assert _check(inbox_of_visits) == {"Observation/4", "Observation/6"}


def test_a_result_that_is_another_test_now_moves_both_analytes() -> None:
    inbox = Inbox(POLICIES[0])
    inbox.run(dna("1"), dna("2"), dna("3", "0.5", code=SURFACE_ANTIGEN), dna("4", code="99999-9"))
    inbox.arrive(dna("2", "0.5", code=SURFACE_ANTIGEN, version="2"))
    assert _check(inbox) == {"Observation/1", "Observation/2", "Observation/3"}


def test_a_result_that_lay_in_the_future_is_placed_once_its_day_has_come() -> None:
    inbox = Inbox(POLICIES[0])
    inbox.run(dna("1", "0.5", code=SURFACE_ANTIGEN, collected="2027-03-01"))
    assert AWAITED in inbox.reasons("1")
    inbox.arrive(dna("2", code=DNA))
    assert _check(inbox) == {"Observation/1", "Observation/2"}


@pytest.mark.parametrize("value", [b'{"analyte":"HBSAG"}', b'{"visit":"W024"}'])
def test_one_whose_result_a_person_put_elsewhere_is_judged_whole(value: bytes) -> None:
    inbox = Inbox(POLICIES[3])
    inbox.run(dna("1"), dna("2", "0.5", code=SURFACE_ANTIGEN), dna("3", collected=W024))
    inbox.decide("1", "override", value=value)
    inbox.judge()
    inbox.arrive(dna("4", "0.6", code=SURFACE_ANTIGEN))
    assert _check(inbox) == {f"Observation/{number}" for number in (1, 2, 3, 4)}
