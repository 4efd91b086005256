"""Requests for a pull: whoever learns that there is news at the hospital leaves one, and the next pull answers it.

A request is due a few seconds after it is made, so that those made meanwhile, one for each of many results, need not be
kept: the pull that answers it begins after all of them. It is the watermark of a question of its own.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from fhirbridge.store.pulls import EVERYBODY
from fhirbridge.store.store import Store

QUESTION = "notification"


def request(store: Store, study: str, feed: str, now: datetime, *, settle: timedelta) -> datetime:
    """Have a pull of a feed made once ``settle`` has passed, and return when; one that waits already will do."""
    waiting = store.pulls.watermark(study, feed, EVERYBODY, QUESTION)
    if waiting is not None and waiting > now:
        return waiting
    store.pulls.advance(study, feed, {(EVERYBODY, QUESTION): now + settle}, "")
    return now + settle


def requested(store: Store, study: str, feed: str, now: datetime) -> bool:
    """Say whether a pull is due by request: one is, and no pull has begun since."""
    due = store.pulls.watermark(study, feed, EVERYBODY, QUESTION)
    if due is None or due > now:
        return False
    last = store.last_run("pull")
    return last is None or datetime.fromisoformat(last.started) < due
