"""The same released resources here and in HAPI: each search finds the same, or docs/conformance.md says why not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import pytest

from fhirbridge.errors import Resource
from fhirbridge.release.agreement import ViewRules
from fhirbridge.search.extract import Indexer
from fhirbridge.search.matching import Indexed
from fhirbridge.search.table import SERVED
from fhirbridge.search.values import Surroundings
from fhirbridge.store import Store
from tests.api.registering import BASE, Clock
from tests.api.registry.comparing import Found, Hapi, RefusedBySearch, ours, seeded
from tests.api.registry.differences import RULES, Readings, Rule, alike
from tests.api.registry.serving import AGREEMENT, ROOT, STUDY, Registry, load
from tests.store.releasing import RANKS, world

SEARCHES = 300
SEED = 20261122
ZONE = STUDY.schedule.zone

COMPARED = msgspec.structs.replace(
    AGREEMENT, registry="compared", view=ViewRules(shift_days=0, texts=("value",))
)  # a registry of its own: pseudonyms that no other test has at a server which they share


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Some of the cohort, and people with values of every shape that a search can meet."""
    folder, clock = tmp_path_factory.mktemp("compared"), Clock()
    with Store.open(f"sqlite:///{folder / 'store.db'}", clock=clock.now) as store:
        load(store, 4)
        shapes = [one for one in world(1) if one["resourceType"] != "ResearchStudy"]
        with store.transaction() as transaction:
            transaction.put([(RANKS[one["resourceType"]], one) for one in shapes], run="shapes")
        made = Registry(store, folder, clock, agreements=(COMPARED,), api_requests_per_minute=0)
        made.refresh()
        yield made
        made.trail.close()


@pytest.fixture(scope="module")
def resources(registry: Registry) -> list[Resource]:
    return [one for type in SERVED for one in registry.every(f"{type}?_count=1000")]


@pytest.fixture(scope="module")
def index(resources: list[Resource]) -> Indexed:
    indexer = Indexer(ZONE)
    return {(one["resourceType"], one["id"]): indexer.rows(one) for one in resources}


@pytest.fixture(scope="module")
def searches(index: Indexed) -> Sequence[str]:
    return seeded(index, SEED, SEARCHES)


def around() -> Surroundings:
    return Surroundings(zone=ZONE, now=Clock().now(), base=BASE)


KINDS = {
    "token": "_security=", "negation": ":not=", "missing": ":missing=", "date with a prefix": "date=ge", "or": ",",
    "chain": "patient:Patient.", "reverse chain": "_has:", "string": "name", "quantity": "value-quantity=",
    "quantity with a prefix": "quantity=lt", "include": "_include=", "reverse include": "_revinclude=",
    "iteration": ":iterate=", "order": "_sort=-", "reference": "subject=", "composite": "value-quantity=http",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_searches_are_of_every_kind(searches: Sequence[str], kind: str) -> None:
    assert sum(kind in asked for asked in searches) >= 2


@pytest.mark.hapi
def test_both_find_the_same_or_a_rule_says_why_not(
    registry: Registry, resources: list[Resource], index: Indexed, searches: Sequence[str], hapi: str
) -> None:
    other, readings = Hapi(hapi), Readings(resources, around())
    other.load(resources)
    unexplained, agreed, telling = [], 0, 0
    for asked in searches:
        here, there = ours(registry, asked), answered(other, asked)
        if there is None:
            unexplained.append(f"{asked}: HAPI refuses it")
        elif not alike(here, there) and not readings.explained(asked, there, RULES):
            unexplained.append(f"{asked}: {len(here.matches)} here, {len(there.matches)} there")
        elif alike(here, there):
            agreed, telling = agreed + 1, telling + (0 < len(here.matches) < size(index, asked))
    assert unexplained == []
    assert agreed >= SEARCHES * 3 // 4
    assert telling >= SEARCHES // 4, "searches that find nothing, or all, say little"


def answered(hapi: Hapi, asked: str) -> Found | None:
    try:
        return hapi.search(asked)
    except RefusedBySearch:
        return None


def size(index: Indexed, asked: str) -> int:
    type_ = asked.partition("?")[0]
    return sum(key[0] == type_ for key in index)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_is_documented(rule: Rule) -> None:
    assert f"| {rule.name} |" in (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
