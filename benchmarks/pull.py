"""What an incremental pull costs beyond the requests that the server needs for the same answer.

    python benchmarks/pull.py [--json] [--subjects 332] [--results 50000] [--new 50] [--rounds 4]

A synthetic clinic is loaded into a HAPI server: 50,000 results of 332 subjects, 30 % of them tests that the study does
not collect. It is pulled once. Then, in each round, 50 new results come in, and they are fetched by our pull, which
finds and confirms the patients, asks, reads, judges, records and accounts, and by its peer.

The peer is a bare ``requests`` loop over one kept connection: the same searches one after another as we make them, as
few as the server's answers allow, each answer parsed by the same JSON reader and its next page followed; it checks
nothing but the status, keeps nothing and knows nothing from before. It asks for all that the same answer needs: the
patients by their numbers, with what confirms and merges them (without that look it would not be known whose results
they are today), new Observations of all of them, and the reports that take results back. Patients go into one request
by the fifty, which is a page of HAPI's: longer lists make fewer requests and slower answers.

Absolute figures are this machine's today; what the run asserts are ratios.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gc
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import requests
from rich.console import Console

from fhirbridge import fhirjson, identity, sealing, settings
from fhirbridge.cli.loading import load_records
from fhirbridge.cli.pull import run_pull
from fhirbridge.cli.workplace import Workplace
from fhirbridge.demo import assumptions as rate
from fhirbridge.demo.clinic import Chart, charts, load, registered
from fhirbridge.demo.clinic_laboratories import NORTH
from fhirbridge.demo.clinic_month import amount
from fhirbridge.demo.clinic_people import HOSPITAL_NUMBERS, write_log
from fhirbridge.demo.clinic_results import Sample, observation
from fhirbridge.demo.cohort import write_cohort
from fhirbridge.errors import Resource
from fhirbridge.hospital import Hospital

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.real_servers import LARGE_HEAP, build_hapi, running_hapi

WALL, REQUESTS = 1.2, 1.1
TOGETHER = 50
CONNECTIONS = 4
HEADERS = {"Accept": "application/fhir+json", "Prefer": "handling=strict", "Cache-Control": "no-cache"}
SETTLE = 3.0
"""Seconds between a round's results and its pulls, so that no clock's second is shared by two rounds."""


@dataclass(slots=True)
class Spent:
    """What one way of fetching took over all rounds."""

    seconds: list[float] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    found: list[int] = field(default_factory=list)


def main() -> None:
    """Measure and print; exits 1 if a ratio is out of its bound."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "hapi").mkdir()
        with running_hapi(build_hapi(), folder / "hapi", heap=LARGE_HEAP) as server:
            figures, ours, bare = _measure(folder, server, arguments)
    ratios = {
        "wall time over the bare requests'": sum(ours.seconds) / sum(bare.seconds),
        "requests over the bare requests": sum(ours.requests) / sum(bare.requests),
    }
    bounds = dict(zip(ratios, (WALL, REQUESTS), strict=True))
    if arguments.json:
        sys.stdout.write(json.dumps({"ratios": ratios, "bounds": bounds, "figures": figures}, indent=2) + "\n")
    else:
        for title, value in figures.items():
            Console().print(f"{title}: {value}", highlight=False)
        for title, value in ratios.items():
            Console().print(f"[bold]{title}: {value:.2f}[/] (at most {bounds[title]})", highlight=False)
    if any(value > bounds[title] for title, value in ratios.items()):
        raise SystemExit(1)


