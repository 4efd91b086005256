"""How fast the API answers beside HAPI, what of that is the price of safety, and how both grow.

    python benchmarks/api.py [--json] [--subjects 332] [--grow 3320] [--seconds 10] [--clients 8 64]
                             [--engines sqlite postgresql] [--no-hapi] [--no-safety] [--no-export] [--uncached]

1. The same released study is served by gunicorn with a worker for each core, on each database, and by a warmed HAPI.
   wrk asks each the same questions in turn, in closed loop: reads, searches with pages, includes, counts, and a mix.
   All of ours goes with token, consent and audit. HAPI keeps what a search found for a minute, and may answer from
   that; ours remembers pages until anything changes. With --uncached both have to search anew each time.
2. The price of safety: the mix within one process, and with the token, consent or audit left out. The view is paid
   for when a resource is released, and not again with each request.
3. $export from beginning to the last byte fetched, beside copying the stored JSON out of the database with the same
   de-identification; and its memory.
4. The same searches in a study of more subjects, nothing remembered in either.

Absolute figures are this machine's today; what the run asserts are ratios. It takes wrk, gunicorn (pip install -e
'.[bench]') and, for HAPI, Java and Maven.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asking
import exporting
import hapi
import serving
from load import Load, Server, ask, need_wrk
from peak import peak_mib
from rich.console import Console

from fhirbridge import settings
from fhirbridge.cli.registries import agreements_of
from fhirbridge.cli.workplace import Workplace

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.real_servers import LARGE_HEAP, build_hapi, running_hapi
from tests.store.postgresql import running_postgresql

PAGES, SINGLE, MIXED, GROWTH, EXPORT, MEMORY = 8.0, 2.0, 5.0, 1.5, 0.5, 1.25
FASTER = {"read": SINGLE, "count": SINGLE, "mix": MIXED}
"""How many times HAPI's rate ours is to be, by kind of question; PAGES for searches with pages."""
EIGHT = 8
"""Clients at which growth is measured, and with which servers are warmed."""
ENGINES = ("sqlite", "postgresql")
PARTS = ("token", "consent", "audit")
FORGETFUL = {"api_remembered_mib": "0"}
"""The setting of a service that remembers no pages."""
JSON = {"Accept": "application/fhir+json"}

Figures = dict[str, float]
Bounds = dict[str, tuple[str, float]]


@dataclass(slots=True)
class Measured:
    """What was found: figures, ratios, and what each ratio must be at least (ge) or at most (le)."""

    figures: Figures = field(default_factory=dict)
    ratios: Figures = field(default_factory=dict)
    bounds: Bounds = field(default_factory=dict)

    def ratio(self, name: str, value: float, kind: str, bound: float) -> None:
        """Note a ratio with its bound."""
        self.ratios[name], self.bounds[name] = value, (kind, bound)

    @property
    def failed(self) -> bool:
        """Whether a ratio is out of its bound."""
        return any(
            value < self.bounds[name][1] if self.bounds[name][0] == "ge" else value > self.bounds[name][1]
            for name, value in self.ratios.items()
        )


@dataclass(frozen=True, slots=True)
class Study:
    """A released study and where its service is set up."""

    place: Workplace
    given: dict[str, str]
    folder: Path
    token: str

    def server(self, name: str) -> Server:
        """Return its service as it is asked."""
        return Server(name, self.given["api_url"], JSON | {"Authorization": f"Bearer {self.token}"})


def main() -> None:
    """Measure and print; exits 1 if a ratio is out of its bound."""
    arguments = _arguments()
    need_wrk()
    found = Measured()
    with tempfile.TemporaryDirectory() as folder:
        _all(Path(folder), arguments, found)
    if arguments.json:
        told = {"ratios": found.ratios, "bounds": found.bounds, "figures": found.figures}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        for name, value in found.figures.items():
            Console().print(f"{name}: {value:,.2f}", highlight=False)
        for name, value in found.ratios.items():
            kind, bound = found.bounds[name]
            at = "at least" if kind == "ge" else "at most"
            Console().print(f"[bold]{name}: {value:.2f}[/] ({at} {bound})", highlight=False)
    if found.failed:
        raise SystemExit(1)


