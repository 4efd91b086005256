"""What validation costs, beside HAPI, jsonschema-rs and fhir.resources: the same resources, one thread each, one run.

    python benchmarks/validation.py [--json] [--no-hapi] [--rounds 7] [--memory 1000000] [--jobs 2]

The resources are the valid laboratory Observations of the demo cohort. Contenders take turns, and each is told by its
best round: what else the machine does can only slow it down. What the run asserts are ratios (for starts, seconds).
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import jsonschema_rs
from fhir.resources.R4B.observation import Observation
from rich.console import Console
from rich.table import Table

from fhirbridge import fhirjson, identity, settings
from fhirbridge.cli.workplace import PROFILES, ROOT, Workplace
from fhirbridge.demo.cohort import write_cohort
from fhirbridge.errors import Resource
from fhirbridge.records.tables import read
from fhirbridge.validation import Validator, parallel, report
from fhirbridge.validation.reading import Text

SUBJECTS = 30
BUNDLE = 200
"""Resources that HAPI is given in one call: more do not make it faster."""
WARM_CALLS = 12
"""Bundles before HAPI is timed: its JIT compiler needs that many."""
CHILD = Path(__file__).with_name("validating.py")
FEW = 100_000
"""Resources after which memory is first looked at."""
BOUNDS: dict[str, tuple[str, float]] = {
    "ours over HAPI": ("ge", 40.0),
    "ours over jsonschema-rs on the schema alone": ("ge", 0.2),
    "ours over fhir.resources": ("ge", 1.0),
    "explaining a valid resource over accepting it": ("le", 500.0),
    "refusing an invalid resource over accepting a valid one": ("le", 500.0),
    "memory after all over memory after the first 100,000": ("le", 1.1),
    "processes: speed gained by each": ("ge", 0.8),
    "cold start, seconds": ("le", 3.0),
    "warm start, seconds": ("le", 0.3),
}

Rates = dict[str, float]


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    found = observations()
    figures = {f"{name}: per second": rate for name, rate in rates(found, arguments.rounds, arguments.hapi).items()}
    figures |= starts(found[0])
    if arguments.memory:
        figures |= memory(found, arguments.memory)
    if arguments.jobs > 1:
        figures |= processes(found, arguments.jobs)
    told = summary(figures, arguments.jobs)
    if arguments.json:
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        _show(told)


def observations() -> list[Resource]:
    """Return the laboratory Observations of a demo cohort."""
    with tempfile.TemporaryDirectory() as folder:
        cohort, key = Path(folder) / "cohort", Path(folder) / "key"
        identity.new_key(key)
        place = Workplace(settings.read(study="nct07120750", database="sqlite://", pseudonym_key=key))
        write_cohort(place.study, cohort, subjects=SUBJECTS)
        with read(cohort, place.study, today=dt.date.today()) as batch:  # noqa: DTZ011  # any day after the cohort's
            records = [record for group in batch.subjects() for record in group.records]
        mapped = [resource for record in records for _, resource in place.map(record)]
        place.close()
    found = [one for one in mapped if one["resourceType"] == "Observation" and _category(one) == "laboratory"]
    return found[: len(found) // BUNDLE * BUNDLE]


def _category(observation: Resource) -> str:
    return str(observation["category"][0]["coding"][0]["code"])


def rates(found: list[Resource], rounds: int, hapi: bool) -> Rates:
    """Return resources a second of every contender, each told by its best round."""
    validator = Validator.load([PROFILES])
    if not all(validator.is_valid(one) for one in found):
        raise SystemExit("not all of the cohort's laboratory Observations are valid: nothing to measure")
    some = found[:BUNDLE]
    texts = [fhirjson.dumps(one) for one in some]
    broken = [{**one, "status": "done"} for one in some]
    alone = {url: _schema_alone(validator, url) for url in {one["meta"]["profile"][0] for one in some}}
    checks: dict[str, Callable[[], object]] = {
        "ours": lambda: [validator.is_valid(one) for one in some],
        "ours, from bytes": lambda: [validator.is_valid(fhirjson.loads(text)) for text in texts],
        "ours, valid, explained": lambda: [validator.validate(one) for one in some],
        "ours, invalid, refused": lambda: [validator.is_valid(one) for one in broken],
        "jsonschema-rs on the schema alone": lambda: [alone[one["meta"]["profile"][0]].is_valid(one) for one in some],
        "fhir.resources": lambda: [Observation.model_validate(one) for one in some],
    }
    with _hapi(found[:BUNDLE] if hapi else []) as call:
        if call is not None:
            checks["HAPI"] = call
        best = dict.fromkeys(checks, float("inf"))
        for _ in range(rounds):
            for name, check in checks.items():
                best[name] = min(best[name], timed(check))
    return {name: len(some) / seconds for name, seconds in best.items()}


def _schema_alone(validator: Validator, url: str) -> jsonschema_rs.Draft202012Validator:
    """Return the compiled schema without anything that runs as Python: the most that jsonschema-rs can do with it."""
    compiled = validator.fast.compiled(url)
    assert compiled is not None
    options = jsonschema_rs.RegexOptions()
    return jsonschema_rs.Draft202012Validator(_plain(compiled.schema), pattern_options=options, offline=True)


def _plain(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items() if not key.startswith("x-")}
    return [_plain(item) for item in schema] if isinstance(schema, list) else schema


@contextmanager
def _hapi(found: list[Resource]) -> Iterator[Callable[[], object] | None]:
    """Start HL7's validator in one process and warm it; one call is a Bundle of all that was found."""
    missing = _java_missing() if found else "left out (--no-hapi)"
    if missing:
        sys.stderr.write(f"HAPI IS NOT MEASURED: {missing}.\n")
        yield None
        return
    from tests.real_servers import build_hapi

    definitions = sorted(str(file) for file in PROFILES.glob("*-*.json"))
    command = build_hapi().command("HapiValidator", *definitions)
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [_entry(one) for one in found]}
    line = fhirjson.dumps({"profile": None, "resource": bundle}) + b"\n"
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as java:
        assert java.stdin is not None
        assert java.stdout is not None
        outcome = fhirjson.loads(_ask(java.stdin, java.stdout, line))
        errors = [issue for issue in outcome["issue"] if issue["severity"] in ("error", "fatal")]
        if errors:
            sys.stderr.write(f"HAPI finds {len(errors)} errors in what we call valid, the first: {errors[0]}\n")
        for _ in range(WARM_CALLS):
            _ask(java.stdin, java.stdout, line)
        yield lambda: _ask(java.stdin, java.stdout, line)  # type: ignore[arg-type]
        java.stdin.close()


