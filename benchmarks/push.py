"""What a push costs beyond what the server itself takes, and what it costs when nothing or little changed.

    python benchmarks/push.py [--json] [--subjects 332] [--resources 100000] [--memory 332 33200] [--no-hapi]

1. The study is pushed to a fresh, warmed HAPI server, and the same Bundles, prebuilt, are sent by a bare ``requests``
   loop with as many connections: in turn, each time under other ids, so that both meet the same server.
2. A push of unchanged resources, beside reading their hashes; and one with a single change.
3. The peak memory of a push, small and large, against a server that keeps nothing.

Absolute figures are this machine's today; what the run asserts are ratios and counts.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests
from peak import peak_mib
from rich.console import Console
from sqlalchemy import create_engine, text

from fhirbridge import fhirjson, identity, settings
from fhirbridge.cli.loading import load_records
from fhirbridge.cli.workplace import Workplace
from fhirbridge.demo.cohort import write_cohort
from fhirbridge.elements import STUDY_TAG
from fhirbridge.errors import Resource
from fhirbridge.hospital import Hospital, put_entry, transaction_bundle
from fhirbridge.store import Delivered, Store
from fhirbridge.sync.push import PushOptions, PushReport, push

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.real_servers import LARGE_HEAP, build_hapi, running_hapi
from tests.studies import own_study

OVERHEAD, HASHES, MEMORY = 1.15, 1.0, 1.25
CONNECTIONS = 4
WARM_UP = 15_000
HEADERS = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json", "Prefer": "return=minimal"}

Figures = dict[str, float]


def main() -> None:
    """Measure and print; exits 1 if a ratio is out of its bound."""
    arguments = _arguments()
    figures: Figures = {}
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        if arguments.hapi:
            _against_hapi(Path(folder), arguments.subjects, figures, ratios)
        _unchanged(Path(folder), arguments.resources, figures, ratios)
        _memory(Path(folder), arguments.memory, figures, ratios)
    bounds = {name: _bound(name) for name in ratios}
    if arguments.json:
        sys.stdout.write(json.dumps({"ratios": ratios, "bounds": bounds, "figures": figures}, indent=2) + "\n")
    else:
        for name, value in figures.items():
            Console().print(f"{name}: {value:,.2f}", highlight=False)
        for name, value in ratios.items():
            Console().print(f"[bold]{name}: {value:.2f}[/] (at most {bounds[name][1]})", highlight=False)
    if any(value > bounds[name][1] for name, value in ratios.items()):
        raise SystemExit(1)


def _bound(name: str) -> tuple[str, float]:
    bounds = {"push": OVERHEAD, "unchanged": HASHES, "memory": MEMORY, "requests, unchanged": 0, "requests, one": 1}
    return "le", next(bound for start, bound in reversed(bounds.items()) if name.startswith(start))


def _against_hapi(folder: Path, subjects: int, figures: Figures, ratios: dict[str, float]) -> None:
    """Push the study and send its Bundles bare, in the order bare, ours, ours, bare."""
    spent: dict[str, list[float]] = {"bare": [], "ours": []}
    with ExitStack() as stack:
        (folder / "hapi").mkdir()
        server = stack.enter_context(running_hapi(build_hapi(), folder / "hapi", heap=LARGE_HEAP))
        places = [stack.enter_context(_loaded(folder / f"study{number}", subjects, server)) for number in range(5)]
        _warm_up(places.pop(), server)
        for place, way in zip(places, ("bare", "ours", "ours", "bare"), strict=True):
            spent[way].append(_bare(place, server) if way == "bare" else _ours(place, server))
    sent = sum(places[0].store.counts(places[0].study.id).values())
    for way, seconds in spent.items():
        figures[f"{way}: resources per second"] = 2 * sent / sum(seconds)
    ratios["push: wall time over the bare loop's"] = sum(spent["ours"]) / sum(spent["bare"])


@contextmanager
def _loaded(folder: Path, subjects: int, server: str) -> Iterator[Workplace]:
    """Give a workplace with the cohort in its store, under a key, and so under ids, of its own.

    Its study is its own too: a server that already held something of a study would be asked what it holds.
    """
    folder.mkdir()
    identity.new_key(folder / "key")
    chosen = settings.read(
        study=own_study(folder).as_posix(),
        database=f"sqlite:///{folder / 'store.db'}",
        pseudonym_key=folder / "key",
        hospital=server,
    )
    place = Workplace(chosen)
    try:
        write_cohort(place.study, folder / "cohort", subjects=subjects)
        load_records(place, folder / "cohort", today=dt.datetime.now(dt.UTC).date())
        yield place
    finally:
        place.close()


def _ours(place: Workplace, server: str) -> float:
    with Hospital(server, connections=CONNECTIONS) as hospital:
        report, seconds = _timed(lambda: _pushed(place.store, hospital, place.study.id))
    if not report.complete:
        raise SystemExit(f"the push is not complete: {report.as_dict()}")
    return seconds


def _bare(place: Workplace, server: str) -> float:
    """Send the same Bundles without reading, noting or checking anything but the status."""
    [first], *rest = list(_bundles(place, server))
    waiting: queue.SimpleQueue[list[bytes]] = queue.SimpleQueue()
    for bodies in rest:
        waiting.put(bodies)
    failed: list[str] = []

    def work() -> None:
        with requests.Session() as session:
            while True:
                try:
                    bodies = waiting.get_nowait()
                except queue.Empty:
                    return
                for body in bodies:
                    try:
                        answer = session.post(server, data=body, headers=HEADERS, timeout=120)
                    except requests.RequestException as error:
                        failed.append(type(error).__name__)
                        continue
                    if answer.status_code != 200:
                        failed.append(str(answer.status_code))

    def send_all() -> None:
        requests.post(server, data=first, headers=HEADERS, timeout=120).raise_for_status()
        threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    _, seconds = _timed(send_all)
    if failed:
        raise SystemExit(f"the bare loop was refused: {failed[:5]}")
    return seconds


def _bundles(place: Workplace, server: str) -> Iterator[list[bytes]]:
    """Build what our push sends: for each subject its Bundles, in rank order, of at most 100 entries."""
    for name in place.store.outstanding(server, place.study.id):
        found = place.store.deliveries(server, place.study.id, name)
        entries = [put_entry(one.stored.content(), base_url=server) for one in found]
        parts = [entries[start : start + 100] for start in range(0, len(entries), 100)]
        yield [fhirjson.dumps(transaction_bundle(part)) for part in parts]


def _warm_up(place: Workplace, server: str) -> None:
    """Have the server's compiler see as many resources as it needs to come up to its speed."""
    sent = 0
    bodies = [body for bundles in _bundles(place, server) for body in bundles]
    while sent < WARM_UP:
        for body in bodies:
            answer = requests.post(server, data=body, headers=HEADERS, timeout=120)
            if answer.status_code != 200:
                raise SystemExit(f"the warming up was refused: {answer.text[:500]}")
            sent += body.count(b'"fullUrl"')