def _all(folder: Path, arguments: argparse.Namespace, found: Measured) -> None:
    secrets, first, peak = serving.keys(folder / "keys"), arguments.engines[0], 0.0
    with ExitStack() as stack:
        studies = {}
        for engine in arguments.engines:
            url = stack.enter_context(_database(engine, folder))
            studies[engine] = stack.enter_context(_study(secrets, folder / engine, url, arguments.subjects, found))
        questions = asking.questions(studies[first].place, serving.AGREEMENT)
        files = asking.write(questions, folder)
        _speed(folder, studies, questions, files, arguments, found)
        for engine, study in studies.items():
            if arguments.safety:
                _safety(engine, study, files["mix"], found)
        if arguments.export:
            peak = _export(first, studies[first], found)
        if arguments.grow:
            url = stack.enter_context(_database(first, folder / "grown"))
            grown = stack.enter_context(_study(secrets, folder / "grown", url, arguments.grow, found))
            sizes = f"{arguments.grow} over {arguments.subjects} subjects"
            p95 = _searched(studies[first], arguments.seconds)
            for kind, more in _searched(grown, arguments.seconds).items():
                found.ratio(f"{first}: {kind}, {EIGHT} clients: p95, {sizes}", more / p95[kind], "le", GROWTH)
            if peak:
                more = _export(f"{first}, {arguments.grow} subjects", grown, found)
                found.ratio(f"export: peak memory, {sizes}", more / peak, "le", MEMORY)


@contextmanager
def _database(engine: str, folder: Path) -> Iterator[str]:
    if engine == "sqlite":
        yield f"sqlite:///{folder / 'sqlite' / 'store.db'}"
    else:
        with running_postgresql() as url:
            yield url


@contextmanager
def _study(secrets: dict[str, str], folder: Path, url: str, subjects: int, found: Measured) -> Iterator[Study]:
    given = serving.chosen(secrets, folder, url)
    with closing(Workplace(settings.read(None, **given))) as place:
        seconds = serving.fill(place, subjects)
        number = sum(place.store.counts(place.study.id).values())
        found.figures[f"{folder.name}: resources of {subjects} subjects"] = number
        found.figures[f"{folder.name}: release, once, milliseconds per resource"] = seconds * 1000 / number
        yield Study(place, given, folder, serving.token(place, folder))


def _speed(
    folder: Path,
    studies: dict[str, Study],
    questions: asking.Questions,
    files: dict[str, Path],
    arguments: argparse.Namespace,
    found: Measured,
) -> None:
    """Ask all servers in turn, kind by kind."""
    with ExitStack() as stack:
        servers = list[Server]()
        for engine, study in studies.items():
            given = study.given | (FORGETFUL if arguments.uncached else {})
            stack.enter_context(serving.served(given, study.folder, os.cpu_count() or 1))
            servers.append(study.server(engine))
            ask(servers[-1], files["mix"], EIGHT, min(arguments.seconds, 5.0))
        if arguments.hapi:
            place = studies[arguments.engines[0]].place
            servers.append(stack.enter_context(_hapi(folder, place, files["mix"], arguments, found)))
        for other in servers[1:]:
            asking.compare(questions, servers[0], other)
        for kind, file in files.items():
            for clients in arguments.clients:
                loads = {one.name: ask(one, file, clients, arguments.seconds) for one in servers}
                _noted(f"{kind}, {clients} clients", FASTER.get(kind, PAGES), loads, found)


@contextmanager
def _hapi(
    folder: Path, place: Workplace, mix: Path, arguments: argparse.Namespace, found: Measured
) -> Iterator[Server]:
    (folder / "hapi").mkdir()
    with running_hapi(build_hapi(), folder / "hapi", heap=LARGE_HEAP) as base:
        found.figures["HAPI: resources"] = hapi.load(base, place, serving.AGREEMENT)
        server = Server("HAPI", base, JSON | ({"Cache-Control": "no-cache"} if arguments.uncached else {}))
        found.figures["HAPI: rounds of ten seconds to be warm"] = len(hapi.warm(server, mix, EIGHT))
        yield server


