"""The inbox in the store: what arrives, what the judge says of it, what people decide, and what is counted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fhirbridge.errors import InputError, Refused
from fhirbridge.store import INBOX, WITHDRAWN, NewDecision, Stale, Store
from fhirbridge.store.arrivals import BY_REPORT
from fhirbridge.store.schema import AWAITED
from tests.store.inbox import FEED, STUDY, arrive, item, judge, older, one, say, waiting
from tests.store.raw import connected, statements


def accept(store: Store, key: int, seen: int, by: str = "kim") -> None:
    store.candidates.decide(key, "accept", by=by, reason="plausible", seen=seen)


def actions(store: Store, key: int) -> list[tuple[str, str]]:
    found = store.candidates.get(key)
    assert found is not None
    return [(decision.action, decision.by) for decision in found[2]]


def moved(store: Store) -> dict[str, list[str]]:
    held = store.candidates.outlines(STUDY, ["p1", "p2"])
    return {subject: [one.reference for one in some if one.moved] for subject, some in held.items()}


def test_a_result_is_new_once_then_unchanged_until_its_source_changes_it(store: Store) -> None:
    first, second = item("Observation/1"), item("Observation/1", "2", "43")
    assert arrive(store, first, item("Observation/2")) == ["new", "new"]
    assert arrive(store, first) == ["unchanged"]
    assert arrive(store, second, second) == ["changed", "unchanged"]
    (_, other, _), (_, latest, _) = store.candidates.of_subject(STUDY, "p1")
    assert (other.reference, latest.version, latest.body) == ("Observation/2", "2", second[3])


def test_a_source_that_takes_its_correction_back_is_believed(store: Store) -> None:
    first, second = item("Observation/1", "1", "42"), item("Observation/1", "1", "43")
    assert [arrive(store, one) for one in (first, second, first)] == [["new"], ["changed"], ["changed"]]
    ((_, latest, _),) = store.candidates.of_subject(STUDY, "p1")
    assert latest.body == first[3]


def test_a_result_that_moves_to_another_subject_and_back_is_noticed_by_both(store: Store) -> None:
    assert arrive(store, item("Observation/1"), subject="p1") == ["new"]
    assert arrive(store, item("Observation/1"), subject="p2") == ["new"]
    assert moved(store) == {"p1": ["Observation/1"], "p2": []}
    assert arrive(store, item("Observation/1"), subject="p1") == ["changed"]
    assert moved(store) == {"p1": [], "p2": ["Observation/1"]}


def test_studies_do_not_see_each_others_results(store: Store) -> None:
    waiting(store)
    assert store.candidates.of_subject("another", "p1") == []
    assert store.candidates.page("another", INBOX) == []
    assert store.candidates.counts("another") == {}
    assert list(store.candidates.unrecorded("another")) == []


def test_a_candidate_is_what_the_judge_said_of_it(store: Store) -> None:
    found = waiting(store)
    assert (found.state, found.reasons, found.visit, found.offset) == ("waiting", ("out of window",), "W012", 3)
    assert (found.collected, found.decision, found.recorded) == ("2026-03-01T08:00:00+08:00", None, None)
    assert found.name == f"C-{found.key}"
    again = store.candidates.get(found.key)
    assert again is not None
    assert (again[0], again[1].reference, again[2]) == (found, "Observation/1", [])
    assert store.candidates.get(found.key + 1) is None


def test_a_candidate_stands_so_since_its_state_or_its_version_changed(store: Store) -> None:
    def at(day: int) -> None:
        store._clock = lambda: datetime(2026, 3, day, tzinfo=UTC)

    at(1)
    waiting(store)
    at(2)
    judge(store, reasons=("several candidates",))
    assert (one(store).changed[:10], one(store).reasons) == ("2026-03-01", ("several candidates",))
    at(3)
    judge(store, "pending")
    assert one(store).changed[:10] == "2026-03-03"


def test_a_decision_is_kept_with_who_when_why_and_what_was_shown(store: Store) -> None:
    found = waiting(store)
    after = store.candidates.decide(found.key, "reject", by="kim", reason="haemolysed", seen=found.arrival)
    assert (after.state, after.decision) == ("rejected", 1)
    assert one(store) == after
    ((_, _, (decision,)),) = store.candidates.of_subject(STUDY, "p1")
    assert (decision.action, decision.by, decision.reason, decision.at) == (
        "reject",
        "kim",
        "haemolysed",
        after.changed,
    )
    assert (decision.proposal, decision.arrival) == (found.proposal, found.arrival)


def test_nobody_decides_over_the_decision_of_another(store: Store) -> None:
    found = waiting(store)
    accept(store, found.key, found.arrival)
    with pytest.raises(Refused, match=f"{found.name} cannot be decided so .*it is accepted: `reopen` it first"):
        store.candidates.decide(found.key, "reject", by="lee", reason="no", seen=found.arrival)
    assert one(store).state == "accepted"
    store.candidates.decide(found.key, "reopen", by="lee", reason="wrong tube", seen=found.arrival)
    store.candidates.decide(found.key, "reject", by="lee", reason="wrong tube", seen=found.arrival)
    assert actions(store, found.key) == [("accept", "kim"), ("reopen", "lee"), ("reject", "lee")]


@pytest.mark.parametrize("state", ["pending", "cancelled", "unmapped", "unreadable", "duplicate"])
def test_what_has_no_value_of_its_own_cannot_be_accepted(store: Store, state: str) -> None:
    arrive(store, item("Observation/1"))
    judge(store, state)
    found = one(store)
    with pytest.raises(Refused, match=r"^C-\d+ cannot be decided so \(accept\): "):
        accept(store, found.key, found.arrival)
    assert (one(store).state, actions(store, found.key)) == (state, [])


def test_what_its_source_withdrew_can_be_rejected_but_not_accepted(store: Store) -> None:
    arrive(store, item("Observation/1"))
    judge(store, "reopened", reasons=(WITHDRAWN,))
    found = one(store)
    with pytest.raises(Refused, match="its source withdrew it"):
        accept(store, found.key, found.arrival)
    store.candidates.decide(found.key, "reject", by="kim", reason="withdrawn", seen=found.arrival)
    assert one(store).state == "rejected"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "gives at least one of value, unit, visit, analyte"),
        (b"{}", "gives at least one of"),
        (b'{"value": 7}', "each as text"),
        (b'{"value": " "}', "each as text"),
        (b'{"patient": "x"}', "gives at least one of"),
        (b'["7"]', "each as text"),
    ],
)
def test_an_override_says_what_it_means(store: Store, value: bytes | None, message: str) -> None:
    found = waiting(store)
    with pytest.raises(Refused, match=message):
        store.candidates.decide(found.key, "override", by="kim", reason="read", value=value, seen=found.arrival)
    assert one(store) == found


def test_an_override_of_an_unmapped_test_names_the_analyte(store: Store) -> None:
    arrive(store, item("Observation/1"))
    judge(store, "unmapped", analyte="")
    found = one(store)
    given = {"by": "kim", "reason": "their code for ALT", "seen": found.arrival}
    with pytest.raises(Refused, match="must name the analyte"):
        store.candidates.decide(found.key, "override", value=b'{"value":"42"}', **given)
    value = b'{"value":"42","unit":"U/L","analyte":"ALT"}'
    assert store.candidates.decide(found.key, "override", value=value, **given).state == "accepted"
    decided = store.candidates.get(found.key)
    assert decided is not None
    assert decided[2][0].value == value


@pytest.mark.parametrize("action", ["reject", "override", "reopen"])
def test_whoever_does_not_take_the_proposal_says_why(store: Store, action: str) -> None:
    found = waiting(store)
    if action == "reopen":
        accept(store, found.key, found.arrival)
    with pytest.raises(Refused, match="needs a reason"):
        store.candidates.decide(found.key, action, by="kim", reason=" ", seen=found.arrival)


def test_a_decision_on_a_version_that_was_replaced_is_refused_with_both_versions(store: Store) -> None:
    found = waiting(store)
    arrive(store, item("Observation/1", "2", "43"))
    with pytest.raises(Stale, match=r"on version 1 of its source, which has sent version 2 since.*the next pull"):
        accept(store, found.key, found.arrival)
    judge(store, "reopened", reasons=("source corrected",))
    with pytest.raises(Stale, match="look at it again"):
        accept(store, found.key, found.arrival)
    assert (Stale.exit_code, Stale.http_status) == (1, 409)
    accept(store, found.key, one(store).arrival)
    assert one(store).state == "accepted"


def test_a_judgement_made_before_a_decision_leaves_the_decision_alone(store: Store) -> None:
    found = waiting(store)
    late = say(store, "duplicate")
    accept(store, found.key, found.arrival)
    assert store.candidates.judge(STUDY, "p1", late, "run-2") == late
    assert one(store).state == "accepted"
    assert judge(store, "reopened") == []
    assert one(store).state == "reopened"


def test_a_judgement_of_an_older_version_leaves_the_newer_alone(store: Store) -> None:
    first = waiting(store)
    arrive(store, item("Observation/1", "2", "43"))
    judge(store, "pending")
    outdated = [older(judged, first.arrival) for judged in say(store)]
    assert store.candidates.judge(STUDY, "p1", outdated, "run-2") == outdated
    assert one(store).state == "pending"


def test_a_source_that_changes_reopens_a_decision_and_all_versions_stay(store: Store) -> None:
    found = waiting(store)
    accept(store, found.key, found.arrival)
    arrive(store, item("Observation/1", "2", "43"))
    reopened = NewDecision(action="reopen", by="fhirbridge", reason="source corrected")
    judge(store, "reopened", decision=reopened, reasons=("source corrected",))
    assert (one(store).state, one(store).decision) == ("reopened", 2)
    assert actions(store, found.key) == [("accept", "kim"), ("reopen", "fhirbridge")]
    assert [arrival.version for arrival in store.candidates.versions(found.key)] == ["1", "2"]


def test_a_policy_accepts_in_the_same_transaction(store: Store) -> None:
    arrive(store, item("Observation/1"))
    judge(store, "accepted", decision=NewDecision(action="accept", by="policy", reason="in window"))
    assert actions(store, one(store).key) == [("accept", "policy")]
    assert [found.reference for found in store.candidates.unrecorded(STUDY)] == ["Observation/1"]


def test_a_judgement_that_fails_leaves_nothing_behind(store: Store) -> None:
    arrive(store, item("Observation/1"), item("Observation/2"))
    first, second = say(store)
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        store.candidates.judge(STUDY, "p1", [first, replace(second, arrival=999)], "run-1")
    assert store.candidates.page(STUDY, INBOX) == []
    assert store.candidates.counts(STUDY) == {}


def test_pages_follow_each_other_over_all_states_without_gap_or_repetition(store: Store) -> None:
    days = iter(range(1, 40))
    store._clock = lambda: datetime(2026, 3, 1 + next(days) // 3, tzinfo=UTC)
    states = ["waiting", "reopened", "unreadable", "accepted"]
    for number in range(11):
        arrive(store, item(f"Observation/{number}"), subject=f"p{number}")
        judge(store, states[number % 4], subject=f"p{number}", analyte="ALT" if number % 2 else "AST")
    seen, after = [], None
    while page := store.candidates.page(STUDY, INBOX, after=after, limit=2):
        seen += page
        after = (page[-1].changed, page[-1].key)
    assert [found.key for found in seen] == [1, 2, 3, 5, 6, 7, 9, 10, 11]
    assert [found.key for found in store.candidates.page(STUDY, INBOX, analyte="AST")] == [1, 3, 5, 7, 9, 11]
    assert [found.key for found in store.candidates.page(STUDY, INBOX, subject="p6")] == [7]
    assert [found.key for found in store.candidates.page(STUDY, ["accepted"])] == [4, 8]


def test_a_subjects_pages_follow_each_other_too(store: Store) -> None:
    arrive(store, *(item(f"Observation/{number}") for number in range(5)))
    judge(store)
    first = store.candidates.page(STUDY, INBOX, subject="p1", limit=3)
    after = (first[-1].changed, first[-1].key)
    rest = store.candidates.page(STUDY, INBOX, subject="p1", analyte="ALT", after=after, limit=3)
    assert [found.key for found in first + rest] == [1, 2, 3, 4, 5]
    assert store.candidates.page(STUDY, INBOX, subject="p1", analyte="AST") == []


def test_sqlite_finds_a_page_by_its_order_and_then_by_keys(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with Store.open(url) as store:
        arrive(store, item("Observation/1"))
        judge(store)
        with statements() as seen:
            assert len(store.candidates.page(STUDY, ["waiting"])) == 1
    with connected(url) as connection:
        plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}", given).all() for asked, given in seen]
    ordered, keyed = [[row[-1] for row in plan] for plan in plans]
    assert ordered == ["SEARCH candidate USING COVERING INDEX candidate_by_change (study=? AND state=?)"]
    assert keyed == ["SEARCH candidate USING INTEGER PRIMARY KEY (rowid=?)"]


def tally(store: Store) -> dict[tuple[str, str], int]:
    """Count the candidates themselves."""
    counted: dict[tuple[str, str], int] = {}
    states = ("waiting", "accepted", "rejected", "reopened", "unmapped")
    for found in store.candidates.page(STUDY, states, limit=1000):
        counted[found.state, found.analyte] = counted.get((found.state, found.analyte), 0) + 1
    return counted


def test_the_tally_is_what_counting_gives(store: Store) -> None:
    arrive(store, *(item(f"Observation/{number}") for number in range(6)))
    judge(store, "unmapped", analyte="")
    assert store.candidates.counts(STUDY) == {("unmapped", ""): 6}
    judge(store)
    for found in store.candidates.page(STUDY, INBOX)[:2]:
        accept(store, found.key, found.arrival)
    assert store.candidates.counts(STUDY) == {("accepted", "ALT"): 2, ("waiting", "ALT"): 4} == tally(store)


def test_the_tally_is_right_when_many_judge_and_decide_at_once(store: Store, database_url: str) -> None:
    for subject in range(8):
        waiting(store, f"Observation/{subject}", subject=f"p{subject}")

    def work(number: int) -> str:
        with Store.open(database_url) as mine:
            found = one(mine, f"Observation/{number % 8}", subject=f"p{number % 8}")
            try:
                mine.candidates.decide(found.key, "accept", by=f"n{number}", reason="", seen=found.arrival)
            except Refused:
                return "refused"
            judge(mine, "accepted", subject=f"p{number % 8}", analyte="AST")
            return "accepted"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(work, range(24)))
    assert outcomes.count("accepted") == 8
    assert store.candidates.counts(STUDY) == {("accepted", "AST"): 8} == tally(store)


def test_what_is_accepted_is_unrecorded_until_it_is_recorded_and_again_once_it_changes(store: Store) -> None:
    found = waiting(store)
    assert list(store.candidates.unrecorded(STUDY)) == []
    accept(store, found.key, found.arrival)
    (due,) = store.candidates.unrecorded(STUDY, "p1")
    store.candidates.recorded(due, b"hash")
    assert list(store.candidates.unrecorded(STUDY)) == []
    judge(store, "accepted", proposal=b'{"canonical":{"value":"43"}}')
    (due,) = store.candidates.unrecorded(STUDY)
    store.candidates.recorded(due, b"hash 2")
    store.candidates.decide(found.key, "reopen", by="kim", reason="asked", seen=found.arrival)
    (due,) = store.candidates.unrecorded(STUDY)
    assert (due.state, due.recorded) == ("reopened", b"hash 2")
    store.candidates.recorded(due, None)
    store.candidates.decide(found.key, "reject", by="kim", reason="asked", seen=found.arrival)
    assert list(store.candidates.unrecorded(STUDY)) == []


def test_what_changed_while_it_was_recorded_stays_unrecorded(store: Store) -> None:
    found = waiting(store)
    accept(store, found.key, found.arrival)
    (due,) = store.candidates.unrecorded(STUDY)
    store.candidates.decide(found.key, "reopen", by="kim", reason="asked", seen=found.arrival)
    store.candidates.recorded(due, b"hash")
    ((again),) = store.candidates.unrecorded(STUDY)
    assert (again.state, again.recorded) == ("reopened", b"hash")


def test_unrecorded_candidates_come_page_by_page_while_each_is_recorded(store: Store) -> None:
    arrive(store, *(item(f"Observation/{number}") for number in range(7)))
    judge(store, "accepted", decision=NewDecision(action="accept", by="policy", reason="in window"))
    for due in store.candidates.unrecorded(STUDY, page=2):
        store.candidates.recorded(due, b"hash")
    assert list(store.candidates.unrecorded(STUDY)) == []


def test_a_decision_on_a_candidate_that_is_not_there_says_where_the_names_are(store: Store) -> None:
    with pytest.raises(InputError, match=r"no candidate C-7\. `fhirbridge inbox list`"):
        store.candidates.decide(7, "accept", by="kim", reason="", seen=1)


def test_results_of_many_subjects_arrive_in_one_go_each_after_the_other(store: Store) -> None:
    arrive(store, item("Observation/1"), subject="p1")
    given = {"p2": [item("Observation/1"), item("Observation/2")], "p1": [item("Observation/1")], "p3": []}
    said = store.candidates.arrive_all(STUDY, FEED, given, "run-2")
    assert said == {"p2": ["new", "new"], "p1": ["changed"], "p3": []}
    assert store.candidates.arrive_all(STUDY, FEED, {"p2": [item("Observation/2")]}, "run-3") == {"p2": ["unchanged"]}
    assert moved(store) == {"p1": [], "p2": ["Observation/1"]}
    assert [(ref, kept) for _, _, ref, kept in store.candidates.came(STUDY, ["p1", "p2"], "run-2")["p1"]] == [
        ("Observation/1", "changed")
    ]


def test_the_last_versions_of_some_results_come_with_their_parts(store: Store) -> None:
    parts = (item("Observation/1#a"), item("Observation/1#b"), item("Observation/10"), item("Observation/2"))
    arrive(store, *parts)
    arrive(store, item("Observation/1#b", "2", "43"))
    arrive(store, item("Observation/1"), subject="p2")
    wanted = {"p1": {"Observation/1", "Observation/3"}, "p2": None, "p3": None}
    found = store.candidates.latest(STUDY, FEED, wanted)
    assert {subject: [(one.reference, one.version) for one in some] for subject, some in found.items()} == {
        "p1": [("Observation/1#a", "1"), ("Observation/1#b", "2")],
        "p2": [("Observation/1", "1")],
        "p3": [],
    }
    assert store.candidates.latest(STUDY, "another feed", {"p1": None}) == {"p1": []}


def test_results_that_a_report_ever_took_back_are_found(store: Store) -> None:
    arrive(store, item("Observation/1", f"1{BY_REPORT}"), item("Observation/2", f"1{BY_REPORT} and more"))
    arrive(store, item("Observation/1", "2", "43"))
    assert store.candidates.taken_back(STUDY, FEED) == {"p1": {"Observation/1"}}
    assert store.candidates.taken_back(STUDY, "another feed") == {}


def test_an_outline_says_how_a_result_stands(store: Store) -> None:
    seen = waiting(store)
    arrive(store, item("Observation/1", "2", "43"), item("Observation/2"))
    first, second = store.candidates.outlines(STUDY, ["p1", "p2"])["p1"]
    assert (first.candidate, first.judged, first.analyte, first.reasons) == (
        seen.key, seen.arrival, "ALT", ("out of window",),
    )  # fmt: skip
    assert first.arrival > seen.arrival
    assert (second.candidate, second.judged, second.analyte) == (None, None, "")
    assert store.candidates.known([second]) == store.candidates.of_subject(STUDY, "p1")[1:]


def test_what_came_and_what_awaits_its_day_is_found_without_the_rest(store: Store) -> None:
    arrive(store, item("Observation/1"), item("Observation/2"))
    first, second = say(store)
    store.candidates.judge(STUDY, "p1", [first, replace(second, reasons=("another", AWAITED))], "run-1")
    arrive(store, item("Observation/3"), item("Observation/4"))
    arrive(store, item("Observation/3"), subject="p2")
    keys = {one.reference: one.arrival for one in store.candidates.outlines(STUDY, ["p1"])["p1"]}
    found = store.candidates.stirred(STUDY, ["p1", "p3"], [keys["Observation/3"], keys["Observation/2"]])
    assert found["p3"] == []
    assert {one.reference: (one.arrival, one.moved) for one in found["p1"]} == {
        "Observation/2": (keys["Observation/2"], False), "Observation/3": (keys["Observation/3"], True),
    }  # fmt: skip
    assert [one.reference for one in store.candidates.stirred(STUDY, ["p1"], [])["p1"]] == ["Observation/2"]
    assert store.candidates.stirred("another", ["p1"], [])["p1"] == []


def test_results_are_found_by_analyte_and_day_or_visit(store: Store) -> None:
    arrive(store, item("Observation/1"), item("Observation/2"), item("Observation/3"), item("Observation/4"))
    first, second, third, fourth = say(store)  # of ALT and W012, taken on 1 March
    second, fourth = replace(second, inside=False, collected="2026-03-02"), replace(fourth, analyte="AST")
    store.candidates.judge(STUDY, "p1", [first, second, replace(third, collected="2026-03-02"), fourth], "run-1")
    waiting(store, "Observation/5", subject="p2")

    def lying(study: str = STUDY, **wanted: set[tuple[str, str]]) -> dict[str, list[str]]:
        found = store.candidates.lying(study, wanted)
        return {subject: [one.reference[-1] for one in some] for subject, some in found.items()}

    assert lying(p1={("ALT", "W012")}) == {"p1": ["1", "3"]}
    assert lying(p1={("ALT", "2026-03-02")}) == {"p1": ["2", "3"]}
    assert lying(p1={("ALT", "2026-03-01"), ("AST", "W012")}, p2={("ALT", "W012")}) == {"p1": ["1", "4"], "p2": ["5"]}
    assert lying(p1={("AST", "W024")}, p2=set()) == {"p1": [], "p2": []}
    assert lying("another", p1={("ALT", "W012")}) == {"p1": []}


def test_subjects_of_whom_a_result_was_put_elsewhere_by_a_person_are_named(store: Store) -> None:
    given = {"p1": b'{"analyte":"AST"}', "p2": b'{"visit":"W024"}', "p3": b'{"value":"7"}'}
    for subject, value in given.items():
        seen = waiting(store, f"Observation/{subject}", subject=subject)
        store.candidates.decide(seen.key, "override", by="kim", reason="typed", value=value, seen=seen.arrival)
    assert store.candidates.elsewhere(STUDY, list(given)) == {"p1", "p2"}
    assert store.candidates.elsewhere(STUDY, ["p3"]) == store.candidates.elsewhere("another", ["p1"]) == set()


def test_a_decision_made_in_between_stops_one_judgement_of_many(store: Store) -> None:
    seen = {subject: waiting(store, f"Observation/{subject}", subject=subject) for subject in ("p1", "p2")}
    late = {subject: say(store, "unmapped", subject=subject) for subject in seen}
    accept(store, seen["p1"].key, seen["p1"].arrival)
    assert store.candidates.judge_all(STUDY, late, "run-2") == {"p1": late["p1"]}
    states = {subject: one(store, f"Observation/{subject}", subject=subject).state for subject in seen}
    assert states == {"p1": "accepted", "p2": "unmapped"}
