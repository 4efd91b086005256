"""`fhirbridge messages`: HL7 v2 messages out of files into the spool, and what became of those in it."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, app, working
from fhirbridge.cli.decisions import LISTED, By, Limit, Reason, user
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import EXIT_REFUSED, Finding, InputError
from fhirbridge.records.hl7v2.acknowledgement import answer_to
from fhirbridge.records.hl7v2.charset import decode
from fhirbridge.records.hl7v2.faults import Faulty
from fhirbridge.records.hl7v2.files import read_file
from fhirbridge.records.hl7v2.reader import Reading
from fhirbridge.store.messages import STATES, Received, State
from fhirbridge.sync.pull.spool import Keeping, about

messages = typer.Typer(help="HL7 v2 messages: from files, and what became of them.", no_args_is_help=True)
app.add_typer(messages, name="messages")

Key = Annotated[int, typer.Argument(metavar="NUMBER", help="The message's number, as `messages list` shows it.")]
_FATES = ("kept", "at fault", "known", "ignored", "refused")
"""Of a message of a file: in the spool; there too, with what is wrong; there before; it holds no results; neither
kept nor read."""


@messages.command("load")
def load(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="FILE|FOLDER", help="One message or many, in batches or not.")],
    as_json: AsJson = False,
) -> None:
    """Put messages of a file, or of all files in a folder, into the spool for the next pull.

    The counts of each file add up to its messages. Exits 1 if anything was refused or at fault. Loading the same file
    twice keeps nothing twice.

    Example: fhirbridge messages load results.hl7
    """
    with working(context, as_json) as place:
        files = list(_files(source))
        with place.run("messages") as run:
            keeping = Keeping(store=place.bound_store, seal=place.seal, study=place.study.id, run=run.id)
            rows, findings = [], list[Finding]()
            for file in files:
                counts, found = _load(place, keeping, file, alone=len(files) == 1)
                rows.append((file.name, sum(counts.values()), *(counts[fate] for fate in _FATES)))
                findings += found
            total = console.sums("all", rows)
            counted = dict(zip(("messages", *_FATES), total[1:], strict=True))
            run.end("refused" if findings else "done", counted)
        if as_json:
            console.emit({**counted, "findings": [console.as_dict(one) for one in findings]})
        else:
            console.table("Messages", "file", "messages", *_FATES, rows=rows, total=total if len(rows) > 1 else None)
            console.findings(findings)
        if findings:
            raise typer.Exit(EXIT_REFUSED)


@messages.command("list")
def list_messages(
    context: typer.Context,
    state: Annotated[
        list[str] | None, typer.Option(metavar="STATE", help=f"Only these: {', '.join(STATES)}; repeatable.")
    ] = None,
    limit: Limit = LISTED,
    as_json: AsJson = False,
) -> None:
    """List messages, those at fault unless told otherwise. Exits 1 while any is at fault."""
    with working(context, as_json) as place:
        chosen = _states(state) if state else ("faulty",)
        found = place.bound_store.messages.page(place.study.id, chosen, limit=limit)
        faulty = place.store.messages.counts(place.study.id).get("faulty", 0)
        if as_json:
            console.emit({"messages": [_brief(one) for one in found]})
        elif found:
            zone, now = place.study.schedule.zone, dt.datetime.now(dt.UTC)
            rows = [
                (one.key, console.moment(one.received, zone, now), one.source, one.state, _why(one), _held(one))
                for one in found
            ]
            console.table("Messages", "number", "received", "from", "state", "why", "content", rows=rows)
            console.say(f"Next: fhirbridge messages show {found[0].key}")
        else:
            console.say("No such messages.")
        if faulty:
            raise typer.Exit(EXIT_REFUSED)


@messages.command("show")
def show_message(
    context: typer.Context,
    number: Key,
    reveal: Annotated[bool, typer.Option("--reveal", help="Its content too: names, numbers, results.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why it has to be seen; it stays on record.")] = "",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Show what is known of a message. With --reveal, which needs the linking key, who looked and why is on record.

    Example: fhirbridge messages show 12 --reveal --reason "the laboratory asks which line is cut"
    """
    with working(context, as_json) as place:
        found = _message(place, number)
        content = _revealed(place, found, reason, by or user()) if reveal else None
        if as_json:
            console.emit(_brief(found) | ({} if content is None else {"content": content}))
            return
        console.say(f"Message {found.key} from {found.source or '(nobody named)'}, received {found.received}")
        console.say(f"State: {found.state}. Content: {_held(found)}.")
        console.findings(found.findings)
        if content is not None:
            console.say(content)


