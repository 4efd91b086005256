"""The same released resources in HAPI, and the same searches: generated, asked of both, compared."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import requests

from fhirbridge import fhirjson
from fhirbridge.errors import Resource
from fhirbridge.search.matching import Indexed, Key
from fhirbridge.search.parameters import Parameter
from fhirbridge.search.table import CATALOGUE, SERVED
from tests.api.registering import BASE
from tests.api.registry.serving import Registry
from tests.store.questions import Questions

TAG = ("https://fhirbridge.github.io/sid/test", "compared")
"""What tells the resources of this test from all others at a server that tests share."""

_JSON = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json", "Cache-Control": "no-cache"}
_SECONDS = 120


class RefusedBySearch(Exception):
    """HAPI answers a search with an error; the text is its own."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search finds: the matches in their order, and what the includes add, in none."""

    matches: tuple[Key, ...]
    added: frozenset[Key]


class Hapi:
    """A HAPI server that holds these resources among others."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._http = requests.Session()
        self._http.headers.update(_JSON)

    def load(self, resources: Iterable[Resource]) -> None:
        """Put resources in one transaction, each with a tag of this test's own; nothing else of them is changed."""
        entries = [
            {"resource": _tagged(one), "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
            for one in resources
        ]
        body = fhirjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})
        answer = self._http.post(self._base, data=body, timeout=_SECONDS)
        assert answer.ok, answer.text[:2000]

    def search(self, asked: str) -> Found:
        """Return what ``Type?query`` finds. Raises RefusedBySearch."""
        asked = asked.replace(quote(f"{BASE}/"), quote(f"{self._base}/"))
        url = f"{self._base}/{asked}&_tag={TAG[0]}|{TAG[1]}&_count=50"
        return _found(self._pages(url))

    def _pages(self, url: str) -> Iterator[Resource]:
        while url:
            bundle = self._get(url)
            yield bundle
            url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), "")

    def _get(self, url: str) -> Resource:
        answer = self._http.get(url, timeout=_SECONDS)
        body: Resource = fhirjson.loads(answer.content)
        if not answer.ok:
            raise RefusedBySearch(f"{answer.status_code} {body['issue'][0].get('diagnostics')}")
        return body


def ours(registry: Registry, asked: str) -> Found:
    """Return what ``Type?query`` finds here."""
    pages, path = list[Resource](), f"{asked}&_count=500"
    while path:
        pages.append(registry.get(path, headers={"Prefer": "handling=strict"}))
        path = next((link["url"] for link in pages[-1]["link"] if link["relation"] == "next"), "")
    return _found(pages)


def _found(pages: Iterable[Resource]) -> Found:
    found: dict[str, list[Key]] = {"match": [], "include": []}
    for page in pages:
        for entry in page.get("entry", ()):
            resource = entry["resource"]
            if resource["resourceType"] != "OperationOutcome":
                found[entry["search"]["mode"]].append((resource["resourceType"], resource["id"]))
    matches = tuple(found["match"])
    return Found(matches, frozenset(found["include"]) - frozenset(matches))


def _tagged(resource: Resource) -> Resource:
    meta = resource["meta"]
    return {**resource, "meta": {**meta, "tag": [*meta.get("tag", ()), {"system": TAG[0], "code": TAG[1]}]}}


