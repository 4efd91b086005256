"""`fhirbridge replay`: a pull judged again as it was then, and whether the same comes out."""

from __future__ import annotations

from typing import Annotated

import typer

from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, app, working
from fhirbridge.cli.subjects import followed_up_at
from fhirbridge.errors import EXIT_REFUSED, InputError
from fhirbridge.sync.pull.funnel import ENDS
from fhirbridge.sync.pull.replay import Replay
from fhirbridge.sync.pull.replay import replay as replay_run

SHOWN = 50


@app.command()
def replay(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="The pull's run; else the last pull.")] = None,
    as_json: AsJson = False,
) -> None:
    """Judge a pull again from its frozen context, and list what would come out otherwise; exits 1 if anything would.

    The study, the laboratories' rows and the day are the run's own, the results, decisions and dates those known
    then. Nothing is asked of the hospital, and nothing is written.
    """
    with working(context, as_json) as place:
        chosen = run or next((one.run for one in place.bound_store.pulls.newest(place.study.id, 1)), None)
        if chosen is None:
            raise InputError("there is no pull to replay. `fhirbridge pull` makes one.")
        found = replay_run(place.bound_store, chosen, followed_up_at(place))
        console.emit(found.as_dict()) if as_json else _show(found)
        if found.differences:
            raise typer.Exit(EXIT_REFUSED)


def _show(found: Replay) -> None:
    rows = [(end, found.ends[end]) for end in (*ENDS, "not judged") if found.ends[end]]
    title = f"Pull {found.run} of {found.started}, judged again"
    if rows:
        console.table(title, "ends as", "results", rows=rows, total=console.sums("all", rows))
    else:
        console.say(f"{title}: it brought nothing new.")
    if not found.differences:
        console.say(f"The same comes out, for {console.many(found.arrivals, 'result')}.")
        return
    differing = [(one.what, one.noted, one.again) for one in found.differences[:SHOWN]]
    console.table("What comes out otherwise", "what", "noted", "judged again", rows=differing)
    if len(found.differences) > SHOWN:
        console.say(f"… and {len(found.differences) - SHOWN:,} more: --json has all.")
