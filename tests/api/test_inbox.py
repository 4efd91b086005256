"""The inbox over HTTP: who may look, who may decide, and what a decision has to say."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

import mappings
from fhirbridge import study
from fhirbridge.api import bearers, create_app
from fhirbridge.api.inbox import inbox
from fhirbridge.errors import ConfigurationError, InputError
from fhirbridge.store import Candidate, Judgement, Store

STUDY = study.load(Path(mappings.__file__).parent / "studies" / "nct07120750.toml")
FEED = "https://fhir.hospital.example/r4"
PROPOSAL = {
    "analyte": "HBSAG",
    "visit": "W012",
    "collected": "2025-03-01T08:00:00+08:00",
    "value": "42",
    "unit": "[IU]/mL",
    "reported": "42 IU/ml",
}


class Client:
    """The API with one person's token."""

    def __init__(self, store: Store, tokens: Path, name: str | None = "kim", *, decides: bool = True) -> None:
        routes = inbox(lambda: store, lambda: STUDY, tokens, lambda: datetime(2026, 3, 1, tzinfo=UTC))
        self._client = create_app(lambda: store, also=(routes,)).test_client()
        token = bearers.add(tokens, name, decides=decides)[0] if name else None
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str) -> TestResponse:
        return self._client.get(path, headers=self.headers)

    def decide(self, name: str, **body: Any) -> TestResponse:
        return self._client.post(f"/inbox/{name}/decision", headers=self.headers, json=body)

    def post(self, path: str, data: bytes, media_type: str) -> TestResponse:
        return self._client.post(path, headers=self.headers, data=data, content_type=media_type)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as opened:
        yield opened


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def kim(store: Store, tokens: Path) -> Client:
    return Client(store, tokens)


def arrive(store: Store, number: int = 1, version: str = "1", **said: Any) -> Candidate:
    """Have a result arrive and wait."""
    body = json.dumps({"value": {"valueQuantity": {"value": 42}}, "version": version}).encode()
    item = (f"Observation/{number}", version, hashlib.sha256(body).digest(), body)
    subject = f"p{number}"
    store.candidates.arrive(STUDY.id, subject, FEED, [item], "run-1")
    ((known, latest, _),) = store.candidates.of_subject(STUDY.id, subject)
    proposal = PROPOSAL | said
    judged = Judgement(
        feed=FEED,
        reference=item[0],
        arrival=latest.key,
        decided=known.decision if known else None,
        state="waiting",
        reasons=("out of window",),
        analyte=proposal["analyte"],
        visit="W012",
        offset=9,
        inside=False,
        collected=PROPOSAL["collected"],
        proposal=json.dumps(proposal).encode(),
    )
    assert store.candidates.judge(STUDY.id, subject, [judged], "run-1") == []
    ((now, _, _),) = store.candidates.of_subject(STUDY.id, subject)
    assert now is not None
    return now


def outcome(answer: TestResponse) -> tuple[int, str, str]:
    """Return status, code and text of an error."""
    assert answer.content_type == "application/fhir+json"
    assert answer.json is not None
    assert answer.json["resourceType"] == "OperationOutcome"
    (issue,) = answer.json["issue"]
    return answer.status_code, issue["code"], issue["details"]["text"]


def state(store: Store, key: int) -> str:
    found = store.candidates.get(key)
    assert found is not None
    return found[0].state


def test_without_the_setting_there_is_no_inbox(store: Store) -> None:
    assert create_app(lambda: store).test_client().get("/inbox").status_code == 404


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer wrong", "Basic a2ltOngK", "Bearer é"])
@pytest.mark.parametrize("path", ["/inbox", "/inbox/counts", "/inbox/C-1", "/inbox/C-2"])
def test_nobody_sees_anything_without_a_token(
    store: Store, tokens: Path, kim: Client, header: str | None, path: str
) -> None:
    arrive(store)
    kim.headers = {"Authorization": header} if header else {}
    answer = kim.get(path)
    assert outcome(answer)[:2] == (401, "login")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["Cache-Control"] == "no-store"


