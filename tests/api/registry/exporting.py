"""What a client does to get an export: begin it, ask how it stands, fetch the files."""

from __future__ import annotations

import threading
from typing import Any

from werkzeug.test import TestResponse

from fhirbridge import fhirjson
from tests.api.registry.serving import Registry


def begun(registry: Registry, path: str = "$export", **named: Any) -> str:
    """Kick an export off, and return where to ask how it stands."""
    named.setdefault("headers", {"Accept": "application/fhir+json", "Prefer": "respond-async"})
    answer = registry.ask(path, **named)
    assert answer.status_code == 202, answer.text
    return answer.headers["Content-Location"]


def finished(registry: Registry, where: str, **named: Any) -> TestResponse:
    """Ask how an export stands until it has come to its end."""
    for _ in range(100_000):
        answer = registry.ask(where, headers={"Accept": "application/json"}, **named)
        if answer.status_code != 202:
            return answer
    raise AssertionError("the export does not end")


def exported(registry: Registry, path: str = "$export", **named: Any) -> dict[str, Any]:
    """Return the manifest of a new export."""
    answer = finished(registry, begun(registry, path, **named))
    assert answer.status_code == 200, answer.text
    return fhirjson.loads(answer.data)


def lines(registry: Registry, manifest: dict[str, Any], part: str = "output") -> dict[str, list[Any]]:
    """Return the records of all files of an export, by type; counts are held against them."""
    found: dict[str, list[Any]] = {}
    for item in manifest[part]:
        answer = registry.ask(item["url"], headers={"Accept": "application/fhir+ndjson"})
        assert answer.status_code == 200
        assert answer.content_type == "application/fhir+ndjson"
        records = [fhirjson.loads(line) for line in answer.data.splitlines()]
        assert item.get("count", len(records)) == len(records)
        found.setdefault(item["type"], []).extend(records)
    return found


def at_rest() -> None:
    """Wait until no export is made any more."""
    for thread in threading.enumerate():
        if thread.name == "exports":
            thread.join()


def withdraw(registry: Registry, person: str) -> None:
    """Take back the consent of the person that registry north knows by this id, without releasing anything anew."""
    view = registry.upkeep.view(registry.agreements["north-2026"])
    for stored in registry.store.iterate("nct07120750", types=["Consent"]):
        if view.patient(stored.compartment.removeprefix("Patient/")) == person:
            with registry.store.transaction() as transaction:
                transaction.put([(20, stored.resource() | {"status": "inactive"})], run="withdrawal")
    registry.clock.turn(2)
