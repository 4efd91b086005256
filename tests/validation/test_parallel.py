"""Several processes give what one gives: the same outcomes, in the same order, and a clear end where one dies."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fhirbridge import fhirjson
from fhirbridge.errors import ConfigurationError, ProfileError
from fhirbridge.validation import Validator, parallel, report
from fhirbridge.validation.accepted import Accepted
from fhirbridge.validation.mustsupport import MustSupport
from fhirbridge.validation.reading import Text
from fhirbridge.validation.report import Asked
from tests.validation.building import COLOURS, OBSERVATION, PATIENT, UNLISTED, WARM, element, profile

NOTED = profile("noted", "Observation", element("Observation.note", mustSupport=True, max="1"))
NOTED["differential"]["element"].append(element("Observation.method", mustSupport=True))


@pytest.fixture(scope="module")
def validator(compiled: Path) -> Validator:
    return Validator.load([COLOURS, WARM, UNLISTED, NOTED], cache=compiled)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """450 lines: every seventh invalid, one that is not JSON, one that is no resource."""
    lines = [
        fhirjson.dumps({**OBSERVATION, "id": f"o-{n}", **({"status": "x"} if n % 7 == 0 else {})}) for n in range(450)
    ]
    lines[300], lines[301] = b"{", b"[]"
    file = tmp_path / "mixed.ndjson"
    file.write_bytes(b"\n".join(lines))
    return file


def told(outcomes: Iterator[report.FileOutcome]) -> list[tuple[str, str, list[str], str]]:
    return [(one.place, one.label, [issue.text for issue in one.issues], str(one.error)) for one in outcomes]


def test_two_processes_tell_what_one_tells_and_in_the_same_order(validator: Validator, mixed: Path) -> None:
    one = told(parallel.validate_paths(validator, [mixed], jobs=1))
    two = told(parallel.validate_paths(validator, [mixed], jobs=2))
    assert two == one
    assert len(two) == 450
    assert "300" in two[299][0]
    assert two[300][3].startswith(f"{mixed}:301")


def test_must_support_of_all_processes_is_put_together(validator: Validator, tmp_path: Path) -> None:
    file = tmp_path / "noted.ndjson"
    noted = {**OBSERVATION, "meta": {"profile": [NOTED["url"]]}}
    plain = {key: value for key, value in noted.items() if key not in ("note", "method")}
    lines = [plain] * 300 + [{**plain, "note": [{"text": "x"}]}]
    file.write_bytes(b"\n".join(fhirjson.dumps(line) for line in lines))
    asked = Asked(must_support=MustSupport(validator))
    list(parallel.validate_paths(validator, [file], asked, jobs=2))
    assert asked.must_support is not None
    seen = asked.must_support.profiles[NOTED["url"]]
    assert (seen.resources, seen.missing) == (301, ["Observation.method"])


def test_findings_are_accepted_whichever_process_found_them(validator: Validator, mixed: Path, tmp_path: Path) -> None:
    file = tmp_path / "accepted.toml"
    file.write_text(
        '[[accepted]]\nrule = "binding"\nlocation = "Observation.status"\nwho = "A"\nwhy = "B"\nuntil = 2999-01-01\n'
    )
    accepted = Accepted.load(file)
    outcomes = list(parallel.validate_paths(validator, [mixed], Asked(accepted=accepted), jobs=2))
    assert [one.place.rpartition(":")[2] for one in outcomes if not one.is_valid] == ["301", "302"]


def test_a_profile_that_is_not_loaded_is_told_before_anything_is_read(validator: Validator, mixed: Path) -> None:
    with pytest.raises(ProfileError, match="not loaded"):
        parallel.validate_paths(validator, [mixed], Asked(profiles=["https://a.org/x"]), jobs=2)


def test_a_process_that_dies_is_told_with_the_lines_at_fault(compiled: Path, mixed: Path) -> None:
    validator = Validator.load([COLOURS], cache=compiled)
    validator.reload = partial(os._exit, 9)  # type: ignore[assignment]
    with pytest.raises(ConfigurationError, match=r"ended suddenly.*mixed\.ndjson:1 to .*mixed\.ndjson:200"):
        list(parallel.validate_paths(validator, [mixed], jobs=2))


def test_chunks_are_bounded_by_lines_and_by_bytes() -> None:
    small = [Text("a", n) for n in range(450)]
    assert [len(chunk) for chunk in parallel.chunks(small)] == [200, 200, 50]
    large = [Text("a", n, b"x" * 700_000) for n in range(3)]
    assert [len(chunk) for chunk in parallel.chunks(large)] == [1, 1, 1]


def test_no_more_is_read_than_a_few_chunks_ahead(validator: Validator) -> None:
    read = 0

    def lines() -> Iterator[Text]:
        nonlocal read
        while True:
            read += 1
            yield Text("endless", read, fhirjson.dumps(OBSERVATION))

    outcomes = parallel.judged(validator, lines(), Asked(errors_only=True), 2)
    assert next(outcomes).is_valid
    assert read <= 2 * parallel.AHEAD * parallel.CHUNK_LINES
    outcomes.close()  # type: ignore[attr-defined]


def test_an_interrupt_ends_all_processes_without_a_word_from_them(tmp_path: Path, compiled: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from fhirbridge.validation import Validator, parallel\n"
        "if __name__ == '__main__':\n"
        f"    validator = Validator.load([], cache=Path({str(compiled)!r}))\n"
        "    try:\n"
        "        for one in parallel.validate_paths(validator, ['-'], jobs=2):\n"
        "            print(one.line, flush=True)\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted')\n"
    )
    line = fhirjson.dumps(OBSERVATION) + b"\n"
    root = Path(__file__).parents[2]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen([sys.executable, script], **pipes, start_new_session=True, env=environment) as child:  # type: ignore[call-overload]
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(line * 200 * 2 * parallel.AHEAD)
            child.stdin.flush()
        assert child.stdout.readline() == b"1\n", child.stderr.read()
        os.killpg(child.pid, signal.SIGINT)
        out, err = child.communicate(timeout=300)  # ends when none of its processes holds the streams any more
    assert out.endswith(b"interrupted\n")
    assert err == b""


class Interrupting:
    """Stands for loading a validator, and has Ctrl-C come while a process that shall do it is being begun."""

    def __init__(self, mark: Path, ready: threading.Event, done: threading.Event) -> None:
        self.mark, self.ready, self.done = mark, ready, done

    def __reduce__(self) -> tuple[Any, ...]:
        self.ready.set()
        self.done.wait()
        return Path.touch, (self.mark,)


def test_a_process_that_is_being_begun_is_begun_before_an_interrupt_is_heard(
    validator: Validator, tmp_path: Path
) -> None:
    ready, done, mark = threading.Event(), threading.Event(), tmp_path / "begun"

    def interrupt() -> None:
        """Do what the kernel may: hand the signal to a thread that does not block it, like a progress bar's."""
        ready.wait()
        signal.raise_signal(signal.SIGINT)
        done.set()

    thread = threading.Thread(target=interrupt)
    thread.start()
    begun = Validator(validator.definitions)
    begun.reload = Interrupting(mark, ready, done)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        list(parallel.judged(begun, [Text("a", 1, b"{}")], Asked(), 2))
    thread.join()
    assert mark.exists()


