"""The hospital of the demo and of the tests: a sekmet-fhir server on the loopback interface, in a child process.

    with running_hospital(Path(".demo/hospital")) as base_url:
        ...

The child holds the reading end of a pipe and exits when it closes, so it cannot outlive its parent, however
that ends: Ctrl-C, SIGTERM or kill -9. Data, log and the port last used lie in the directory; the same directory
gives the same data again and, where the port is still free, the same base URL.

What sekmet-fhir 0.1.1 does, measured on two cores that the client shares:

- It takes a ``PUT Type/id`` for a new id, keeps ``meta.tag`` and ``meta.profile``, and writes a new version and a new
  ``lastUpdated`` for a PUT of identical content.
- Decimals travel through floats: 5.50 comes back as 5.5, 1.7E8 as 170000000.0, and the 17th digit is lost.
- A transaction is atomic: one refused entry rolls everything back and answers with that entry's status (412 for a
  stale ``ifMatch``). Without ``Prefer: return=minimal`` every entry carries its whole resource back, with it there is
  no ``lastModified``. Two entries for one resource make two versions.
- It takes references to what it does not hold, codes outside a required binding, and unknown elements; the last
  would be refused with its structural check on, which costs a third of its speed. Unknown types are 404.
- Its CapabilityStatement leaves out ResearchStudy, ResearchSubject, BodyStructure and PlanDefinition. It stores them
  all the same and finds them by ``_id``, ``_tag``, ``_profile``, ``_security``, ``_source`` and ``_lastUpdated``; any
  other parameter of theirs, ``identifier`` too, is 400 with ``handling=strict`` and ignored without.
- Paging is by offset in the order of last writing: while somebody writes, pages repeat some resources and leave out
  others (122 entries, 74 resources). ``_sort=_id`` holds still, and is faster.
- Each page of a search by ``_tag`` costs as much as going through all matches once: 30,000 matches take 150 s with
  ``_count=50``, 9 s with 1,000 (the most it gives), 6.5 s with ``_sort=_id`` besides. One subject's take 5 ms.
- Writes: 1,000 resources a second in transactions of 20, 1,300 in those of 50 to 100, 1,150 in larger ones. It writes
  one transaction at a time in one interpreter; a second connection gains nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fhirbridge.errors import ConfigurationError, FatalHospitalError

HOST = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 5.0


@contextlib.contextmanager
def running_hospital(directory: Path, port: int | None = None) -> Iterator[str]:
    """Start the server with its data in ``directory`` and yield its base URL once it answers; stop it at the end.

    ``port`` 0 takes any free one; None prefers the one last used in this directory. Raises ConfigurationError
    where sekmet-fhir is not installed and FatalHospitalError, with the log's last lines, if it does not start.
    """
    if find_spec("sekmet") is None:
        raise ConfigurationError("The demo hospital needs sekmet-fhir: pip install 'fhirbridge[demo]'.")
    directory.mkdir(parents=True, exist_ok=True)
    ready = directory / "base-url"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "fhirbridge.demo.hospital", "--serve", str(directory)]
    if port is not None:
        command += ["--port", str(port)]
    with (directory / "hospital.log").open("ab") as log:
        # A session of its own: Ctrl-C reaches only us, and the child stops when we let go of the pipe.
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
    try:
        yield _wait_until_up(child, ready, directory / "hospital.log")
    finally:
        _stop(child)


def _wait_until_up(child: subprocess.Popen[bytes], ready: Path, log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        if ready.exists():
            return ready.read_text()
        time.sleep(0.05)
    last = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
    raise FatalHospitalError(f"The demo hospital did not start. The last lines of {log}:\n{last}")


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.stdin:
        child.stdin.close()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _listen(directory: Path, port: int | None) -> socket.socket:
    """Bind the port asked for, else the one last used here, else any; only a port asked for must be had."""
    last = directory / "port"
    wanted = port if port is not None else int(last.read_text()) if last.exists() else 0
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, wanted))
    except OSError:
        if port is not None:
            raise
        listener.bind((HOST, 0))
    last.write_text(str(listener.getsockname()[1]))
    return listener


def _application(directory: Path, base_url: str) -> Any:
    from sekmet.config import ServerAuth, Settings, SimulatorSettings, ValidationSettings
    from sekmet.main import create_app

    settings = Settings(
        base_url=base_url,
        host=HOST,
        data_dir=str(directory),
        facility_name="The demo hospital",
        server_auth=ServerAuth(types=["none"]),
        validation=ValidationSettings(inbound="off"),
        simulator=SimulatorSettings(enabled=False),
        log_inbound=False,
        own_private_key_path=str(directory / "key.pem"),
    )
    app = create_app(settings)
    # WAL with NORMAL survives the death of the process; only a power cut could cost the last transactions.
    app.state.ctx.store.conn.execute("PRAGMA synchronous=NORMAL")
    return app


def _serve(directory: Path, port: int | None) -> None:
    import uvicorn

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            written = directory / "base-url.new"
            written.write_text(base_url)
            written.replace(directory / "base-url")

    listener = _listen(directory, port)
    base_url = f"http://{HOST}:{listener.getsockname()[1]}/fhir"
    server = Announcing(
        uvicorn.Config(_application(directory, base_url), log_level="warning", access_log=False, timeout_keep_alive=75)
    )
    threading.Thread(target=_stop_with_parent, args=(server,), daemon=True).start()
    server.run(sockets=[listener])


def _stop_with_parent(server: Any) -> None:
    """Stop when the pipe closes, or when the parent is gone though a forked sibling still holds the pipe."""
    parent = os.getppid()
    closed = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.buffer.read()
        closed.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    while os.getppid() == parent and not closed.wait(1.0):
        pass
    server.should_exit = True
    time.sleep(STOP_SECONDS / 2)
    os._exit(0)  # a request that never ends must not keep us


def main() -> None:
    """Serve until standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m fhirbridge.demo.hospital", description=__doc__)
    parser.add_argument("--serve", type=Path, required=True, metavar="DIRECTORY")
    parser.add_argument("--port", type=int)
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _serve(arguments.serve, arguments.port)


if __name__ == "__main__":
    main()
