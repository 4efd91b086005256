"""`fhirbridge demo`: the main job from study records to a registry's answers, in tables whose counts balance."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fhirbridge import identity, sealing, settings
from fhirbridge.automation import logs
from fhirbridge.cli import console, demo_registry, demo_shown
from fhirbridge.cli.app import AsJson, app
from fhirbridge.cli.demo_month import LivedMonth, leave_out, of_the_month
from fhirbridge.cli.demo_registry import Visit
from fhirbridge.cli.demo_steps import Steps
from fhirbridge.cli.exchange import run_push
from fhirbridge.cli.loading import load_records
from fhirbridge.cli.planning import make_plan, run_apply
from fhirbridge.cli.pull import run_pull
from fhirbridge.cli.reconciling import run_reconcile
from fhirbridge.cli.workplace import Workplace
from fhirbridge.demo.cohort import write_cohort
from fhirbridge.demo.hospital import running_hospital
from fhirbridge.errors import EXIT_REFUSED, ConfigurationError
from fhirbridge.hospital import put_entry
from fhirbridge.records.types import Subject
from fhirbridge.sync.naming import Name
from fhirbridge.sync.planfile import SavedPlan
from fhirbridge.sync.push import PushReport
from fhirbridge.sync.reconcile import ReconcileReport
from fhirbridge.sync.settling import dispute, settle

MARK = "made-by-fhirbridge-demo"
"""A folder with this file in it is ours to empty."""


@app.command()
def demo(
    subjects: Annotated[int, typer.Option(min=1, max=10_000, help="Subjects of the synthetic cohort.")] = 332,
    directory: Annotated[Path, typer.Option(help="Where everything goes; emptied first.")] = Path(".demo"),
    as_json: AsJson = False,
) -> None:
    """Run the main job end to end on a hospital of its own.

    Starts a real FHIR server on the loopback interface, writes a synthetic cohort of the study, loads it, plans what
    to send and applies that plan. Then somebody at the hospital edits a result; reconciling finds it, and it is
    settled. The hospital's laboratories report results day by day: each pull finds them, the inbox fills, a correction
    reopens a decision, and what is accepted is recorded. The next push sends it, another one finds nothing to do, and
    everything is read back. In the end a registry with a data-use agreement asks three questions of our own FHIR API: a
    search, an include, an export. What it gets is held against the store, and the audit trail is checked. Nothing
    outside the directory is touched, and both servers stop when the command does.

    Example, for the impatient: fhirbridge demo --subjects 20
    """
    with console.told(as_json), logs.silent():
        _empty(directory)
        console.remark("A FHIR server starts on the loopback interface: the hospital.")
        with running_hospital(directory / "hospital") as base_url:
            steps, visit = _story(_place(directory, base_url), directory / "cohort", subjects)
        if as_json:
            told = [{**asdict(step), "balances": step.balances} for step in steps]
            console.emit({"hospital": base_url, "steps": told, "registry": demo_shown.told(visit)})
        else:
            demo_shown.show(steps, visit, directory)
        if not visit.true or not all(step.balances and not step.refused for step in steps):
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
    key, file, linking = directory / "fhirbridge.key", directory / "fhirbridge.toml", directory / "linking.key"
    identity.new_key(key)
    sealing.new_key(linking)
    database = f"sqlite:///{(directory / 'fhirbridge.db').absolute().as_posix()}"
    keys = {"pseudonym_key": key.absolute().as_posix(), "linking_key": linking.absolute().as_posix()}
    lines = {"hospital": base_url, "database": database, **keys, **demo_registry.prepared(directory)}
    file.write_text("".join(f'{name} = "{value}"\n' for name, value in lines.items()), encoding="utf-8")
    return Workplace(settings.read(file, **lines))  # the demo keeps to its folder, whatever the environment says


def _story(place: Workplace, records: Path, subjects: int) -> tuple[Steps, Visit]:
    try:
        steps = Steps()
        chosen = of_the_month(place.study, subjects)
        _load(place, records, subjects, chosen, steps)
        saved = records.parent / "plan.ndjson"
        counts, _ = make_plan(place, saved, look=True, limit=0, quiet=False)
        planned, steps.withheld = counts.actions.total(), counts.withheld
        steps.add("plan", counts.desired, done=planned, unchanged=counts.unchanged + counts.withheld)
        console.remark(f"The plan, in {saved}, is to create {counts.actions['create']:,} resources. Nothing was sent.")
        report, left_out = run_apply(place, SavedPlan(saved))
        _add_push(steps, "apply that plan", report, refused=len(left_out))
        console.remark(f"Exactly that plan was applied: {console.many(report.sent, 'resource')} sent.")
        _quarrel(place, steps)
        _live_the_month(place, records.parent, chosen, steps)
        for name in ("push", "push again"):
            report = run_push(place)
            _add_push(steps, name, report)
            console.remark(
                f"A push sends {console.many(report.sent, 'resource')} ({console.many(report.requests, 'request')})."
            )
        read = run_reconcile(place, full=True)
        wrong = read.total.drifted + read.total.missing
        steps.add("read all back", read.total.stored, done=_in_step(read), refused=wrong)
        console.remark(f"Read back and compared: {_in_step(read):,} as they should be, {wrong:,} not.")
        return steps, _let_in(place, records, steps)
    finally:
        place.close()


def _let_in(place: Workplace, records: Path, steps: Steps) -> Visit:
    """Have a registry ask its questions."""
    visit = demo_registry.visit(place, records.parent, records)
    steps.add("release", visit.looked_at, done=visit.released, unchanged=visit.looked_at - visit.released)
    steps.also("answer a registry", visit.held, done=visit.came)
    return visit


def _quarrel(place: Workplace, steps: Steps) -> None:
    """Have somebody at the hospital edit a result, find that out, and decide whose version stands."""
    edited = _edit_at_the_hospital(place)
    steps.add("edit by the hospital", 1, done=1)
    console.remark(f"Somebody at the hospital edits a result, past us: Observation/{edited[1]}.")
    drift = run_reconcile(place)
    steps.add("reconcile: drift", drift.total.stored, done=drift.total.drifted, unchanged=_in_step(drift))
    paths = ", ".join(drift.drifted_paths)
    console.remark(f"Reconciling finds it ({paths}) and overwrites nothing: it is a conflict to settle.")
    found = dispute(place.store, drift.server, edited, place.settings.withdrawal)
    with place.run("settle") as run:
        settle(place.store, drift.server, found, "ours", by="demo", reason="the study's result stands", run=run.id)
        run.end("done", {"settled": 1})
    steps.add("settle: ours", drift.conflicts, done=1)
    console.remark("It is settled: the study's version stands.")


def _live_the_month(place: Workplace, directory: Path, chosen: Sequence[Subject], steps: Steps) -> None:
    """Have the hospital's laboratories report day by day, pull each time, and decide as a coordinator does."""
    if not chosen:
        console.remark("Too few subjects for the hospital's month of results: --subjects 12 has it.")
        return
    lived = LivedMonth(place, directory, chosen)
    steps.add("link subjects", len(chosen), done=len(chosen))
    for day in lived.days:
        console.remark(f"Day {day.number} at the hospital. {day.what}")
        report = lived.day(day)
        total = report.funnel.as_dict()["total"]
        new = total["fates"]["new"] + total["fates"]["changed"]
        steps.add(f"pull, day {day.number}", total["found"], done=new, unchanged=total["found"] - new)
        states = ", ".join(f"{count:,} {state}" for state, count in total["states"].items() if count)
        console.remark(
            f"The pull asks {console.many(report.asked, 'subject')} and finds {total['found']:,}: {new:,} new or "
            f"changed ({states or 'none'}); the funnel {'balances' if report.balanced else 'does NOT balance'}."
        )
        for stopped in report.refused:
            console.remark(f"One is not asked about: {stopped.reason}.")
        decided = lived.evening(day)
        console.remark(f"{report.waiting:,} wait in the inbox; the coordinator decides on {decided:,}.")
    last = run_pull(place, quiet=True)
    assert last.recording is not None
    due = last.recording.due
    steps.add("record decisions", due, done=due - len(last.recording.findings), refused=len(last.recording.findings))


