"""How a command speaks: one object or one table on standard output, progress on standard error, exit codes."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, tzinfo
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from fhirbridge import fhirjson
from fhirbridge.errors import EXIT_INTERRUPTED, FhirbridgeError, Finding

out = Console()
err = Console(stderr=True)

Advance = Callable[[int, int | None], None]
"""Called with how much is done and how much there is."""


@contextmanager
def progress(title: str, *, quiet: bool = False, in_bytes: bool = False) -> Iterator[Advance]:
    """Show a bar on standard error while the block runs; yields ``advance(done, total)``, of things or of bytes."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn() if in_bytes else MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=err,
        disable=quiet or not err.is_terminal,
        transient=False,
    )
    with bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def table(title: str, *columns: str, rows: list[tuple[Any, ...]], total: tuple[Any, ...] | None = None) -> None:
    """Print one table under its title; every column is right-aligned where its cells are numbers, None for empty."""
    out.print(Text(title, style="bold"), soft_wrap=True)  # rich would fold a title to the width of a narrow table
    shown = Table()
    for index, name in enumerate(columns):
        cells = [row[index] for row in rows if row[index] is not None]
        numeric = bool(cells) and all(isinstance(cell, int | float) for cell in cells)
        shown.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(_plain(_cell(value)) for value in row))
    if total is not None:
        shown.add_section()
        shown.add_row(*(_cell(value) for value in total), style="bold")
    out.print(shown)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def say(text: str) -> None:
    """Print a line on standard output as it is, so that commands in it can be copied whole."""
    out.print(Text(text), highlight=False, soft_wrap=True)


def remark(text: str) -> None:
    """Print a line on standard error as it is."""
    err.print(Text(text), highlight=False, soft_wrap=True)


def many(count: int, thing: str, things: str | None = None) -> str:
    """Return a number with its noun: 1 resource, 2 resources, 1,000 resources."""
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"


def moment(instant: str | datetime, zone: tzinfo, now: datetime) -> str:
    """Return an instant (ISO 8601) as people write it in a time zone: 22 Nov 18:41, or 22 Nov 2025."""
    at = (datetime.fromisoformat(instant) if isinstance(instant, str) else instant).astimezone(zone)
    return f"{at:%d %b %H:%M}" if at.year == now.astimezone(zone).year else f"{at:%d %b %Y}"


def emit(report: dict[str, Any]) -> None:
    """Print one JSON object on standard output, for scripts."""
    sys.stdout.write(fhirjson.pretty(report) + "\n")


@contextmanager
def told(as_json: bool = False) -> Iterator[None]:
    """Turn every expected failure into one message on standard error and its documented exit code."""
    try:
        yield
    except FhirbridgeError as error:
        if as_json:
            emit({"error": {"code": error.issue_code, "message": str(error)}})
        err.print(f"[bold red]error:[/] {_plain(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        err.print("interrupted: what was finished is kept, run the same command again to go on", highlight=False)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def sums(label: str, rows: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return a total row for rows of numbers behind a first column of names."""
    return (label, *(sum(column) for column in list(zip(*rows, strict=True))[1:])) if rows else (label,)


def as_dict(finding: Finding) -> dict[str, Any]:
    """Return a finding as plain JSON values, what is absent left out."""
    return {name: value for name, value in asdict(finding).items() if value is not None}


def findings(found: Iterable[Finding], *, limit: int | None = None) -> None:
    """Print refused records, at most ``limit`` of them; rows that only wait for another row are then just counted."""
    refused, held, more = list[Finding](), Counter[str](), 0
    for finding in found:
        if limit is not None and finding.rule == "held":
            held[finding.message] += 1
        elif limit is None or len(refused) < limit:
            refused.append(finding)
        else:
            more += 1
    for finding in refused:
        _finding(finding)
    for message, count in held.most_common(5):
        out.print(Text(f"{count:,} held: {message}."), soft_wrap=True, highlight=False)
    if more or held:
        rest = f"{more:,} more are refused; " if more else ""
        out.print(f"{rest}`fhirbridge quarantine` lists every one.", highlight=False)


def _finding(finding: Finding) -> None:
    place = ":".join(str(part) for part in (finding.file, finding.line, finding.column) if part is not None)
    value = "" if finding.value is None else f" = {finding.value!r}"
    field = f" {finding.field}{value}" if finding.field else ""
    head = Text.assemble(
        (place or "-", "bold"), f"  {finding.record}", (field, "yellow"), (f"  [{finding.rule}]", "dim")
    )
    out.print(head, soft_wrap=True, highlight=False)
    out.print(Text(f"    {finding.message}. {finding.remedy}"), soft_wrap=True, highlight=False)
