"""What `fhirbridge validate` writes: lines for people, JSON, one OperationOutcome, JUnit or SARIF, as outcomes come."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.text import Text

import fhirbridge
from fhirbridge import fhirjson
from fhirbridge.cli.console import out
from fhirbridge.errors import InputError
from fhirbridge.validation import junit, sarif
from fhirbridge.validation.mustsupport import MustSupport
from fhirbridge.validation.outcome import SEVERITIES, Group, Issue, Tally, capped, information, told, told_group
from fhirbridge.validation.report import FileOutcome

MOST_ISSUES = 10_000
"""One OperationOutcome is put together in memory, so it has a limit."""
LONGEST = 600
"""Characters of a text or a place that a line shows."""
_STYLE = {"fatal": "bold red", "error": "red", "warning": "yellow", "information": "dim"}


@dataclass
class Verdicts:
    """How to write, and what is known only when all outcomes have come: counts, notes, mustSupport."""

    format: str = "table"
    severities: tuple[str, ...] = SEVERITIES
    group: bool = False
    limit: int | None = None
    must_support: MustSupport | None = None
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("resources", "valid", "invalid", "unusable", "warnings"), 0)
    )
    notes: Callable[[], list[str]] = list

    def write(self, outcomes: Iterable[FileOutcome], stream: IO[str]) -> None:
        """Write every outcome in the format, counting as they pass."""
        passing = self._counted(outcomes)
        if self.format == "junit":
            junit.write(passing, stream)
        elif self.format == "sarif":
            sarif.write(passing, stream, fhirbridge.__version__)
        elif self.format == "json":
            self._json(passing, stream)
        elif self.format == "outcome":
            self._outcome(passing, stream)
        else:
            self._lines(passing, stream)

    def summary(self) -> str:
        """Return the counts in words."""
        return ", ".join(f"{count:,} {name}" for name, count in self.counts.items())

    def _counted(self, outcomes: Iterable[FileOutcome]) -> Iterator[FileOutcome]:
        for one in outcomes:
            self.counts["resources"] += 1
            self.counts["unusable" if one.error else "valid" if one.is_valid else "invalid"] += 1
            self.counts["warnings"] += sum(issue.severity == "warning" for issue in one.issues)
            yield one

    def _json(self, outcomes: Iterable[FileOutcome], stream: IO[str]) -> None:
        stream.write('{"outcomes": [')
        separator = "\n"
        for one in outcomes:
            if one.error or one.issues:
                stream.write(separator + fhirjson.dumps(_as_dict(one)).decode())
                separator = ",\n"
        told: dict[str, Any] = {**self.counts, "notes": self.notes()}
        if self.must_support is not None:
            told["mustSupport"] = self.must_support.as_dict()
        stream.write("\n], " + fhirjson.dumps(told).decode()[1:] + "\n")

    def _outcome(self, outcomes: Iterable[FileOutcome], stream: IO[str]) -> None:
        tally, kept = self._gathered(outcomes, self.limit or MOST_ISSUES)
        found = (
            [told_group(group) for group in tally.groups()] if self.group else [_told_at(*one) for one in kept.all()]
        )
        issues = capped(found, self.limit or MOST_ISSUES)
        issues += [information(f"… and {n} more {s}.") for s, n in kept.left_out() if not self.group]
        if not issues:
            issues.append(information("All OK"))
        issues += [information(note) for note in [*self.notes(), *self._unsupported()]]
        stream.write(fhirjson.pretty({"resourceType": "OperationOutcome", "issue": issues}) + "\n")

    def _lines(self, outcomes: Iterable[FileOutcome], stream: IO[str]) -> None:
        tally, kept = self._gathered(outcomes, self.limit or 1)
        console = out if stream is sys.stdout else Console(file=stream)
        if self.group:
            groups = tally.groups()
            for group in groups[: self.limit]:
                _print_group(console, group)
            left = len(groups) - len(groups[: self.limit])
        else:
            shown = kept.all()[: self.limit]
            for one, issue in shown:
                _print(console, one, issue)
            left = kept.total() - len(shown)
        if left:
            console.print(f"… and {left:,} more: --limit shows more of them, --group less.", highlight=False)
        for line in self._unsupported():
            console.print(Text(line), soft_wrap=True)
        console.print(Text(self.summary(), style="bold"))

    def _gathered(self, outcomes: Iterable[FileOutcome], most: int) -> tuple[Tally, _Kept]:
        tally, kept = Tally(), _Kept(most)
        for one in outcomes:
            for issue in one.issues if one.error is None else [one.unusable()]:
                if issue.severity in self.severities:
                    if self.group:
                        tally.add(issue, _where(one, issue))
                    else:
                        kept.add(one, issue)
        return tally, kept

    def _unsupported(self) -> list[str]:
        told = self.must_support.as_dict() if self.must_support else []
        return [
            f"mustSupport, never present in {one['resources']:,} resource(s) of {one['profile']}: "
            + (", ".join(one["neverPresent"]) or "nothing, all were there")
            for one in told
        ]


class _Kept:
    """The first findings of each severity, and how many there were."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: dict[str, list[tuple[FileOutcome, Issue]]] = {severity: [] for severity in SEVERITIES}
        self._count = dict.fromkeys(SEVERITIES, 0)

    def add(self, one: FileOutcome, issue: Issue) -> None:
        self._count[issue.severity] += 1
        if len(self._found[issue.severity]) < self._most:
            self._found[issue.severity].append((one, issue))

    def all(self) -> list[tuple[FileOutcome, Issue]]:
        return [row for found in self._found.values() for row in found]

    def total(self) -> int:
        return sum(self._count.values())

    def left_out(self) -> list[tuple[str, int]]:
        left = [(severity, self._count[severity] - len(found)) for severity, found in self._found.items()]
        return [(severity, count) for severity, count in left if count]


