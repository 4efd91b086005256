"""What each step of the main job costs: records a second and share of the whole, at 332 and at 3,320 subjects.

    python benchmarks/pipeline.py [--json] [--subjects 332 3320] [--no-push]

Every step runs alone over the whole cohort, in one process, on a fresh store and a fresh demo hospital. The absolute
figures are this machine's today; what the run asserts is a ratio: the time per subject must not grow with the cohort.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from fhirbridge import identity, settings
from fhirbridge.cli.exchange import run_push
from fhirbridge.cli.workplace import Workplace
from fhirbridge.demo.cohort import write_cohort
from fhirbridge.demo.hospital import running_hospital
from fhirbridge.records.tables import read

SIZES = (332, 3320)
MOST_GROWTH = 1.25
"""Time per subject at the larger size, as a multiple of that at the smaller."""
STEPS = ("read", "map", "validate", "store", "push")
BATCH = 2_000

T = TypeVar("T")
Figures = dict[str, tuple[int, float]]
"""By step: how many records or resources, and seconds."""


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    measured = {size: measure(size, arguments.push) for size in arguments.subjects}
    if arguments.json:
        sys.stdout.write(json.dumps(summary(measured), indent=2) + "\n")
    else:
        for size, figures in measured.items():
            _show(size, figures)
        for name, ratio in summary(measured)["ratios"].items():
            Console().print(f"{name}: {ratio:.2f} (at most {MOST_GROWTH})", highlight=False)


def measure(subjects: int, push: bool) -> Figures:
    """Run every step once over a cohort of this size."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        hospital = stack.enter_context(running_hospital(folder / "hospital")) if push else None
        identity.new_key(folder / "key")
        place = Workplace(
            settings.read(
                study="nct07120750", database=f"sqlite:///{folder / 'store.db'}", pseudonym_key=folder / "key",
                hospital=hospital,
            )
        )  # fmt: skip
        stack.callback(place.close)
        write_cohort(place.study, folder / "cohort", subjects=subjects)
        return _steps(place, folder / "cohort", push)


def _steps(place: Workplace, cohort: Path, push: bool) -> Figures:
    figures: Figures = {}
    check = place.validator.is_valid
    for _, resource in place.map(place.study):
        check(resource)
    records, seconds = timed(lambda: _read(place, cohort))
    figures["read"] = (len(records), seconds)
    mapped, seconds = timed(lambda: [found for record in records for found in place.map(record)])
    figures["map"] = (len(mapped), seconds)
    valid, seconds = timed(lambda: sum(check(resource) for _, resource in mapped))
    if valid != len(mapped):
        raise SystemExit(f"{len(mapped) - valid} of {len(mapped)} mapped resources are invalid: nothing to measure")
    figures["validate"] = (valid, seconds)
    ranked = [*place.map(place.study), *{(r["resourceType"], r["id"]): (rank, r) for rank, r in mapped}.values()]
    figures["store"] = (len(ranked), timed(lambda: _store(place, ranked))[1])
    if push:
        report, seconds = timed(lambda: run_push(place, quiet=True))
        if not report.complete:
            raise SystemExit(f"the push is not complete: {report.as_dict()}")
        figures["push"] = (report.sent, seconds)
    return figures


def _read(place: Workplace, cohort: Path) -> list[Any]:
    with read(cohort, place.study, today=dt.date.today()) as batch:  # noqa: DTZ011  # any day after the cohort's will do
        return [record for group in batch.subjects() for record in group.records]


def _store(place: Workplace, ranked: list[Any]) -> None:
    run = place.bound_store.start_run("benchmark")
    for start in range(0, len(ranked), BATCH):
        with place.store.transaction() as transaction:
            transaction.put(ranked[start : start + BATCH], run=run)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return what the work returns and the seconds it took."""
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def summary(measured: dict[int, Figures]) -> dict[str, Any]:
    """Return ratios, their bounds, and the figures they come from."""
    figures = dict(_figures(measured))
    sizes = sorted(measured)
    small, large = sizes[0], sizes[-1]
    ratios = {}
    if small != large:
        for step in measured[small]:
            ratios[f"{step}: time per subject, {large} over {small}"] = (measured[large][step][1] / large) / (
                measured[small][step][1] / small
            )
        whole = {size: sum(seconds for _, seconds in found.values()) / size for size, found in measured.items()}
        ratios[f"all: time per subject, {large} over {small}"] = whole[large] / whole[small]
    return {"ratios": ratios, "bounds": {name: ["le", MOST_GROWTH] for name in ratios}, "figures": figures}


def _figures(measured: dict[int, Figures]) -> Iterator[tuple[str, float]]:
    for size, found in measured.items():
        whole = sum(seconds for _, seconds in found.values())
        for step, (count, seconds) in found.items():
            yield f"{size} subjects, {step}: per second", round(count / seconds, 1)
            yield f"{size} subjects, {step}: share of the whole", round(seconds / whole, 4)


def _show(size: int, figures: Figures) -> None:
    whole = sum(seconds for _, seconds in figures.values())
    table = Table(title=f"{size:,} subjects: {whole / size * 1000:.1f} ms a subject", title_justify="left")
    for name in ("step", "items", "seconds", "items/s", "share"):
        table.add_column(name, justify="left" if name == "step" else "right")
    for step, (count, seconds) in figures.items():
        table.add_row(step, f"{count:,}", f"{seconds:.1f}", f"{count / seconds:,.0f}", f"{seconds / whole:.0%}")
    Console().print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print ratios, bounds and figures as JSON")
    parser.add_argument("--subjects", type=int, nargs="+", default=list(SIZES), help="cohort sizes")
    parser.add_argument("--no-push", dest="push", action="store_false", help="leave the hospital out")
    return parser.parse_args()


if __name__ == "__main__":
    main()
