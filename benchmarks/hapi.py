"""HAPI as a registry's server: it is given what is released, and is warm before anybody measures."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import requests
from asking import released
from load import Server, ask

from fhirbridge import fhirjson
from fhirbridge.api.registry.people import person_of
from fhirbridge.cli.workplace import Workplace
from fhirbridge.hospital import put_entry, transaction_bundle

TOGETHER = 400
"""Entries of a transaction; what is of one person stays together, as it refers to itself."""
WARM_SECONDS = 10.0
WARM_ROUNDS = 12
WARM = 1.05
"""It is warm when a round is not faster than the best before it by more than this."""
_HEADERS = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json", "Prefer": "return=minimal"}


def load(base: str, place: Workplace, agreement: str) -> int:
    """Put all that is released into a server; return how many resources that were."""
    sent = 0
    with requests.Session() as http:
        for some in _together(place, agreement):
            entries = [put_entry(fhirjson.loads(body), base_url=base) for body in some]
            body = fhirjson.dumps(transaction_bundle(entries))
            answer = http.post(base, data=body, headers=_HEADERS, timeout=600)
            if not answer.ok:
                raise SystemExit(f"HAPI refused what is released: {answer.text[:500]}")
            sent += len(entries)
    return sent


def _together(place: Workplace, agreement: str) -> Iterator[list[bytes]]:
    """Yield bodies for one transaction after the other: those of the study first, then person by person."""
    of_person: dict[str, list[bytes]] = defaultdict(list)
    for one in released(place, agreement):
        if one.body is not None:
            of_person[person_of(one) or ""].append(one.body)
    yield of_person.pop("")
    waiting = list[bytes]()
    for bodies in of_person.values():
        if waiting and len(waiting) + len(bodies) > TOGETHER:
            yield waiting
            waiting = []
        waiting += bodies
    yield waiting


def warm(server: Server, asked: Path, clients: int) -> list[float]:
    """Ask round after round until the server gets no faster; return the requests per second of each."""
    rates = [ask(server, asked, clients, WARM_SECONDS).rate]
    while len(rates) < WARM_ROUNDS:
        rate = ask(server, asked, clients, WARM_SECONDS).rate
        slower = rate <= WARM * max(rates)
        rates.append(rate)
        if slower:
            return rates
    sys.stderr.write(f"HAPI still gets faster after {WARM_ROUNDS} rounds\n")
    return rates