def _where(one: FileOutcome, issue: Issue) -> str:
    return " ".join(part for part in (_file(one, issue), one.name_of(issue), issue.path) if part)


def _file(one: FileOutcome, issue: Issue) -> str:
    return f"{one.file}:{one.line_of(issue)}" if one.line is not None or one.places is not None else one.file


def _print(console: Console, one: FileOutcome, issue: Issue) -> None:
    head = Text.assemble(
        (issue.severity, _STYLE[issue.severity]),
        ("  " + _file(one, issue), "bold"),
        "  " + one.name_of(issue) if one.label else "",
        (f"  [{issue.rule}]", "dim"),
    )
    _body(console, head, issue, issue.path)


def _print_group(console: Console, group: Group) -> None:
    issue = group.issue
    head = Text.assemble(
        (issue.severity, _STYLE[issue.severity]),
        (f"  {group.count:,} time(s)", "bold"),
        (f"  [{issue.rule}]", "dim"),
    )
    _body(console, head, issue, *(group.places if issue.path else ()))


def _body(console: Console, head: Text, issue: Issue, *places: str) -> None:
    console.print(head, soft_wrap=True, highlight=False)
    for place in filter(None, places):
        console.print(Text("    " + _printable(place), style="cyan"), soft_wrap=True, highlight=False)
    console.print(Text(f"    {_printable(issue.text)} {issue.remedy}".rstrip()), soft_wrap=True, highlight=False)


def _printable(text: str) -> str:
    """Leave out what could command a terminal, and the middle of a place 100 elements deep."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} … {text[-LONGEST // 4 :]}"
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def _told_at(one: FileOutcome, issue: Issue) -> dict[str, Any]:
    """Return a finding that says in ``diagnostics`` where its resource stands."""
    place = " ".join(part for part in (_file(one, issue), one.name_of(issue), issue.remedy) if part)
    return {**told(issue), "diagnostics": place}


def _as_dict(one: FileOutcome) -> dict[str, Any]:
    file = one.file if one.file == "-" else Path(one.file).as_posix()
    return {"file": file, "line": one.line, "resource": one.label, "valid": one.is_valid, "outcome": one.outcome}


@contextmanager
def destination(output: Path | None) -> Iterator[IO[str]]:
    """Open standard output, or a file that appears under its name only when it is complete.

    A pipe or a device is written to, never replaced. Raises InputError where nothing can be written.
    """
    if output is None:
        yield sys.stdout
        return
    special = output.exists() and not output.is_file()
    made: Path | None = None
    try:
        if special:
            with output.open("w", encoding="utf-8", newline="\n") as stream:
                yield stream
            return
        handle, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
        made = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            yield stream
            stream.flush()
            os.fsync(handle)
        made.chmod(0o644)
        made.replace(output)
    except OSError as error:
        raise InputError(f"{output} cannot be written: {error.strerror}.") from error
    finally:
        if made is not None:
            made.unlink(missing_ok=True)
