"""What a log line may say: a closed list of events and of facts, so that no resource gets into a log by mistake.

A fact that is not on the list, or not of its shape, is left out and counted. The lists are tables: a new event or
fact is one row here and one in docs/operations.md, which a test holds against each other.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

Shape = Literal["word", "name", "number", "counts", "server", "reference"]

EVENTS: dict[str, tuple[int, str]] = {
    "run_started": (logging.INFO, "a run of a command began"),
    "run_ended": (logging.INFO, "it ended; `outcome` and `counts` say how"),
    "run_failed": (logging.ERROR, "it ended without doing all it should: see `outcome`, `counts`, `error`"),
    "run_skipped": (logging.INFO, "a run was due, and was left out because another one is under way"),
    "run_missed": (logging.WARNING, "a run was due while the process did not run, or was too busy"),
    "plan_made": (logging.INFO, "what is to be sent is known; `counts` by action"),
    "compartment_failed": (logging.WARNING, "a subject's resources were not all taken; the other subjects go on"),
    "resource_parked": (logging.WARNING, "a resource will not be sent again until someone acts: a dead letter"),
    "resource_retried": (logging.INFO, "a dead letter, or all `resources` of them, are to be tried again"),
    "resource_dropped": (logging.WARNING, "a dead letter was given up by decision"),
    "resource_made_anew": (logging.WARNING, "a resource of ours was gone from the server and was created again"),
    "conflict_found": (logging.WARNING, "somebody else changed a resource of ours on the server"),
    "candidate_decided": (logging.INFO, "somebody decided on a result that waited in the inbox"),
    "conflict_settled": (logging.INFO, "somebody decided on such a change"),
    "drift_found": (logging.WARNING, "reconcile found the server to differ; `counts` by kind"),
    "drift_repaired": (logging.INFO, "reconcile put it right, or had the next push do so; `counts` by kind"),
    "link_stopped": (
        logging.WARNING,
        "a subject cannot be found or confirmed at the hospital: nothing is asked for it",
    ),
    "link_merged": (logging.INFO, "the hospital joined Patients that are a subject: all are asked for"),
    "link_relinked": (logging.WARNING, "a subject is another Patient at the hospital now: decisions are reopened"),
    "link_ended": (logging.INFO, "a subject has no active consent: nothing is asked for it"),
    "question_failed": (
        logging.WARNING,
        "a question about results was not answered whole; it is asked again next time",
    ),
    "export_started": (logging.INFO, "the server was asked for a Bulk Data export"),
    "export_resumed": (logging.INFO, "an export that was interrupted goes on"),
    "export_waiting": (logging.INFO, "the server is at work on it; it is looked after again in `seconds`"),
    "export_fetched": (logging.INFO, "one of its files is here, of `bytes`"),
    "export_failed": (logging.ERROR, "it could not be had; the next run goes on or begins anew"),
    "export_abandoned": (logging.WARNING, "an unfinished one of another question was given up"),
    "export_not_removed": (logging.WARNING, "the server was told that an export is no longer needed, and refused"),
    "group_not_readable": (logging.WARNING, "whether all patients are in the hospital's Group cannot be told"),
    "request_retried": (logging.INFO, "a request failed temporarily and is made again"),
    "breaker_opened": (logging.ERROR, "the server failed so often that it is left alone until `until`"),
    "breaker_closed": (logging.INFO, "the server answers again"),
    "lease_taken": (logging.INFO, "work was taken over that another process left unfinished"),
    "lease_lost": (logging.WARNING, "work was given up because somebody else has it"),
    "schedule_started": (logging.INFO, "`fhirbridge run` waits for what is due"),
    "schedule_stopped": (logging.INFO, "`fhirbridge run` ended"),
    "worker_started": (logging.INFO, "`fhirbridge worker` waits for jobs"),
    "worker_stopped": (logging.INFO, "`fhirbridge worker` ended"),
    "job_queued": (logging.INFO, "work was put into the queue"),
    "job_taken": (logging.INFO, "a worker began a job"),
    "job_finished": (logging.INFO, "a worker finished it"),
    "job_failed": (logging.ERROR, "a worker could not finish it"),
    "job_rescued": (logging.WARNING, "a job whose worker died was put back into the queue"),
    "listener_started": (logging.INFO, "HL7 v2 messages are taken at `port`"),
    "listener_stopped": (logging.INFO, "no more are taken; `counts` by answer"),
    "message_not_kept": (logging.ERROR, "an HL7 v2 message could not be kept; its sender was told, and sends it again"),
    "message_faulty": (logging.WARNING, "something of an HL7 v2 message was not taken; `reason` is the first rule"),
    "message_failed": (logging.ERROR, "reading an HL7 v2 message failed: a bug, please report it"),
    "message_revealed": (logging.WARNING, "somebody looked at the content of an HL7 v2 message"),
    "api_started": (logging.INFO, "registries are served at `port`"),
    "api_stopped": (logging.INFO, "they are served no more"),
    "request_failed": (logging.ERROR, "a registry's request could not be answered; `id` is that of the request"),
    "release_failed": (logging.ERROR, "a release could not be brought up to date; it is tried again"),
    "stop_requested": (logging.INFO, "a signal asked the process to end; it finishes what is under way"),
    "metrics_served": (logging.INFO, "metrics can be fetched at `port`"),
    "notification_sent": (logging.INFO, "somebody was told"),
    "notification_failed": (logging.WARNING, "somebody was to be told, and could not be"),
    "library": (logging.INFO, "a library said something: `text`, from `logger`"),
    "unknown_event": (logging.WARNING, "an event that is not on this list: a bug, please report it"),
}
"""Each event: its level, and what it means to who reads the log."""

FACTS: dict[str, tuple[Shape, str]] = {
    "run": ("word", "id of the run"),
    "command": ("name", "command of the run"),
    "server": ("server", "base URL of the hospital's server, without user, password and query"),
    "study": ("word", "id of the study"),
    "compartment": ("word", "pseudonymous id of the subject's Patient, empty for the study's own resources"),
    "resource": ("reference", "type and pseudonymous id: `Observation/1b2c…`"),
    "type": ("word", "resource type"),
    "id": ("word", "pseudonymous id of a resource"),
    "outcome": ("name", "how a run ended"),
    "counts": ("counts", "numbers by name"),
    "seconds": ("number", "how long it took, or how long is waited"),
    "status": ("number", "HTTP status"),
    "temporary": ("number", "whether it is worth trying again"),
    "attempts": ("number", "tries so far"),
    "resources": ("number", "resources concerned"),
    "entries": ("number", "entries of a Bundle"),
    "until": ("word", "a point in time"),
    "since": ("word", "a point in time"),
    "reason": ("name", "one of few words that fhirbridge knows"),
    "method": ("word", "HTTP method"),
    "kind": ("name", "which kind of conflict, drift or notification"),
    "holder": ("word", "who holds a lease"),
    "job": ("number", "number of a job"),
    "task": ("word", "name of a job's task"),
    "queue": ("word", "name of a queue"),
    "worker": ("word", "name of a worker"),
    "channel": ("name", "`webhook` or `mail`"),
    "percent": ("number", "how much is done, as far as the server says"),
    "bytes": ("number", "size of a file"),
    "port": ("number", "TCP port"),
    "candidate": ("word", "name of a candidate of the inbox: `C-1234`"),
    "action": ("name", "what was decided: `accept`, `reject`, `override`, `reopen`"),
    "version": ("word", "version of fhirbridge"),
    "signal": ("word", "name of a signal"),
}
"""Each fact that ``note`` takes beside ``error``: its shape, and what it is."""

_PATTERNS = {
    "word": re.compile(r"[A-Za-z0-9_.:/@#+~-]{0,200}"),
    "name": re.compile(r"[a-z][a-z0-9_ -]{0,60}"),
    "reference": re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}"),
}


def allowed(facts: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the facts that may be logged, in the list's order, and how many may not."""
    kept = {name: fact for name in FACTS if (fact := _fact(name, facts.get(name))) is not None}
    absent = sum(value is None for value in facts.values())
    return kept, len(facts) - absent - len(kept)


def numbers(counts: Mapping[str, Any]) -> dict[str, int | float]:
    """Return the numbers at the top of a report and its fates, without what is not a number."""
    return _numbers(counts) | fates(counts)


def fates(counts: Mapping[str, Any]) -> dict[str, int | float]:
    """Return what became of resources by the report of a push or of an ingest: numbers by name."""
    nested = counts.get("ingested")
    found = nested.get("resources") if isinstance(nested, Mapping) else counts.get("fates")
    return _numbers(found) if isinstance(found, Mapping) else {}


def _numbers(counts: Mapping[str, Any]) -> dict[str, int | float]:
    return {
        name: value
        for name, value in counts.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and _PATTERNS["name"].fullmatch(name)
    }


def _fact(name: str, value: Any) -> Any:
    shape = FACTS[name][0] if name in FACTS else None
    if shape == "number" and isinstance(value, int | float):
        return value
    if shape == "counts" and isinstance(value, Mapping):
        return numbers(value)
    if not isinstance(value, str):
        return None
    if shape == "server":
        return _server(value)
    return value if shape in _PATTERNS and _PATTERNS[shape].fullmatch(value) else None


def _server(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
