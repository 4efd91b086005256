"""``python -m tests.storm``: the whole storm, on SQLite and on PostgreSQL, with a table at its end."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fhirbridge.cli import console
from fhirbridge.demo.hospital import running_hospital
from mappings import MAPPINGS
from tests.real_servers import build_hapi, running_hapi
from tests.store.postgresql import running_postgresql
from tests.storm.storm import Outcome, Weather, storm


def _arguments() -> argparse.Namespace:
    usual = Weather()
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--subjects", type=int, default=usual.subjects)
    parser.add_argument("--rate", type=float, default=usual.rate, help="share of requests that a fault befalls")
    parser.add_argument("--kills", type=int, default=usual.kills)
    parser.add_argument("--workers", type=int, default=usual.workers)
    parser.add_argument("--entries", type=int, default=usual.entries, help="most entries in one Bundle")
    parser.add_argument("--edits", type=int, default=usual.edits, help="resources that the hospital edits as well")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--server", choices=["sekmet", "hapi"], default="sekmet")
    parser.add_argument(
        "--assigned", default="", metavar="TYPES", help="types whose ids the server shall choose, by comma, or: all"
    )
    parser.add_argument("--keep", action="store_true", help="keep the folder with store, settings and logs")
    return parser.parse_args()


@contextlib.contextmanager
def _server(name: str, directory: Path) -> Iterator[str]:
    directory.mkdir()
    running = running_hapi(build_hapi(), directory) if name == "hapi" else running_hospital(directory, port=0)
    with running as base_url:
        yield base_url


@contextlib.contextmanager
def _database(name: str, directory: Path) -> Iterator[str]:
    if name == "sqlite":
        yield f"sqlite:///{(directory / 'store.db').as_posix()}"
    else:
        with running_postgresql() as url:
            yield url


def _told(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _storm(given: argparse.Namespace, name: str) -> Outcome:
    names = ("subjects", "rate", "kills", "workers", "seed", "entries", "edits")
    kinds = [one.resource_type for one in MAPPINGS] if given.assigned == "all" else given.assigned.split(",")
    assigned = dict.fromkeys(filter(None, kinds), "conditional-create")
    weather = Weather(**{one: getattr(given, one) for one in names}, strategies=assigned)
    directory = Path(tempfile.mkdtemp(prefix="fhirbridge-storm-"))
    _told(f"{given.server}, {name}, seed {weather.seed}")
    try:
        with _database(name, directory) as database, _server(given.server, directory / "server") as target:
            return storm(weather, directory, database, target, _told)
    finally:
        if given.keep:
            _told(f"kept: {directory}")
        else:
            shutil.rmtree(directory)


def _figures(outcome: Outcome) -> dict[str, object]:
    found = outcome.audit
    wrong = {name: len(getattr(found, name)) for name in ("duplicates", "missing", "wrong", "dangling", "unexpected")}
    return {
        "kills": outcome.kills.total(),
        "faults": outcome.made.total(),
        "writes that reached the server": outcome.writes,
        "edits of the hospital's that became conflicts": outcome.conflicts,
        "resources": found.resources,
        **wrong,
        "versions above 1": found.rewritten,
        "seconds": round(outcome.seconds),
    }


def main() -> int:
    given = _arguments()
    chosen = ("sqlite", "postgresql") if given.database == "both" else (given.database,)
    outcomes = {name: _storm(given, name) for name in chosen}
    figures = [_figures(outcome) for outcome in outcomes.values()]
    rows = [(name, *(one[name] for one in figures)) for name in figures[0]]
    console.table(f"The storm over {given.server}", "", *outcomes, rows=rows)
    for name, outcome in outcomes.items():
        kinds = ", ".join(f"{times} {kind}" for kind, times in outcome.made.most_common())
        moments = ", ".join(f"{times} {moment}" for moment, times in outcome.kills.most_common())
        console.out.print(f"{name}: faults: {kinds}; kills: {moments}", highlight=False, soft_wrap=True)
        for fault in outcome.faults:
            console.out.print(f"{name}: WRONG: {fault}", highlight=False, markup=False, soft_wrap=True)
    return 1 if any(outcome.faults for outcome in outcomes.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
