"""What the benchmark of the API asks: the same questions of every server, drawn from what is released."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import requests
from load import Server

from fhirbridge import fhirjson
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import Resource
from fhirbridge.release.agreement import TYPES
from fhirbridge.store.releases import Released

SEED = 7120750
NUMBER = 2_000
"""Questions of each kind, which are asked round and round."""
PAGE = 50
SEARCHES = ("patient", "patient and code", "code")
MIX = {"read": 20, "patient": 17, "patient and code": 17, "code": 16, "include": 20, "count": 10}
"""Percent: reads, searches, includes and counts as 20, 50, 20 and 10."""
COMPARED = 8
"""Questions of each kind whose answers are compared between two servers."""

Questions = dict[str, list[str]]
"""By kind: what follows a server's base URL and its slash."""


def released(place: Workplace, agreement: str) -> Iterator[Released]:
    """Yield all that is released under an agreement, in the order in which it refers to each other."""
    position = place.store.releases.position(agreement)
    assert position is not None
    yield from place.store.releases.iterate(agreement, TYPES, at=position.number)


def questions(place: Workplace, agreement: str) -> Questions:
    """Return the questions of each kind, and of the mix; the same ones for the same release."""
    names, pairs = list[str](), set[tuple[str, str]]()
    for one in released(place, agreement):
        names.append(f"{one.type}/{one.id}")
        if one.type == "Observation" and one.body:
            pairs |= set(_pairs(fhirjson.loads(one.body)))
    draw, known = random.Random(SEED), sorted(pairs)
    patients, codes = (sorted(set(each)) for each in zip(*known, strict=True))
    by_code = [f"code={quote(code)}" for code in codes]
    drawn = draw.sample(known, min(NUMBER, len(known)))
    by_both = [f"patient={patient}&code={quote(code)}" for patient, code in drawn]
    found: Questions = {
        "read": draw.sample(names, min(NUMBER, len(names))),
        "patient": [f"Observation?patient={one}&_count={PAGE}" for one in patients],
        "patient and code": [f"Observation?{one}&_count={PAGE}" for one in by_both],
        "code": [f"Observation?{one}&_count={PAGE}" for one in by_code],
        "include": [
            *(f"Observation?{one}&_include=Observation:subject&_count={PAGE}" for one in by_both[: len(patients)]),
            *(f"DiagnosticReport?patient={one}&_include=DiagnosticReport:result&_count={PAGE}" for one in patients),
        ],
        "count": [
            f"Observation?{one}&_summary=count" for one in (*by_code, *by_both, *(f"patient={one}" for one in patients))
        ],
    }
    for each in found.values():
        draw.shuffle(each)
    kinds = draw.choices(list(MIX), list(MIX.values()), k=NUMBER)
    found["mix"] = [draw.choice(found[kind]) for kind in kinds]
    return found


def _pairs(observation: Resource) -> Iterator[tuple[str, str]]:
    """Yield the patient with each code of an Observation."""
    patient = observation.get("subject", {}).get("reference", "").removeprefix("Patient/")
    for one in observation["code"].get("coding", ()):
        if patient and "system" in one and "code" in one:
            yield patient, f"{one['system']}|{one['code']}"


def write(found: Questions, folder: Path) -> dict[str, Path]:
    """Write the questions of each kind into a file, one a line."""
    files = {}
    for kind, asked in found.items():
        files[kind] = folder / f"{kind.replace(' ', '-')}.txt"
        files[kind].write_text("".join(f"{one}\n" for one in asked), encoding="utf-8")
    return files


def compare(found: Questions, one: Server, other: Server) -> int:
    """Ask two servers some questions of each kind; return how many answers hold the same, or end with a message.

    Orders may differ, so of a page that is not the only one only its size is compared; a number may be withheld.
    """
    same = 0
    for kind, asked in found.items():
        for question in asked[:COMPARED]:
            mine, theirs = (_answer(server, question) for server in (one, other))
            if None not in (mine, theirs) and mine != theirs:
                raise SystemExit(f"{one.name} and {other.name} answer another thing to a question of kind {kind!r}")
            same += 1
    return same


def _answer(server: Server, question: str) -> object:
    answer = requests.get(f"{server.base}/{question}", headers=dict(server.headers), timeout=60)
    if not answer.ok:
        raise SystemExit(f"{server.name} answers {answer.status_code} to {question.partition('?')[0]}")
    body = fhirjson.loads(answer.content)
    if body["resourceType"] != "Bundle":
        return body["resourceType"], body["id"]
    if "_summary=count" in question:
        return body.get("total")
    entries = body.get("entry", ())
    if any(link["relation"] == "next" for link in body["link"]):
        return len(entries)
    return {(entry["resource"]["resourceType"], entry["resource"]["id"]) for entry in entries}
