"""Real servers are asked as planned from what they say of themselves, and give everything, page after page."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from fhirbridge.errors import Resource
from fhirbridge.hospital import Hospital, put_entry
from fhirbridge.sync.pull.asking import Answer, Plan, ask
from tests.sync.pull.questions import planned, report, result


@pytest.fixture(params=["sekmet", pytest.param("hapi", marks=pytest.mark.hapi)])
def client(request: pytest.FixtureRequest) -> Iterator[Hospital]:
    server = {"sekmet": "lasting_hospital", "hapi": "hapi"}[request.param]
    with Hospital(request.getfixturevalue(server)) as hospital:
        yield hospital


def _put(client: Hospital, *resources: Resource) -> None:
    entries = [put_entry(one, base_url=client.base_url) for one in resources]
    assert all(done.ok for done in client.send(entries, "transaction"))


def _ids(answers: list[Answer], patient: str, kind: str = "Observation") -> set[str]:
    chosen = [one for one in answers if one.patient == patient and one.question.kind == kind]
    return {found["id"] for one in chosen for found in one.resources}


def _plan(client: Hospital, **options: object) -> Plan:
    return planned(client.capabilities(), **options)


def test_everything_of_several_patients_is_found_and_then_only_what_changed(client: Hospital) -> None:
    tag = uuid.uuid4().hex[:12]
    one, two = f"p1-{tag}", f"p2-{tag}"
    results = [result(f"r{number}-{tag}", (one, two)[number % 2]) for number in range(120)]
    _put(
        client,
        *({"resourceType": "Patient", "id": id} for id in (one, two)),
        *results,
        result(f"pulse-{tag}", one, category="vital-signs"),
        report(f"bad-{tag}", one, "entered-in-error"),
        report(f"good-{tag}", one, "final"),
    )
    plan = _plan(client, look_back=dt.timedelta(0), skew=dt.timedelta(0))
    answers = list(ask(client, plan, [one, two], {}))
    assert all(answer.complete and answer.strangers == 0 for answer in answers)
    assert _ids(answers, one) == {f"r{number}-{tag}" for number in range(0, 120, 2)}
    assert _ids(answers, two) == {f"r{number}-{tag}" for number in range(1, 120, 2)}
    assert _ids(answers, one, "DiagnosticReport") == {f"bad-{tag}"}

    later = max(found["meta"]["lastUpdated"] for answer in answers for found in answer.resources)
    mark = dt.datetime.fromisoformat(later) + dt.timedelta(milliseconds=1)
    _put(client, results[0] | {"status": "amended"}, result(f"late-{tag}", two))
    marks = {(answer.patient, answer.question.key): mark for answer in answers}
    before = client.traffic.report().requests
    again = list(ask(client, plan, [one, two], marks))
    assert (_ids(again, one), _ids(again, two)) == ({f"r0-{tag}"}, {f"late-{tag}"})
    assert client.traffic.report().requests - before == 2


def test_what_the_server_was_not_asked_to_choose_is_chosen_here(client: Hospital) -> None:
    tag = uuid.uuid4().hex[:12]
    patient = f"p-{tag}"
    pulse = result(f"pulse-{tag}", patient, category="vital-signs")
    _put(client, {"resourceType": "Patient", "id": patient}, result(f"r-{tag}", patient), pulse)
    plan = replace(_plan(client), sifts=True)
    assert "category" not in dict(plan.params(plan.questions[0], [patient], None))
    assert _ids(list(ask(client, plan, [patient], {})), patient) == {f"r-{tag}"}


def test_by_code_the_studys_results_are_found_and_others_are_not_even_asked_for(client: Hospital) -> None:
    tag = uuid.uuid4().hex[:12]
    patient = f"p-{tag}"
    panel = result(f"panel-{tag}", patient, code="24325-3")
    panel["component"] = [{"code": {"coding": [{"system": "http://loinc.org", "code": "42595-9"}]}, "valueInteger": 1}]
    _put(
        client,
        {"resourceType": "Patient", "id": patient},
        result(f"surface-{tag}", patient),
        result(f"liver-{tag}", patient, code="1742-6"),
        panel,
    )
    answers = list(ask(client, _plan(client, select="code", codes=4), [patient], {}))
    assert all(answer.complete for answer in answers)
    assert _ids(answers, patient) == {f"surface-{tag}", f"panel-{tag}"}