def test_an_interrupt_is_heard_while_results_are_awaited(validator: Validator) -> None:
    future: Future[parallel.Judged] = Future()
    timer = threading.Timer(0.05, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        parallel._awaited(future)
    timer.join()


def test_problems_of_profiles_are_told_whichever_process_met_them(compiled: Path, tmp_path: Path) -> None:
    rule = {"key": "x-1", "severity": "error", "human": "any", "expression": "nte.empty()"}
    first = profile("first", "Observation", element("Observation.note"), element("Observation.status"))
    second = profile("second", "Patient", element("Patient", constraint=[rule]))
    lines = [{**OBSERVATION, "meta": {"profile": [first["url"]]}}] * 300 + [PATIENT] * 300
    lines[450] = {**PATIENT, "meta": {"profile": [second["url"]]}}
    lines[550] = profile("third", "Observation", element("Observation.note"), element("Observation.status"))
    file = tmp_path / "many.ndjson"
    file.write_bytes(b"\n".join(fhirjson.dumps(line) for line in lines))
    found = []
    for jobs in (1, 2):
        validator = Validator.load([first, second], cache=compiled)
        list(parallel.validate_paths(validator, [file], jobs=jobs))
        found.append(validator.problems)
    assert found[1] == found[0]
    assert [one["name"] for one in (first, second, lines[550]) for told in found[0] if told.startswith(one["url"])] == [
        "first",
        "second",
        "third",
    ]
