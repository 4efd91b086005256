"""The spool of messages keeps each once, gives them back in their order, and throws away what is no longer needed."""

from __future__ import annotations

import datetime as dt

import pytest

from fhirbridge.errors import Finding, StoreError
from fhirbridge.store import Store
from fhirbridge.store.messages import Arriving, Messages

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
FAULT = Finding(record="message M-1", rule="shifted", message="OBX-6 holds a number", remedy="Mend it", field="OBX-6")


@pytest.fixture
def messages(store: Store) -> Messages:
    return store.messages


def keep(messages: Messages, digest: str = "d1", sealed: bytes = b"sealed") -> str:
    return messages.keep("S", [Arriving(digests=[digest], sealed=sealed, source="LIS^LAB")])[0]


def test_a_message_that_is_sent_again_is_kept_once(messages: Messages) -> None:
    assert [keep(messages), keep(messages)] == ["new", "known"]
    assert messages.counts("S") == {"waiting": 1}


def test_messages_wait_in_the_order_in_which_they_came(messages: Messages) -> None:
    for digest in ("z", "a", "m"):
        keep(messages, digest, digest.encode())
    assert [messages.content(one.key) for one in messages.waiting("S")] == [b"z", b"a", b"m"]
    assert [one.digest for one in messages.waiting("S", after=1, limit=1)] == ["a"]


def test_what_became_of_a_message_is_known_and_its_content_is_gone(messages: Messages) -> None:
    keep(messages)
    messages.mark(1, "done", run="run-1")
    found = messages.get("S", 1)
    assert found is not None
    assert (found.state, found.held, found.run) == ("done", False, "run-1")
    assert messages.content(1) == b""
    assert messages.waiting("S") == []


def test_a_message_whose_content_was_thrown_away_is_taken_again_when_it_is_sent_again(messages: Messages) -> None:
    keep(messages)
    messages.mark(1, "no subject", run="run-1")
    assert keep(messages, sealed=b"anew") == "again"
    assert [(one.key, one.state) for one in messages.waiting("S")] == [(1, "waiting")]
    assert messages.content(1) == b"anew"


def test_a_dropped_message_stays_dropped_when_it_is_sent_again(messages: Messages) -> None:
    keep(messages)
    messages.mark(1, "dropped", run="run-1")
    assert keep(messages) == "known"
    assert messages.counts("S") == {"dropped": 1}


def test_findings_come_back_as_they_were_and_a_retry_waits_again(messages: Messages) -> None:
    keep(messages)
    messages.mark(1, "faulty", [FAULT], run="run-1", emptied=False)
    found = messages.get("S", 1)
    assert found is not None
    assert (found.findings, found.held) == ((FAULT,), True)
    assert messages.retry("S", ("faulty",)) == 1
    assert messages.counts("S") == {"waiting": 1}


def test_nothing_is_retried_whose_content_is_gone(messages: Messages) -> None:
    keep(messages)
    messages.mark(1, "done", run="run-1")
    assert messages.retry("S", ("done",), 1) == 0


def test_only_what_was_received_before_is_thrown_away(database_url: str) -> None:
    now = NOW - dt.timedelta(days=40)
    with Store.open(database_url, clock=lambda: now) as store:
        for digest in ("old", "new"):
            keep(store.messages, digest)
            now = NOW
        for key in (1, 2):
            store.messages.mark(key, "faulty", [FAULT], run="run-1", emptied=False)
        assert store.messages.expire("S", ("faulty",), before=NOW - dt.timedelta(days=30)) == 1
        assert [one.held for one in store.messages.page("S")] == [False, True]


def test_messages_that_are_kept_together_are_all_kept_in_their_order_and_each_once(messages: Messages) -> None:
    keep(messages, "d2")
    arriving = [Arriving(digests=[digest], sealed=b"sealed", source="") for digest in ("d1", "d2", "d3", "d1")]
    assert messages.keep("S", arriving) == ["new", "known", "new", "known"]
    assert [one.digest for one in messages.waiting("S")] == ["d2", "d1", "d3"]


def test_of_messages_that_are_kept_together_none_is_kept_if_one_cannot_be(messages: Messages) -> None:
    broken = Arriving(digests=["d2"], sealed=None, source="")  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        messages.keep("S", [Arriving(digests=["d1"], sealed=b"sealed", source=""), broken])
    assert messages.counts("S") == {}


def test_a_message_is_known_by_the_digest_of_an_older_key(messages: Messages) -> None:
    keep(messages, "by-the-old-key")
    known = Arriving(digests=["by-the-new-key", "by-the-old-key"], sealed=b"sealed", source="")
    assert messages.keep("S", [known]) == ["known"]
    assert messages.digest_of("S", ["by-the-new-key", "by-the-old-key"]) == "by-the-old-key"


def test_studies_do_not_see_each_others_messages(messages: Messages) -> None:
    keep(messages)
    assert messages.get("other", 1) is None
    assert messages.counts("other") == {}
    assert messages.retry("other", ("waiting",)) == 0
