"""Whatever arrives, in whatever order and in however many runs: one state each, the same states, no decision lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhirbridge.store.decisions import State
from fhirbridge.sync.pull.incoming import Incoming
from fhirbridge.sync.pull.observations import STATUSES
from fhirbridge.terminology.laboratories import ReportedCode
from tests.sync.pull.judged import ALL_TERMS, DNA, DNA_LOG, Inbox, context, dna

POLICIES = [context({"HBV-DNA": terms, "HBSAG": ()}) for terms in (ALL_TERMS, ("final",), ("in-window", "final"), ())]
DAYS = (
    "2026-03-30T08:15:00+08:00", "2026-03-30T12:00:00+08:00", "2026-03-30", "2026-04-02", "2026-04-20", "2026-03", None,
    "2026-06-22T09:00:00+08:00", "not a date",
)  # fmt: skip
quiet = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _result(draw: Any, number: int, statuses: tuple[str, ...]) -> Incoming:
    code, unit, value = draw(
        st.sampled_from(
            [
                (DNA, "[IU]/mL", "1234"), (DNA, "[IU]/mL", "1235"), (DNA, "k[IU]/mL", "1.234"), (DNA, "x", "1"),
                (DNA_LOG, "{Log_IU}/mL", "3.09"), (DNA_LOG, "{Log_IU}/mL", "4.5"), ("63557-3", "[IU]/mL", "0.5"),
                ("99999-9", "[IU]/mL", "5"), (DNA, "[IU]/mL", None),
            ]
        )
    )  # fmt: skip
    return dna(
        str(number), value, code=code, unit=unit, status=draw(st.sampled_from(statuses)),
        collected=draw(st.sampled_from(DAYS)), label=draw(st.sampled_from([None, None, "HBV-DNA", "anti-HBs"])),
    )  # fmt: skip


@st.composite
def results(draw: Any, statuses: tuple[str, ...] = STATUSES) -> list[Incoming]:
    return [_result(draw, number, statuses) for number in range(draw(st.integers(1, 6)))]


@given(results(), st.randoms(), st.integers(0, len(POLICIES) - 1))
@quiet
def test_any_order_gives_the_same_judgements(some: list[Incoming], random: Any, policy: int) -> None:
    shuffled = random.sample(some, len(some))
    first, second = Inbox(POLICIES[policy]), Inbox(POLICIES[policy])
    first.run(*some)
    second.run(*shuffled)
    assert {name: replace(one, arrival=0) for name, one in first.judged.items()} == {
        name: replace(one, arrival=0) for name, one in second.judged.items()
    }


def _settled(inbox: Inbox) -> tuple[dict[str, int], dict[str, str]]:
    """How many stand how, counting what a policy's yes was taken back from as waiting; and those no twin can swap."""
    states = {name: "waiting" if one.state == "reopened" else one.state for name, one in inbox.judged.items()}
    alone = {name: state for name, state in states.items() if state not in ("accepted", "duplicate")}
    return Counter(states.values()), alone


@given(results(), st.randoms(), st.integers(0, len(POLICIES) - 1), st.data())
@quiet
def test_any_split_into_runs_ends_in_the_same_states(
    some: list[Incoming], random: Any, policy: int, data: st.DataObject
) -> None:
    """Of equal results one is kept: the one accepted first, where a run came between, so twins may swap."""
    at_once, bit_by_bit = Inbox(POLICIES[policy]), Inbox(POLICIES[policy])
    at_once.run(*some)
    left = random.sample(some, len(some))
    while left:
        size = data.draw(st.integers(1, len(left)))
        bit_by_bit.run(*left[:size])
        left = left[size:]
    assert _settled(bit_by_bit) == _settled(at_once)


@given(results(), st.integers(0, len(POLICIES) - 1))
@quiet
def test_judging_again_changes_nothing_and_decides_nothing(some: list[Incoming], policy: int) -> None:
    inbox = Inbox(POLICIES[policy])
    inbox.run(*some)
    before = {name: (one.state, one.reasons) for name, one in inbox.judged.items()}
    inbox.judge()
    for name, one in inbox.judged.items():
        assert one.decision is None
        assert (one.state, one.reasons) == before[name] or one.state == "accepted"
    inbox.judge()
    assert all(one.decision is None for one in inbox.judged.values())


@given(results(), results(), st.data())
@quiet
def test_a_person_s_decision_is_never_lost_and_changes_only_with_its_own_source(
    first: list[Incoming], second: list[Incoming], data: st.DataObject
) -> None:
    inbox = Inbox(POLICIES[0])
    inbox.run(*first)
    decided = {}
    for one in first:
        if inbox.judged[one.reference].state in ("waiting", "unreadable", "duplicate"):
            action = data.draw(st.sampled_from(["accept", "reject"]))
            inbox.decide(one.reference.removeprefix("Observation/"), action)
            decided[one.reference] = action
    inbox.judge()
    for reference, action in decided.items():
        assert inbox.judged[reference].state == {"accept": "accepted", "reject": "rejected"}[action]
    later = [replace(one, reference=f"{one.reference}-later") for one in second]
    inbox.run(*later)
    for reference, action in decided.items():
        assert inbox.judged[reference].state == {"accept": "accepted", "reject": "rejected"}[action]
        assert [one.by for one in inbox.held[first[0].feed, reference].decisions] == ["anna"]


@given(results(), st.integers(0, len(POLICIES) - 1))
@quiet
def test_every_result_has_one_state_and_no_visit_has_two_accepted_by_a_policy(
    some: list[Incoming], policy: int
) -> None:
    inbox = Inbox(POLICIES[policy])
    inbox.run(*some)
    assert set(inbox.judged) == {one.reference for one in some}
    assert {one.state for one in inbox.judged.values()} <= set(get_args(State))
    visits = Counter(
        (one.visit, one.analyte) for one in inbox.judged.values() if one.state == "accepted" and one.inside
    )
    assert all(count == 1 for count in visits.values())


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.decimals(allow_nan=False, places=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["valueQuantity", "valueString", "valueCodeableConcept", "hl7v2", "repetitions", "valueRatio"]),
        json,
        max_size=2,
    ),
    st.text(max_size=12) | st.none(),
    st.text(max_size=12),
)
@quiet
def test_no_value_date_or_code_makes_the_judge_fail(value: dict[str, Any], collected: str | None, code: str) -> None:
    inbox = Inbox(POLICIES[1])
    inbox.run(replace(dna(), value=value or None, collected=collected), dna("2", code=code or "-"))
    assert len(inbox.judged) == 2
    assert ReportedCode("http://loinc.org", code).code == code
