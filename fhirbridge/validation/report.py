"""What came of every resource of some files: the findings, each with its file, line and resource."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhirbridge import fhirjson
from fhirbridge.errors import InputError, ProfileError, Resource
from fhirbridge.validation.accepted import Accepted
from fhirbridge.validation.mustsupport import MustSupport
from fhirbridge.validation.outcome import ERRORS, Issue, outcome
from fhirbridge.validation.places import MAX_BYTES, Places, places, repeated_keys
from fhirbridge.validation.reading import Progress, Text, texts
from fhirbridge.validation.validator import Validator

_ENTRY = re.compile(r"Bundle\.entry\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What came of one resource, or of a file or line that holds none (then ``error`` says why).

    ``line`` counts from 1 and is None for a file that is one resource. ``entries`` are the labels of a Bundle's.
    """

    file: str
    line: int | None
    issues: Sequence[Issue] = ()
    label: str = ""
    error: InputError | None = None
    entries: Sequence[str] = ()
    places: Places | None = None

    @property
    def is_valid(self) -> bool:
        """Whether the resource could be read and no error was found."""
        return self.error is None and not any(issue.severity in ERRORS for issue in self.issues)

    @property
    def place(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"

    @property
    def outcome(self) -> Resource:
        """The findings as an OperationOutcome; a file or line that holds no resource is one fatal issue."""
        return outcome(self.issues if self.error is None else [self.unusable()])

    def unusable(self) -> Issue:
        """Return the error as a finding."""
        return Issue("fatal", "structure", "input", str(self.error), "")

    def line_of(self, issue: Issue) -> int:
        """Return the line of the file where a finding stands."""
        if self.line is not None:
            return self.line
        return self.places.line(issue.path) if self.places else 1

    def name_of(self, issue: Issue) -> str:
        """Return what the finding is about: the resource, in a Bundle with the entry (``entry[3] Patient/p``)."""
        entry = self.entry_of(issue)
        return self.label if entry is None else f"{self.label} entry[{entry}] {self.entries[entry]}"

    def entry_of(self, issue: Issue) -> int | None:
        """Return the number of the Bundle entry that a finding is in."""
        found = _ENTRY.match(issue.path) if self.entries else None
        return int(found[1]) if found and int(found[1]) < len(self.entries) else None


@dataclass
class Asked:
    """What to do with every resource besides validating it."""

    profiles: Sequence[str] = ()
    accepted: Accepted = field(default_factory=Accepted)
    must_support: MustSupport | None = None
    errors_only: bool = False
    """Ask the compiled checks first, and explain only what they refuse: warnings are not looked for."""


def validate_paths(
    validator: Validator,
    paths: Iterable[str | Path],
    asked: Asked | None = None,
    progress: Progress | None = None,
) -> Iterator[FileOutcome]:
    """Validate files, folders (every .json, .ndjson, .jsonl, .gz below) and patterns; ``-`` is standard input.

    A file or line that cannot be used yields an outcome with an InputError, and the rest goes on; so does a resource
    whose ``meta.profile`` names a broken profile. Raises ProfileError for a profile of ``asked`` that is not loaded or
    is broken, before anything is read.
    """
    asked = asked or Asked()
    check_profiles(validator, asked)
    wanted = asked
    return (judge(validator, text, wanted) for text in texts(paths, progress))


def check_profiles(validator: Validator, asked: Asked) -> None:
    """Raise ProfileError, naming file, element and cause, if a profile that is asked for is not loaded or is broken."""
    for profile in asked.profiles:
        try:
            validator.snapshot(profile)
        except ProfileError as error:
            raise ProfileError(_with_file(validator, error)) from error


def _with_file(validator: Validator, error: ProfileError) -> str:
    """Say where a broken profile came from; the message begins with its URL."""
    url = str(error).split(maxsplit=1)[0].rstrip(":")
    where = validator.definitions.where(url)
    return str(error) if where == url else f"{where}: {error}"


def judge(validator: Validator, text: Text, asked: Asked) -> FileOutcome:
    """Validate one resource's text: its JSON, what it says, and keys that it says twice."""
    place = text.file if text.line is None else f"{text.file}:{text.line}"
    label = ""
    try:
        resource = text.value()
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            raise InputError(f"{place}: no FHIR resource: a JSON object with a resourceType is needed.")
        label = _label(resource)
        issues, where = _issues(validator, text, resource, asked)
    except ProfileError as error:
        return FileOutcome(text.file, text.line, label=label, error=_unusable(place, validator, error))
    except InputError as error:
        return FileOutcome(text.file, text.line, error=error)
    except RecursionError:
        return FileOutcome(text.file, text.line, label=label, error=InputError(f"{place}: nested too deep to be read."))
    entries = [_label(one) for one in _entries(resource)]
    return FileOutcome(text.file, text.line, issues, label, None, entries, where)


def _issues(validator: Validator, text: Text, resource: Resource, asked: Asked) -> tuple[list[Issue], Places | None]:
    repeats = fhirjson.repeats_keys(text.content, resource)
    if asked.must_support is not None:
        asked.must_support.look(resource, asked.profiles)
    if asked.errors_only and not repeats and validator.is_valid(resource, asked.profiles):
        return [], None
    issues = validator.issues(resource, asked.profiles)
    where = None
    if repeats or (issues and text.line is None and len(text.content) <= MAX_BYTES):
        where = places(text.content)
        issues = [*repeated_keys(where, resource["resourceType"]), *issues]
    if asked.errors_only:
        issues = [issue for issue in issues if issue.severity in ERRORS]
    types = [str(one.get("resourceType")) for one in _entries(resource)]
    return asked.accepted.apply(dict.fromkeys(issues), types), where


def _unusable(place: str, validator: Validator, error: ProfileError) -> ProfileError:
    return ProfileError(f"{place}: cannot be validated: {_with_file(validator, error)}")


def _entries(resource: Resource) -> list[dict[str, Any]]:
    """Return a Bundle's resources, an empty object for an entry without one."""
    entries = resource.get("entry") if resource["resourceType"] == "Bundle" else None
    listed = entries if isinstance(entries, list) else []
    found = [entry.get("resource") if isinstance(entry, dict) else None for entry in listed]
    return [one if isinstance(one, dict) else {} for one in found]


def _label(resource: dict[str, Any]) -> str:
    return f"{resource.get('resourceType', '?')}/{resource.get('id', '?')}"
