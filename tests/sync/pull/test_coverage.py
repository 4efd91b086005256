"""Coverage: what is expected is filled, waiting or missing, whoever brought it; entered and pulled are compared."""

from __future__ import annotations

import datetime as dt
import xml.etree.ElementTree as ET
from dataclasses import replace
from decimal import Decimal

import pytest

from fhirbridge.records.types import LaboratoryResult, ResultFacts
from fhirbridge.records.values import Censored, LabValue, Number, Ordinal
from fhirbridge.store import Store
from fhirbridge.sync.pull.concordance import Agreement, agreement
from fhirbridge.sync.pull.coverage import Coverage, cover, exact, filled
from fhirbridge.sync.pull.coverage_chart import svg
from mappings.laboratory_result import result_facts
from tests.store.conftest import database_url as database_url
from tests.store.conftest import postgresql_server as postgresql_server
from tests.store.conftest import store as store
from tests.sync.pull.recorded import PATIENT, STUDY, SUBJECT, TODAY, W012, Desk


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


def covered(desk: Desk, today: dt.date = TODAY) -> Coverage:
    facts = desk.facts(PATIENT)
    assert facts
    return cover(desk.store, STUDY, [(PATIENT, facts)], lambda one: result_facts(one, STUDY), today=today)


def states(found: Coverage, analyte: str = "HBV-DNA") -> dict[str, str]:
    return {one.visit: one.state for one in found.cells if one.analyte == analyte}


def entered(result: str, visit: str, day: str, value: str = "1234") -> LaboratoryResult:
    return LaboratoryResult(
        result=result, subject="S001", visit=visit, analyte="HBV-DNA", collected=dt.date.fromisoformat(day),
        value=Number(Decimal(value)), unit="[IU]/mL",
    )  # fmt: skip


def test_entered_and_pulled_values_fill_a_visit_alike_and_what_waits_is_told_apart_from_what_is_missing(
    desk: Desk,
) -> None:
    desk.enter(entered("R-0", "W000", "2025-09-09"))
    desk.accept()
    desk.record()
    desk.arrive(replace(W012, visit="W024", collected="2026-02-25"), reference="Observation/8")
    found = covered(desk, dt.date(2026, 5, 21))
    assert {visit: state for visit, state in states(found).items() if state != "upcoming"} == {
        "W000": "filled", "W012": "filled", "W024": "waiting", "W036": "due",
    }  # fmt: skip
    assert {visit: state for visit, state in states(found, "HBSAG").items() if state != "upcoming"} == {
        "W000": "missed", "W012": "missed", "W024": "missed", "W036": "due",
    }  # fmt: skip
    assert {one.visit: one.by for one in found.cells if one.state == "filled"} == {
        "W000": ("entered",), "W012": ("pulled",),
    }  # fmt: skip
    assert filled(found.counts("analyte", "HBV-DNA")) == pytest.approx(2 / 3)


def test_imaging_is_no_laboratory_value(desk: Desk) -> None:
    assert {one.analyte for one in covered(desk).cells} == {"HBV-DNA", "HBSAG"}


def test_what_is_late_becomes_missed_and_what_is_over_is_not_expected(desk: Desk) -> None:
    assert states(covered(desk, dt.date(2025, 12, 18)))["W012"] == "late"
    assert states(covered(desk, dt.date(2026, 1, 20)))["W012"] == "missed"
    desk.enter(replace(SUBJECT, status="off-study", end_date=dt.date(2026, 1, 31)))
    assert states(covered(desk))["W024"] == "ended"


def test_a_value_taken_back_fills_nothing(desk: Desk) -> None:
    one = desk.accept()
    desk.record()
    desk.decide(one, "reopen", reason="wrong tube")
    desk.decide(one, "reject", reason="wrong tube")
    desk.record()
    assert states(covered(desk))["W012"] == "missed"


def test_a_logarithm_or_measured_copies_are_not_counted_as_second_values(desk: Desk) -> None:
    desk.accept()
    desk.record()
    assert len([one for one in covered(desk).cells if one.state == "filled"]) == 1


def test_a_value_entered_and_pulled_alike_is_an_exact_concordance(desk: Desk) -> None:
    desk.enter(entered("R-1", "W012", "2025-12-04"))
    desk.accept()
    desk.record()
    found = covered(desk)
    assert (found.agreements, exact(found.agreements)) == ({"exact": 1}, 1.0)
    assert states(found)["W012"] == "filled"


def test_a_value_entered_after_it_was_recorded_is_compared_and_shown_to_be_there_twice(desk: Desk) -> None:
    desk.accept()
    desk.record()
    desk.enter(entered("R-1", "W012", "2025-12-04", "1243"))
    found = covered(desk)
    assert found.agreements == {"other value": 1}
    assert [one.by for one in found.cells if one.visit == "W012" and one.analyte == "HBV-DNA"] == [
        ("entered", "pulled")
    ]


def facts(value: LabValue | None, day: int = 4) -> ResultFacts:
    return ResultFacts(
        id="x", analyte="HBV-DNA", visit="W012", collected=dt.date(2025, 12, day), value=value, status="final"
    )


@pytest.mark.parametrize(
    ("one", "other", "how"),
    [
        (Number(Decimal("5.50")), Number(Decimal("5.5")), "exact"),
        (Ordinal("not detected"), Ordinal("not detected"), "exact"),
        (None, None, "exact"),
        (Number(Decimal("10")), Censored("<", Decimal("10")), "limit"),
        (Censored("<", Decimal("10")), Censored("<=", Decimal("10")), "limit"),
        (Ordinal("not detected"), Censored("<", Decimal("10")), "detected or not"),
        (Number(Decimal("1234")), None, "missing"),
        (Number(Decimal("1.2E3")), Number(Decimal("1234")), "rounded"),
        (Number(Decimal("5.5")), Number(Decimal("5.46")), "rounded"),
        (Number(Decimal("1234")), Number(Decimal("1.234")), "power of ten"),
        (Number(Decimal("1234")), Number(Decimal("1243")), "other value"),
        (Ordinal("positive"), Ordinal("negative"), "other value"),
    ],
)
def test_two_values_differ_in_one_way_whichever_of_them_was_entered(
    one: LabValue | None, other: LabValue | None, how: Agreement
) -> None:
    assert agreement(facts(one), facts(other)) == agreement(facts(other), facts(one)) == how


def test_the_same_value_of_another_day_is_no_exact_concordance() -> None:
    assert agreement(facts(Number(Decimal("7"))), facts(Number(Decimal("7")), day=5)) == "other date"


def test_the_drawing_is_svg_and_has_a_bar_for_each_visit_and_state(desk: Desk) -> None:
    desk.accept()
    desk.record()
    drawn = ET.fromstring(svg(covered(desk)))
    titles = [one.text for one in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert titles.count("filled: 1 of 1") == 1
    assert len(titles) == 2 * 14


def test_nothing_expected_is_drawn_as_nothing() -> None:
    assert ET.fromstring(svg(Coverage())).tag.endswith("svg")
    assert Coverage().as_dict()["total"]["share_filled"] is None