def test_pages_follow_each_other(store: Store, kim: Client) -> None:
    for number in range(1, 6):
        arrive(store, number)
    first = kim.get("/inbox?limit=2")
    assert first.headers["Cache-Control"] == "no-store"
    assert first.json is not None
    names, after = [one["candidate"] for one in first.json["candidates"]], first.json["next"]
    while after:
        page = kim.get(f"/inbox?limit=2&after={after}").json
        assert page is not None
        names += [one["candidate"] for one in page["candidates"]]
        after = page["next"]
    assert names == ["C-1", "C-2", "C-3", "C-4", "C-5"]


def test_a_page_shows_what_was_reported_beside_what_is_proposed(store: Store, kim: Client) -> None:
    found = arrive(store)
    listed = kim.get("/inbox").json
    assert listed is not None
    (one,) = listed["candidates"]
    assert (one["proposal"]["reported"], one["proposal"]["value"], one["reasons"]) == (
        "42 IU/ml",
        "42",
        ["out of window"],
    )
    assert (one["visit"], one["offset"], one["inside"], one["seen"]) == ("W012", 9, False, found.seen)


def test_the_list_can_be_narrowed(store: Store, kim: Client) -> None:
    arrive(store, 1)
    arrive(store, 2, analyte="HBV-DNA")

    def names(query: str) -> list[str]:
        told = kim.get(f"/inbox?{query}").json
        assert told is not None
        return [one["candidate"] for one in told["candidates"]]

    assert names("analyte=HBV-DNA") == ["C-2"]
    assert names("subject=p1") == ["C-1"]
    assert names("state=accepted&state=waiting") == ["C-1", "C-2"]
    assert names("state=accepted") == []
    counted = kim.get("/inbox/counts").json
    assert counted is not None
    assert counted["inbox"] == 2


@pytest.mark.parametrize(
    "query",
    [
        "state=done",
        "limit=0",
        "limit=201",
        "limit=x",
        "limit=²",
        "after=x",
        "patient=1",
        "limit=99999999999",
        "analyte=%00",
    ],
)
def test_a_question_that_makes_no_sense_is_refused(kim: Client, query: str) -> None:
    assert outcome(kim.get(f"/inbox?{query}"))[:2] == (400, "structure")


def test_a_candidate_is_shown_with_its_versions_and_decisions(store: Store, kim: Client) -> None:
    arrive(store)
    later = arrive(store, version="2")
    assert kim.decide("C-1", action="reject", reason="haemolysed", seen=later.seen).status_code == 200
    told = kim.get("/inbox/C-1").json
    assert told is not None
    assert [one["version"] for one in told["versions"]] == ["1", "2"]
    assert told["versions"][1]["changed"] == [{"field": "version", "old": "1", "new": "2"}]
    assert [(one["action"], one["by"], one["reason"]) for one in told["decisions"]] == [("reject", "kim", "haemolysed")]


@pytest.mark.parametrize("name", ["C-2", "1", "C-", "c-1", "C-1x", "C-٣"])
def test_a_candidate_that_is_not_there_is_not_found(store: Store, kim: Client, name: str) -> None:
    arrive(store)
    assert outcome(kim.get(f"/inbox/{name}"))[:2] == (404, "not-found")
    assert outcome(kim.decide(name, action="accept", seen="1-000000"))[0] == 404


def test_a_decision_bears_the_name_of_the_token_whatever_the_body_says(store: Store, kim: Client) -> None:
    found = arrive(store)
    claimed = kim.decide("C-1", action="accept", by="lee", seen=found.seen)
    assert outcome(claimed)[0] == 400
    done = kim.decide("C-1", action="accept", seen=found.seen)
    assert done.json is not None
    assert (done.status_code, done.json["state"]) == (200, "accepted")
    known = store.candidates.get(1)
    assert known is not None
    assert [decision.by for decision in known[2]] == ["kim"]


def test_who_may_only_look_decides_nothing(store: Store, tokens: Path) -> None:
    found = arrive(store)
    auditor = Client(store, tokens, "auditor", decides=False)
    assert auditor.get("/inbox/C-1").status_code == 200
    assert outcome(auditor.decide("C-1", action="accept", seen=found.seen))[:2] == (403, "forbidden")
    assert state(store, 1) == "waiting"


def test_a_decision_on_an_older_version_or_another_proposal_is_a_conflict(store: Store, kim: Client) -> None:
    seen = arrive(store).seen
    arrive(store, value="43")
    assert outcome(kim.decide("C-1", action="accept", seen=seen))[:2] == (409, "conflict")
    arrive(store, version="2")
    status, _, text = outcome(kim.decide("C-1", action="accept", seen=seen))
    assert (status, "version 1" in text, "version 2" in text) == (409, True, True)
    assert state(store, 1) == "waiting"


