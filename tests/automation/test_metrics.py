"""Metrics: what a scrape says is what the store and the wire say, in every process alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from fhirbridge.api import create_app
from fhirbridge.automation.metrics import Metrics, served
from fhirbridge.automation.runs import Watch
from fhirbridge.automation.standing import FRESH_SECONDS, Lookout, Standing, look
from fhirbridge.elements import STUDY_TAG
from fhirbridge.errors import ConfigurationError, StoreError
from fhirbridge.store import Delivered, Store
from fhirbridge.sync.push_report import Fate
from tests.sync.breakable_hospital import BreakableHospital

SERVER = "http://hospital.test/fhir"
NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Any:
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}", clock=clock) as opened:
        yield opened


def put(store: Store, *ids: str) -> None:
    meta = {"tag": [{"system": STUDY_TAG, "code": "s1"}]}
    with store.transaction() as transaction:
        transaction.put([(0, {"resourceType": "Group", "id": id, "meta": meta}) for id in ids], run="r")


def looking(store: Store, clock: Clock) -> Callable[[], Standing]:
    return lambda: look(store, study="s1", server=SERVER, now=clock())


def samples(text: str) -> dict[str, float]:
    """Return a scrape as {"name{label=value,…}": number}."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def scraped(metrics: Metrics) -> dict[str, float]:
    return samples(metrics.text()[0].decode())


def test_the_backlog_and_its_age_are_what_the_store_says(store: Store, clock: Clock) -> None:
    metrics = Metrics()
    metrics.watch(looking(store, clock))
    put(store, "g1", "g2", "g3")
    clock.now += timedelta(minutes=10)
    found = scraped(metrics)
    assert found["fhirbridge_desired_resources{study=s1}"] == 3
    assert found["fhirbridge_backlog_resources{study=s1}"] == 3
    assert found["fhirbridge_backlog_oldest_seconds{study=s1}"] == 600
    sent = store.read_many("Group", ["g1", "g2", "g3"])
    store.acknowledge(SERVER, [Delivered(key=one.key, hash=one.hash, sent=None, version="1") for one in sent], run="r")
    found = scraped(metrics)
    assert found["fhirbridge_backlog_resources{study=s1}"] == 0
    assert found["fhirbridge_backlog_oldest_seconds{study=s1}"] == 0


def test_runs_are_counted_by_outcome_also_those_of_other_processes(store: Store, clock: Clock) -> None:
    for outcome in ("done", "done", "incomplete"):
        store.finish_run(store.start_run("push"), outcome, {"fates": {"created": 5, "failed": 2}, "seconds": 3})
        clock.now += timedelta(minutes=1)
    store.start_run("ingest")
    metrics = Metrics()
    metrics.watch(looking(store, clock))
    found = scraped(metrics)
    assert found["fhirbridge_runs_total{command=push,outcome=done}"] == 2
    assert found["fhirbridge_runs_total{command=push,outcome=incomplete}"] == 1
    assert found["fhirbridge_runs_unfinished{command=ingest}"] == 1
    last, good = "fhirbridge_last_run_timestamp_seconds", "fhirbridge_last_good_run_timestamp_seconds"
    assert found[f"{last}{{command=push}}"] == (NOW + timedelta(minutes=2)).timestamp()
    assert found[f"{good}{{command=push}}"] == (NOW + timedelta(minutes=1)).timestamp()
    assert f"{good}{{command=ingest}}" not in found
    assert found["fhirbridge_last_run_resources{command=push,fate=failed}"] == 2
    assert "fhirbridge_last_run_resources{command=push,fate=seconds}" not in found


def test_an_open_breaker_is_seen_until_its_time_is_over(store: Store, clock: Clock) -> None:
    metrics = Metrics()
    metrics.watch(looking(store, clock))
    until = (NOW + timedelta(minutes=5)).isoformat()
    store.note_server(SERVER, failures=4, open_until=until, last_error="no answer")
    found = scraped(metrics)
    assert (found["fhirbridge_breaker_open"], found["fhirbridge_hospital_failures"]) == (1, 4)
    clock.now += timedelta(minutes=6)
    assert scraped(metrics)["fhirbridge_breaker_open"] == 0


