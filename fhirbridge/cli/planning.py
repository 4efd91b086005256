"""Commands that plan what to send to the hospital's FHIR server, and do exactly what was planned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from fhirbridge import fhirjson, settings
from fhirbridge.automation import logs
from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, HospitalUrl, app, working
from fhirbridge.cli.exchange import SHOWN, ended, run_push, show_push
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import EXIT_REFUSED, InputError
from fhirbridge.sync import planfile
from fhirbridge.sync.differences import ABSENT
from fhirbridge.sync.plan import PlanCounts, Planner, chooser
from fhirbridge.sync.planfile import SavedPlan
from fhirbridge.sync.planning import SENT, Change
from fhirbridge.sync.push import PushReport

ACTIONS = ("create", "update", "retract", "delete", "adopt", "no-op", "conflict", "parked", "held")

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="A plan that `fhirbridge plan --output` wrote.")]
Limit = Annotated[int, typer.Option("--limit", min=0, help="Changes that are shown in full.")]


@app.command()
def plan(
    context: typer.Context,
    hospital: HospitalUrl = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PLAN", help="Save the plan for `fhirbridge apply`.")
    ] = None,
    look: Annotated[
        bool, typer.Option(help="Ask the server what it holds of what would be changed, to find conflicts now.")
    ] = True,
    limit: Limit = SHOWN,
    as_json: AsJson = False,
) -> None:
    """Show what a push would do, field by field, before anything is sent.

    Saved with --output, the plan can be read and approved, and `fhirbridge apply` does exactly that or nothing.
    Exits 1 if something in it needs a person: a conflict, a parked resource, one that refers to it.

    Example: fhirbridge plan --output monday.plan
    """
    with working(context, as_json, hospital=hospital) as place:
        counts, shown = make_plan(place, output, look=look, limit=limit, quiet=as_json)
        if as_json:
            changes = [change.as_dict() for change in shown]
            console.emit({"server": place.server, "study": place.study.id, **counts.as_dict(), "changes": changes})
        else:
            _show_plan(place, counts, shown, output)
        if any(counts.actions[action] for action in ("conflict", "parked", "held")):
            raise typer.Exit(EXIT_REFUSED)


@app.command()
def apply(context: typer.Context, file: PlanFile, hospital: HospitalUrl = None, as_json: AsJson = False) -> None:
    """Do exactly what a saved plan says; refuse, and send nothing, if the study or the server moved since.

    Exits 1 if the plan no longer holds: make it anew.

    Example: fhirbridge apply monday.plan
    """
    with console.told(as_json):
        saved = SavedPlan(file)
        named = hospital or settings.read(context.obj).hospital
    with working(context, as_json, hospital=named or saved.header.server) as place:
        moved = _moved(place, saved)
        if moved:
            _refuse(moved, "nothing was sent", as_json)
        report, left_out = run_apply(place, saved, quiet=as_json)
        if left_out and not report.interrupted:
            if not as_json:
                show_push(report, "Applied to")
            _refuse(left_out, f"{console.many(report.sent, 'resource')} of it went before that was seen", as_json)
        ended(report, as_json, "Applied to")


def run_apply(place: Workplace, saved: SavedPlan, *, quiet: bool = False) -> tuple[PushReport, list[str]]:
    """Apply a saved plan whose changes were found to hold; return in words what moved meanwhile and was left out."""
    left_out: list[str] = []
    report = run_push(
        place,
        quiet=quiet,
        impatient=True,
        compartments=saved.compartments,
        chosen=chooser(saved.group, left_out),
        command="apply",
        left_out=left_out,
    )
    return report, left_out


def _refuse(moved: Sequence[str], what_was_sent: str, as_json: bool) -> None:
    if as_json:
        console.emit({"applied": False, "moved": moved})
    for line in moved[:SHOWN]:
        console.remark(f"moved: {line}")
    if len(moved) > SHOWN:
        console.remark(f"… and {len(moved) - SHOWN:,} more")
    console.remark(
        f"refused: {console.many(len(moved), 'change')} of the plan no longer hold; {what_was_sent}. "
        "Make the plan anew: fhirbridge plan --output PLAN"
    )
    raise typer.Exit(EXIT_REFUSED)


def make_plan(
    place: Workplace, output: Path | None, *, look: bool, limit: int, quiet: bool
) -> tuple[PlanCounts, list[Change]]:
    """Make the plan, write it down if that is asked for, and keep what is to be shown: what needs a person first."""
    store, options = place.bound_store, place.push_options
    with place.hospital(ask_first=look) as hospital, console.progress("plan", quiet=quiet) as advance:
        planner = Planner(store, hospital, place.study.id, options, look=look)
        shown: list[Change] = []
        backlog = store.backlog(hospital.server_id, place.study.id, options.withdrawal)

        def changes() -> Iterator[Change]:
            for done, one in enumerate((one for group in planner.groups() for one in group), 1):
                if len(shown) < limit and one.change.action != "no-op":
                    shown.append(one.change)
                if done % 100 == 0:
                    advance(done, backlog.pending)
                yield one.change
            advance(backlog.pending, backlog.pending)

        if output is None:
            for _ in changes():
                pass
        else:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            header = planfile.Header(
                server=hospital.server_id, study=place.study.id, withdrawal=options.withdrawal, made=now
            )
            planfile.save(output, header, changes(), planner.counts)
    with logs.about(command="plan", study=place.study.id, server=place.server) as note:
        note("plan_made", counts=planner.counts.actions)
    return planner.counts, shown


def _moved(place: Workplace, saved: SavedPlan) -> list[str]:
    """Hold a saved plan against the store and the server, and return in words what no longer holds."""
    header = saved.header
    if header.server != place.server:
        raise InputError(
            f"the plan is for {header.server}, and the hospital that is set is {place.server}. Make the plan anew for "
            "that one, or name the plan's with --hospital."
        )
    if header.study != place.study.id or header.withdrawal != place.settings.withdrawal:
        raise InputError(
            f"the plan is for study {header.study} under withdrawal policy {header.withdrawal!r}; the settings say "
            f"{place.study.id} and {place.settings.withdrawal!r}. Use the same settings, or make the plan anew."
        )
    moved: list[str] = []
    with place.hospital() as hospital:
        planner = Planner(place.bound_store, hospital, place.study.id, place.push_options)
        for compartment in saved.compartments:
            moved += planner.moved(compartment, saved.group(compartment))
    return moved


def _show_plan(place: Workplace, counts: PlanCounts, shown: Sequence[Change], output: Path | None) -> None:
    used = [action for action in ACTIONS if counts.actions[action]]
    rows = [(kind, *(found[action] for action in used)) for kind, found in sorted(counts.by_type.items())]
    if rows:
        console.table(f"Plan for {place.server}", "type", *used, rows=rows, total=console.sums("all", rows))
    withheld = f", {counts.withheld:,} withheld after withdrawal" if counts.withheld else ""
    console.say(
        f"{console.many(counts.desired, 'resource')}: {counts.actions.total():,} in the plan, "
        f"{counts.unchanged:,} unchanged{withheld}."
    )
    for change in shown:
        why = f" ({change.why})" if change.why else ""
        console.say(f"{change.action} {change.type}/{change.id}{why}")
        for field in change.fields:
            console.say(f"    {field.path}: {_value(field.old)} → {_value(field.new)}")
    if rest := counts.actions.total() - counts.actions["no-op"] - len(shown):
        console.say(f"… and {rest:,} more: --limit shows more of them, --output saves all.")
    _say_next(place, counts, output)


def _say_next(place: Workplace, counts: PlanCounts, output: Path | None) -> None:
    server, actions = str(place.server), counts.actions
    if known := place.store.open_conflicts(server, place.study.id):
        console.say(f"{console.many(known, 'open conflict')}: fhirbridge conflicts list")
    elif actions["conflict"]:
        console.say("Others changed these there: the next push or reconcile notes it, then fhirbridge conflicts list")
    if actions["parked"]:
        console.say(f"{console.many(actions['parked'], 'dead letter')}: fhirbridge deadletters list")
    if output is not None:
        console.say(f"Saved. Next: fhirbridge apply {output}")
    elif any(actions[action] for action in SENT):
        console.say("Nothing was sent. Next: fhirbridge push")


def _value(value: Any) -> str:
    return "(nothing)" if value is ABSENT else fhirjson.dumps(value).decode()
