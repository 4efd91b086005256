"""HAPI FHIR for the tests: built once with Maven, run as child processes that cannot outlive the run.

See tests/hapi/README.md for what is built and what the server is like.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fhirbridge import fhirjson
from fhirbridge.errors import Resource

PROJECT = Path(__file__).parent / "hapi"
START_SECONDS = 300.0
STOP_SECONDS = 20.0

LARGE_HEAP = "8g"
"""For HAPI with a hundred thousand resources in its memory; it takes what it needs of it."""

ZONE = "Asia/Shanghai"
"""HAPI's time zone, by which it reads dates: that of the shipped study, on whatever machine."""


class HapiFailed(Exception):
    """Maven or the Java program ended with an error; the text holds its last lines."""


def java_missing() -> str | None:
    """Say what HAPI lacks on this machine, None where it lacks nothing."""
    absent = [program for program in ("java", "mvn") if shutil.which(program) is None]
    return f"{' and '.join(absent)} not found; install Java 17 and Maven 3.8 or later" if absent else None


@dataclass(frozen=True)
class HapiBuild:
    """A compiled tests/hapi: how to start one of its programs."""

    class_path: str

    def command(self, program: str, *arguments: str, heap: str = "2g") -> list[str]:
        options = [f"-Xmx{heap}", f"-Duser.timezone={ZONE}"]
        return ["java", *options, "-cp", self.class_path, f"hospital.{program}", *arguments]


def build_hapi() -> HapiBuild:
    """Compile tests/hapi unless that was done since its sources changed; one run at a time."""
    target = PROJECT / "target"
    target.mkdir(exist_ok=True)
    listed = target / "classpath"
    with (target / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_current(listed):
            # The listing is the proof of a finished build, so it goes first and comes last.
            listed.unlink(missing_ok=True)
            goals = ["compile", "dependency:build-classpath", f"-Dmdep.outputFile={listed}"]
            done = subprocess.run(["mvn", "-B", "-q", *goals], cwd=PROJECT, capture_output=True, text=True)
            if done.returncode != 0:
                raise HapiFailed(f"mvn failed in tests/hapi:\n{_last_lines(done.stdout + done.stderr)}")
        return HapiBuild(os.pathsep.join([str(target / "classes"), listed.read_text().strip()]))


def _is_current(listed: Path) -> bool:
    if not listed.exists():
        return False
    sources = [PROJECT / "pom.xml", *(path for path in (PROJECT / "src").rglob("*") if path.is_file())]
    jars = listed.read_text().strip().split(os.pathsep)
    newest = max(source.stat().st_mtime for source in sources)
    return listed.stat().st_mtime >= newest and all(Path(jar).exists() for jar in jars)


@contextlib.contextmanager
def running_hapi(build: HapiBuild, directory: Path, *, heap: str = "2g") -> Iterator[str]:
    """Start HAPI's JPA server over an empty database in memory and yield its base URL; log to ``directory``.

    With more resources than its ``heap`` has room for, the server collects garbage for minutes and answers nobody.
    """
    ready, log = directory / "base-url", directory / "hapi.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            build.command("HapiServer", str(ready), heap=heap),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield _wait_until_up(server, ready, log)
    finally:
        if server.stdin:
            server.stdin.close()
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_until_up(server: subprocess.Popen[bytes], ready: Path, log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        if ready.exists() and (base_url := ready.read_text()):
            return base_url
        time.sleep(0.2)
    raise HapiFailed(f"HAPI did not start:\n{_last_lines(log.read_text(errors='replace'))}")


def hapi_outcomes(
    build: HapiBuild, definitions: Iterable[Path], resources: Iterable[tuple[str | None, Resource]]
) -> list[Resource]:
    """Run HL7's validator over (profile or None, resource) pairs and return an OperationOutcome for each.

    ``definitions`` are files of StructureDefinitions, ValueSets and CodeSystems. Seven seconds to start, then 25 to
    40 resources a second; many resources travel faster inside one Bundle.
    """
    lines = [fhirjson.dumps({"profile": profile, "resource": resource}) for profile, resource in resources]
    command = build.command("HapiValidator", *map(str, definitions), heap="1g")
    done = subprocess.run(command, input=b"\n".join(lines) + b"\n", capture_output=True)
    outcomes = [fhirjson.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
    if done.returncode != 0 or len(outcomes) != len(lines):
        raise HapiFailed(f"the validator stopped early:\n{_last_lines(done.stderr.decode(errors='replace'))}")
    return outcomes


def _last_lines(text: str) -> str:
    return "\n".join(text.splitlines()[-15:])
