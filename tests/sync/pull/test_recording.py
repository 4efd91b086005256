"""Recording: what was decided becomes study data, once, with its origin; what was taken back is marked, not deleted."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from fhirbridge.records.types import LaboratoryResult
from fhirbridge.records.values import Censored, LabValue, Number
from fhirbridge.store import Store
from fhirbridge.sync.pull.proposal import Measured, Proposal
from tests.store.conftest import database_url as database_url
from tests.store.conftest import postgresql_server as postgresql_server
from tests.store.conftest import store as store
from tests.sync.pull.recorded import FEED, SUBJECT, W012, Desk

LOINC, LOG = "42595-9", "48398-2"
COPIES = replace(
    W012,
    value="945",
    reported="5500 copies/ml",
    measured=Measured(
        loinc="29615-2", display="Hepatitis B virus DNA [#/volume]", unit="{copies}/mL", value="5500",
        rule="5.82 copies to an IU (COBAS TaqMan HBV Test)",
    ),
)  # fmt: skip


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


SAME = Number(Decimal("1234"))


def by_hand(value: LabValue = SAME, day: dt.date = dt.date(2025, 12, 4)) -> LaboratoryResult:
    return LaboratoryResult(
        result="R-1", subject="S001", visit="W012", analyte="HBV-DNA", collected=day, value=value, unit="[IU]/mL"
    )


def test_an_accepted_value_becomes_an_observation_of_its_visit_with_its_origin(desk: Desk) -> None:
    desk.accept(version="4")
    report = desk.record()
    assert report.fates == {"recorded": 1}
    assert desk.values() == [("final", LOINC, "1234"), ("final", LOG, "3.09")]
    (observation,) = [one for one in desk.all() if one["code"]["coding"][0]["code"] == LOINC]
    assert observation["effectiveDateTime"] == "2025-12-04T08:30:00+08:00"
    assert observation["note"] == [{"text": "Reported as: 1,234 IU/ml"}]
    assert observation["extension"][1]["valueString"] == "W012"
    (origin,) = desk.all("Provenance")
    assert origin["target"] == [{"reference": f"Observation/{observation['id']}"}]
    assert origin["entity"][0]["what"]["identifier"]["value"] == f"{FEED}/Observation/7/_history/4"
    assert origin["agent"][0]["who"]["display"] == "li.wei"


def test_recording_again_writes_nothing(desk: Desk) -> None:
    desk.accept()
    desk.record()
    before = [one.version for one in desk.store.iterate(desk.study.id)]
    report = desk.record()
    assert (report.due, sum(report.resources.values())) == (0, 0)
    assert [one.version for one in desk.store.iterate(desk.study.id)] == before


def test_a_crash_between_storing_and_noting_makes_no_second_version(desk: Desk) -> None:
    class Crash(Exception):
        pass

    class Candidates:
        def __getattr__(self, name: str) -> Any:
            if name == "recorded":
                raise Crash
            return getattr(desk.store.candidates, name)

    class Dying:
        candidates = Candidates()

        def __getattr__(self, name: str) -> Any:
            return getattr(desk.store, name)

    desk.accept()
    with pytest.raises(Crash):
        desk.record(store=Dying())
    assert desk.values() == [("final", LOINC, "1234"), ("final", LOG, "3.09")]
    report = desk.record()
    assert report.resources == {"unchanged": 3}
    assert {one.version for one in desk.store.iterate(desk.study.id, types=["Observation", "Provenance"])} == {1}
    assert desk.record().due == 0


def test_a_correction_that_is_accepted_makes_a_new_version_of_both(desk: Desk) -> None:
    desk.accept(version="1")
    desk.record()
    one = desk.arrive(replace(W012, value="1243", reported="1,243 IU/ml", status="corrected"), version="2")
    assert one.state == "reopened"
    report = desk.record()
    assert report.fates == {"standing": 1}
    assert desk.values() == [("final", LOINC, "1234"), ("final", LOG, "3.09")]
    desk.decide(one, "accept")
    assert desk.record().fates == {"changed": 1}
    assert desk.values() == [("corrected", LOINC, "1243"), ("corrected", LOG, "3.09")]
    (origin,) = desk.store.iterate(desk.study.id, types=["Provenance"])
    assert (origin.version, origin.content()["entity"][0]["what"]["identifier"]["value"][-1]) == (2, "2")


def test_what_is_rejected_after_it_was_recorded_is_entered_in_error_with_its_values(desk: Desk) -> None:
    desk.accept()
    desk.record()
    one = desk.arrive(replace(W012, status="entered-in-error"), version="2")
    desk.decide(one, "reject", reason="the laboratory took it back")
    assert desk.record().fates == {"taken back": 1}
    assert desk.values() == [("entered-in-error", LOINC, "1234"), ("entered-in-error", LOG, "3.09")]
    (origin,) = desk.all("Provenance")
    assert origin["activity"]["coding"][0]["code"] == "NULLIFY"
    assert origin["reason"] == [{"text": "the laboratory took it back"}]
    assert origin["entity"][0]["what"]["identifier"]["value"].endswith("/_history/2")
    assert desk.record().due == 0


def test_what_was_taken_back_can_be_taken_in_again(desk: Desk) -> None:
    one = desk.accept()
    desk.record()
    desk.decide(one, "reopen", reason="looked at the wrong tube")
    desk.decide(one, "reject", reason="wrong tube")
    desk.record()
    desk.decide(one, "reopen", reason="it was the right one")
    desk.decide(one, "accept")
    assert desk.record().fates == {"recorded": 1}
    assert desk.values() == [("final", LOINC, "1234"), ("final", LOG, "3.09")]


def test_taking_back_works_after_the_consent_was_withdrawn_earlier_than_the_specimen(desk: Desk) -> None:
    one = desk.accept()
    desk.record()
    desk.enter(replace(SUBJECT, status="withdrawn", consent_withdrawn=dt.date(2025, 11, 1)))
    desk.decide(one, "reopen", reason="withdrew before")
    desk.decide(one, "reject", reason="withdrew before")
    assert desk.record().fates == {"taken back": 1}
    assert {status for status, _, _ in desk.values()} == {"entered-in-error"}


def test_a_rejection_of_what_was_never_recorded_writes_nothing(desk: Desk) -> None:
    desk.decide(desk.arrive(), "reject")
    assert desk.record().due == 0
    assert desk.values() == []


def test_an_override_is_recorded_as_the_word_of_its_author(desk: Desk) -> None:
    one = desk.arrive()
    desk.decide(one, "override", reason="telephoned", value=b'{"value": "<10", "visit": "W024"}')
    desk.record()
    assert ("final", LOINC, "<10") in desk.values()
    assert {found["extension"][1]["valueString"] for found in desk.all()} == {"W024"}
    assert {found["note"][0]["text"] for found in desk.all() if "note" in found} == {"Reported as: 1,234 IU/ml"}
    (origin,) = desk.all("Provenance")
    assert origin["agent"][0]["type"]["coding"][0]["code"] == "author"


def test_a_number_can_be_overridden_by_not_detected_which_has_no_unit(desk: Desk) -> None:
    one = desk.arrive()
    desk.decide(one, "override", reason="telephoned", value=b'{"value": "not detected"}')
    assert desk.record().fates == {"recorded": 1}
    assert desk.values() == [("final", LOINC, "Not detected")]


def test_copies_are_kept_as_measured_and_the_study_s_value_is_derived_from_them(desk: Desk) -> None:
    desk.accept(COPIES)
    desk.record()
    assert desk.values() == [("final", "29615-2", "5500"), ("final", LOINC, "945"), ("final", LOG, "2.98")]
    by_code = {one["code"]["coding"][0]["code"]: one for one in desk.all()}
    measured = f"Observation/{by_code['29615-2']['id']}"
    assert by_code["29615-2"]["valueQuantity"]["code"] == "{copies}/mL"
    assert by_code[LOINC]["derivedFrom"] == [{"reference": measured}]
    assert [one["reference"] for one in desk.all("Provenance")[0]["target"]][1] == measured


def test_copies_corrected_to_international_units_leave_no_measured_value_standing(desk: Desk) -> None:
    desk.accept(COPIES)
    desk.record()
    desk.decide(desk.arrive(replace(W012, status="corrected"), version="2"), "accept")
    desk.record()
    assert desk.values() == [
        ("corrected", LOINC, "1234"), ("corrected", LOG, "3.09"), ("entered-in-error", "29615-2", "5500"),
    ]  # fmt: skip


def test_a_measured_logarithm_is_not_computed_a_second_time_from_its_rounded_antilogarithm(desk: Desk) -> None:
    log = Measured(loinc=LOG, display="log", unit="{Log_IU}/mL", value="3.5", rule="antilogarithm")
    desk.accept(replace(W012, value="3.2E+3", reported="3.5 log IU/mL", measured=log))
    desk.record()
    assert desk.values() == [("final", LOINC, "3.2E+3"), ("final", LOG, "3.5")]


def test_a_measured_logarithm_below_zero_is_said(desk: Desk) -> None:
    log = Measured(loinc=LOG, display="log", unit="{Log_IU}/mL", value="<-0.5", rule="antilogarithm")
    desk.accept(replace(W012, value="<0.32", measured=log))
    desk.record()
    assert ("final", LOG, "<-0.5") in desk.values()


@pytest.mark.parametrize(
    ("shown", "rule"),
    [
        (replace(W012, unit="k[IU]/L"), "unit"),
        (replace(W012, unit=None), "unit"),
        (replace(W012, value="1,234"), "value"),
        (replace(W012, value="-3"), "value"),
        (replace(W012, value=None, unit=None), "value"),
        (replace(W012, visit="W013"), "unknown-visit"),
        (replace(W012, visit=None), "required"),
        (replace(W012, collected=None), "required"),
        (replace(W012, collected="2025-12"), "format"),
        (replace(W012, collected="2026-04-01"), "future"),
        (replace(W012, collected="2025-08-31"), "before-consent"),
        (replace(W012, collected="2025-08-31T16:30:00Z"), None),
        (replace(W012, assay="Another assay"), "unknown-assay"),
    ],
)
def test_a_pulled_value_is_held_to_the_rules_of_the_tables(desk: Desk, shown: Proposal, rule: str | None) -> None:
    one = desk.accept(shown)
    report = desk.record()
    if rule is None:
        assert report.clean
        return
    assert report.fates == {"refused": 1}
    (finding,) = report.findings
    assert (finding.record, finding.rule) == (one.name, rule)
    assert [found.rule for found in desk.store.findings(desk.run)] == [rule]
    assert desk.values() == []
    kept = desk.candidate()
    assert kept is not None
    assert (kept.state, kept.reasons) == ("accepted", (f"not recorded: {rule}",))


def test_a_value_taken_after_the_withdrawal_is_refused(desk: Desk) -> None:
    desk.enter(replace(SUBJECT, status="withdrawn", consent_withdrawn=dt.date(2025, 12, 3)))
    desk.accept()
    assert [one.rule for one in desk.record().findings] == ["after-withdrawal"]


def test_a_value_of_a_subject_that_the_store_does_not_know_is_refused(desk: Desk) -> None:
    desk.accept()
    assert [one.rule for one in desk.record(facts=lambda _: None).findings] == ["unknown-subject"]


def test_what_was_refused_is_recorded_once_its_cause_is_mended_and_says_so_no_more(desk: Desk) -> None:
    desk.accept()
    desk.record(today=dt.date(2025, 12, 1))
    assert desk.values() == []
    assert desk.record().fates == {"recorded": 1}
    kept = desk.candidate()
    assert kept is not None
    assert kept.reasons == ()
    assert desk.record().due == 0


def test_one_refused_value_does_not_stop_the_others(desk: Desk) -> None:
    desk.accept(replace(W012, unit="mg"), reference="Observation/1")
    desk.accept(replace(W012, visit="W024", collected="2026-02-25"), reference="Observation/2")
    report = desk.record()
    assert report.fates == {"refused": 1, "recorded": 1}


def test_a_value_whose_resource_the_profile_rejects_is_refused_with_its_candidate_s_name(desk: Desk) -> None:
    class Strict:
        def is_valid(self, resource: dict[str, Any]) -> bool:
            return resource["resourceType"] != "Provenance"

        def validate(self, resource: dict[str, Any]) -> dict[str, Any]:
            return {"issue": [{"severity": "error", "details": {"text": "no"}, "expression": ["Provenance"]}]}

    one = desk.accept()
    report = desk.record(checks=Strict())
    assert [(found.record, found.rule) for found in report.findings] == [(one.name, "profile")]
    assert desk.values() == []


def test_a_value_that_people_entered_alike_is_not_recorded_twice(desk: Desk) -> None:
    desk.enter(by_hand())
    desk.accept()
    report = desk.record()
    assert (report.fates, report.clean) == ({"concordant": 1}, True)
    assert len([one for one in desk.values() if one[1] == LOINC]) == 1
    assert desk.all("Provenance") == []


@pytest.mark.parametrize(
    ("entered", "how"),
    [
        (by_hand(Number(Decimal("1243"))), "other value"),
        (by_hand(Number(Decimal("12340"))), "power of ten"),
        (by_hand(Number(Decimal("1.2E3"))), "rounded"),
        (by_hand(Censored("<", Decimal("1234"))), "limit"),
        (by_hand(day=dt.date(2025, 12, 5)), "other date"),
    ],
)
def test_a_value_that_people_entered_otherwise_is_neither_overwritten_nor_doubled(
    desk: Desk, entered: LaboratoryResult, how: str
) -> None:
    desk.enter(entered)
    before = desk.values()
    one = desk.accept()
    report = desk.record()
    assert (report.fates, report.disagreements) == ({"disagreeing": 1}, {how: 1})
    assert [(found.record, found.rule) for found in report.findings] == [(one.name, "disagrees")]
    assert "1234" not in str(report.findings)
    assert desk.values() == before


def test_a_value_entered_in_error_by_hand_stands_in_no_pulled_value_s_way(desk: Desk) -> None:
    desk.enter(replace(by_hand(Number(Decimal("9"))), status="entered-in-error"))
    desk.accept()
    assert desk.record().fates == {"recorded": 1}


def test_one_subject_s_values_can_be_recorded_alone(desk: Desk) -> None:
    from fhirbridge.sync.pull.recording import record

    desk.accept()
    assert record(desk.recorder(), ["somebody-else"]).due == 0
    assert desk.values() == []


def test_a_result_moved_to_another_patient_can_never_overwrite_the_first_one_s(desk: Desk) -> None:
    from fhirbridge.sync.pull.recordable import result_key
    from tests.sync.pull.recorded import IDENTITY

    keys = {result_key(patient, FEED, "Observation/7", IDENTITY) for patient in ("p1", "p2")}
    assert len(keys) == 2
