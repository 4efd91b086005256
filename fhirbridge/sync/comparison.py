"""Comparing a server's resource with our content: what servers add is no difference, lost digits are named."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from fhirbridge import fhirjson
from fhirbridge.errors import Resource

Verdict = Literal["same", "digits lost", "different"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Paths of elements, names only and without positions in lists, so that no value can be in them."""

    different: tuple[str, ...]
    digits: tuple[str, ...]
    """Numbers that are equal but written with other digits: 5.50 became 5.5."""

    @property
    def verdict(self) -> Verdict:
        """Return the worst of it."""
        return "different" if self.different else "digits lost" if self.digits else "same"


SAME = Comparison((), ())


def compare(ours: Resource, theirs: Resource, base_url: str) -> Comparison:
    """Compare our content with a server's resource; ``base_url`` may stand before its references."""
    walk = _Walk(base_url)
    walk.compare(fhirjson.content(ours), as_sent(ours, fhirjson.content(theirs)), "")
    return Comparison(tuple(sorted(walk.different)), tuple(sorted(walk.digits)))


class _Walk:
    """Two trees gone through side by side, and the paths found on the way. Members that hold nothing do not count."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self.different: set[str] = set()
        self.digits: set[str] = set()

    def compare(self, our: Any, their: Any, path: str) -> None:
        """Note what differs at this path and below."""
        if isinstance(our, dict) and isinstance(their, dict):
            self._members(our, their, path)
        elif isinstance(our, list) and isinstance(their, list) and len(our) == len(their):
            for our_item, their_item in zip(our, their, strict=True):
                self.compare(our_item, their_item, path)
        elif _is_number(our) and _is_number(their) and our == their:
            if str(our) != str(their):
                self.digits.add(path)
        elif not (
            _equal(our, their) or (_is_empty(our) and _is_empty(their)) or self._same_reference(our, their, path)
        ):
            self.different.add(path)

    def _members(self, our: Resource, their: Resource, path: str) -> None:
        prefix = f"{path}." if path else ""
        for name, value in our.items():
            other = their.get(name)
            if other is None:
                if not _is_empty(value):
                    self.different.add(prefix + name)
            elif value is not other and not (isinstance(value, str) and value == other):
                self.compare(value, other, prefix + name)
        self.different.update(prefix + name for name in their if name not in our and not _is_empty(their[name]))

    def _same_reference(self, our: Any, their: Any, path: str) -> bool:
        return path.endswith("reference") and their == f"{self._base_url}/{our}"


def _equal(our: Any, their: Any) -> bool:
    return bool(our == their) and isinstance(our, bool) == isinstance(their, bool)  # Python's True equals 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _is_empty(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_empty, value.values()))
    return value is None or value == "" or (isinstance(value, list) and all(map(_is_empty, value)))


def as_sent(ours: Resource, theirs: Resource) -> Resource:
    """Return theirs without what a server adds: a narrative it generated, further tags and profiles, more of meta."""
    kept = dict(theirs)
    narrative = kept.get("text")
    if "text" not in ours and isinstance(narrative, dict) and narrative.get("status") in ("generated", "empty"):
        del kept["text"]
    wanted, found = ours.get("meta") or {}, kept.pop("meta", None) or {}
    meta = {name: _those_wanted(wanted[name], found[name]) for name in wanted if name in found}
    return kept | ({"meta": meta} if meta else {})


def _those_wanted(wanted: Any, found: Any) -> Any:
    """Put a set that a server may reorder and extend (tag, security, profile) in our order."""
    if not isinstance(wanted, list) or not isinstance(found, list):
        return found
    by_name = {_name(item): item for item in reversed(found)}
    return [by_name[_name(item)] for item in wanted if _name(item) in by_name]


def _name(item: Any) -> Any:
    return (item.get("system"), item.get("code")) if isinstance(item, dict) else item
