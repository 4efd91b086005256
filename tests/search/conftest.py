"""A search over a handful of resources, as whoever sends it sees it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fhirbridge.errors import Resource
from fhirbridge.search.extract import Indexer
from fhirbridge.search.matching import matching
from fhirbridge.search.query import Query, parse
from fhirbridge.search.values import Surroundings

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = dt.datetime(2026, 11, 22, 14, 0, tzinfo=dt.UTC)
VALUE_SETS = {
    "http://example.org/fhir/ValueSet/viral": frozenset(
        {("http://loinc.org", "42595-9"), ("http://loinc.org", "63557-3")}
    ),
    "http://hl7.org/fhir/ValueSet/administrative-gender": frozenset(
        {("http://hl7.org/fhir/administrative-gender", "male"), ("http://hl7.org/fhir/administrative-gender", "female")}
    ),
}
AROUND = Surroundings(zone=SHANGHAI, now=NOW, base="https://registry.example/fhir", value_sets=VALUE_SETS.get)

Search = Callable[..., list[str]]
Read = Callable[..., Query]


@pytest.fixture(scope="session")
def indexer() -> Indexer:
    return Indexer(SHANGHAI)


@pytest.fixture(scope="session")
def search(indexer: Indexer) -> Search:
    """Search `Type?query` in the given resources; the ids of what matches, in order."""

    def found(asked: str, *resources: Resource) -> list[str]:
        type_, _, raw = asked.partition("?")
        index = {(one["resourceType"], one["id"]): indexer.rows(one) for one in resources}
        return [logical for _, logical in matching(parse(type_, raw.encode(), AROUND), index)]

    return found


@pytest.fixture(scope="session")
def read() -> Read:
    """Read `Type?query`."""

    def made(asked: str, **options: Any) -> Query:
        type_, _, raw = asked.partition("?")
        return parse(type_, raw.encode(), AROUND, **options)

    return made
