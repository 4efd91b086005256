"""Subscriptions are made at a real server, which then calls us; those that ended or failed are made anew."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from werkzeug.serving import make_server

from fhirbridge.api import create_app
from fhirbridge.api.notifications import notifications
from fhirbridge.errors import FatalHospitalError
from fhirbridge.hospital import Capabilities, Hospital, put_entry
from fhirbridge.sync.pull.subscribing import check_offered, criteria, subscribe, subscriptions, unsubscribe
from tests.sync.pull.questions import planned, result, says

LASTING = dt.timedelta(days=90)


@contextmanager
def _listening(called: threading.Event, token: str = "s3cret") -> Iterator[str]:
    app = create_app(lambda: pytest.fail("the store is not needed"), also=[notifications(token, called.set)])
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/notifications"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_hospital_calls_us_when_a_result_is_written_and_not_for_a_pulse(hospital: str) -> None:
    called = threading.Event()
    with _listening(called) as endpoint, Hospital(hospital) as client:
        plan = planned(client.capabilities())
        made = subscribe(client, plan, endpoint, "s3cret", lasting=LASTING)
        assert [one.action for one in made] == ["created", "created"]
        assert {one.state for one in subscriptions(client, endpoint)} == {"active"}
        pulse = result("pulse", "p1", category="vital-signs")
        client.send([put_entry({"resourceType": "Patient", "id": "p1"}, base_url=client.base_url)], "transaction")
        client.send([put_entry(pulse, base_url=client.base_url)], "transaction")
        client.send([put_entry(result("a", "p1"), base_url=client.base_url)], "transaction")
        assert called.wait(30)


def test_a_second_time_makes_nothing_more_and_what_ends_soon_or_failed_is_made_anew(hospital: str) -> None:
    endpoint = "http://127.0.0.1:9/notifications"
    with Hospital(hospital) as client:
        plan = planned(client.capabilities())
        first = subscribe(client, plan, endpoint, "s3cret", lasting=LASTING)
        second = subscribe(client, plan, endpoint, "s3cret", lasting=LASTING)
        assert [(one.id, one.action) for one in second] == [(one.id, "kept") for one in first]

        failed = client.read("Subscription", str(first[0].id)) | {"status": "off"}
        client.send([put_entry(failed, base_url=client.base_url)], "single")
        third = subscribe(client, plan, endpoint, "s3cret", lasting=LASTING)
        assert sorted(one.action for one in third) == ["created", "deleted", "kept"]

        later = lambda: dt.datetime.now(dt.UTC) + LASTING - dt.timedelta(days=6)  # noqa: E731
        fourth = subscribe(client, plan, endpoint, "s3cret", lasting=LASTING, clock=later)
        assert sorted(one.action for one in fourth) == ["created", "created", "deleted", "deleted"]


def test_those_of_another_plan_are_removed_and_those_of_others_left_alone(hospital: str) -> None:
    endpoint, other = "http://127.0.0.1:9/notifications", "http://127.0.0.1:9/somebody"
    with Hospital(hospital) as client:
        subscribe(client, planned(client.capabilities()), endpoint, "s3cret", lasting=LASTING)
        subscribe(client, planned(client.capabilities()), other, "s3cret", lasting=LASTING)
        changed = planned(client.capabilities(), category="LAB", types=("Observation",))
        done = subscribe(client, changed, endpoint, "s3cret", lasting=LASTING)
        assert sorted(one.action for one in done) == ["created", "deleted", "deleted"]
        assert [one.action for one in unsubscribe(client, endpoint)] == ["deleted"]
        assert subscriptions(client, endpoint) == []
        assert len(subscriptions(client, other)) == 2


def test_a_subscription_holds_the_secret_in_its_header_only_and_asks_for_no_payload(hospital: str) -> None:
    with Hospital(hospital) as client:
        made = subscribe(client, planned(), "http://127.0.0.1:9/notifications", "s3cret", lasting=LASTING)
        channel = client.read("Subscription", str(made[0].id))["channel"]
    assert channel["header"] == ["Authorization: Bearer s3cret"]
    assert "payload" not in channel
    assert "s3cret" not in channel["endpoint"]


def test_the_criteria_are_the_plans_questions_and_name_nobody() -> None:
    assert criteria(planned()) == [
        "Observation?category=laboratory",
        "DiagnosticReport?status=cancelled,entered-in-error",
    ]


def test_a_server_that_offers_none_is_told_as_such() -> None:
    check_offered(says(Subscription=("status",)))
    check_offered(Capabilities({"fhirVersion": "4.0.1"}))
    with pytest.raises(FatalHospitalError, match="offers no Subscription"):
        check_offered(says(Observation=("code",)))
