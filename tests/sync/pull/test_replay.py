"""Replay: a pull judged again comes out the same, whatever was edited, decided or pulled since, or it says so."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from fhirbridge import fhirjson
from fhirbridge.cli.subjects import followed_up_at
from fhirbridge.elements import LOINC, UCUM
from fhirbridge.errors import InputError
from fhirbridge.protocol.slots import FollowUp
from fhirbridge.store import Store
from fhirbridge.store.links import Event
from fhirbridge.store.pulls import Pulled
from fhirbridge.sync.pull.assessing import Assessing, Due
from fhirbridge.sync.pull.cases import Context
from fhirbridge.sync.pull.coverage import followed
from fhirbridge.sync.pull.freezing import freeze
from fhirbridge.sync.pull.funnel import Funnel
from fhirbridge.sync.pull.incoming import Incoming, as_bytes
from fhirbridge.sync.pull.replay import Replay, replay
from fhirbridge.terminology.laboratories import ReportedCode
from tests.store.conftest import database_url as database_url
from tests.store.conftest import postgresql_server as postgresql_server
from tests.store.conftest import store as store
from tests.sync.pull.recorded import FEED, PATIENT, STUDY, SUBJECT, Desk
from tests.sync.pull.test_freezing import CONTEXT


def result(number: int, day: str, value: str = "1234", *, version: str = "1", code: str = "42595-9") -> Incoming:
    quantity = {"value": Decimal(value), "unit": "IU/mL", "system": UCUM, "code": "[IU]/mL"}
    return Incoming(
        feed=FEED, reference=f"Observation/{number}", version=version, updated=None,
        status="final" if version == "1" else "corrected", laboratory="", codes=(ReportedCode(LOINC, code),),
        label=None, value={"valueQuantity": quantity}, collected=day,
    )  # fmt: skip


class Hospital:
    """Pulls without a server: what arrives is given."""

    def __init__(self, store: Store) -> None:
        self.store, self.desk = store, Desk(store, checks=Lenient())
        self.place: Any = SimpleNamespace(store=store, bound_store=store, study=STUDY)

    def pull(self, *came: Incoming, context: Context = CONTEXT) -> str:
        run = self.store.start_run("pull")
        self.store.pulls.freeze(run, STUDY.id, freeze(context, None))
        items = [(one.reference, one.version, hashlib.sha256(as_bytes(one)).digest(), as_bytes(one)) for one in came]
        for feed in {one.feed for one in came}:
            of_feed = [item for one, item in zip(came, items, strict=True) if one.feed == feed]
            self.store.candidates.arrive(STUDY.id, PATIENT, feed, of_feed, run)
        funnel, relinked = Funnel(), self.store.links.relinked(STUDY.id).get(PATIENT)
        Assessing(store=self.store, context=context, follow_ups=self.follow_ups, run=run).assess(
            [Due(subject=PATIENT, relinked=relinked)], funnel
        )
        self.store.pulls.save_funnel(run, fhirjson.dumps(funnel.as_dict()))
        self.store.finish_run(run, "done", {})
        return run

    def follow_ups(self, patients: Sequence[str]) -> dict[str, FollowUp]:
        return {patient: self.follow_up(patient) for patient in patients}

    def follow_up(self, patient: str) -> FollowUp:
        facts = self.desk.facts(patient)
        assert facts
        return followed(facts, STUDY.schedule)

    def replay(self, run: str) -> Replay:
        return replay(self.store, run, followed_up_at(self.place))

    def fates(self, run: str) -> list[str]:
        return [one.fate for one, _ in self.store.pulls.pulled(run)]


class Lenient:
    def is_valid(self, resource: Any) -> bool:
        return True

    def validate(self, resource: Any) -> Any:
        raise AssertionError


@pytest.fixture
def hospital(store: Store) -> Hospital:
    return Hospital(store)


def test_a_pull_comes_out_the_same_after_everything_that_followed(hospital: Hospital) -> None:
    first = hospital.pull(result(1, "2025-12-04"), result(2, "2025-12-28"), result(3, "2025-12-04", code="99999-9"))
    one = hospital.desk.candidate("Observation/1")
    assert one
    if one.state == "waiting":
        hospital.desk.decide(one, "accept")
    second = hospital.pull(result(1, "2025-12-04", "1243", version="2"), result(4, "2026-02-25"))
    assert "reopened" in hospital.fates(second)
    for run, count in ((first, 3), (second, 2)):
        found = hospital.replay(run)
        assert (found.differences, found.arrivals) == ([], count)
        assert found.ends.total() == count


def test_a_number_that_is_replaced_counts_for_the_pulls_after_it_alone(hospital: Hospital) -> None:
    by_message = replace(result(2, "2026-02-25"), feed="hl7v2 LIS^LAB")
    first = hospital.pull(result(1, "2025-12-04"), by_message)
    hospital.store.links.note(STUDY.id, Event(subject=PATIENT, by="ann", action="replaced"))
    second = hospital.pull(result(3, "2026-02-26"))
    stands = [hospital.desk.candidate(f"Observation/{number}") for number in (1, 2, 3)]
    assert [one is not None and "patient relinked" in one.reasons for one in stands] == [True, True, False]
    assert hospital.replay(first).differences == hospital.replay(second).differences == []


def test_an_index_date_that_is_corrected_later_has_no_say(hospital: Hospital) -> None:
    run = hospital.pull(result(1, "2025-12-04"))
    hospital.desk.enter(replace(SUBJECT, index_date=dt.date(2025, 10, 10)))
    assert hospital.replay(run).differences == []
    moved = replay(hospital.store, run, lambda patient, _: hospital.follow_up(patient))
    assert [one.again for one in moved.differences if one.what.startswith("arrival")] == ["out of window"]


def test_a_schedule_that_is_edited_later_has_no_say(hospital: Hospital) -> None:
    narrow = msgspec.structs.replace(CONTEXT.study, schedule=msgspec.structs.replace(STUDY.schedule, procedures=()))
    run = hospital.pull(result(1, "2025-12-14"))
    narrow_run = hospital.pull(result(2, "2025-12-15"), context=replace(CONTEXT, study=narrow))
    assert hospital.fates(narrow_run) == ["out of window"]
    assert hospital.replay(run).differences == hospital.replay(narrow_run).differences == []


def test_what_was_noted_otherwise_is_listed_and_so_is_a_funnel_that_does_not_come_out(hospital: Hospital) -> None:
    run = hospital.pull(result(2, "2025-12-28"))
    (noted,) = [one for one, _ in hospital.store.pulls.pulled(run)]
    hospital.store.pulls.note(run, [Pulled(arrival=noted.arrival, novelty="new", fate="accepted")])
    funnel = fhirjson.loads(hospital.store.pulls.get(run).funnel)  # type: ignore[union-attr, arg-type]
    funnel["subjects"][PATIENT]["states"] |= {"accepted": 1, "out of window": 0}
    hospital.store.pulls.save_funnel(run, fhirjson.dumps(funnel))
    found = [(one.what, one.noted, one.again) for one in hospital.replay(run).differences]
    assert found == [
        (f"arrival {noted.arrival}", "accepted", "out of window"),
        (f"funnel: accepted of {PATIENT}", "1", "0"),
        (f"funnel: out of window of {PATIENT}", "0", "1"),
    ]


def test_a_replay_writes_nothing(hospital: Hospital) -> None:
    run = hospital.pull(result(1, "2025-12-04"))
    before = hospital.store.candidates.of_subject(STUDY.id, PATIENT)
    hospital.replay(run)
    assert hospital.store.candidates.of_subject(STUDY.id, PATIENT) == before


def test_a_run_that_is_no_pull_cannot_be_replayed(hospital: Hospital) -> None:
    with pytest.raises(InputError, match="no pull"):
        hospital.replay("nothing")