def _entry(one: Resource) -> dict[str, Any]:
    return {"fullUrl": f"https://example.org/fhir/{one['resourceType']}/{one['id']}", "resource": one}


def _ask(to: IO[bytes], back: IO[bytes], line: bytes) -> bytes:
    to.write(line)
    to.flush()
    answer = b""
    while not answer.startswith(b"{"):  # its logger writes to the same stream
        answer = back.readline()
        if not answer:
            raise SystemExit("HAPI's validator ended early: run its tests (tests/hapi) to see why")
    return answer


def _java_missing() -> str | None:
    sys.path.insert(0, str(ROOT))
    from tests.real_servers import java_missing

    return java_missing()


def starts(one: Resource) -> dict[str, float]:
    """Measure a first and later starts in fresh processes: load, then one Observation."""
    with tempfile.TemporaryDirectory() as folder:
        file, cache = Path(folder) / "observation.json", str(Path(folder) / "cache")
        file.write_bytes(fhirjson.dumps(one))
        cold = _child("start", file, cache)
        warm = [_child("start", file, cache) for _ in range(5)]
    return {
        "cold start, seconds": cold[0],
        "warm start, seconds": min(seconds for seconds, _ in warm),
        "warm start with imports, seconds": min(seconds for _, seconds in warm),
    }


