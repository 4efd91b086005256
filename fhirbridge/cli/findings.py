"""Findings as lines for people: severity, place and rule, then the element, the cause and the remedy."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from fhirbridge.validation.outcome import SEVERITIES, Group, Issue
from fhirbridge.validation.report import FileOutcome

LONGEST = 600
"""Characters of a text or a place that a line shows."""
_STYLE = {"fatal": "bold red", "error": "red", "warning": "yellow", "information": "dim"}


class Kept:
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


def where(one: FileOutcome, issue: Issue) -> str:
    """Say file, line, resource and element."""
    return " ".join(part for part in (line_of(one, issue), one.name_of(issue), issue.path) if part)


def line_of(one: FileOutcome, issue: Issue) -> str:
    """Say the file, and the line where that is known."""
    return f"{one.file}:{one.line_of(issue)}" if one.line is not None or one.places is not None else one.file


def show(console: Console, one: FileOutcome, issue: Issue) -> None:
    """Print one finding."""
    head = Text.assemble(
        (issue.severity, _STYLE[issue.severity]),
        ("  " + line_of(one, issue), "bold"),
        "  " + _printable(one.name_of(issue)) if one.label else "",
        (f"  [{issue.rule}]", "dim"),
    )
    _body(console, head, issue, issue.path)


def show_group(console: Console, group: Group) -> None:
    """Print what the same finding at many places has in common, and the first places."""
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
    text = f"    {_printable(issue.text)} {_printable(issue.remedy)}"
    console.print(Text(text.rstrip()), soft_wrap=True, highlight=False)


def _printable(text: str) -> str:
    """Leave out what could command a terminal, and the middle of a place 100 elements deep."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} … {text[-LONGEST // 4 :]}"
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