def test_an_override_is_held_to_the_rules_of_the_study(store: Store, kim: Client) -> None:
    found = arrive(store, value=None, unit=None)
    given = {"action": "override", "reason": "paper", "seen": found.seen}
    assert outcome(kim.decide("C-1", **given, value={"value": "4,2"}))[0] == 422
    assert outcome(kim.decide("C-1", **given, value={"value": "42", "unit": "mg"}))[0] == 422
    assert outcome(kim.decide("C-1", **given, value={}))[0] == 422
    assert outcome(kim.decide("C-1", **given, value=["42"]))[0] == 422
    assert state(store, 1) == "waiting"
    assert kim.decide("C-1", **given, value={"value": "42", "unit": "[IU]/mL"}).status_code == 200
    assert state(store, 1) == "accepted"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"action": "delete"}, 422),
        ({"action": ["accept"]}, 422),
        ({"action": "accept", "seen": None}, 422),
        ({"action": "accept", "seen": 1}, 422),
        ({"action": "reject", "reason": " "}, 422),
        ({"action": "reject", "reason": 7}, 422),
        ({"action": "reject", "reason": "x\x00"}, 422),
        ({"action": "reopen", "reason": "x"}, 422),
        ({"action": "accept", "value": {"value": "1"}}, 422),
        ({"action": "accept", "surprise": 1}, 400),
    ],
)
def test_a_decision_that_says_too_little_or_too_much_changes_nothing(
    store: Store, kim: Client, body: dict[str, Any], status: int
) -> None:
    found = arrive(store)
    assert outcome(kim.decide("C-1", **({"seen": found.seen} | body)))[0] == status
    assert state(store, 1) == "waiting"


def test_a_body_that_is_no_decision_is_refused(store: Store, kim: Client) -> None:
    arrive(store)
    path = "/inbox/C-1/decision"
    assert outcome(kim.post(path, b"{", "application/json"))[0] == 400
    assert outcome(kim.post(path, b"[]", "application/json"))[0] == 400
    assert outcome(kim.post(path, b"action=accept", "application/x-www-form-urlencoded"))[0] == 400
    assert outcome(kim.post(path, b" " * 70_000, "application/json"))[:2] == (413, "too-long")


def test_nothing_of_a_result_is_logged(store: Store, kim: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    found = arrive(store, value="4242")
    kim.get("/inbox/C-1")
    kim.decide("C-1", action="reject", reason="Mrs Example", seen=found.seen)
    kim.decide("C-1", action="accept", value={"value": "4343"}, seen=found.seen)
    assert [text for text in ("4242", "4343", "Mrs Example") if text in caplog.text] == []


def test_a_token_is_written_down_nowhere_and_replaces_the_one_before(store: Store, tokens: Path) -> None:
    old, had = bearers.add(tokens, "kim", decides=True)
    new, replaced = bearers.add(tokens, "kim", decides=True)
    bearers.add(tokens, "lee", decides=False)
    assert (had, replaced) == (False, True)
    assert old not in tokens.read_text()
    assert new not in tokens.read_text()
    assert bearers.who(tokens, old) is None
    found = bearers.who(tokens, new)
    assert found is not None
    assert (found.name, found.decides) == ("kim", True)
    assert tokens.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["", "fhirbridge", "policy", "a b", "é", "#kim", "a" * 65])
def test_a_name_that_could_be_anything_is_refused(tokens: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be a name"):
        bearers.add(tokens, name, decides=True)


@pytest.mark.parametrize("line", ["kim", "kim secret", f"kim {'a' * 64} admin", f"policy {'a' * 64}", "a b c d"])
def test_a_line_that_is_no_token_is_named(tokens: Path, line: str) -> None:
    tokens.write_text(f"# who works here\n\n{line}\n")
    with pytest.raises(ConfigurationError, match=r"line 3 of .* is not `name sha256-of-token`"):
        bearers.read(tokens)


def test_a_file_that_everybody_can_write_gives_nobody_access(tokens: Path) -> None:
    bearers.add(tokens, "kim", decides=True)
    tokens.chmod(0o666)
    with pytest.raises(ConfigurationError, match="every user of this machine can write"):
        bearers.read(tokens)
