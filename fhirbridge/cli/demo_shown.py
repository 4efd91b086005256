"""What the demo prints in the end: its steps, what the registry was answered, and what to try next."""

from __future__ import annotations

import sys
from dataclasses import astuple
from pathlib import Path
from typing import Any

from fhirbridge.cli import console
from fhirbridge.cli.demo_questions import Reply
from fhirbridge.cli.demo_registry import Visit
from fhirbridge.cli.demo_steps import Steps


def told(visit: Visit) -> dict[str, Any]:
    """Say what became of the registry's questions as JSON can hold it."""
    return {
        "questions": [
            {
                "kind": reply.question.kind,
                "words": reply.question.words,
                "asked": reply.question.asked,
                "matches": dict(reply.came.matches),
                "included": dict(reply.came.included),
                "people": len(reply.came.people),
                "told": reply.came.told,
                "as_released": reply.agrees,
            }
            for reply in visit.replies
        ],
        "audit": {"accesses": visit.accesses, "events": visit.audit.events, "whole": not visit.audit.problems},
        "own_names": {"looked_for": visit.names, "found": visit.leaked},
    }


def show(steps: Steps, visit: Visit, directory: Path) -> None:
    """Print all of it."""
    _show_steps(steps)
    _show_visit(visit)
    _show_next(directory)


def _show_visit(visit: Visit) -> None:
    rows = [
        (
            f"{one.question.kind}: {one.question.words}",
            _came(one) or "nothing",
            len(one.came.people),
            _told(one, visit.threshold),
            "yes" if one.agrees else "NO",
        )
        for one in visit.replies
    ]
    title = "What a registry asked of our API, what came, and whether that is what the store holds"
    console.table(title, "question", "what came", "people", "number told", "holds", rows=rows)
    example = min((person for one in visit.replies for person in one.came.people), default="")
    whole = "whole" if not visit.audit.problems else "NOT whole"
    console.say(
        f"It knows people by pseudonyms of its own{f', such as {example}' if example else ''}. Of the study's "
        f"{visit.names:,} names for them, {visit.leaked:,} are in what came.\n"
        f"On record in the audit trail: {visit.audit.events:,} of {console.many(visit.accesses, 'request')}. "
        f"The trail is {whole}."
    )


def _came(reply: Reply) -> str:
    matches = [f"{count:,} {kind}" for kind, count in reply.came.matches.items()]
    return "\n".join([*matches, *(f"+ {count:,} {kind}" for kind, count in sorted(reply.came.included.items()))])


def _told(reply: Reply, threshold: int) -> str:
    """Say the numbers that the service itself gave, or why it gave none."""
    numbers = [number for number in reply.came.told.values() if number is not None]
    hidden = f"withheld: fewer than {threshold} people"
    if not reply.withheld:
        return f"{sum(numbers):,}"
    return hidden if not numbers else f"{sum(numbers):,}; of {', '.join(reply.withheld)} {hidden}"


def _show_steps(steps: Steps) -> None:
    columns = ("in", "done", "unchanged", "refused", "seconds", "balances")
    rows = [(*astuple(one)[:5], one.seconds, "yes" if one.balances else "NO") for one in steps]
    console.table("From study records to the hospital and back", "step", *columns, rows=rows)
    if steps.withheld:
        console.out.print(
            f"{steps.withheld:,} resources count as unchanged because their subjects withdrew their consent.",
            highlight=False,
        )


def _show_next(directory: Path) -> None:
    command = f"{Path(sys.argv[0])} --config {directory / 'fhirbridge.toml'}"
    console.out.print(
        "\nThe hospital has stopped; its data, the records and the store are still there. What to try next:\n"
        f"  {command} status\n"
        "      what is stored, what waits for the hospital, how each command last ended\n"
        f"  {command} ingest {directory / 'cohort'}\n"
        "      load the same records again: nothing changes; break a row first, and see it refused and explained\n"
        f"  {command} inbox list\n"
        "      what of the hospital's results waits for a person; inbox show C-1 tells all of one\n"
        f"  {command} coverage\n"
        "      which visits have their results, which lack them\n"
        f"  {command} plan --no-look\n"
        "      after a corrected row was loaded: what a push would change, field by field, old to new\n"
        f"  {sys.executable} -m fhirbridge.demo.hospital --serve {directory / 'hospital'}\n"
        "      start the hospital again (Ctrl-D stops it) and, beside it, try push, reconcile and conflicts\n"
        f"  {command} serve\n"
        "      serve our API again, for curl with the token that registry token 'Demo registry' prints\n"
        f"  {command} audit disclosures SZ-0001\n"
        "      who got what of a subject; audit verify checks the trail\n"
        f"  {command} validate profiles/examples\n"
        "      what the profiles accept and refuse\n"
        f"  {command} dictionary\n"
        "      the tables and columns that records come in",
        highlight=False,
        soft_wrap=True,
    )
