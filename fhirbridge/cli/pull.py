"""`fhirbridge pull`: the hospital's laboratory results asked for, judged, and recorded where they are accepted."""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Annotated

import typer

from fhirbridge import fhirjson
from fhirbridge.automation.stopping import stopping
from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, HospitalUrl, app, working
from fhirbridge.cli.recording import recorder
from fhirbridge.cli.subjects import follow_ups_of
from fhirbridge.cli.workplace import Run, Workplace
from fhirbridge.errors import EXIT_INTERRUPTED, EXIT_REFUSED, EXIT_SERVER, ConfigurationError, InputError
from fhirbridge.hospital import Hospital
from fhirbridge.store.instants import utc_now
from fhirbridge.store.pulls import EVERYBODY
from fhirbridge.sync.contact import contact
from fhirbridge.sync.leasing import Leases
from fhirbridge.sync.pull import asking
from fhirbridge.sync.pull.ahead import ahead
from fhirbridge.sync.pull.asking import Answer, AskOptions, Marks, Plan
from fhirbridge.sync.pull.bulk import BulkOptions, ask_in_bulk
from fhirbridge.sync.pull.cases import Context
from fhirbridge.sync.pull.from_messages import Senders
from fhirbridge.sync.pull.funnel import ENDS, FATES
from fhirbridge.sync.pull.linked import Mismatch, NotFound
from fhirbridge.sync.pull.pull import Pulling, Server
from fhirbridge.sync.pull.pull import pull as pull_once
from fhirbridge.sync.pull.pull_report import PullReport
from fhirbridge.sync.pull.recording import record
from fhirbridge.sync.pull.replay import freeze, frozen_alike
from fhirbridge.sync.pull.spool import Spool, Spooled

SHOWN = 20
FULL = "full"
"""The question that a pull answers which asked everybody for everything."""


