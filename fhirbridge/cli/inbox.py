"""`fhirbridge inbox`: what the hospital's results would mean to the study, and what a person says to that."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Annotated

import typer

from fhirbridge import fhirjson
from fhirbridge.cli import console, inbox_shown
from fhirbridge.cli.app import AsJson, app, working
from fhirbridge.cli.decisions import LISTED, By, Limit, Reason, user
from fhirbridge.cli.inbox_choice import (
    Analyte,
    Choice,
    Chosen,
    Named,
    Subject,
    Why,
    Yes,
    chosen,
    named,
    pages,
    states_of,
    subject_of,
)
from fhirbridge.cli.recording import recorder
from fhirbridge.cli.subjects import number_of
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import EXIT_REFUSED, ConfigurationError, InputError, Refused
from fhirbridge.records.overriding import check_recordable
from fhirbridge.store import INBOX, WORKLIST, Action, Candidate, NewDecision, decisions, telling
from fhirbridge.store.decisions import STATES
from fhirbridge.sync.pull.recording import RecordingReport, record

inbox = typer.Typer(help="Results of the hospital that wait for a person's yes.", no_args_is_help=True)
app.add_typer(inbox, name="inbox")

NAMED = 5
"""Candidates that are named where several were decided on."""


@inbox.command("list")
def list_inbox(
    context: typer.Context,
    analyte: Analyte = None,
    subject: Subject = None,
    state: Annotated[
        list[str] | None, typer.Option("--state", help=f"Instead of what waits: {', '.join(STATES)}; several times.")
    ] = None,
    limit: Limit = LISTED,
    as_json: AsJson = False,
) -> None:
    """List what waits for a decision, longest first: reported beside proposed value, and why. Exits 1 if anything does.

    Example: fhirbridge inbox list --analyte ALT
    """
    with working(context, as_json) as place:
        states = states_of(state, INBOX)
        about = subject_of(place, subject) if subject else None
        found = pages(place, states, analyte, about, None if as_json else limit + 1)
        if as_json:
            console.emit({"candidates": [telling.candidate(one) for one in found]})
        elif found:
            numbers = {subject: number_of(place, subject) for subject in {one.subject for one in found[:limit]}}
            inbox_shown.listed(found[:limit], numbers, place.study.schedule.zone, dt.datetime.now(dt.UTC))
            if len(found) > limit:
                console.say("… and more: --limit shows more of them, --json all; `fhirbridge inbox counts` counts.")
            console.say(f"Next: fhirbridge inbox show {found[0].name}")
        else:
            console.say("Nothing there." if state else "The inbox is empty.")
        if found and set(states) & {*INBOX, *WORKLIST}:
            raise typer.Exit(EXIT_REFUSED)


@inbox.command("show")
def show_candidate(context: typer.Context, candidate: Named, as_json: AsJson = False) -> None:
    """Show one candidate: every version of its source, old against new, all decisions, and what would be recorded.

    Example: fhirbridge inbox show C-1234
    """
    with working(context, as_json) as place:
        found = named(place, candidate).candidate
        known = place.store.candidates.get(found.key)
        decided = known[2] if known else []
        came = telling.versions(place.store.candidates.versions(found.key))
        if as_json:
            told = {"versions": came, "decisions": [telling.decision(one) for one in decided]}
            console.emit(telling.candidate(found) | told)
            return
        zone, now = place.study.schedule.zone, dt.datetime.now(dt.UTC)
        inbox_shown.shown(found, number_of(place, found.subject), came, decided, zone, now)
        console.say(f"Next: {inbox_shown.possible(found)}")


@inbox.command("counts")
def count_candidates(context: typer.Context, as_json: AsJson = False) -> None:
    """Count all candidates by analyte and state."""
    with working(context, as_json) as place:
        counts = place.store.candidates.counts(place.study.id)
        if as_json:
            console.emit(telling.counts(counts))
        elif counts:
            inbox_shown.counted(counts)
        else:
            console.say("There are no candidates. Next: fhirbridge pull")


@inbox.command("accept")
def accept_candidates(
    context: typer.Context,
    candidates: Chosen = None,
    every: Annotated[bool, typer.Option("--all", help="All that wait, or those of --analyte and --subject.")] = False,
    analyte: Analyte = None,
    subject: Subject = None,
    reason: Reason = "",
    by: By = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Accept candidates as they are proposed: some by name, or all that wait.

    Example: fhirbridge inbox accept C-1234 C-1235; fhirbridge inbox accept --all --analyte ALT --reason "monitored"
    """
    with working(context, as_json) as place:
        some = chosen(place, candidates, every=every, analyte=analyte, subject=subject, states=("waiting", "reopened"))
        _be_sure("Accept", some, ask=every and not yes, as_json=as_json)
        _decide(place, some, "accept", by=by, reason=reason, as_json=as_json)