def memory(found: list[Resource], count: int) -> dict[str, float]:
    """Let a child validate ``count`` resources of NDJSON and tell its peak memory on the way."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "labs.ndjson"
        file.write_bytes(b"".join(fhirjson.dumps(one) + b"\n" for one in found))
        first, last = _child("memory", file, str(count))
    return {f"memory after {min(FEW, count // 10):,}, MiB": first, f"memory after {count:,}, MiB": last}


def processes(found: list[Resource], jobs: int) -> dict[str, float]:
    """Measure full validation in one process and in several, taking turns; starting them is not counted."""
    validator = Validator.load([PROFILES])
    texts = [Text("labs.ndjson", n + 1, fhirjson.dumps(one)) for n, one in enumerate(found)] * 2
    best = dict.fromkeys((1, jobs), 0.0)
    for _ in range(2):
        for count in best:
            best[count] = max(best[count], _steady(validator, texts * count, count))
    return {f"explained, {count} processes: per second": rate for count, rate in best.items()}


def _steady(validator: Validator, texts: list[Text], jobs: int) -> float:
    """Return resources a second, from when the last process has surely begun."""
    outcomes = parallel.judged(validator, texts, report.Asked(), jobs)
    skipped = parallel.CHUNK_LINES * jobs
    for _ in range(skipped):
        next(outcomes)
    began = time.perf_counter()
    rest = sum(1 for _ in outcomes)
    return rest / (time.perf_counter() - began)


def _child(kind: str, file: Path, more: str) -> list[float]:
    command = [sys.executable, str(CHILD), kind, str(PROFILES), str(file), more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{kind} failed:\n{done.stderr[-2000:]}")
    return [float(number) for number in done.stdout.split()]


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def summary(figures: dict[str, float], jobs: int) -> dict[str, Any]:
    """Return ratios, their bounds, and the figures they come from."""
    rate = {name.removesuffix(": per second"): value for name, value in figures.items()}
    ratios = {
        "ours over jsonschema-rs on the schema alone": rate["ours"] / rate["jsonschema-rs on the schema alone"],
        "ours over fhir.resources": rate["ours"] / rate["fhir.resources"],
        "explaining a valid resource over accepting it": rate["ours"] / rate["ours, valid, explained"],
        "refusing an invalid resource over accepting a valid one": rate["ours"] / rate["ours, invalid, refused"],
        "cold start, seconds": figures["cold start, seconds"],
        "warm start, seconds": figures["warm start, seconds"],
    }
    if "HAPI" in rate:
        ratios = {"ours over HAPI": rate["ours"] / rate["HAPI"], **ratios}
    held = [value for name, value in figures.items() if name.startswith("memory")]
    if held:
        ratios["memory after all over memory after the first 100,000"] = held[1] / held[0]
    single = rate.get("explained, 1 processes")
    if single:
        ratios["processes: speed gained by each"] = rate[f"explained, {jobs} processes"] / single / jobs
    bounds = {name: list(BOUNDS[name]) for name in ratios}
    return {"ratios": ratios, "bounds": bounds, "figures": {n: round(v, 4) for n, v in figures.items()}}


def _show(told: dict[str, Any]) -> None:
    table = Table(title="Valid laboratory Observations, one thread each", title_justify="left")
    table.add_column("figure")
    table.add_column("", justify="right")
    for name, value in told["figures"].items():
        table.add_row(name, f"{value:,.0f}" if value >= 10 else f"{value:,.3f}")
    console = Console()
    console.print(table)
    for name, ratio in told["ratios"].items():
        kind, bound = told["bounds"][name]
        kept = ratio >= bound if kind == "ge" else ratio <= bound
        told_as = f"{name}: {ratio:.2f} ({'at least' if kind == 'ge' else 'at most'} {bound:g})"
        console.print(told_as if kept else f"{told_as}  NOT KEPT", highlight=False, style="" if kept else "bold red")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print ratios, bounds and figures as JSON")
    parser.add_argument("--no-hapi", dest="hapi", action="store_false", help="leave HAPI out")
    parser.add_argument("--rounds", type=int, default=7, help="how often the contenders take turns")
    parser.add_argument("--memory", type=int, default=1_000_000, help="resources of NDJSON to stream; 0: none")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes to compare with one")
    return parser.parse_args()


if __name__ == "__main__":
    main()
