"""What `fhirbridge validate` writes: lines for people, JSON, one OperationOutcome, JUnit or SARIF, as outcomes come."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.text import Text

import fhirbridge
from fhirbridge import fhirjson
from fhirbridge.cli.console import out
from fhirbridge.cli.findings import Kept, line_of, show, show_group, where
from fhirbridge.validation import junit, sarif
from fhirbridge.validation.mustsupport import MustSupport
from fhirbridge.validation.outcome import SEVERITIES, Issue, Tally, capped, information, told, told_group
from fhirbridge.validation.report import FileOutcome

MOST_ISSUES = 10_000
"""One OperationOutcome is put together in memory, so it has a limit."""


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
                show_group(console, group)
            left = len(groups) - len(groups[: self.limit])
        else:
            shown = kept.all()[: self.limit]
            for one, issue in shown:
                show(console, one, issue)
            left = kept.total() - len(shown)
        if left:
            console.print(f"… and {left:,} more: --limit shows more of them, --group less.", highlight=False)
        for line in self._unsupported():
            console.print(Text(line), soft_wrap=True)
        console.print(Text(self.summary(), style="bold"))
        if self.counts["warnings"] and "warning" not in self.severities:
            console.print("--warnings shows the warnings.", highlight=False)

    def _gathered(self, outcomes: Iterable[FileOutcome], most: int) -> tuple[Tally, Kept]:
        tally, kept = Tally(), Kept(most)
        for one in outcomes:
            for issue in one.issues if one.error is None else [one.unusable()]:
                if issue.severity in self.severities:
                    if self.group:
                        tally.add(issue, where(one, issue))
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


def _told_at(one: FileOutcome, issue: Issue) -> dict[str, Any]:
    """Return a finding that says in ``diagnostics`` where its resource stands."""
    place = " ".join(part for part in (line_of(one, issue), one.name_of(issue), issue.remedy) if part)
    return {**told(issue), "diagnostics": place}


def _as_dict(one: FileOutcome) -> dict[str, Any]:
    file = one.file if one.file == "-" else Path(one.file).as_posix()
    return {"file": file, "line": one.line, "resource": one.label, "valid": one.is_valid, "outcome": one.outcome}