@app.command()
def pull(
    context: typer.Context,
    hospital: HospitalUrl = None,
    full: Annotated[
        bool, typer.Option("--full", help="Ask for everything, whatever was asked before, and find what is gone.")
    ] = False,
    subject: Annotated[
        list[str] | None, typer.Option("--subject", metavar="NUMBER", help="Only this subject; repeatable.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be asked, and ask nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Pull the hospital's laboratory results: ask, judge, record what is accepted, and account for all of it.

    Only subjects who are linked and consent today are asked about, only what changed since the last pull is asked
    for, and HL7 v2 messages that wait are read. What a person must decide waits in the inbox. Run it as often as you
    like; an interrupted pull goes on where it stopped. Exits 1 if something needs a person beside the inbox (a link, a
    message, a record that was refused), 3 if the server failed.

    Example: fhirbridge pull --full --subject S-017
    """
    with working(context, as_json, hospital=hospital) as place:
        if plan:
            show_plan(place, as_json)
            return
        with stopping(lambda *_, **__: None) as stop:
            report = run_pull(place, full=full, numbers=subject, quiet=as_json, stop=stop)
        console.emit(report.as_dict()) if as_json else show_pull(report)
        ended(report)


def ended(report: PullReport) -> None:
    """End with the exit code that says how a pull went."""
    if report.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if not report.complete:
        raise typer.Exit(EXIT_SERVER)
    if report.needs_a_person or not report.balanced:
        raise typer.Exit(EXIT_REFUSED)


def run_pull(
    place: Workplace,
    *,
    full: bool = False,
    numbers: Collection[str] | None = None,
    quiet: bool = False,
    stop: threading.Event | None = None,
) -> PullReport:
    """Pull the study of the workplace, with a bar, and note the run. Raises ConfigurationError without linking key."""
    only = _only(place, numbers) if numbers else None
    store, study, stop, began = place.bound_store, place.pulled_study, stop or threading.Event(), utc_now()
    full = full or (only is None and _full_is_due(place, began))
    since = _last_judged(place)
    with ExitStack() as held:
        leases = held.enter_context(Leases(store))
        if leases.take(f"pull:{study.id}") is None:
            raise ConfigurationError("another pull of this study is under way. Wait until it has ended.")
        run = held.enter_context(place.run("pull"))
        advance = held.enter_context(console.progress("pull", quiet=quiet))
        server = held.enter_context(_server(place, run, full, stop)) if place.server else None
        pulling = _pulling(place, run, server, stop)
        store.pulls.freeze(run.id, study.id, freeze(pulling.context, server.plan if server else None))
        judge_all = not frozen_alike(store, study.id, run.id)
        chosen = replace(pulling, full=full, judge_all=judge_all, only=only, since_decisions=since, progress=advance)
        report = pull_once(chosen)
        counts = report.as_dict()
        store.pulls.save_funnel(run.id, fhirjson.dumps(counts["funnel"]))
        if full and only is None and report.complete and report.feed is not None:
            store.pulls.advance(study.id, report.feed, {(EVERYBODY, FULL): began}, run.id)
        # Subject by subject it lies with the pull; a run's row is read often.
        run.end(outcome_of(report), counts | {"funnel": {"total": counts["funnel"]["total"]}})
    return report


def _pulling(place: Workplace, run: Run, server: Server | None, stop: threading.Event) -> Pulling:
    study = place.pulled_study
    return Pulling(
        store=place.bound_store,
        context=Context(
            study=study,
            laboratories=place.laboratories,
            today=place.today,
            mapping=place.mapping_digest,
        ),
        names=place.laboratory_names,
        linking=place.linking(run.note),
        follow_ups=partial(follow_ups_of, place),
        spool=partial(_spooled, place, run, stop),
        record=lambda: record(recorder(place, run.id)),
        server=server,
        run=run.id,
        note=run.note,
        stop=stop,
    )


def _last_judged(place: Workplace) -> dt.datetime | None:
    """Return when the last pull began that came to judge; of one that was killed or failed nobody knows."""
    last = place.store.last_run("pull", outcomes=("done", "needs a person", "incomplete"))
    return None if last is None else dt.datetime.fromisoformat(last.started)


def _full_is_due(place: Workplace, now: dt.datetime) -> bool:
    """Say whether everything is to be asked for once more, so that what a server never told of is found too."""
    every = place.settings.pull_full_every
    if place.server is None or not every:
        return False
    last = place.store.pulls.watermark(place.study.id, place.server, EVERYBODY, FULL)
    return last is None or now - last >= dt.timedelta(days=every)


def outcome_of(report: PullReport) -> str:
    """Return how a pull ended, in a word for the run's row."""
    if report.interrupted:
        return "interrupted"
    if not report.complete:
        return "incomplete"
    return "needs a person" if report.needs_a_person else "done"


def show_plan(place: Workplace, as_json: bool) -> None:
    """Print what a pull would ask the hospital's server, about how many subjects, without asking it."""
    with place.hospital(ask_first=False) as hospital:
        made = _plan(place, hospital)
    linking = place.linking()
    linked = linking.subjects()
    willing = linking.willing(linked)
    stuck = Counter(one.state for one in willing if one.state in (NotFound.state, Mismatch.state))
    asked = len(willing) - stuck.total()
    if as_json:
        counts = {"linked": len(linked), "consenting": len(willing), "asked": asked, "stopped": dict(stuck)}
        console.emit(made.as_dict() | counts)
        return
    rows = [
        (one.kind, "&".join(f"{name}={value}" for name, value in one.params) or "(everything)", one.incremental)
        for one in made.questions
    ]
    console.table(f"What is asked at {place.server} ({made.vendor})", "type", "asked by", "the new by", rows=rows)
    console.say(
        f"About {asked:,} of {console.many(len(linked), 'linked subject')}, {made.patients} at a time, by "
        f"{'POST' if made.post else 'GET'}; what is new since the last pull, and once more the "
        f"{made.look_back.days} days before it."
    )
    if stuck:
        states = ", ".join(f"{number:,} {state}" for state, number in sorted(stuck.items()))
        console.say(f"Nothing about these, unless they can be linked by then: {states}. See fhirbridge linking list.")
    for why in made.left_out:
        console.remark(f"not asked: {why}")


def show_pull(report: PullReport) -> None:
    """Print the funnel of a pull, what was recorded, and what somebody should look at."""
    counts = report.funnel.as_dict()["total"]
    rows = [(fate, counts["fates"][fate]) for fate in FATES if counts["fates"][fate]]
    console.table(
        f"Pulled from {report.feed or 'messages'}", "found", "results", rows=rows, total=("all", counts["found"])
    )
    ends = [(end, counts["states"][end]) for end in ENDS if counts["states"][end]]
    if ends:
        kept = counts["fates"]["new"] + counts["fates"]["changed"]
        console.table("What became of the new and the changed", "state", "results", rows=ends, total=("all", kept))
    if moved := counts["moved"]:
        states = ", ".join(f"{number:,} {end}" for end, number in moved.items())
        console.say(f"{console.many(sum(moved.values()), 'result')} of earlier pulls now stand otherwise: {states}.")
    requests = report.traffic.requests if report.traffic else 0
    console.say(
        f"{console.many(report.asked, 'subject')} asked about, {console.many(requests, 'request')}, "
        f"{report.judged:,} judged in {report.seconds:,.1f} s; {report.waiting:,} in the inbox."
    )
    if report.recording is not None and report.recording.due:
        fates = ", ".join(f"{number:,} {fate}" for fate, number in report.recording.fates.items() if number)
        console.say(f"Into the study's data: {fates}.")
        console.findings(report.recording.findings)
    if report.feed is None:
        console.remark("no hospital is set, so nobody was asked and only messages were read: `hospital`, or --hospital")
    for one in report.refused[:SHOWN]:
        console.remark(str(one))
    if len(report.refused) > SHOWN:
        console.remark(f"… and {len(report.refused) - SHOWN:,} more: fhirbridge linking list")
    for (question, message), subjects in report.unanswered.items():
        console.remark(f"not answered, {question} of {console.many(subjects, 'subject')}: {message}")
    if report.spool is not None and report.spool.messages["faulty"]:
        console.remark(f"{console.many(report.spool.messages['faulty'], 'message')} at fault: fhirbridge messages list")
    if report.spool is not None and (nobodys := report.spool.messages["no subject"]):
        many = console.many(nobodys, "message")
        console.remark(f"{many} of nobody in the study. If that cannot be, look at the numbers in the enrolment log.")
    for imbalance in report.funnel.imbalances():
        console.remark(f"the counts do not balance: {imbalance}")
    if report.interrupted:
        console.remark("interrupted: run the same command again to go on")
        return
    if report.waiting:
        console.say("Next: fhirbridge inbox list")
    if counts["states"]["unmapped"]:
        console.say("Codes or units that no laboratory's file names: fhirbridge laboratories worklist")


@contextmanager
def _server(place: Workplace, run: Run, full: bool, stop: threading.Event) -> Iterator[Server]:
    with place.hospital(ask_first=False) as hospital:
        hospital.note = run.note
        made = _plan(place, hospital)

        def ask(patients: Sequence[str], marks: Marks) -> Iterator[Answer]:
            if place.settings.pull_by == "export":
                options = BulkOptions.of(place.settings)
                return ahead(ask_in_bulk(hospital, made, patients, marks, options, run.note, full=full, stop=stop))
            return asking.ask(hospital, made, patients, marks, run.note, full=full, stop=stop)

        yield Server(hospital=hospital, plan=made, ask=ask)


def _spooled(place: Workplace, run: Run, stop: threading.Event) -> Spooled:
    chosen = place.settings
    return Spool(
        store=place.store,
        seal=place.seal,
        study=place.study.id,
        linking=place.linking(run.note),
        laboratories=place.laboratories,
        senders=Senders(names=chosen.hl7_laboratories, laboratories=place.laboratory_names),
        run=run.id,
        assume=chosen.hl7_charset,
        processing=chosen.hl7_accept_processing,
        keep_days=chosen.hl7_keep_days,
        unlinked_days=chosen.hl7_unlinked_days,
        note=run.note,
        stop=stop,
    ).process()


def _plan(place: Workplace, hospital: Hospital) -> Plan:
    options = AskOptions.of(place.settings)
    return asking.plan(contact(place.store, hospital), options, place.pulled_study, place.laboratories)


def _only(place: Workplace, numbers: Collection[str]) -> list[str]:
    """Return the ids of our Patients of these subject numbers. Raises InputError for one who is not linked."""
    known = {one.number: one.subject for one in place.linking().subjects()}
    for number in numbers:
        if number not in known:
            raise InputError(f"subject {number!r} is not linked. `fhirbridge linking list` shows who is.")
    return [known[number] for number in numbers]