@messages.command("retry")
def retry_messages(
    context: typer.Context,
    number: Annotated[int | None, typer.Argument(metavar="[NUMBER]", help="One message.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All at fault.")] = False,
    unlinked: Annotated[
        bool, typer.Option("--unlinked", help="All of people who were not subjects, as far as they are kept.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Have messages read again by the next pull: one, all at fault, or those of people who were linked since."""
    with working(context, as_json) as place:
        if (number is not None) + every + unlinked != 1:
            raise InputError("give the number of one message, or --all, or --unlinked.")
        states: tuple[State, ...] = ("no subject",) if unlinked else ("faulty",)
        if number is not None:
            states = (_message(place, number).state,)
        with place.run("messages") as run:
            count = place.bound_store.messages.retry(place.study.id, states, number)
            run.end("done", {"retried": count})
        if as_json:
            console.emit({"retried": count})
        else:
            console.say(f"{console.many(count, 'message')} will be read again.")
        if number is not None and not count:
            raise typer.Exit(EXIT_REFUSED)


@messages.command("drop")
def drop_message(
    context: typer.Context, number: Key, reason: Reason = "", by: By = None, as_json: AsJson = False
) -> None:
    """Decide that a message will not be read; its content is thrown away, and it is not taken again if sent again."""
    with working(context, as_json) as place:
        found = _message(place, number)
        who = by or user()
        with place.run("messages") as run:
            told = Finding(
                record=f"message {number}",
                rule="dropped",
                message=f"dropped by {who}: {reason or 'no reason given'}",
                remedy="Nothing is to be done",
            )
            place.store.messages.mark(found.key, "dropped", (*found.findings, told), run=run.id)
            run.end("done", {"dropped": 1})
        if as_json:
            console.emit({"dropped": number})
        else:
            console.say(f"Dropped: message {number}. Its content is gone.")


@messages.command("counts")
def count_messages(context: typer.Context, as_json: AsJson = False) -> None:
    """Count the messages that were ever kept, by what became of them."""
    with working(context, as_json) as place:
        counts = place.bound_store.messages.counts(place.study.id)
        if as_json:
            console.emit({state: counts.get(state, 0) for state in STATES})
            return
        rows: list[tuple[Any, ...]] = [(state, counts.get(state, 0)) for state in STATES]
        console.table("Messages", "state", "messages", rows=rows, total=console.sums("all", rows))


def _files(source: Path) -> Iterator[Path]:
    if not source.is_dir():
        yield source
        return
    found = sorted(file for file in source.rglob("*") if file.is_file() and not file.name.startswith("."))
    if not found:
        raise InputError(f"{source} holds no file.")
    yield from found


def _load(place: Workplace, keeping: Keeping, file: Path, *, alone: bool) -> tuple[Counter[str], list[Finding]]:
    """Keep the messages of one file; a file that cannot be used stops the command only if it is the only one."""
    counts = Counter[str]()
    chosen = place.settings
    try:
        contents = read_file(file, assume=chosen.hl7_charset, processing=chosen.hl7_accept_processing)
    except InputError as error:
        if alone:
            raise
        return counts, [Finding(record="a file", rule="file", message=str(error), remedy="Mend it", file=file.name)]
    findings = [fault.finding("a file", file.name) for fault in contents.faults]
    for raw, reading in zip(contents.messages, contents.readings, strict=True):
        fate = _fate(keeping, raw, reading)
        counts[fate] += 1
        if fate in ("at fault", "refused"):
            findings += reading.findings(file.name)
    return counts, findings


def _fate(keeping: Keeping, raw: bytes, reading: Reading) -> str:
    if reading.outcome == "ignored":
        return "ignored"
    if answer_to(reading) == "AR":
        return "refused"
    kept = keeping(raw, reading)
    if reading.faults:
        return "at fault"
    return "known" if kept == "known" else "kept"


def _message(place: Workplace, number: int) -> Received:
    found = place.bound_store.messages.get(place.study.id, number)
    if found is None:
        raise InputError(f"there is no message {number}. `fhirbridge messages list` names them.")
    return found


def _revealed(place: Workplace, found: Received, reason: str, by: str) -> str:
    """Return a message's content, after putting on record who asked for it. Raises InputError without a reason."""
    if not reason.strip():
        raise InputError("say why it has to be seen: --reason TEXT. It stays on record.")
    if not found.held:
        raise InputError(f"the content of message {found.key} is not kept any more.")
    seal = place.seal
    with place.run("messages reveal") as run:
        raw = seal.open(place.store.messages.content(found.key), about(found.digest))
        run.note("message_revealed")
        run.end("done", {"message": found.key, "by": by, "reason": reason})
    try:
        text, _ = decode(raw, place.settings.hl7_charset)
    except Faulty:
        text = raw.decode("ascii", errors="backslashreplace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _states(given: list[str]) -> tuple[State, ...]:
    found = tuple(state for state in STATES if state in given)
    if unknown := sorted(set(given) - set(STATES)):
        raise InputError(f"there is no state {unknown[0]!r}. There are: {', '.join(STATES)}.")
    return found


def _why(one: Received) -> str:
    return ", ".join(dict.fromkeys(finding.rule for finding in one.findings))


def _held(one: Received) -> str:
    return "kept, sealed" if one.held else "gone"


def _brief(one: Received) -> dict[str, Any]:
    told = {name: getattr(one, name) for name in ("received", "source", "state", "done", "run", "held")}
    findings = [console.as_dict(finding) for finding in one.findings]
    return {"message": one.key, **told, "findings": findings}