@inbox.command("reject")
def reject_candidates(
    context: typer.Context,
    candidates: Chosen = None,
    every: Annotated[bool, typer.Option("--all", help="All that wait, or those of --analyte and --subject.")] = False,
    analyte: Analyte = None,
    subject: Subject = None,
    reason: Why = "",
    by: By = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Reject candidates: they do not become study data. The hospital's results stay as they are.

    Example: fhirbridge inbox reject C-1234 --reason "haemolysed, repeated the next day"
    """
    with working(context, as_json) as place:
        some = chosen(place, candidates, every=every, analyte=analyte, subject=subject, states=INBOX)
        _be_sure("Reject", some, ask=every and not yes, as_json=as_json)
        _decide(place, some, "reject", by=by, reason=reason, as_json=as_json)


@inbox.command("override")
def override_candidate(
    context: typer.Context,
    candidate: Named,
    value: Annotated[
        str | None, typer.Option(help="The value as the study writes it: 5.50, '<10', 'not detected'.")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="Its unit, exactly the analyte's UCUM code.")] = None,
    visit: Annotated[str | None, typer.Option(help="The visit that it belongs to.")] = None,
    analyte: Annotated[str | None, typer.Option(help="The study's analyte that it is.")] = None,
    reason: Why = "",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Accept a candidate with what you say instead of its proposal: value, unit, visit, analyte, or some of them.

    Example: fhirbridge inbox override C-1234 --value '<10' --unit '[IU]/mL' --reason "read on the paper report"
    """
    with working(context, as_json) as place:
        said = {"value": value, "unit": unit, "visit": visit, "analyte": analyte}
        given = {name: text for name, text in said.items() if text is not None}
        if not given:
            raise InputError("say what it is instead: --value, --unit, --visit or --analyte.")
        _decide(place, [named(place, candidate)], "override", by=by, reason=reason, as_json=as_json, given=given)


@inbox.command("reopen")
def reopen_candidates(
    context: typer.Context, candidates: Chosen = None, reason: Why = "", by: By = None, as_json: AsJson = False
) -> None:
    """Take decisions back: the candidates wait again. What was recorded of them stands until there is a new decision.

    Example: fhirbridge inbox reopen C-1234 --reason "wrong tube"
    """
    with working(context, as_json) as place:
        some = chosen(place, candidates, every=False, analyte=None, subject=None, states=())
        _decide(place, some, "reopen", by=by, reason=reason, as_json=as_json)


@inbox.command("token")
def make_token(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Whose it is: decisions made with it bear this name.")],
    read_only: Annotated[bool, typer.Option("--read-only", help="It may look, and decides nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give somebody a token for the inbox of the API, and print it once; an older one of theirs works no more.

    Example: fhirbridge inbox token kim
    """
    from fhirbridge.api import bearers  # with it comes the web framework, which no other command needs

    with working(context, as_json) as place:
        path = place.settings.inbox_tokens
        if path is None:
            raise ConfigurationError("no file of tokens is set: `inbox_tokens`, or FHIRBRIDGE_INBOX_TOKENS.")
        token, had = bearers.add(path, name, decides=not read_only)
        if as_json:
            console.emit({"name": name, "token": token, "replaced": had})
        else:
            console.say(token)
            console.remark(
                f"The token of {name}: keep it, it is shown once." + (" The older one is void." if had else "")
            )


def _be_sure(verb: str, some: Sequence[Choice], *, ask: bool, as_json: bool) -> None:
    """Ask before all that wait are decided on; without a yes nothing is. Raises InputError where nobody can answer."""
    if not (some and ask):
        return
    if as_json:
        raise InputError("--all with --json does not ask: give --yes.")
    if not typer.confirm(f"{verb} {console.many(len(some), 'candidate')}?"):
        raise typer.Exit(EXIT_REFUSED)


def _decide(
    place: Workplace,
    some: Sequence[Choice],
    action: Action,
    *,
    by: str | None,
    reason: str,
    as_json: bool,
    given: dict[str, str] | None = None,
) -> None:
    """Decide on candidates one by one, say what became of each; exit 1 if any of them was refused."""
    value = fhirjson.dumps(given) if given else None
    new = NewDecision(action=action, by=by or user(), reason=reason, value=value)
    done, refused = list[Candidate](), dict[str, str]()
    recorded: RecordingReport | None = None
    if some:
        with place.run("adjudicate") as run:
            for one in some:
                try:
                    done.append(_decided(place, one, new, run.id))
                except Refused as error:
                    refused[one.candidate.name] = str(error)
                else:
                    run.note("candidate_decided", candidate=one.candidate.name, action=action)
            recorded = record(recorder(place, run.id), sorted({one.subject for one in done}))
            counts = {"decided": len(done), "refused": len(refused), "recorded": recorded.as_dict()}
            run.end("done" if recorded.clean else "refused", counts)
    _report(done, refused, recorded, as_json)


def _decided(place: Workplace, one: Choice, new: NewDecision, run: str) -> Candidate:
    found = one.candidate
    decisions.check(found.state, found.reasons, new, candidate=found.name)
    if new.action in ("accept", "override"):
        check_recordable(found.proposal, new.value, place.pulled_study, place.today, candidate=found.name)
    return place.bound_store.candidates.decide(
        found.key, new.action, by=new.by, reason=new.reason, value=new.value, seen=one.seen, run=run
    )


def _report(
    done: Sequence[Candidate], refused: dict[str, str], recorded: RecordingReport | None, as_json: bool
) -> None:
    if as_json:
        told = [{"candidate": name, "message": message} for name, message in refused.items()]
        told += [{"candidate": one.record, "message": str(one)} for one in (recorded.findings if recorded else ())]
        console.emit({"decided": [telling.candidate(one) for one in done], "refused": told})
    else:
        for message in refused.values():
            console.remark(f"refused: {message}")
        for state in dict.fromkeys(one.state for one in done):
            of_state = [one.name for one in done if one.state == state]
            names = ", ".join(of_state[:NAMED]) + (" …" if len(of_state) > NAMED else "")
            console.say(f"{state.capitalize()}: {names} ({console.many(len(of_state), 'candidate')}).")
        if recorded is not None and recorded.findings:
            console.findings(recorded.findings)
        if not done:
            console.say("Nothing was decided.")
        elif recorded is not None and recorded.resources["created"] + recorded.resources["updated"]:
            console.say("Next: fhirbridge push")
    if refused or (recorded is not None and not recorded.clean):
        raise typer.Exit(EXIT_REFUSED)