def _unchanged(folder: Path, resources: int, figures: Figures, ratios: dict[str, float]) -> None:
    """Push what was all acknowledged, beside reading the hashes; and then with one change."""
    url = f"sqlite:///{folder / 'unchanged.db'}"
    with Store.open(url) as store, _sink() as server, Hospital(server) as hospital:
        _fill(store, resources // 50, 49)
        everything = list(store.outstanding(hospital.server_id, "trial"))
        for name in everything:
            taken = [
                Delivered(key=one.stored.key, hash=one.stored.hash, sent=one.stored.hash, version="1")
                for one in store.deliveries(hospital.server_id, "trial", name)
            ]
            store.acknowledge(hospital.server_id, taken, run="filled")
        count = sum(store.counts("trial").values())
        rows, reading = _best(lambda: _hashes(url))
        report, seconds = _best(lambda: _pushed(store, hospital, "trial"))
        assert rows == count
        figures["unchanged: resources"] = count
        ratios["unchanged: time over reading the hashes"] = seconds / reading
        ratios["requests, unchanged"] = report.requests
        hospital.capabilities()
        _pushed(store, hospital, "trial")
        _put(store, [_observation("p7-3", "p7", "9.99")])
        _pushed_once = _pushed(store, hospital, "trial")
        _put(store, [_observation("p8-3", "p8", "9.99")])
        ratios["requests, one change"] = _pushed(store, hospital, "trial").requests
        figures["requests, one change at first contact"] = _pushed_once.requests


def _hashes(url: str) -> int:
    engine = create_engine(url)
    query = (
        "SELECT r.hash, a.hash FROM resource r LEFT JOIN acknowledged a ON a.server = 1 AND a.resource = r.key "
        "WHERE r.study = 'trial'"
    )
    with engine.connect() as connection:
        found = len(connection.execute(text(query)).all())
    engine.dispose()
    return found


def _memory(folder: Path, sizes: list[int], figures: Figures, ratios: dict[str, float]) -> None:
    """Push small and large cohorts of small resources, each in a process of its own, and compare their peaks."""
    peaks = {}
    for subjects in sizes:
        url = f"sqlite:///{folder / f'memory{subjects}.db'}"
        with Store.open(url) as store:
            _fill(store, subjects, 6)
        with _sink() as server:
            done = subprocess.run(
                [sys.executable, __file__, "--push-once", url, server], capture_output=True, text=True, check=True
            )
        peaks[subjects] = float(done.stdout)
        figures[f"memory: peak MiB, {subjects} subjects"] = peaks[subjects]
    ratios[f"memory: peak, {max(sizes)} over {min(sizes)} subjects"] = peaks[max(sizes)] / peaks[min(sizes)]


def _push_once(url: str, server: str) -> None:
    with Store.open(url) as store, Hospital(server, connections=CONNECTIONS) as hospital:
        report = _pushed(store, hospital, "trial")
    if not report.complete:
        raise SystemExit(str(report.as_dict()))
    sys.stdout.write(str(peak_mib()))


def _pushed(store: Store, hospital: Hospital, study: str) -> PushReport:
    return push(store, hospital, study, run=store.start_run("push"), options=PushOptions(connections=CONNECTIONS))


def _fill(store: Store, subjects: int, observations: int) -> None:
    waiting: list[Resource] = []
    for number in range(subjects):
        waiting.append({"resourceType": "Patient", "id": f"p{number}", "meta": _meta()})
        waiting += [_observation(f"p{number}-{of}", f"p{number}", "5.50") for of in range(observations)]
        if len(waiting) > 5_000:
            _put(store, waiting)
            waiting = []
    _put(store, waiting)


def _put(store: Store, resources: list[Resource]) -> None:
    with store.transaction() as transaction:
        transaction.put(((20, one) for one in resources), run="filled")


def _meta() -> Resource:
    return {"tag": [{"system": STUDY_TAG, "code": "trial"}]}


def _observation(id: str, patient: str, value: str) -> Resource:
    return {
        "resourceType": "Observation",
        "id": id,
        "meta": _meta(),
        "status": "final",
        "code": {"text": "HBV DNA"},
        "subject": {"reference": f"Patient/{patient}"},
        "valueString": value,
    }


@contextmanager
def _sink() -> Iterator[str]:
    command = [sys.executable, str(Path(__file__).parent / "sink.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def _best(work: Callable[[], Any], times: int = 5) -> tuple[Any, float]:
    runs = [_timed(work) for _ in range(times)]
    return runs[-1][0], min(seconds for _, seconds in runs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print ratios, bounds and figures as JSON")
    parser.add_argument("--subjects", type=int, default=332, help="subjects pushed to HAPI")
    parser.add_argument("--resources", type=int, default=100_000, help="resources of the unchanged push")
    parser.add_argument("--memory", type=int, nargs=2, default=[332, 33_200], help="subjects, small and large")
    parser.add_argument("--no-hapi", dest="hapi", action="store_false", help="leave HAPI out (it needs Java and Maven)")
    parser.add_argument("--push-once", nargs=2, metavar=("DATABASE", "SERVER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.push_once:
        _push_once(*arguments.push_once)
        raise SystemExit(0)
    return arguments


if __name__ == "__main__":
    main()
