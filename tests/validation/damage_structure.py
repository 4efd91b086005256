"""Damage to a resource's structure: properties and items dropped, doubled, of another type, or in another's place."""

from __future__ import annotations

import copy
import random
from decimal import Decimal

from tests.validation.spots import (
    Kind,
    Spot,
    at_root,
    choice,
    drop,
    duplicate,
    exchange,
    having,
    of_type,
    rename_choice,
    retype,
    same_ids,
    swap_neighbours,
    where,
    wrap,
)

TELLING = ("code", "type", "coding", "url", "system", "value", "use", "reference")
"""What usually tells to which slice an item belongs."""


def is_property(spot: Spot) -> bool:
    return isinstance(spot.key, str)


def is_item(spot: Spot) -> bool:
    return isinstance(spot.key, int)


def is_object_in_list(spot: Spot) -> bool:
    return is_item(spot) and isinstance(spot.value, dict)


def tells_apart(spot: Spot) -> bool:
    """An object in a list that has something to tell its slice by."""
    return is_object_in_list(spot) and any(key in spot.value for key in TELLING)


def lose_what_tells(spot: Spot, rng: random.Random) -> None:
    del spot.value[rng.choice([key for key in TELLING if key in spot.value])]


def twin(spot: Spot, rng: random.Random) -> None:
    """Put a second item into the list that has only what tells its slice."""
    spot.holder.append(copy.deepcopy({key: value for key, value in spot.value.items() if key in TELLING}))


DROP: dict[str, Kind] = {
    "drop a property": where(is_property, drop),
    "drop a list item": where(is_item, drop),
    "drop something at the top": lambda resource, rng: (
        resource.pop(rng.choice([key for key in resource if key != "resourceType"]), None) is not None
    ),
    "drop half of a code": where(
        having("system", "code"),
        lambda s, rng: s.value.pop(rng.choice([k for k in ("system", "code") if k in s.value])),
    ),
    "drop half of a bundle entry": where(
        having("resource", "request"), lambda s, rng: s.value.pop(rng.choice(list(s.value)))
    ),
}
DUPLICATE: dict[str, Kind] = {
    "duplicate an item": where(is_item, duplicate),
    "duplicate an object in a list": where(is_object_in_list, duplicate),
    "a single value twice": where(
        lambda s: is_property(s) and not isinstance(s.value, list), lambda s, rng: s.put([s.value, s.value])
    ),
    "the same element id twice": at_root(same_ids),
}
RETYPE: dict[str, Kind] = {
    "retype": where(lambda s: True, retype),
    "retype a number or boolean": where(of_type(int, bool, float, Decimal), retype),
    "single value for list, list for single": where(is_property, wrap),
    "other choice": where(choice, rename_choice),
    "other resource type": at_root(
        *(lambda r, t=t: r.update(resourceType=t) for t in ("Basic", "Foo", "Patient", "Observation"))
    ),
}
WRONG_SLICE: dict[str, Kind] = {
    "exchange codes between items": exchange,
    "reverse a list": where(lambda s: isinstance(s.value, list) and len(s.value) > 1, swap_neighbours),
    "an item loses what tells its slice": where(tells_apart, lose_what_tells),
    "an item twice, bare": where(tells_apart, twin),
}
