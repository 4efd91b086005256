"""The whole service over a small cohort, as the composition root puts it together, on a clock that stands."""

from __future__ import annotations

import datetime as dt
import json
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from werkzeug.test import TestResponse

import mappings
from fhirbridge import fhirjson
from fhirbridge.api import create_app, scopes
from fhirbridge.api.access_tokens import new_key
from fhirbridge.api.door import door
from fhirbridge.api.registry import registry_routes
from fhirbridge.api.registry.rates import Rates
from fhirbridge.api.registry.service import Service
from fhirbridge.api.registry.subset import Subsets
from fhirbridge.api.registry.upkeep import Upkeep
from fhirbridge.api.smart import smart
from fhirbridge.audit.event import Access
from fhirbridge.audit.trail import Trail
from fhirbridge.cli.serving import profiles, value_sets
from fhirbridge.demo.cohort import participants
from fhirbridge.errors import Resource
from fhirbridge.release.agreement import TYPES, Agreement, CountRules
from fhirbridge.release.view import View
from fhirbridge.settings import Settings
from fhirbridge.store import Store
from fhirbridge.store.release_remembering import Remembered
from fhirbridge.store.releases import Refreshed
from fhirbridge.validation import Validator
from tests.api.registering import BASE, EC_KEY, Clock, jwks, public_jwk
from tests.mappings.cases import IDENTITY, ROOT, STUDY
from tests.release.agreements import NORTH, RELEASE_KEY

AS_OF = dt.date(2026, 11, 22)
SUBJECTS = 8

AGREEMENT = msgspec.structs.replace(NORTH, counts=CountRules(threshold=1))
OTHER = msgspec.structs.replace(AGREEMENT, id="south-2026", registry="south")


@cache
def validator() -> Validator:
    """Return a validator with the shipped profiles, made once."""
    return Validator.load([ROOT / "profiles"])


def load(store: Store, subjects: int = SUBJECTS) -> None:
    """Put the study and the first subjects of the synthetic cohort into a store."""
    for record in (STUDY, *_records(subjects)):
        with store.transaction() as transaction:
            transaction.put(mappings.resources(record, STUDY, IDENTITY), run="load")


def _records(subjects: int) -> list[Any]:
    found: list[Any] = []
    for one in participants(STUDY, subjects=subjects, as_of=AS_OF):
        found += [one.subject, *one.laboratory, *one.imaging]
    return found