class Searches(Questions):
    """Makes searches by R4's own parameters, of those that HAPI answers (docs/conformance.md says which it refuses)."""

    def __init__(self, index: Indexed, seed: int) -> None:
        super().__init__(index, seed)
        self._draw = random.Random(seed + 1)

    def any(self) -> str:
        """A search that asks for something, sometimes with includes."""
        while True:
            asked = self.including() if self._draw.random() < 0.2 else self.search()
            if not asked.endswith("?") and not _refused_by_hapi(asked):
                return asked

    def _some(self, type_: str, number: int) -> list[Parameter]:
        known = [one for one in _both(type_) if one.kind != "composite"]
        used = [one for one in known if any(self._rows(type_, one.code))] or known
        return [self._draw.choice(used) for _ in range(number)]

    def _include(self, type_: str) -> str:
        while True:
            asked = super()._include(type_)
            source, _, code = asked.partition("=")[2].partition(":")
            if not asked or code.partition(":")[0] in {one.code for one in _both(source)}:
                return asked

    def _chain(self, type_: str, depth: int) -> str:
        known = [one for one in self._pointing(type_) if {*(one.targets or SERVED)} & {*SERVED}]
        if not known:
            return ""
        one = self._draw.choice(known)
        target = self._draw.choice([target for target in one.targets or SERVED if target in SERVED])
        inner = self._filter(target, depth - 1)
        return f"{one.code}:{target}.{inner}" if inner else ""

    def _has(self, type_: str, depth: int) -> str:
        known = [one for base in SERVED for one in self._pointing(base) if one.may_point_to(type_)]
        if not known:
            return ""
        one = self._draw.choice(known)
        inner = self._filter(one.base, depth - 1)
        return f"_has:{one.base}:{one.code}:{inner}" if inner else ""

    def _pointing(self, type_: str) -> list[Parameter]:
        return [one for one in _both(type_) if one.kind == "reference" and any(self._rows(type_, one.code))]

    def _plain(self, type_: str, one: Parameter) -> str:
        while True:
            name, _, values = super()._plain(type_, one).partition("=")
            if one.kind == "date":
                values = values.partition(",")[0]
            if one.kind == "reference" and "," in values:
                values = ",".join(dict.fromkeys(value for value in values.split(",") if "/" in value))
            if values and not any(mark in name for mark in _MODIFIERS_APART):
                return f"{name}={values}"

    def _said(self, row: object, modifier: str) -> str:
        said = super()._said(row, modifier) or "Patient/nobody"
        return said.replace(quote("https://r.example/fhir/"), quote(f"{BASE}/"))


_APART = ("_lastUpdated", "_id", "_source")
"""When and from where a server took a resource in is its own affair; ids are in every reference."""
_MODIFIERS_APART = (":in", ":not-in", ":identifier", ":contains")
"""Value sets that are not in HAPI; a modifier that it does not have, and one that its default setting refuses."""
_REFUSED = re.compile(
    r"(?:date|period|recorded|when|issued)=ap"  # dates that are near (HAPI-1921, HAPI-1925)
    r"|quantity=(?:[^&]*[,$])?(?:sa|eb)"  # quantities that are certain (HAPI-1235)
    r"|_(?:tag|security)(?::\w+)?=(?:[^&]*,)?[^&,]*\|(?:[,&]|$)"  # all labels of a system (HAPI-1218)
    r"|(?:code-value-(?:concept|string|date)|characteristic-value)="  # composites of texts: half a minute each
    r"|combo-value-quantity=[^&]*\|"  # these end with the first page, whatever there is
    r"|\.(?:organization|subject|patient|focus|study|individual|performer|partof):missing="  # HAPI-1209
    r"|_has:[^=]*:\w+:(?!_has:)[-\w]+[:.]"  # modifiers and chains behind _has (HAPI-1209)
)


def _both(type_: str) -> list[Parameter]:
    """Return the parameters of R4: HAPI does not know the project's own."""
    return [one for one in CATALOGUE.of(type_) if one.expression is None and one.code not in _APART]


def _refused_by_hapi(asked: str) -> bool:
    names = [one.partition("=")[0] for one in asked.partition("?")[2].split("&")]
    dates = [one for one in names if one.partition(":")[0].rpartition(".")[2] in _DATES]
    return _REFUSED.search(asked) is not None or len(dates) > len(set(dates))  # a date twice (HAPI-1922)


_DATES = {one.code for type_ in SERVED for one in CATALOGUE.of(type_) if one.kind == "date"}


def seeded(index: Indexed, seed: int, number: int) -> Sequence[str]:
    """Return so many searches, all different; the same ones for the same seed."""
    made, found = Searches(index, seed), dict[str, None]()
    while len(found) < number:
        found[made.any()] = None
    return list(found)
