"""A result is judged with all others of its subject: its state, its reasons, its visit, what a decision survives."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from fhirbridge.protocol.slots import FollowUp
from fhirbridge.study import Condition
from fhirbridge.sync.pull import proposal
from fhirbridge.sync.pull.incoming import Incoming
from fhirbridge.sync.pull.remarks import NOT_KEPT
from fhirbridge.terminology.laboratories import Laboratories, ReportedCode
from tests.sync.pull.judged import (
    ALL_TERMS,
    DNA,
    DNA_LOG,
    LABORATORIES,
    NORTH,
    SOUTH,
    W012,
    Inbox,
    context,
    dna,
    judged,
)

AUTOMATIC = {"HBV-DNA": ALL_TERMS}
NOON = "2026-03-30T12:00:00+08:00"


@pytest.mark.parametrize(
    ("result", "state", "reason"),
    [
        (dna(status="registered", value=None), "pending", "status: registered"),
        (dna(status="preliminary"), "pending", "status: preliminary"),
        (dna(value=None, absent="temp-unknown"), "pending", "pending"),
        (dna(status="cancelled"), "cancelled", "status: cancelled"),
        (dna(status="entered-in-error"), "cancelled", "status: entered-in-error"),
        (dna(value=None, absent="not-performed"), "cancelled", "not performed"),
        (dna(value=None, absent="haemolysed"), "cancelled", "haemolysed"),
        (dna(code="99999-9"), "unmapped", "unmapped code"),
        (dna(unit="furlong"), "unmapped", "unit unknown"),
        (dna(code="1742-6", unit="U/L"), "unmapped", "not collected by the study"),
        (dna(value=None), "unreadable", "there is no value, and no reason why"),
        (dna(absent="unknown"), "unreadable", "it gives a result and says that there is none"),
        (dna(status="unknown"), "waiting", "status unknown"),
        (dna(value="1E13"), "waiting", "impossible"),
        (dna(label="HBV surface antibody"), "waiting", "code and label contradict"),
        (dna(interpretation=("<",)), "waiting", "interpretation contradicts"),
        (dna(interpretation=("ND",)), "waiting", "interpretation contradicts"),
        (dna(notes=("haemolysed",)), "waiting", "note contradicts"),
        (dna(notes=(NOT_KEPT,)), "waiting", "policy: no-notes"),
        (dna(collected="2026-05-05"), "waiting", "out of window"),
        (dna(collected="2026-03"), "waiting", "place: partial-date"),
        (dna(collected=None), "waiting", "place: no-date"),
        (dna(collected="2027-03-30"), "waiting", "place: future"),
        (dna(code=DNA_LOG, unit="{Log_IU}/mL", value="3.09"), "waiting", "policy: as measured"),
        (dna(), "accepted", None),
        (dna(status="corrected"), "accepted", None),
    ],
)  # fmt: skip
def test_a_result_by_itself_has_its_state_and_says_why(result: Incoming, state: str, reason: str | None) -> None:
    inbox = judged([result], AUTOMATIC)
    assert inbox.state("1") == state
    assert reason is None or reason in inbox.reasons("1")


def test_below_the_limit_of_an_assay_that_the_study_file_lacks_a_person_is_asked_and_told_why() -> None:
    shipped = next(row for row in LABORATORIES.rows if row.laboratory == NORTH and row.loinc == DNA)
    new = replace(shipped, laboratory="West", assay="West PCR", lloq=Decimal(20))
    with_new = Laboratories((*LABORATORIES.rows, new))
    inbox = Inbox(context(AUTOMATIC, laboratories=with_new))
    (code, system) = (new.code or "", new.system)
    west = {"laboratory": "West", "unit": "IU/mL", "codes": (ReportedCode(system, code),)}
    inbox.run(dna("1", "20", comparator="<", **west), dna("2", "500", collected="2026-06-22T08:15:00+08:00", **west))
    assert inbox.state("1") == "waiting"
    assert "assay not in the study file" in inbox.reasons("1")
    assert inbox.state("2") == "accepted"


def test_a_result_by_itself_is_in_the_study_s_terms_beside_what_was_reported() -> None:
    inbox = judged([dna(value="1.5", unit="k[IU]/mL", laboratory="")])
    found = proposal.read_back(inbox.judged["Observation/1"].proposal)
    assert (found.analyte, found.visit, found.value, found.unit) == ("HBV-DNA", "W012", "1500", "[IU]/mL")
    assert (found.reported, found.collected) == ("1.5 k[IU]/mL", W012)
    assert found.row is not None
    assert found.row.startswith("any-laboratory.csv:")
    assert found.details["placed_by"] == "window"
    assert (found.details["offset"], found.details["chosen_by"]) == (0, "only")


def test_copies_are_proposed_as_units_with_what_was_measured_beside_them_and_never_accepted_alone() -> None:
    result = dna(
        value="58200", unit="Kopien/ml", laboratory=SOUTH,
        codes=(ReportedCode("https://fhirbridge.github.io/sid/synthetic/south-reference/analysis", "4712"),),
    )  # fmt: skip
    inbox = judged([result], AUTOMATIC)
    found = proposal.read_back(inbox.judged["Observation/1"].proposal)
    assert found.measured is not None
    assert (Decimal(found.value or "0"), found.measured.value, found.measured.unit) == (10000, "58200", "{copies}/mL")
    assert inbox.state("1") == "waiting"
    assert "policy: as measured" in inbox.reasons("1")


def test_a_text_is_read_with_the_decimal_mark_of_its_laboratory() -> None:
    system = "https://fhirbridge.github.io/sid/synthetic/south-reference/analysis"
    result = replace(
        dna(), laboratory=SOUTH, codes=(ReportedCode(system, "4720"),), value={"valueString": "1,5"}, unit="kIU/L"
    )
    found = proposal.read_back(judged([result]).judged["Observation/1"].proposal)
    assert (found.analyte, found.value) == ("HBSAG", "1.5")


@pytest.mark.parametrize(
    ("kind", "parts", "value"),
    [
        ("NM", [["1.234"]], "1.234"),
        ("SN", [["<", "10"]], "<10"),
        ("ST", [["Target not detected"]], "not detected"),
        ("TX", [["未检出"]], "not detected"),
        ("CE", [["260415000", "Not detected", "SCT"]], "not detected"),
        ("CWE", [["NEG", "negative", "L", "", "", "", "", "", "Target not detected"]], None),
        ("NM", [["1"], ["2"]], None),
        ("NM", [], None),
        ("ED", [], None),
    ],
)
def test_a_value_of_a_message_is_read_by_its_type(kind: str, parts: list[list[str]], value: str | None) -> None:
    result = replace(dna(), value={"hl7v2": kind, "repetitions": parts}, unit="IU/mL")
    found = proposal.read_back(judged([result]).judged["Observation/1"].proposal)
    assert found.value == value


@pytest.mark.parametrize(
    "value",
    [
        {"valueRange": {"low": {"value": 1}, "high": {"value": 2}}},
        {"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 2}}},
        {"valueSampledData": {"data": "1 2 3"}},
        {"valueBoolean": True},
        {"valueDateTime": "2026-01-01"},
        {"valueQuantity": {"value": Decimal(5)}, "valueString": "5"},
        {"valueQuantity": "5"},
        {"hl7v2": 7, "repetitions": 9},
    ],
)
def test_a_value_that_is_no_single_number_or_answer_is_unreadable_with_its_text(value: dict[str, Any]) -> None:
    inbox = judged([replace(dna(), value=value)])
    assert inbox.state("1") == "unreadable"


def test_the_conditions_of_a_policy_that_fail_are_named() -> None:
    two = [dna("1"), dna("2", "999", collected="2026-04-02")]
    inbox = judged(two, AUTOMATIC)
    assert inbox.reasons("1") == ("several candidates", "policy: single")
    assert inbox.reasons("2") == ("several candidates", "not picked", "policy: picked", "policy: single")
    assert judged([dna()], {}).reasons("1") == ("policy: a person decides",)


@pytest.mark.parametrize("term", [*ALL_TERMS])
def test_a_result_with_any_flag_is_never_accepted_by_a_policy(term: Condition) -> None:
    assert judged([dna(value="1E13")], {"HBV-DNA": (term,)}).state("1") == "waiting"


def test_nothing_after_the_end_of_follow_up_is_accepted_by_a_policy() -> None:
    inbox = Inbox(context({"HBV-DNA": ("final",)}), FollowUp(anchor=dt.date(2026, 1, 5), end=dt.date(2026, 2, 1)))
    assert inbox.run(dna()) == {"Observation/1": "waiting"}
    assert "place: after-end" in inbox.reasons("1")


def test_the_reference_study_accepts_viral_loads_by_itself_and_leaves_the_surface_antigen_to_people() -> None:
    inbox = Inbox(context())
    states = inbox.run(dna("1"), dna("2", "0.04", code="63557-3", comparator="<"))
    assert states == {"Observation/1": "accepted", "Observation/2": "waiting"}
    assert "policy: a person decides" in inbox.reasons("2")


# Duplicates and contradictions


def _states(results: Iterable[Incoming]) -> dict[str, str]:
    inbox = judged(results, AUTOMATIC)
    return {reference.removeprefix("Observation/"): one.state for reference, one in inbox.judged.items()}


@pytest.mark.parametrize(
    ("first", "second", "states"),
    [
        (dna("1"), dna("2"), ("accepted", "duplicate")),
        (dna("1"), dna("2", "1.234", unit="k[IU]/mL"), ("accepted", "duplicate")),
        (dna("1"), dna("2", collected="2026-03-30"), ("accepted", "duplicate")),
        (dna("1"), dna("2", collected="2026-03-30T00:15:00Z"), ("accepted", "duplicate")),
        (dna("1"), dna("2", "1235"), ("waiting", "waiting")),
        (dna("1"), dna("2", collected=NOON), ("waiting", "waiting")),
        (dna("1", "10"), dna("2", "10", comparator="<"), ("waiting", "waiting")),
        (dna("2", "1234"), dna("1", "3.09", code=DNA_LOG, unit="{Log_IU}/mL"), ("accepted", "duplicate")),
        (dna("2", "1234"), dna("1", "4.09", code=DNA_LOG, unit="{Log_IU}/mL"), ("waiting", "waiting")),
        (dna("1"), dna("2", status="preliminary"), ("accepted", "pending")),
        (dna("1"), dna("2", status="entered-in-error"), ("accepted", "cancelled")),
        (dna("1"), dna("2", value=None, absent="error"), ("accepted", "cancelled")),
        (dna("2"), dna("1", label="HBV DNA", interpretation=("<",)), ("accepted", "duplicate")),
    ],
)
def test_two_results_of_one_day(first: Incoming, second: Incoming, states: tuple[str, str]) -> None:
    for order in ([first, second], [second, first]):
        found = _states(order)
        names = [one.reference.removeprefix("Observation/") for one in (first, second)]
        assert tuple(found[name] for name in names) == states


def test_a_duplicate_names_the_result_that_is_kept() -> None:
    inbox = judged([dna("1"), dna("2")], AUTOMATIC)
    assert inbox.reasons("2") == ("the same as Observation/1",)
    assert proposal.read_back(inbox.judged["Observation/2"].proposal).details["same_as"][1] == "Observation/1"


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (dna("2", "1235"), "values contradict"),
        (dna("2", "4.09", code=DNA_LOG, unit="{Log_IU}/mL"), "logarithm disagrees"),
        (dna("2", "99", collected="2026-03-30"), "values contradict"),
    ],
)
def test_two_values_for_one_specimen_wait_both_and_say_so(other: Incoming, reason: str) -> None:
    inbox = judged([dna("1"), other], AUTOMATIC)
    assert [inbox.state("1"), inbox.state("2")] == ["waiting", "waiting"]
    assert reason in inbox.reasons("1")
    assert reason in inbox.reasons("2")


def test_copies_and_units_of_one_measurement_are_one_by_the_assay_s_own_factor() -> None:
    system = "https://fhirbridge.github.io/sid/synthetic/north-hospital/test"
    local = (ReportedCode(system, "HBVDNA"),)
    day = "2025-12-30T08:00:00+08:00"
    units = dna("1", "10000", collected=day, laboratory=NORTH, codes=local, unit="IU/mL")
    copies = dna("2", "56000", collected=day, laboratory=NORTH, codes=local, unit="copies/mL")
    others = dna("2", "99000", collected=day, laboratory=NORTH, codes=local, unit="copies/mL")
    assert judged([units, copies], AUTOMATIC).state("2") == "duplicate"
    assert "copies disagree" in judged([units, others], AUTOMATIC).reasons("2")


# Decisions


def _accepted(by_policy: bool = False) -> Inbox:
    inbox = Inbox(context(AUTOMATIC if by_policy else {}))
    inbox.run(dna())
    if not by_policy:
        inbox.decide("1", "accept")
        inbox.judge()
    assert inbox.state("1") == "accepted"
    return inbox


CHANGES = [
    (dna(value="1243"), "changed: value"),
    (dna(unit="k[IU]/mL"), "changed: value"),
    (dna(comparator="<"), "changed: value"),
    (dna(status="corrected"), "changed: status"),
    (dna(status="amended"), "changed: status"),
    (dna(status="preliminary"), "changed: status"),
    (dna(collected="2026-03-31"), "changed: specimen time"),
    (dna(codes=(ReportedCode("http://loinc.org", "63557-3"),)), "changed: code"),
    (dna(status="entered-in-error"), "source withdrawn"),
    (dna(status="cancelled"), "source withdrawn"),
    (dna(value=None, absent="error"), "source withdrawn"),
]


@pytest.mark.parametrize("by_policy", [False, True])
@pytest.mark.parametrize(("changed", "reason"), CHANGES)
def test_an_accepted_result_whose_source_changes_is_reopened_once_and_says_why(
    changed: Incoming, reason: str, by_policy: bool
) -> None:
    inbox = _accepted(by_policy)
    inbox.run(changed)
    assert inbox.state("1") == "reopened"
    assert reason in inbox.reasons("1")
    assert inbox.judged["Observation/1"].decision is not None
    said = inbox.reasons("1")
    inbox.judge()
    assert (inbox.state("1"), inbox.reasons("1")) == ("reopened", said)
    assert inbox.judged["Observation/1"].decision is None


@pytest.mark.parametrize("by_policy", [False, True])
@pytest.mark.parametrize(
    "changed", [dna(method="PCR"), dna(notes=("repeated",)), dna(issued="2026-04-04"), dna(interpretation=("H",))]
)
def test_a_new_version_in_which_nothing_that_matters_changed_keeps_the_decision_and_says_so(
    changed: Incoming, by_policy: bool
) -> None:
    inbox = _accepted(by_policy)
    inbox.run(replace(changed, version="2", notes=()))
    assert inbox.state("1") == "accepted"
    assert inbox.reasons("1") == ("new version, nothing that matters changed",)
    assert inbox.judged["Observation/1"].decision is None


def test_a_result_lives_through_preliminary_final_corrected_and_entered_in_error() -> None:
    inbox = Inbox(context(AUTOMATIC))
    seen = [inbox.run(dna(value="1200", status="preliminary", version="1"))["Observation/1"]]
    seen.append(inbox.run(dna(value="1234", version="2"))["Observation/1"])
    seen.append(inbox.run(dna(value="1243", status="corrected", version="3"))["Observation/1"])
    inbox.decide("1", "accept")
    seen.append(inbox.judge()["Observation/1"])
    seen.append(inbox.run(dna(value="1243", status="entered-in-error", version="4"))["Observation/1"])
    inbox.decide("1", "reject")
    seen.append(inbox.judge()["Observation/1"])
    assert seen == ["pending", "accepted", "reopened", "accepted", "reopened", "rejected"]


def test_a_rejected_result_stays_so_when_it_is_withdrawn_and_reopens_when_it_is_corrected() -> None:
    inbox = judged([dna()], {})
    inbox.decide("1", "reject")
    assert inbox.run(dna(status="entered-in-error"))["Observation/1"] == "rejected"
    assert inbox.reasons("1")[0] == "source withdrawn"
    assert inbox.run(dna(value="5"))["Observation/1"] == "reopened"


def test_a_result_that_the_source_moves_to_another_patient_is_reopened_and_cannot_be_confirmed() -> None:
    inbox = _accepted()
    name, held = next(iter(inbox.held.items()))
    inbox.held[name] = replace(held, relinked=True)
    inbox.judge()
    assert inbox.state("1") == "reopened"
    assert inbox.reasons("1") == ("source withdrawn", "patient relinked")


def _doubt(inbox: Inbox, since: str) -> None:
    """Have everything that is held come before its subject was linked anew, by a source that cannot be asked."""
    inbox.held = {name: replace(held, doubted=since) for name, held in inbox.held.items()}


@pytest.mark.parametrize("by_policy", [False, True])
def test_a_result_whose_patient_is_in_doubt_is_reopened_until_a_person_who_knows_it_confirms(by_policy: bool) -> None:
    inbox = _accepted(by_policy)
    _doubt(inbox, "2026-05-01T00:00:00.000Z")
    inbox.judge()
    assert (inbox.state("1"), inbox.reasons("1")[0]) == ("reopened", "patient relinked")
    assert inbox.judge() == {"Observation/1": "reopened"}
    inbox.decide("1", "accept")
    assert inbox.judge() == {"Observation/1": "accepted"}
    _doubt(inbox, "2026-06-01T00:00:00.000Z")
    assert inbox.judge() == {"Observation/1": "reopened"}


def test_a_result_whose_patient_is_in_doubt_is_accepted_by_no_policy_and_stands_in_the_way_of_no_other() -> None:
    inbox = Inbox(context(AUTOMATIC))
    inbox.arrive(dna())
    _doubt(inbox, "2026-05-01T00:00:00.000Z")
    inbox.arrive(dna("2"), dna("3", "7", collected="2026-06-22"))
    assert inbox.judge() == {"Observation/1": "waiting", "Observation/2": "accepted", "Observation/3": "accepted"}
    assert inbox.reasons("1") == (
        "patient relinked",
        "visit filled",
        "policy: no-flags",
        "policy: picked",
        "policy: visit free",
    )


def test_a_rejected_result_whose_patient_is_in_doubt_stays_rejected() -> None:
    inbox = judged([dna()], {})
    inbox.decide("1", "reject")
    _doubt(inbox, "2026-05-01T00:00:00.000Z")
    assert inbox.judge() == {"Observation/1": "rejected"}


@pytest.mark.parametrize("result", [dna(code="99999-9"), dna(code="1742-6", unit="U/L"), dna(value=None)])
def test_a_result_that_cannot_be_used_says_too_that_its_patient_is_in_doubt(result: Incoming) -> None:
    inbox = Inbox(context(AUTOMATIC))
    before = inbox.run(result)
    said = inbox.reasons("1")
    _doubt(inbox, "2026-05-01T00:00:00.000Z")
    assert inbox.judge() == before
    assert inbox.reasons("1") == ("patient relinked", *said)


def test_a_result_that_its_source_no_longer_has_is_reopened() -> None:
    inbox = _accepted()
    name, held = next(iter(inbox.held.items()))
    inbox.held[name] = replace(held, gone=True)
    inbox.judge()
    assert (inbox.state("1"), inbox.reasons("1")) == ("reopened", ("source withdrawn", "source gone"))


def test_a_person_s_decision_stands_when_other_results_come_and_the_visit_is_filled_for_those() -> None:
    inbox = _accepted()
    inbox.context = context(AUTOMATIC)
    inbox.run(dna("2", "999", collected=NOON), dna("3"))
    assert [inbox.state(name) for name in "123"] == ["accepted", "waiting", "duplicate"]
    assert "visit filled" in inbox.reasons("2")


def test_a_policy_s_yes_lasts_only_as_long_as_its_conditions_and_returns_with_them() -> None:
    inbox = _accepted(by_policy=True)
    inbox.run(dna("2", "999", collected=NOON))
    assert [inbox.state("1"), inbox.state("2")] == ["reopened", "waiting"]
    assert "several candidates" in inbox.reasons("1")
    inbox.run(dna("2", "999", collected=NOON, status="entered-in-error"))
    assert [inbox.state("1"), inbox.state("2")] == ["accepted", "cancelled"]


def test_a_policy_that_becomes_stricter_reopens_nothing_that_it_accepted_before() -> None:
    inbox = _accepted(by_policy=True)
    inbox.context = context({})
    assert inbox.judge() == {"Observation/1": "accepted"}


def test_an_override_names_its_own_visit_and_stands_while_its_source_does() -> None:
    inbox = judged([dna(collected="2026-05-05")], {})
    inbox.decide("1", "override", value=b'{"visit":"W012","value":"1200"}')
    inbox.judge()
    found = inbox.judged["Observation/1"]
    assert (found.state, found.visit, found.reasons) == ("accepted", "W012", ())
    assert inbox.run(dna(value="7", collected="2026-05-05"))["Observation/1"] == "reopened"


def test_an_accepted_result_is_reopened_when_its_index_date_moves_it_to_another_visit() -> None:
    inbox = _accepted()
    inbox.follow_up = FollowUp(anchor=dt.date(2025, 10, 13))
    inbox.judge()
    assert inbox.reasons("1") == ("belongs to another visit now",)
    assert inbox.judged["Observation/1"].visit == "W024"


def test_what_a_person_reopened_stays_open_until_a_person_decides() -> None:
    inbox = _accepted(by_policy=True)
    inbox.decide("1", "reopen")
    assert inbox.judge() == {"Observation/1": "reopened"}
    assert inbox.judge() == {"Observation/1": "reopened"}


def test_a_contradiction_stops_even_the_laxest_policy() -> None:
    inbox = judged([dna("1"), dna("2", "1235")], {"HBV-DNA": ("final",)})
    assert [inbox.state("1"), inbox.state("2")] == ["waiting", "waiting"]


def test_what_was_accepted_is_kept_when_an_equal_result_with_a_smaller_name_comes() -> None:
    inbox = Inbox(context(AUTOMATIC))
    inbox.run(dna("2"))
    assert inbox.run(dna("1")) == {"Observation/1": "duplicate", "Observation/2": "accepted"}


def test_beside_a_result_that_a_policy_accepts_the_others_of_its_visit_are_told_at_once_that_it_is_filled() -> None:
    inbox = judged([dna("1"), dna("2", "999", collected="2026-04-02")], {"HBV-DNA": ("in-window",)})
    assert (inbox.state("1"), inbox.state("2")) == ("accepted", "waiting")
    assert "visit filled" in inbox.reasons("2")


def test_a_result_that_does_not_compete_for_its_visit_is_not_shown_as_picked() -> None:
    inbox = judged([dna("1"), dna("2"), dna("3", "9", collected="2026-06-22", status="preliminary")])
    assert [inbox.state(name) for name in "123"] == ["accepted", "duplicate", "pending"]
    shown = [proposal.read_back(inbox.judged[f"Observation/{name}"].proposal).details for name in "123"]
    assert [details.get("picked") for details in shown] == [True, False, False]


def test_what_a_person_rejected_leaves_its_visit_to_the_others() -> None:
    inbox = judged([dna("1", "1234"), dna("2", "5678", collected="2026-03-31")])
    assert "several candidates" in inbox.reasons("1")
    inbox.decide("2", "reject")
    inbox.judge()
    assert inbox.state("2") == "rejected"
    assert "several candidates" not in inbox.reasons("1")
    assert "not picked" not in inbox.reasons("1")


def test_an_accepted_result_whose_source_has_changed_holds_no_place_against_an_equal_one() -> None:
    """Accepted goes before not accepted among equals, but only as long as the source says what was accepted."""
    inbox = judged([dna("2", "1234")], accept={"HBV-DNA": ()})
    inbox.decide("2", "accept")
    states = inbox.run(dna("2", "1300", version="2", status="corrected"), dna("1", "1300"))
    assert states == {"Observation/1": "waiting", "Observation/2": "reopened"}
    assert "same as" not in " ".join(inbox.reasons("1"))


def test_what_a_person_accepted_for_a_visit_keeps_even_the_laxest_policy_from_accepting_another_for_it() -> None:
    inbox = judged([dna("1", "5678", collected="2026-03-31")], accept={"HBV-DNA": ()})
    inbox.decide("1", "accept")
    inbox.context = context({"HBV-DNA": ("mapped",)})
    assert inbox.run(dna("2", "1234")) == {"Observation/1": "accepted", "Observation/2": "waiting"}
    assert "policy: visit free" in inbox.reasons("2")


def test_an_accepted_result_that_its_laboratory_takes_back_to_preliminary_is_reopened() -> None:
    inbox = judged([dna("1")], accept={"HBV-DNA": ()})
    inbox.decide("1", "accept")
    assert inbox.run(dna("1", version="2", status="preliminary")) == {"Observation/1": "reopened"}