def _measure(folder: Path, server: str, arguments: argparse.Namespace) -> tuple[dict[str, object], Spent, Spent]:
    place = _workplace(folder, server)
    per_subject = -(-arguments.results // arguments.subjects)
    clinic = list(charts(place.study, subjects=arguments.subjects, as_of=rate.AS_OF, results=per_subject))
    with Hospital(server, connections=CONNECTIONS) as hospital:
        load(hospital, registered(clinic))
        held = load(hospital, (one.resource for chart in clinic for one in chart.filed), connections=CONNECTIONS)
        # What a report holds must be there before it, and transactions on several connections overtake one another.
        held += load(hospital, (one for chart in clinic for one in chart.reports), connections=CONNECTIONS)
    _subjects(place, folder, clinic, arguments.subjects)
    time.sleep(SETTLE)
    started = time.perf_counter()
    first = run_pull(place, quiet=True)
    if not (first.complete and first.balanced):
        raise SystemExit(f"the first pull is not whole: {first.as_dict()}")
    figures: dict[str, object] = {
        "resources at the hospital": held,
        "first pull: results found": first.funnel.read.total(),
        "first pull: seconds": round(time.perf_counter() - started, 1),
        "first pull: requests": first.traffic.requests if first.traffic else 0,
    }
    stopped = {one.subject for one in first.stopped}
    asked = [one for one in clinic if place.identity.id("Patient", one.subject) not in stopped]
    ours, bare = Spent(), Spent()
    gc.collect()
    gc.freeze()  # the clinic is the benchmark's: neither way of fetching should be slower by looking through it
    for number in range(arguments.rounds):
        since = _new_results(server, asked, arguments.new, number)
        for way in ("bare", "ours") if number % 2 else ("ours", "bare"):
            _ours(place, ours) if way == "ours" else _bare(server, asked, since, bare)
        if ours.found[-1] != arguments.new or bare.found[-1] != arguments.new:
            raise SystemExit(f"found {ours.found[-1]} and {bare.found[-1]} of {arguments.new} new results")
    for title, spent in (("ours", ours), ("bare", bare)):
        figures[f"{title}: seconds of each round"] = [round(one, 2) for one in spent.seconds]
        figures[f"{title}: requests of each round"] = spent.requests
    place.close()
    return figures, ours, bare


def _workplace(folder: Path, server: str) -> Workplace:
    identity.new_key(folder / "key")
    sealing.new_key(folder / "linking.key")
    return Workplace(
        settings.read(
            study="nct07120750",
            database=f"sqlite:///{folder / 'store.db'}",
            pseudonym_key=folder / "key",
            linking_key=folder / "linking.key",
            hospital=server,
            # Everything is younger than the usual look-back, which would have it all read once more.
            pull_look_back=0,
            pull_skew=1,
        )
    )


def _subjects(place: Workplace, folder: Path, clinic: Sequence[Chart], subjects: int) -> None:
    """Load the subjects, without their own tables of results, and link them."""
    write_cohort(place.study, folder / "cohort", subjects=subjects)
    for table in ("laboratory", "imaging", "lesions"):
        (folder / "cohort" / f"{table}.csv").unlink()
    load_records(place, folder / "cohort", today=dt.datetime.now(dt.UTC).date(), quiet=True)
    write_log(folder / "log.csv", [(chart.subject, chart.patient) for chart in clinic])
    place.linking().import_log(folder / "log.csv", system=None, by="benchmark")


def _new_results(server: str, clinic: Sequence[Chart], count: int, number: int) -> dt.datetime:
    """Have new results of different subjects come in, and return when that began."""
    time.sleep(SETTLE)
    since = dt.datetime.now(dt.UTC)
    with Hospital(server) as hospital:
        load(hospital, (_new(clinic[at % len(clinic)], number, at) for at in range(count)))
    time.sleep(SETTLE)
    return since


def _new(chart: Chart, number: int, at: int) -> Resource:
    taken = dt.datetime(2026, 1, 5 + number, 8, at % 60, tzinfo=dt.timezone(dt.timedelta(hours=8)))
    sample = Sample(patient=chart.patient.id, laboratory=NORTH, collected=taken, issued=taken + dt.timedelta(hours=6))
    return observation(f"new-{number}-{at}", sample, amount(NORTH, "HBV-DNA", str(100 + at)))


def _ours(place: Workplace, spent: Spent) -> None:
    started = time.perf_counter()
    report = run_pull(place, quiet=True)
    spent.seconds.append(time.perf_counter() - started)
    if not (report.complete and report.balanced):
        raise SystemExit(f"the pull is not whole: {report.as_dict()}")
    spent.requests.append(report.traffic.requests if report.traffic else 0)
    spent.found.append(sum(count for (*_, fate), count in report.funnel.fates.items() if fate == "new"))


def _bare(server: str, clinic: Sequence[Chart], since: dt.datetime, spent: Spent) -> None:
    """Make the searches and parse their answers; nothing is checked but the status."""
    started, made, found = time.perf_counter(), 0, 0
    with requests.Session() as session:
        for kind, params in _searches(clinic, since):
            answers = list(_pages(session, f"{server}/{kind}/_search", params))
            made += len(answers)
            found += sum(len(page.get("entry", ())) for page in answers) if kind == "Observation" else 0
    spent.seconds.append(time.perf_counter() - started)
    spent.requests.append(made)
    spent.found.append(found)


def _searches(clinic: Sequence[Chart], since: dt.datetime) -> Iterator[tuple[str, dict[str, str]]]:
    # No category: beside several patients HAPI takes minutes for it, as its row in sync/pull/vendors.py says.
    parts = [clinic[start : start + TOGETHER] for start in range(0, len(clinic), TOGETHER)]
    for part in parts:
        numbers = ",".join(f"{HOSPITAL_NUMBERS}|{chart.patient.number}" for chart in part)
        elements = "identifier,link,birthDate,gender,active"
        yield "Patient", {"identifier": numbers, "_elements": elements, "_count": "200"}
    for part in parts:
        patients = {"patient": ",".join(chart.patient.id for chart in part), "_count": "200"}
        updated = f"ge{since.isoformat(timespec='milliseconds').replace('+00:00', 'Z')}"
        yield "Observation", patients | {"_lastUpdated": updated}
        yield "DiagnosticReport", patients | {"status": "cancelled,entered-in-error"}


def _pages(session: requests.Session, url: str, params: dict[str, str]) -> Iterator[Resource]:
    answer = session.post(url, data=params, headers=HEADERS, timeout=300)
    while True:
        answer.raise_for_status()
        page = fhirjson.loads(answer.content)
        yield page
        further = next((link["url"] for link in page.get("link", ()) if link["relation"] == "next"), None)
        if further is None:
            return
        answer = session.get(further, headers=HEADERS, timeout=300)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print ratios, bounds and figures as JSON")
    parser.add_argument("--subjects", type=int, default=332, help="subjects of the clinic")
    parser.add_argument("--results", type=int, default=50_000, help="results that they have at least")
    parser.add_argument("--new", type=int, default=50, help="results that come in each round")
    parser.add_argument("--rounds", type=int, default=4, help="how often new results come in")
    return parser.parse_args()


if __name__ == "__main__":
    main()
