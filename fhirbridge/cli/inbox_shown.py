"""How the inbox is printed: a list that fits a terminal, and one candidate with all that led to it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from fhirbridge import fhirjson
from fhirbridge.cli import console
from fhirbridge.records.overriding import COLUMNS
from fhirbridge.store import Candidate, Decision, telling
from fhirbridge.store.decisions import STATES


def listed(found: Sequence[Candidate], numbers: Mapping[str, str | None], zone: dt.tzinfo, now: dt.datetime) -> None:
    """Print candidates as a table: reported value beside the proposed one; ``numbers`` are those of their subjects."""
    rows = []
    for one in found:
        said = telling.candidate(one)["proposal"] or {}
        why = "\n".join(_foremost(one.reasons)) or one.state
        why = why if one.state == "waiting" else f"{one.state}: {why}" if why != one.state else one.state
        rows.append(
            (one.name, numbers[one.subject], "\n".join(filter(None, (one.analyte, placed(one)))), said.get("reported"),
             proposed(said), why, console.moment(one.changed, zone, now))
        )  # fmt: skip
    console.table("Inbox", "name", "subject", "analyte, visit", "reported", "proposed", "why", "since", rows=rows)


def _foremost(reasons: Sequence[str]) -> Sequence[str]:
    """Return the reasons that say what is amiss; what the policy makes of them only where there is nothing else."""
    return [one for one in reasons if not one.startswith("policy: ")] or reasons


def placed(one: Candidate) -> str | None:
    """Return visit and days from its target, like ``W012 +3``."""
    if one.visit is None:
        return None
    return one.visit if one.offset is None else f"{one.visit} {one.offset:+d}"


def proposed(said: Mapping[str, Any]) -> str | None:
    """Return the proposed value with its unit, or why there is none."""
    if said.get("value") is None:
        reason = said.get("absent_reason")
        return f"({reason})" if reason else None
    return f"{said['value']} {said['unit']}" if said.get("unit") else str(said["value"])


def shown(
    one: Candidate,
    number: str | None,
    came: Sequence[Mapping[str, Any]],
    decided: Sequence[Decision],
    zone: dt.tzinfo,
    now: dt.datetime,
) -> None:
    """Print one candidate: how it stands, what would be recorded, its source's versions, its decisions."""
    whose = f"subject {number} (Patient/{one.subject})" if number else f"Patient/{one.subject}"
    console.say(f"{one.name}: {one.state} since {console.moment(one.changed, zone, now)}, of {whose}")
    if one.reasons:
        console.say(f"Why: {'; '.join(one.reasons)}")
    said = telling.candidate(one)["proposal"] or {}
    names = [*COLUMNS, *(name for name in said if name not in COLUMNS)]
    proposal = [(path, _text(value)) for name in names for path, value in telling.leaves(said.get(name), name)]
    title = "What was accepted" if one.state == "accepted" else "What would be recorded"
    console.table(title, "field", "value", rows=proposal)
    console.say(f"Source: {one.reference} at {one.feed}")
    _versions(came, zone, now)
    if decided:
        _decisions(decided, {each["arrival"]: each["version"] for each in came}, zone, now)


def _versions(came: Sequence[Mapping[str, Any]], zone: dt.tzinfo, now: dt.datetime) -> None:
    """Print what each version changed in the one before, then the last one whole."""
    for before, after in pairwise(came):
        changed = [(each["field"], _text(each["old"]), _text(each["new"])) for each in after["changed"]]
        arrived = console.moment(after["arrived"], zone, now)
        title = f"Version {after['version']}, arrived {arrived}, against version {before['version']}"
        console.table(title, "field", "old", "new", rows=changed)
    last = came[-1]
    title = f"Version {last['version']}, arrived {console.moment(last['arrived'], zone, now)}"
    content = [(path, _text(value)) for path, value in telling.leaves(last["content"])]
    console.table(title, "field", "value", rows=content)


def _decisions(decided: Sequence[Decision], versions: Mapping[int, str], zone: dt.tzinfo, now: dt.datetime) -> None:
    rows = [
        (one.number, one.action, one.by, console.moment(one.at, zone, now), versions.get(one.arrival), one.reason,
         one.value.decode() if one.value else None)
        for one in decided
    ]  # fmt: skip
    console.table("Decisions", "", "what", "by", "when", "on version", "why", "instead", rows=rows)


def possible(one: Candidate) -> str:
    """Return the commands by which one can decide on a candidate as it stands."""
    name = f"{one.name}@{one.seen}"
    command = "fhirbridge inbox"
    if one.state in ("accepted", "rejected"):
        return f"{command} reopen {name} --reason WHY takes the decision back"
    if one.state in ("pending", "cancelled"):
        return "nothing to decide here; what the source says next comes with a pull"
    first = "accept" if one.state in ("waiting", "reopened") else "override"
    rest = "reject, or override with --value, --unit, --visit" if first == "accept" else "reject"
    return f"{command} {first} {name} (or {rest})"


def counted(counts: Mapping[tuple[str, str], int]) -> None:
    """Print how many candidates there are by analyte and state."""
    states = [state for state in STATES if any(found == state for found, _ in counts)]
    analytes = sorted({analyte for _, analyte in counts})
    rows = [(analyte or "(none)", *(counts.get((state, analyte), 0) for state in states)) for analyte in analytes]
    console.table("Candidates", "analyte", *states, rows=rows, total=console.sums("all", rows))


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return value if isinstance(value, str) else fhirjson.dumps(value).decode()
