"""A clinic for tests of the inbox: results that arrive, and a judge that says what the test tells it to."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from fhirbridge.store import Candidate, Judgement, NewDecision, Store
from fhirbridge.store.decisions import State

STUDY = "trial"
FEED = "https://fhir.hospital.example/r4"


def item(reference: str, version: str = "1", value: str = "42") -> tuple[str, str, bytes, bytes]:
    """Make a result as it arrives: reference, version, hash, body."""
    body = f'{{"value":"{value}","version":"{version}"}}'.encode()
    return reference, version, hashlib.sha256(body).digest(), body


def arrive(store: Store, *items: tuple[str, str, bytes, bytes], subject: str = "p1") -> list[str]:
    """Have results of a subject arrive."""
    return list(store.candidates.arrive(STUDY, subject, FEED, list(items), "run-1"))


def say(
    store: Store,
    state: State = "waiting",
    *,
    subject: str = "p1",
    decision: NewDecision | None = None,
    reasons: tuple[str, ...] = ("out of window",),
    analyte: str = "ALT",
    proposal: bytes = b'{"canonical":{"value":"42","unit":"U/L"}}',
) -> list[Judgement]:
    """Say the same of each result of a subject, as a judge does who knows all that is known now."""
    return [
        Judgement(
            feed=arrival.feed,
            reference=arrival.reference,
            arrival=arrival.key,
            decided=candidate.decision if candidate else None,
            state=state,
            reasons=reasons,
            analyte=analyte,
            visit="W012",
            offset=3,
            inside=True,
            collected="2026-03-01T08:00:00+08:00",
            proposal=proposal,
            decision=decision,
        )
        for candidate, arrival, _ in store.candidates.of_subject(STUDY, subject)
    ]


def judge(store: Store, state: State = "waiting", *, subject: str = "p1", **said: object) -> list[Judgement]:
    """Judge each result of a subject alike, and return what was left out."""
    judged = say(store, state, subject=subject, **said)  # type: ignore[arg-type]
    return store.candidates.judge(STUDY, subject, judged, "run-1")


def waiting(store: Store, reference: str = "Observation/1", *, subject: str = "p1", version: str = "1") -> Candidate:
    """Have a result arrive and wait for a decision; return its candidate."""
    arrive(store, item(reference, version), subject=subject)
    judge(store, subject=subject)
    return one(store, reference, subject=subject)


def one(store: Store, reference: str = "Observation/1", *, subject: str = "p1") -> Candidate:
    """Return the candidate of a result as it stands."""
    found = [c for c, arrival, _ in store.candidates.of_subject(STUDY, subject) if arrival.reference == reference]
    assert found[0] is not None
    return found[0]


def older(judged: Judgement, arrival: int) -> Judgement:
    """Return a judgement as if it were of an older arrival."""
    return replace(judged, arrival=arrival)