class Registry:
    """The service and two registries' clients. ``agreements`` may be changed while it runs; they count at once."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        clock: Clock,
        *,
        agreements: tuple[Agreement, ...] = (AGREEMENT, OTHER),
        record: Any = None,
        releases: Any = None,
        note: Any = None,
        **given: Any,
    ) -> None:
        self.store, self.folder, self.clock = store, folder, clock
        self.agreements = {one.id: one for one in agreements}
        self.recorded: list[Access] = []
        self.trail = Trail(folder / "audit", clock.now)
        self._record, self._note = record, note
        self._tokens: dict[tuple[str, str, int], str] = {}
        key = folder / "api.key"
        if not key.exists():
            new_key(key)
        given = {"api_export_folder": folder / "released", **given}
        self.settings = Settings(api_url=BASE, api_signing_key=key, **given)
        self.door = door(
            self.settings, lambda: store.clients, lambda id: self.agreements.get(id), now=clock.now, clock=clock.seconds
        )
        self.upkeep = Upkeep(
            lambda: store.releases,
            lambda: self.agreements,
            lambda agreement: View(agreement, STUDY, RELEASE_KEY),
            STUDY.schedule.zone,
            now=clock.now,
            clock=clock.seconds,
        )
        self.service = self._service(releases or store.releases)
        self.app = create_app(lambda: store, also=(smart(self.door.endpoint, TYPES), *registry_routes(self.service)))
        self.http = self.app.test_client()
        if not store.clients.all():
            public = jwks(public_jwk(EC_KEY, "ec"))
            for id, agreement in zip(("c1", "c2"), agreements, strict=False):
                store.clients.add(
                    id, id, agreement=agreement.id, scopes="system/*.rs", by="ann", jwks=public, jwks_uri=None
                )

    def _service(self, releases: Any) -> Service:
        return Service(
            base=BASE,
            settings=self.settings,
            releases=releases,
            authoriser=self.door.authoriser,
            record=self.note,
            upkeep=self.upkeep,
            rates=Rates(
                self.clock.seconds, per_minute=self.settings.api_requests_per_minute, costly=self.settings.api_costly
            ),
            subsets=Subsets(lambda: validator().model),
            model=lambda: validator().model,
            zone=STUDY.schedule.zone,
            now=self.clock.now,
            value_sets=value_sets(lambda: validator().terminology),
            validator=validator,
            withdrawn=self.store.withdrawn,
            views=ROOT / "profiles" / "views",
            started=self.clock.now(),
            profiles=profiles(STUDY),
            pages=Remembered(self.settings.api_remembered_mib * 2**20),
            **({"note": self._note} if self._note else {}),
        )

    def note(self, access: Access) -> None:
        """Record an access in the trail, and keep it for the test to look at."""
        if self._record is not None:
            self._record(access)
        self.trail.record(access)
        self.recorded.append(access)

    def refresh(self) -> list[Refreshed]:
        """Bring the releases up to date with the store."""
        return self.upkeep.once()

    def put(self, *resources: Resource, rank: int = 20) -> None:
        """Change the store as the site does, and release it."""
        with self.store.transaction() as transaction:
            transaction.put([(rank, one) for one in resources], run="change")
        self.clock.turn(1)
        self.refresh()

    def token(self, client: str = "c1", scope: str = "system/*.read") -> str:
        """Return a token, made once for each wish (the clock stands)."""
        asked = (client, scope, int(self.clock.seconds() // 1800))
        held = self._tokens.get(asked)
        if held is None:
            agreement = self.agreements[self.store.clients.get(client).agreement]
            granted = scopes.granted(scope, "system/*.rs", agreement)
            held, _ = self.door.endpoint.maker.make(client, agreement.id, granted, 3_600)
            self._tokens[asked] = held
        return held

    def ask(
        self, path: str, *, client: str | None = "c1", scope: str = "system/*.read", method: str = "GET",
        headers: dict[str, str] | None = None, **named: Any,
    ) -> TestResponse:  # fmt: skip
        """Ask for what is below the base (``Patient?_count=1``), or at an absolute URL that an answer gave."""
        bearer = {"Authorization": f"Bearer {self.token(client, scope)}"} if client else {}
        where = path.removeprefix(BASE).lstrip("/")
        return self.http.open(
            f"/fhir/{where}" if where else "/fhir", method=method, headers=bearer | (headers or {}), **named
        )

    def get(self, path: str, status: int = 200, **named: Any) -> Any:
        """Return what is answered as JSON, decimals with their digits; the status is checked."""
        answer = self.ask(path, **named)
        assert answer.status_code == status, answer.text[:2000]
        return fhirjson.loads(answer.data)

    def every(self, path: str, **named: Any) -> list[Resource]:
        """Return all matches, following the next links."""
        found: list[Resource] = []
        while path:
            bundle = self.get(path, **named)
            found += [one["resource"] for one in bundle.get("entry", ()) if one["search"]["mode"] == "match"]
            path = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), "")
        return found

    def one(self, type: str, **named: Any) -> Resource:
        """Return some resource of a type."""
        return self.get(f"{type}?_count=1", **named)["entry"][0]["resource"]

    def close(self) -> None:
        self.trail.close()
        self.store.close()


def refusal(answer: TestResponse) -> tuple[int, str]:
    """Return status and issue code of a refusal, whose form is checked."""
    assert answer.content_type == "application/fhir+json", answer.content_type
    body = json.loads(answer.data)
    assert body["resourceType"] == "OperationOutcome"
    assert body["issue"]
    return answer.status_code, body["issue"][0]["code"]