def _noted(title: str, faster: float, loads: dict[str, Load], found: Measured) -> None:
    theirs = loads.get("HAPI")
    rates = ", ".join(f"{name} {load.rate:,.0f}/s" for name, load in loads.items())
    Console(stderr=True).print(f"{title}: {rates}", highlight=False)  # it takes long: so far so good
    for name, load in loads.items():
        found.figures[f"{name}: {title}: requests per second"] = load.rate
        found.figures[f"{name}: {title}: p99 milliseconds"] = load.p99
        if theirs is not None and load is not theirs:
            found.ratio(f"{name}: {title}: rate over HAPI's", load.rate / theirs.rate, "ge", faster)
            found.ratio(f"{name}: {title}: p99 over HAPI's", load.p99 / theirs.p99, "le", 1.0)


def _safety(engine: str, study: Study, mix: Path, found: Measured) -> None:
    """Ask the mix in a process of its own, whole and with each part left out."""
    file = study.folder / "settings.json"
    file.write_text(json.dumps(study.given), encoding="utf-8")
    spent = {}
    for part in ("nothing", *PARTS):
        command = [sys.executable, str(Path(__file__).with_name("safety.py")), str(file), str(mix), study.token, part]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"the mix without {part} was not answered: {done.stderr[-2000:]}")
        spent[part] = float(done.stdout)
    found.figures[f"{engine}: mix in one process: milliseconds per request"] = spent["nothing"]
    for part in PARTS:
        found.figures[f"{engine}: of these for {part}"] = spent["nothing"] - spent[part]


def _export(title: str, study: Study, found: Measured) -> float:
    """Export everything from one worker; return the most memory that it held, in MiB."""
    agreement = agreements_of(study.place).all()[serving.AGREEMENT]
    view = study.place.release_view(agreement)
    with serving.served(study.given, study.folder, 1) as process:
        size, seconds = exporting.exported(study.server(title), study.folder)
        [worker] = process.children()
        peak = peak_mib(worker.pid)
    copied, spent = exporting.copied(study.place, view, study.given["database"], study.folder / "copied.ndjson")
    found.figures[f"export, {title}: MiB"] = size / 2**20
    found.figures[f"export, {title}: MiB per second"] = size / seconds / 2**20
    found.figures[f"export, {title}: peak MiB of memory"] = peak
    found.ratio(f"export, {title}: bytes per second over copying", (size / seconds) / (copied / spent), "ge", EXPORT)
    return peak


def _searched(study: Study, seconds: float) -> dict[str, float]:
    """Return the p95 of the searches with pages, by kind, each made anew: of more pages fewer would be remembered."""
    files = asking.write(asking.questions(study.place, serving.AGREEMENT), study.folder)
    with serving.served(study.given | FORGETFUL, study.folder, os.cpu_count() or 1):
        server = study.server("a study")
        ask(server, files["mix"], EIGHT, min(seconds, 5.0))
        return {kind: ask(server, files[kind], EIGHT, seconds).p95 for kind in asking.SEARCHES}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print ratios, bounds and figures as JSON")
    parser.add_argument("--subjects", type=int, default=332, help="subjects of the study")
    parser.add_argument("--grow", type=int, default=3320, help="subjects of the larger study; 0 leaves it out")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each kind is asked")
    parser.add_argument("--clients", type=int, nargs="+", default=[8, 64], help="connections of the closed loop")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES), help="databases of ours")
    parser.add_argument("--no-hapi", dest="hapi", action="store_false", help="leave HAPI out (it needs Java and Maven)")
    parser.add_argument("--no-safety", dest="safety", action="store_false", help="leave out what safety costs")
    parser.add_argument("--no-export", dest="export", action="store_false", help="leave out $export")
    parser.add_argument("--uncached", action="store_true", help="have all servers search anew each time")
    return parser.parse_args()


if __name__ == "__main__":
    main()
