"""SMART scopes of a system: what a client may do with which resource types, in the words of either version.

Source: http://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html. Version 1 says ``system/Observation.read``,
version 2 ``system/Observation.rs``: r is to read (also a version, and an instance's history), s to search (also a
type's history). This service never writes, so ``c``, ``u``, ``d`` and ``write`` are understood and never granted.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

ALL = "*"
LONGEST = 4_096
"""Characters of scopes in one request."""

_SCOPE = re.compile(r"system/(\*|[A-Z][A-Za-z]{1,63})\.(read|write|\*|c?r?u?d?s?)", re.ASCII)
_MEANS = {"read": "rs", "write": "", ALL: "rs"}
_ELSEWHERE = ("user/", "patient/", "launch", "openid", "fhirUser", "offline_access", "online_access")


class Limits(Protocol):
    """What an agreement says of scopes."""

    @property
    def types(self) -> Collection[str]:
        """The resource types that it lets out."""

    @property
    def scopes(self) -> Collection[str]:
        """The most that a client may be granted under it."""


class ScopeError(ValueError):
    """Scopes that cannot be granted; the text says which one and why."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What one scope asks for that this service has: a type or ``*``, and of ``r`` and ``s`` what it names."""

    type: str
    rights: str
    in_version_1: bool = False

    def __str__(self) -> str:
        right = "read" if self.in_version_1 and self.rights == "rs" else self.rights
        return f"system/{self.type}.{right}"


def registered(text: str) -> tuple[Scope, ...]:
    """Return the scopes that a client is registered for. Raises ScopeError for any that this service never grants."""
    words = _words(text)
    for word in words:
        if (found := _scope(word)) is None or not found.rights:
            raise ScopeError(f"{_shown(word)} is never granted here. {_why(word)}")
        if str(found) != word:
            raise ScopeError(f"{_shown(word)} asks for more than {found}. Register {found}: nothing is written here.")
    return tuple(scope for word in words if (scope := _scope(word)) is not None)


def granted(asked: str, own: str, agreement: Limits) -> tuple[Scope, ...]:
    """Return what of the scopes asked for a client's own and the agreement allow, in the version they were asked in.

    Raises ScopeError if none of them is, or one is narrowed by a search, which would have to be kept and cannot be.
    """
    words, found = _words(asked), dict[Scope, None]()
    bounds = [rights(read_back(own)), rights(read_back(" ".join(agreement.scopes)))]
    for word in words:
        if "?" in word:
            raise ScopeError(
                f"{_shown(word)} narrows a scope by a search, which is not supported. Ask for it without ?."
            )
        if (scope := _scope(word)) is not None:
            found |= dict.fromkeys(_shared(scope, bounds, agreement.types))
    if not found:
        raise ScopeError(f"nothing of what was asked for can be granted. {_why(words[0])}")
    return tuple(found)


def read_back(text: str) -> tuple[Scope, ...]:
    """Return scopes that ``granted`` gave, from a token of ours."""
    return tuple(scope for word in text.split() if (scope := _scope(word)) is not None)


def written(scopes: Iterable[Scope]) -> str:
    """Return scopes as a token and an answer say them."""
    return " ".join(map(str, scopes))


def rights(scopes: Iterable[Scope]) -> Mapping[str, frozenset[str]]:
    """Return by type (or ``*``) what may be done with it."""
    found = dict[str, frozenset[str]]()
    for scope in scopes:
        found[scope.type] = found.get(scope.type, frozenset()) | frozenset(scope.rights)
    return found


def reach(held: Mapping[str, frozenset[str]], type: str) -> frozenset[str]:
    """Return what may be done with a type, named or not, by what ``rights`` gave."""
    return held.get(type, frozenset()) | held.get(ALL, frozenset())


def _shared(scope: Scope, bounds: Iterable[Mapping[str, frozenset[str]]], types: Collection[str]) -> list[Scope]:
    """Return what a scope and all bounds have in common, type by type: no type beyond these is ever named."""
    shared = list[Scope]()
    for type in sorted(types) if scope.type == ALL else [scope.type]:
        both = "".join(right for right in scope.rights if all(right in reach(held, type) for held in bounds))
        if both and type in types:
            shared.append(Scope(type, both, scope.in_version_1))
    return shared


def _scope(word: str) -> Scope | None:
    parts = _SCOPE.fullmatch(word)
    if parts is None or not parts[2]:
        return None
    letters = _MEANS.get(parts[2])
    if letters is None:
        letters = "".join(letter for letter in parts[2] if letter in "rs")
    return Scope(parts[1], letters, parts[2] in _MEANS)


def _words(text: str) -> list[str]:
    words = text.split()
    if not words:
        raise ScopeError("scope is missing. Ask for example for system/Observation.rs or system/*.read.")
    if len(text) > LONGEST:
        raise ScopeError(f"scope is longer than {LONGEST} characters.")
    return words


def _why(word: str) -> str:
    if word.startswith(_ELSEWHERE):
        return f"{_shown(word)} belongs to a person who logs in; a system asks for system/ scopes."
    if (scope := _scope(word)) is None:
        return f"{_shown(word)} is not a scope like system/Observation.rs or system/Observation.read."
    if not scope.rights:
        return f"{_shown(word)} asks to write, and this service answers questions only."
    return f"{_shown(word)} is not of the types that the data-use agreement and the registration name."


def _shown(word: str) -> str:
    """Return a word fit for a message and for RFC 6749's error_description, which knows neither quote nor backslash."""
    return "".join(char for char in word[:80] if 0x20 < ord(char) < 0x7F and char not in '"\\')
