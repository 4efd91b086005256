"""Who got what of one person: the trail read backwards, from the person to the accesses."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhirbridge import fhirjson
from fhirbridge.audit.anchors import NAME
from fhirbridge.audit.chain import Chain, Fault, walk
from fhirbridge.audit.event import AGREEMENT
from fhirbridge.audit.trail import EVENT, SUFFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """One access that a person's records were part of."""

    at: str
    registry: str
    client: str | None
    agreement: str | None
    interaction: str
    query: str
    records: int


def disclosures(folder: Path, key: bytes | None, pseudonym: Callable[[str], str]) -> tuple[list[Disclosure], list[str]]:
    """Return every access to a person's records, the oldest first, and the file of each line that was tampered with.

    ``pseudonym`` gives the Patient id by which a registry knows the person. A line that a crash cut short was never
    answered, so it is no disclosure.
    """
    known, found, doubtful = dict[str, str](), list[Disclosure](), list[str]()
    for event in _events(folder, Chain(key), doubtful):
        agent = event["agent"][0]
        registry = agent["who"].get("display") if "who" in agent else None
        if registry is None:
            continue
        wanted = known.get(registry) or known.setdefault(registry, f"Patient/{pseudonym(registry)}")
        for entity in event.get("entity", ()):
            if entity.get("what", {}).get("reference") == wanted:
                found.append(_disclosure(event, agent, registry, entity))
    return sorted(found, key=lambda one: one.at), doubtful


def _disclosure(event: Any, agent: Any, registry: str, entity: Any) -> Disclosure:
    policy = agent.get("policy", [""])[0]
    asked = next(one for one in event["entity"] if "query" in one)
    return Disclosure(
        at=event["recorded"],
        registry=registry,
        client=agent["who"].get("identifier", {}).get("value"),
        agreement=policy.removeprefix(f"{AGREEMENT}/") or None,
        interaction=event["subtype"][-1].get("display") or event["subtype"][0]["code"],
        query=base64.b64decode(asked["query"]).decode("utf-8", "replace"),
        records=int(entity["detail"][0]["valueString"]),
    )


def _events(folder: Path, chain: Chain, doubtful: list[str]) -> Iterator[Any]:
    """Yield every event, and note the file of each that is not as it was written, whose content proves nothing."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if path.name == NAME:
            continue
        faults: list[Fault] = []
        with path.open("rb") as file:
            for link in walk(file, chain, faults):
                if link.kind == EVENT and link.sound:
                    yield fhirjson.loads(link.content)
                elif link.kind == EVENT:
                    doubtful.append(path.name)
