"""Findings that somebody has looked at and accepts for a time: they become information, and count again later."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from fhirbridge import fhirjson
from fhirbridge.errors import InputError
from fhirbridge.validation.outcome import Issue

_REQUIRED = ("rule", "location", "who", "why", "until")
_BUNDLED = re.compile(r"Bundle\.entry\[(\d+)\]\.resource(?=\.|$)")


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One entry of the list: what is accepted, by whom, why, and until which day (that day included)."""

    rule: str
    location: str
    who: str
    why: str
    until: date
    profile: str = ""

    def __str__(self) -> str:
        return f"{self.rule} at {self.location}" + (f" of {self.profile}" if self.profile else "")


class Accepted:
    """The list, and how often each entry was met."""

    def __init__(self, entries: Sequence[Acceptance] = (), today: date | None = None) -> None:
        self.entries = list(entries)
        self.today = today or datetime.now().astimezone().date()
        self._met = [0] * len(self.entries)
        self._patterns = [_pattern(entry.location) for entry in self.entries]

    @classmethod
    def load(cls, file: Path, today: date | None = None) -> Accepted:
        """Read a TOML or JSON file. Raises InputError naming the entry and the key that is wrong."""
        return cls([_entry(file, number, row) for number, row in enumerate(_rows(file), 1)], today)

    def apply(self, issues: Iterable[Issue], bundled: Sequence[str] = ()) -> list[Issue]:
        """Return the findings, accepted errors and warnings as information that says who, why and until when.

        ``bundled`` are the types of a Bundle's entries, so that ``Observation.code`` is met inside a Bundle too.
        """
        return [self._judged(issue, bundled) if issue.severity != "information" else issue for issue in issues]

    def notes(self) -> list[str]:
        """Return a sentence for every entry that has expired and every one that met nothing."""
        said = []
        for entry, met in zip(self.entries, self._met, strict=True):
            if entry.until < self.today:
                count = f" {met} finding(s) count again." if met else ""
                said.append(f"accepted finding {entry}: expired on {entry.until}.{count} Mend it, or ask {entry.who}.")
            elif not met:
                said.append(f"accepted finding {entry}: nothing like it was found. Take the entry out.")
        return said

    def _judged(self, issue: Issue, bundled: Sequence[str]) -> Issue:
        places = _places(issue.path, bundled)
        for number, entry in enumerate(self.entries):
            if entry.rule != issue.rule or (entry.profile and entry.profile != issue.profile.partition("|")[0]):
                continue
            if any(self._patterns[number].fullmatch(place) for place in places):
                self._met[number] += 1
                if entry.until >= self.today:
                    told = f"{issue.text} (accepted by {entry.who} until {entry.until}: {entry.why})"
                    return replace(issue, severity="information", text=told, remedy="")
        return issue


def _places(path: str, bundled: Sequence[str]) -> list[str]:
    """The location, and inside a Bundle's entry the location within that resource."""
    found = _BUNDLED.match(path)
    number = int(found[1]) if found else -1
    if found is None or not 0 <= number < len(bundled):
        return [path]
    return [path, bundled[number] + path[found.end() :]]


def _pattern(location: str) -> re.Pattern[str]:
    """Compile ``Observation.component[*].value*``: a step without an index means every index, ``**`` many steps."""
    steps = []
    for step in location.split("."):
        name, bracket, index = step.partition("[")
        if name == "**":
            steps.append(".*")
            continue
        wild = re.escape(name).replace(r"\*", r"[^.\[]*")
        steps.append(wild + (re.escape(bracket + index) if index.rstrip("]").isdigit() else r"(?:\[\d+\])?"))
    return re.compile(r"\.".join(steps))


def _rows(file: Path) -> list[Any]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: the list of accepted findings cannot be read: {error.strerror}.") from error
    try:
        told = fhirjson.loads(content) if file.suffix == ".json" else tomllib.loads(content.decode())
    except (InputError, ValueError) as error:
        raise InputError(f"{file}: {error}") from error
    rows = told.get("accepted") if isinstance(told, dict) else None
    if not isinstance(rows, list) or told.keys() != {"accepted"}:
        raise InputError(
            f"{file}: one list called 'accepted' is needed ([[accepted]] in TOML). See docs/validation.md."
        )
    return rows


def _entry(file: Path, number: int, row: Any) -> Acceptance:
    where = f"{file}: accepted finding {number}"
    if not isinstance(row, dict):
        raise InputError(f"{where} is no table with {', '.join(_REQUIRED)}.")
    known = [one.name for one in fields(Acceptance)]
    for key, value in row.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise InputError(f"{where}: there is no key {key!r}. " + (f"Did you mean {near[0]}?" if near else ""))
        if key != "until" and not (isinstance(value, str) and value.strip()):
            raise InputError(f"{where}: {key} must be text.")
    for key in _REQUIRED:
        if key not in row:
            raise InputError(f"{where}: {key} is missing.")
    return Acceptance(**{**row, "until": _day(where, row["until"])})


def _day(where: str, value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise InputError(f"{where}: until must be a date (YYYY-MM-DD), not {value!r}.") from None
