"""`fhirbridge demo`: the main job from end to end, on a hospital of its own, in one table whose counts balance."""

from __future__ import annotations

import datetime as dt
import shutil
import sys
import time
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Annotated

import typer

from fhirbridge import identity, settings
from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, app
from fhirbridge.cli.exchange import run_push, run_verify
from fhirbridge.cli.loading import load_records
from fhirbridge.cli.workplace import Workplace
from fhirbridge.demo.cohort import write_cohort
from fhirbridge.demo.hospital import running_hospital
from fhirbridge.errors import EXIT_REFUSED, ConfigurationError

MARK = "made-by-fhirbridge-demo"
"""A folder with this file in it is ours to empty."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the closing table: ``total`` is what went in, the others are what became of it."""

    step: str
    total: int
    done: int
    unchanged: int
    refused: int
    seconds: float | None
    """None where the step's time is part of the one before."""

    @property
    def balances(self) -> bool:
        """Nothing that went in is unaccounted for."""
        return self.total == self.done + self.unchanged + self.refused


class Steps(list[Step]):
    """The steps so far; ``add`` takes the time since the one before."""

    def __init__(self) -> None:
        super().__init__()
        self._since = time.monotonic()

    def add(self, step: str, total: int, *, done: int = 0, unchanged: int = 0, refused: int = 0) -> None:
        """Close a step with its counts."""
        now = time.monotonic()
        self.append(Step(step, total, done, unchanged, refused, now - self._since))
        self._since = now

    def also(self, step: str, total: int, *, done: int = 0, unchanged: int = 0, refused: int = 0) -> None:
        """Add what the step before counted too."""
        self.append(Step(step, total, done, unchanged, refused, None))


@app.command()
def demo(
    subjects: Annotated[int, typer.Option(min=1, max=10_000, help="Subjects of the synthetic cohort.")] = 332,
    directory: Annotated[Path, typer.Option(help="Where everything goes; emptied first.")] = Path(".demo"),
    as_json: AsJson = False,
) -> None:
    """Run the main job end to end on a hospital of its own.

    Starts a real FHIR server on the loopback interface, writes a synthetic cohort of the study, loads it, pushes it,
    pushes it again (nothing to do) and reads everything back. Nothing outside the directory is touched, and the
    server stops when the command does.
    """
    with console.told(as_json):
        _empty(directory)
        console.err.print("Starting a FHIR server on the loopback interface: the hospital", highlight=False)
        with running_hospital(directory / "hospital") as base_url:
            steps = _story(_place(directory, base_url), directory / "cohort", subjects)
        if as_json:
            console.emit(
                {"hospital": base_url, "steps": [{**asdict(step), "balances": step.balances} for step in steps]}
            )
        else:
            _show(steps, directory)
        if not all(step.balances and not step.refused for step in steps):
            raise typer.Exit(EXIT_REFUSED)


def _empty(directory: Path) -> None:
    """Make the folder ours, or refuse to touch what somebody else keeps there."""
    if directory.exists() and any(directory.iterdir()):
        if not (directory / MARK).is_file():
            raise ConfigurationError(f"{directory} holds other files. Give the demo an empty --directory.")
        shutil.rmtree(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MARK).touch()


def _place(directory: Path, base_url: str) -> Workplace:
    """Write the settings that later commands can go on with, and open the workplace they describe."""
    key, file = directory / "fhirbridge.key", directory / "fhirbridge.toml"
    identity.new_key(key)
    database = f"sqlite:///{(directory / 'fhirbridge.db').absolute().as_posix()}"
    lines = {"hospital": base_url, "database": database, "pseudonym_key": key.absolute().as_posix()}
    file.write_text("".join(f'{name} = "{value}"\n' for name, value in lines.items()), encoding="utf-8")
    return Workplace(settings.read(file))


def _story(place: Workplace, records: Path, subjects: int) -> Steps:
    try:
        steps = Steps()
        written = write_cohort(place.study, records, subjects=subjects)
        rows = written.subjects + written.laboratory + written.imaging + written.lesions
        steps.add("rows written", rows, done=rows)
        loaded = load_records(place, records, today=dt.datetime.now(place.study.schedule.zone).date())
        steps.add("rows loaded", loaded.rows, done=loaded.accepted, unchanged=loaded.duplicate, refused=loaded.refused)
        fates = loaded.resources
        made = sum(fates.values())
        steps.also("resources stored", made, done=fates["created"], unchanged=fates["unchanged"])
        for name in ("pushed", "pushed again"):
            sent = run_push(place)
            steps.add(
                name, sent.desired, done=sent.sent, unchanged=sent.unchanged, refused=sent.failed + sent.not_tried
            )
        read = run_verify(place)
        counts = read.total
        wrong = counts.different + counts.missing + counts.unread
        steps.add("read back", counts.expected, done=counts.same + counts.digits_lost, refused=wrong)
        return steps
    finally:
        place.close()


def _show(steps: Steps, directory: Path) -> None:
    columns = ("in", "done", "unchanged", "refused", "seconds", "balances")
    rows = [
        (*astuple(one)[:5], "" if one.seconds is None else f"{one.seconds:.1f}", "yes" if one.balances else "NO")
        for one in steps
    ]
    console.table("From study records to the hospital and back", "step", *columns, rows=rows)
    command = f"{Path(sys.argv[0])} --config {directory / 'fhirbridge.toml'}"
    console.out.print(
        "\nThe hospital has stopped; its data, the records and the store are still there. What to try next:\n"
        f"  {command} status\n"
        "      what is stored, and what waits to be sent\n"
        f"  {command} ingest {directory / 'cohort'}\n"
        "      load the same records again: nothing changes; break a row first, and see it refused and explained\n"
        f"  {command} validate profiles/examples\n"
        "      what the profiles accept and refuse\n"
        f"  {command} dictionary\n"
        "      the tables and columns that records come in",
        highlight=False,
        soft_wrap=True,
    )