def test_what_goes_over_the_wire_is_counted_with_its_retries() -> None:
    metrics, breakable = Metrics(), BreakableHospital()
    with breakable.connected() as hospital:
        hospital.traffic = metrics.traffic()
        hospital.capabilities()
        breakable.fail_next = [503]
        entry = {"resource": {"resourceType": "Group", "id": "g"}, "request": {"method": "PUT", "url": "Group/g"}}
        hospital.transaction({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    found, report = scraped(metrics), hospital.traffic.report()
    assert found["fhirbridge_hospital_requests_total{status=2xx}"] == 2
    assert found["fhirbridge_hospital_requests_total{status=5xx}"] == 1
    assert found["fhirbridge_hospital_retries_total"] == report.retries == 1
    assert found["fhirbridge_hospital_request_seconds_count"] == report.requests == 3
    assert found["fhirbridge_hospital_bytes_total{direction=sent}"] == report.bytes_sent > 0


def test_what_became_of_resources_adds_up_over_runs(store: Store) -> None:
    metrics = Metrics()
    for sent in (3, 4):
        with Watch(store=store, command="push", study="s1", metrics=metrics).run() as run:
            run.end("done", {"fates": {"created": sent, "unchanged": 1}, "server": SERVER, "requests": 9})
    with Watch(store=store, command="ingest", study="s1", metrics=metrics).run() as run:
        run.end("done", {"ingested": {"resources": {"created": 2}}})
    found = scraped(metrics)
    assert found["fhirbridge_resources_total{command=push,fate=created}"] == 7
    assert found["fhirbridge_resources_total{command=ingest,fate=created}"] == 2
    assert "fhirbridge_resources_total{command=push,fate=requests}" not in found


def test_a_store_that_cannot_be_read_is_said_and_the_rest_is_absent() -> None:
    def lost() -> Standing:
        raise StoreError("gone.")

    metrics = Metrics()
    metrics.watch(lost)
    found = scraped(metrics)
    assert found["fhirbridge_store_up"] == 0
    assert not [name for name in found if name.startswith("fhirbridge_backlog")]


def test_many_scrapes_cost_the_store_one_look(store: Store, clock: Clock) -> None:
    looks, seconds = [], [0.0]

    def counted() -> Standing:
        looks.append(1)
        return looking(store, clock)()

    lookout = Lookout(counted, clock=lambda: seconds[0])
    for _ in range(5):
        lookout.standing()
    assert len(looks) == 1
    seconds[0] = FRESH_SECONDS
    lookout.standing()
    assert len(looks) == 2


def test_a_look_that_failed_is_not_kept(store: Store, clock: Clock) -> None:
    broken = [True]

    def sometimes() -> Standing:
        if broken[0]:
            raise StoreError("gone.")
        return looking(store, clock)()

    lookout = Lookout(sometimes, clock=lambda: 0.0)
    with pytest.raises(StoreError):
        lookout.standing()
    broken[0] = False
    assert lookout.standing().study == "s1"


def test_a_port_serves_the_metrics_while_the_process_works_and_then_is_free() -> None:
    metrics = Metrics()
    with served(metrics, 0) as port:
        answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
        assert "fhirbridge_hospital_retries_total 0.0" in answer.text
        with pytest.raises(ConfigurationError, match="metrics_port"), served(metrics, port):
            pass
    with served(metrics, port):
        pass


def test_the_api_tells_how_things_stand_and_its_metrics_only_where_it_is_asked_to(store: Store, clock: Clock) -> None:
    put(store, "g1")
    store.finish_run(store.start_run("push"), "done", {"message": "secret"})
    store.note_server(SERVER, failures=1, last_error="said by the server")
    metrics = Metrics()
    metrics.watch(looking(store, clock))
    asked = create_app(
        lambda: store, standing=lambda: looking(store, clock)().as_dict(), metrics=metrics.text
    ).test_client()
    status = asked.get("/health/status")
    assert status.json is not None
    assert (status.json["backlog"]["pending"], status.json["breaker"]["failures"]) == (1, 1)
    assert status.json["runs"]["push"]["last_good"] == "2026-11-22T15:00:00.000Z"
    assert "secret" not in status.text
    assert "said by the server" not in status.text
    assert samples(asked.get("/metrics").text)["fhirbridge_store_up"] == 1
    plain = create_app(lambda: store).test_client()
    assert [plain.get(path).status_code for path in ("/health/status", "/metrics")] == [404, 404]


def test_status_answers_503_only_if_the_store_cannot_be_read(store: Store, clock: Clock) -> None:
    store.note_server(SERVER, failures=9, open_until=(NOW + timedelta(hours=1)).isoformat(), last_error="down")

    def lost() -> dict[str, Any]:
        raise StoreError("the store cannot be reached.")

    down = create_app(lambda: store, standing=lambda: looking(store, clock)().as_dict()).test_client()
    assert down.get("/health/status").status_code == 200
    answer = create_app(lambda: store, standing=lost).test_client().get("/health/status")
    assert (answer.status_code, answer.content_type) == (503, "application/fhir+json")


def test_every_metric_is_documented(store: Store, clock: Clock) -> None:
    put(store, "g1")
    store.finish_run(store.start_run("push"), "done", {"fates": {"created": 1}})
    metrics = Metrics()
    metrics.watch(looking(store, clock))
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    own = set(re.findall(r"# TYPE (fhirbridge_\w+)(?<!_created) ", metrics.text()[0].decode()))
    assert len(own) > 15
    assert [name for name in sorted(own) if f"`{name}`" not in page] == []
    assert [fate for fate in get_args(Fate) if f"`{fate}`" not in page] == []


def test_the_alarms_ask_for_metrics_that_there_are_and_each_is_explained() -> None:
    docs = Path(__file__).parents[2] / "docs"
    page, rules = (
        (docs / "operations.md").read_text(encoding="utf-8"),
        (docs / "alerts.yml").read_text(encoding="utf-8"),
    )
    asked, named = set(re.findall(r"\bfhirbridge_\w+", rules)), re.findall(r"alert: (\w+)", rules)
    assert asked
    assert named
    assert [name for name in (*asked, *named) if f"`{name}`" not in page] == []
