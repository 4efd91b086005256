"""Where things stand in a JSON text: the line of every element, and keys that one object has twice."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from fhirbridge import fhirjson
from fhirbridge.errors import Resource
from fhirbridge.validation.outcome import Issue

MAX_BYTES = 8 * 1024 * 1024
"""Longer texts are not read again to find lines: that takes about a second for each 5 MB."""
_SIGN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],\n]')


@dataclass(frozen=True, slots=True)
class Repeated:
    """A key that an object has more than once; ``path`` is the key's (``.name[0].family``)."""

    path: str
    first: int
    second: int


@dataclass(slots=True)
class Places:
    """Line (from 1) by path below the root: ``.name[0].family``; the root itself is the empty path."""

    lines: dict[str, int] = field(default_factory=dict)
    repeated: list[Repeated] = field(default_factory=list)

    def line(self, expression: str) -> int:
        """Return the line of a FHIRPath location, or of the nearest thing above it that is there."""
        dot = expression.find(".")
        path = expression[dot:] if dot >= 0 else ""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path, 1)


@dataclass(slots=True)
class _Open:
    """An object or array that has begun and not ended."""

    path: str
    is_object: bool
    index: int = 0
    key: str | None = None
    keys: dict[str, int] = field(default_factory=dict)

    def here(self) -> str:
        return f"{self.path}.{self.key}" if self.is_object else f"{self.path}[{self.index}]"


def places(text: bytes) -> Places:
    """Read a text that is known to be JSON, token by token, without recursion."""
    found = Places()
    stack: list[_Open] = []
    line = 1
    for match in _SIGN.finditer(text.decode("utf-8", "replace")):
        sign = match[0]
        if sign == "\n":
            line += 1
            continue
        top = stack[-1] if stack else None
        if sign in "{[":
            path = top.here() if top else ""
            found.lines.setdefault(path, line)
            stack.append(_Open(path, sign == "{"))
        elif sign in "}]":
            stack.pop()
        elif sign == ",":
            if top is not None:
                top.index, top.key = top.index + 1, None
        elif top is not None and top.is_object and top.key is None:
            _begin(found, top, json.loads(sign) if "\\" in sign else sign[1:-1], line)
        elif top is not None:
            found.lines.setdefault(top.here(), line)
    return found


def _begin(found: Places, top: _Open, key: str, line: int) -> None:
    top.key = key
    if key in top.keys:
        found.repeated.append(Repeated(top.here(), top.keys[key], line))
    else:
        top.keys[key] = line
    found.lines.setdefault(top.here(), line)


def duplicate_keys(text: bytes, resource: Resource) -> list[Issue]:
    """Return an error for each key that an object of the text has twice; the resource is what was read from it."""
    if not fhirjson.repeats_keys(text, resource):
        return []
    return repeated_keys(places(text), str(resource.get("resourceType")))


def repeated_keys(found: Places, root: str) -> list[Issue]:
    """Say of every key that comes twice where, since readers disagree about which of the two counts."""
    return [
        Issue(
            "error",
            "structure",
            "duplicate-key",
            f"The property {one.path.rpartition('.')[2]} is there twice in one JSON object, in lines {one.first} and "
            f"{one.second}: readers disagree about which one counts.",
            root + one.path,
            remedy="Keep one of them; an element that repeats is a JSON array.",
        )
        for one in found.repeated
    ]