def _load(place: Workplace, records: Path, subjects: int, chosen: Sequence[Subject], steps: Steps) -> None:
    written = write_cohort(place.study, records, subjects=subjects)
    rows = written.subjects + written.laboratory + written.imaging + written.lesions - leave_out(records, chosen)
    steps.add("write records", rows, done=rows)
    loaded = load_records(place, records, today=place.today)
    steps.add("load their rows", loaded.rows, done=loaded.accepted, unchanged=loaded.duplicate, refused=loaded.refused)
    fates = loaded.resources
    steps.also("store as FHIR", sum(fates.values()), done=fates["created"], unchanged=fates["unchanged"])
    console.remark(
        f"{console.many(subjects, 'synthetic subject')}: {loaded.accepted:,} of {loaded.rows:,} rows became "
        f"{console.many(fates['created'], 'valid FHIR resource')}."
    )


def _add_push(steps: Steps, name: str, report: PushReport, *, refused: int = 0) -> None:
    unchanged = report.fates["unchanged"] + report.fates["withheld"]
    left = report.desired - report.sent - unchanged
    steps.add(name, report.desired, done=report.sent, unchanged=unchanged, refused=max(left, refused))


def _edit_at_the_hospital(place: Workplace) -> Name:
    """Have somebody at the hospital add a note to one of our results, past us, as any other client may."""
    chosen = next(place.store.iterate(place.study.id, types=["Observation"]))
    with place.hospital() as hospital:
        theirs = hospital.read(chosen.type, chosen.id)
        theirs["note"] = [{"text": "Repeat in four weeks."}]
        hospital.send([put_entry(theirs, base_url=hospital.base_url)], "single")
    return chosen.type, chosen.id


def _in_step(report: ReconcileReport) -> int:
    """Count what is as it should be; what was withheld after a withdrawal shall not be there."""
    total = report.total
    return total.same + total.digits_lost + total.pending + total.none
