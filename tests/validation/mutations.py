"""Breaks resources on purpose, at places chosen by a seed; some results stay valid.

The mix is fixed by principle, not by how a validator answers. There are ten categories: the nine kinds of mistake that
the differential test is about, and values that JSON can write but FHIR cannot mean. Each category makes the same number
of mutations, and within a category its kinds take turns, so that each has the same weight. Resource and place are drawn
by the seed, every resource alike. A kind that finds no new mutation, because all that it can do has been done, leaves
its turn to the next one of its category. No kind is made rarer, left out or counted double because of what comes of it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from fhirbridge import fhirjson
from fhirbridge.errors import Resource
from tests.validation.damage_additions import EXTRA
from tests.validation.damage_structure import DROP, DUPLICATE, RETYPE, WRONG_SLICE
from tests.validation.damage_values import BAD_DATE, BAD_REFERENCE, MALFORMED, RECODE, WRONG_UNIT
from tests.validation.spots import Kind

CATEGORIES: dict[str, dict[str, Kind]] = {
    "drop": DROP,
    "duplicate": DUPLICATE,
    "retype": RETYPE,
    "recode": RECODE,
    "wrong unit": WRONG_UNIT,
    "wrong slice": WRONG_SLICE,
    "extra element": EXTRA,
    "bad date": BAD_DATE,
    "bad reference": BAD_REFERENCE,
    "malformed JSON values": MALFORMED,
}
"""Kinds by name, by category."""


class Mutation(NamedTuple):
    """A resource that was changed, the name of the one it was, and what was done to it."""

    name: str
    origin: str
    category: str
    kind: str
    resource: Resource


def mutations(origins: Mapping[str, Resource], seed: str, each: int) -> Iterator[Mutation]:
    """Yield ``each`` mutations of every category, all different, the same for the same seed."""
    made = {fhirjson.dumps(resource) for resource in origins.values()}
    for category, kinds in CATEGORIES.items():
        names = list(kinds)
        for turn in range(each):
            for kind in (*names[turn % len(names) :], *names[: turn % len(names)]):
                found = _fresh(origins, kinds[kind], random.Random(f"{seed}|{kind}|{turn}"), made)
                if found is not None:
                    origin, resource = found
                    yield Mutation(f"{origin}: {kind} {turn}", origin, category, kind, resource)
                    break


def _fresh(
    origins: Mapping[str, Resource], damage: Kind, rng: random.Random, made: set[bytes]
) -> tuple[str, Resource] | None:
    """Break the first resource, in an order drawn at random, of which something comes that was not made before."""
    for origin in rng.sample(list(origins), len(origins)):
        resource = copy.deepcopy(origins[origin])
        if damage(resource, rng) and (text := fhirjson.dumps(resource)) not in made:
            made.add(text)
            return origin, resource
    return None
