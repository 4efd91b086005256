"""`fhirbridge coverage`: which expected values are there, waiting or missing, and whether entered and pulled agree."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, app, working
from fhirbridge.cli.subjects import every_subject, numbered, result_of
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import InputError
from fhirbridge.sync.pull.concordance import AGREEMENTS, Agreement
from fhirbridge.sync.pull.coverage import STATES, YARDSTICK, Coverage, State, cover, exact, filled
from fhirbridge.sync.pull.coverage_chart import svg


@app.command()
def coverage(
    context: typer.Context,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="NUMBER", help="This subject alone, visit by visit.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.svg", help="Draw it, a bar for each analyte and visit.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what the schedule expects: filled, waiting in the inbox, late, missed, due; entered and pulled alike.

    Where people entered a value and one was pulled too, the two are compared.

    Example: fhirbridge coverage --plot coverage.svg
    """
    with working(context, as_json) as place:
        if plot is not None and plot.suffix.lower() != ".svg":
            raise InputError(f"{plot} cannot be drawn: name a file that ends in .svg.")
        subjects = [numbered(place, subject)] if subject else every_subject(place)
        study = place.pulled_study
        today = place.today
        found = cover(place.bound_store, study, subjects, lambda one: result_of(one, study), today=today)
        if plot is not None:
            _draw(found, plot)
        if as_json:
            console.emit({"study": study.id, "today": today.isoformat(), **found.as_dict()})
        else:
            _show(place, found, subject)


def _draw(found: Coverage, plot: Path) -> None:
    try:
        plot.write_text(svg(found), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{plot} cannot be written: {error.strerror}. Check the folder and its permissions."
        ) from error


def _show(place: Workplace, found: Coverage, subject: str | None) -> None:
    if not found.cells:
        console.say("Nothing is expected: no subject with an anchor date is in the store.")
        return
    if subject is not None:
        rows = [
            (one.visit, one.analyte, one.state, ", ".join(one.by) or None, f"{one.opens} to {one.closes}")
            for one in found.cells
        ]
        console.table(f"{place.study.id}: {subject}", "visit", "analyte", "state", "from", "window", rows=rows)
    else:
        _table(found, "analyte", f"{place.study.id}: expected values by analyte")
        _table(found, "visit", "By visit")
    _compare(found)


def _table(found: Coverage, name: Literal["analyte", "visit"], title: str) -> None:
    rows = [_row(value, found.counts(name, value)) for value in found.names(name)]
    console.table(title, name, *STATES, "%", rows=rows, total=_row("all", found.counts(name)))


def _row(value: str, counts: Counter[State]) -> tuple[Any, ...]:
    return (value, *(counts[state] for state in STATES), _percent(filled(counts)))


def _compare(found: Coverage) -> None:
    """Say how entered and pulled values agree, and how others fared."""
    if found.compared:
        told = [how for how in AGREEMENTS if found.agreements[how]]
        rows = [_agreed(name, counts, told) for name, counts in sorted(found.compared.items())]
        total = _agreed("all", found.agreements, told)
        console.table("Entered by hand and pulled", "analyte", *told, "exact %", rows=rows, total=total)
    else:
        console.say("No value was both entered by hand and pulled, so there is nothing to compare.")
    console.say(
        f"Published for such transfers (Cheng et al., JCTS 2022): {YARDSTICK['filled']:.0%} filled, "
        f"{YARDSTICK['exact']:.0%} exactly concordant."
    )


def _agreed(name: str, counts: Counter[Agreement], told: list[Agreement]) -> tuple[Any, ...]:
    return (name, *(counts[how] for how in told), _percent(exact(counts)))


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 1)
