"""Places in a resource where something can be changed, and what can be done to them."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from fhirbridge.errors import Resource

UCUM = "http://unitsofmeasure.org"
DATE = re.compile(r"\d{4}(-\d\d(-\d\d(T.*)?)?)?")
XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'


class Spot(NamedTuple):
    """One value in a resource: its container, its key there, and the nearest property name above."""

    holder: Any
    key: Any
    name: str

    @property
    def value(self) -> Any:
        return self.holder[self.key]

    def put(self, value: Any) -> None:
        self.holder[self.key] = value


Kind = Callable[[Resource, random.Random], bool]
"""Changes a resource in place, at a place chosen at random, and tells whether there was one."""


def spots(value: Any, name: str = "") -> Iterator[Spot]:
    """Every value below one, resource types apart."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        spot = Spot(value, key, key if isinstance(key, str) else name)
        if key != "resourceType":
            yield spot
            yield from spots(spot.value, spot.name)


def where(fits: Callable[[Spot], bool], change: Callable[[Spot, random.Random], Any]) -> Kind:
    """Make a kind of mutation: change one of the spots that fit."""

    def run(resource: Resource, rng: random.Random) -> bool:
        found = [spot for spot in spots(resource) if fits(spot)]
        if found:
            change(rng.choice(found), rng)
        return bool(found)

    return run


def anything(spot: Spot) -> bool:
    return True


def of_type(*kinds: type) -> Callable[[Spot], bool]:
    return lambda spot: spot.value.__class__ in kinds


def named(*names: str) -> Callable[[Spot], bool]:
    return lambda spot: spot.name in names and isinstance(spot.value, str)


def having(*keys: str) -> Callable[[Spot], bool]:
    """Objects that have one of some properties."""
    return lambda spot: isinstance(spot.value, dict) and any(key in spot.value for key in keys)


def date(spot: Spot) -> bool:
    return isinstance(spot.value, str) and DATE.fullmatch(spot.value) is not None and spot.name not in ("value", "code")


def choice(spot: Spot) -> bool:
    return (
        isinstance(spot.key, str)
        and re.fullmatch(r"(value|effective|onset|medication|deceased)[A-Z]\w+", spot.key) is not None
    )


def among(*values: Any) -> Callable[[Spot, random.Random], None]:
    return lambda spot, rng: spot.put(copy.deepcopy(rng.choice(values)))


def gain(*additions: dict[str, Any]) -> Callable[[Spot, random.Random], None]:
    """Add properties to an object, over those it has."""
    return lambda spot, rng: spot.value.update(copy.deepcopy(rng.choice(additions)))


def drop(spot: Spot, rng: random.Random) -> None:
    del spot.holder[spot.key]


def duplicate(spot: Spot, rng: random.Random) -> None:
    spot.holder.insert(spot.key, copy.deepcopy(spot.value))


def swap_neighbours(spot: Spot, rng: random.Random) -> None:
    spot.value.reverse()


def retype(spot: Spot, rng: random.Random) -> None:
    value = spot.value
    if isinstance(value, bool):
        spot.put(str(value).lower())
    elif isinstance(value, str):
        spot.put(rng.choice([7, True, {"value": value}, [value]]))
    elif isinstance(value, (dict, list)):
        spot.put(rng.choice(["x", 1, False]))
    else:
        spot.put(str(value))


def rename_choice(spot: Spot, rng: random.Random) -> None:
    stem = re.match(r"[a-z]+", spot.key)
    assert stem
    given = [
        ("String", "x"),
        ("Boolean", True),
        ("CodeableConcept", {"text": "x"}),
        ("Integer", 4),
        ("Foo", "x"),
        ("Quantity", {"value": 3}),
        ("DateTime", "2026-01"),
        ("Reference", {"display": "x"}),
        ("Period", {"start": "2026"}),
        ("string", "x"),
        ("Range", {"low": {"value": 1}}),
    ]
    type_, value = rng.choice(given)
    if rng.random() < 0.7:
        del spot.holder[spot.key]
    spot.holder[stem[0] + type_] = value


def wrap(spot: Spot, rng: random.Random) -> None:
    value = spot.value
    spot.put(value[0] if isinstance(value, list) else [value])


def exchange(resource: Resource, rng: random.Random) -> bool:
    """Give one item of a list the code of another: what belonged to one slice now belongs to the other."""
    lists = [s.value for s in spots(resource) if isinstance(s.value, list) and len(s.value) > 1]
    found = [
        (x, key)
        for x in lists
        for key in ("code", "type", "coding", "url", "system", "value", "use")
        if all(isinstance(i, dict) and key in i for i in x)
    ]
    if found:
        items, key = rng.choice(found)
        one, other = rng.sample(range(len(items)), 2)
        items[one][key] = copy.deepcopy(items[other][key])
    return bool(found)


def at_root(*changes: Callable[[Resource], Any]) -> Kind:
    def run(resource: Resource, rng: random.Random) -> bool:
        rng.choice(changes)(resource)
        return True

    return run


def contain(*found: Resource, key: str = "") -> Callable[[Resource], None]:
    """Put resources inside; with a key, let an extension refer to the first, so that all is well."""

    def run(resource: Resource) -> None:
        resource.setdefault("contained", []).extend(copy.deepcopy(list(found)))
        if key:
            reference = {"url": "http://example.org/ext", "valueReference": {"reference": "#" + key}}
            resource.setdefault("extension", []).append(reference)

    return run


def same_ids(resource: Resource) -> None:
    for number, spot in enumerate([s for s in spots(resource) if isinstance(s.value, dict) and "url" not in s.value]):
        if number < 2 and "resourceType" not in spot.value:
            spot.value["id"] = "same"
