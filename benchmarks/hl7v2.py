"""HL7 v2 messages a second through the whole reader, as a share of what the hl7 library takes only to split them.

    python benchmarks/hl7v2.py [--json] [--messages 300]

Messages of three sizes are read in turns with the bare parsing of the same texts, so that both meet the same machine.
What the run asserts is the ratio of the two. The listener's rate, with the store behind it and its senders in the same
process, is given as a share of bare commits of the same bytes to SQLite, as durable and one each.
"""

from __future__ import annotations

import argparse
import json
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hl7
from rich.console import Console
from rich.table import Table

from fhirbridge.records.hl7v2.framing import END, framed
from fhirbridge.records.hl7v2.listener import Listener
from fhirbridge.records.hl7v2.reader import read
from fhirbridge.sealing import Seal
from fhirbridge.store import Store
from fhirbridge.sync.pull.spool import Keeping

LEAST_RATIO = 1 / 3
"""Messages a second of the reader, as a share of the bare parser's."""
RESULTS = (1, 10, 100)
ROUNDS = 5
SENDERS = 16
"""Connections at once to the listener."""


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    measured = {results: measure(results, arguments.messages) for results in RESULTS}
    kept = listened(arguments.messages)
    if arguments.json:
        sys.stdout.write(json.dumps(summary(measured, kept), indent=2) + "\n")
        return
    table = Table(title="messages a second", title_justify="left")
    for name in ("results in a message", "bare hl7", "fhirbridge", "ratio"):
        table.add_column(name, justify="right")
    for results, (bare, ours) in measured.items():
        table.add_row(f"{results}", f"{bare:,.0f}", f"{ours:,.0f}", f"{ours / bare:.2f}")
    Console().print(table)
    Console().print(f"listener, {SENDERS} senders: {kept[1] / kept[0]:.2f} of bare commits, one each", highlight=False)
    Console().print(f"at least {LEAST_RATIO:.2f} is asked for", highlight=False)


def listened(messages: int) -> tuple[float, float]:
    """Return messages a second of bare commits, one each, and of the listener with its store; both on this disk."""
    raws = [message(1).replace(b"|M-1|", f"|M-{number}|".encode()) for number in range(messages)]
    with TemporaryDirectory() as folder:
        bare = _committed(Path(folder) / "bare.db", raws)
        with Store.open(f"sqlite:///{folder}/store.db") as store:
            keeping = Keeping(store=store, seal=Seal([bytes(range(32))]), study="benchmark")
            with Listener(keeping.together) as listener, ThreadPoolExecutor(SENDERS) as senders:
                started = time.perf_counter()
                wrong = sum(senders.map(partial(_send, listener.address), (raws[at::SENDERS] for at in range(SENDERS))))
                seconds = time.perf_counter() - started
            if wrong or store.messages.counts("benchmark") != {"waiting": messages}:
                raise SystemExit("the listener did not keep every message once: nothing to measure")
    return bare, messages / seconds


def _committed(path: Path, raws: Sequence[bytes]) -> float:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE message (content BLOB)")
        started = time.perf_counter()
        for raw in raws:
            connection.execute("INSERT INTO message VALUES (?)", (raw,))
        return len(raws) / (time.perf_counter() - started)


def _send(address: tuple[str, int], raws: Sequence[bytes]) -> int:
    """Send messages, each after the answer to the one before; return how many were not answered AA."""
    wrong = 0
    with socket.create_connection(address) as connection:
        for raw in raws:
            connection.sendall(framed(raw))
            answer = b""
            while not answer.endswith(END + b"\r"):
                answer += connection.recv(1 << 16)
            wrong += b"\rMSA|AA|" not in answer
    return wrong


def message(results: int) -> bytes:
    """Return a result message of a usual shape."""
    segments = [
        "MSH|^~\\&|LIS^1.2.3^ISO|LAB|BRIDGE|STUDY|20260330120000+0800||ORU^R01^ORU_R01|M-1|P|2.5.1||||||UNICODE UTF-8",
        "PID|1||0042^^^HOSP&1.2.3.4&ISO^MR||Doe^Jo||19700102|F|||1 Street^^City^^12345",
        "PV1|1|O|W1^R2^B3||||1234^Doctor^A",
        "ORC|RE|P-7^CLINIC|F-9^LAB^1.2.3^ISO",
        "OBR|1|P-7^CLINIC|F-9^LAB^1.2.3^ISO|24317-0^Hemogram^LN|||20260330081500+0800||||||||||||||20260330115900||LAB|F",
    ]
    for number in range(1, results + 1):
        segments.append(
            f"OBX|{number}|NM|{number}-1^Analyte {number}^LN^L{number}^local^L||{number}.50|ng/mL^ng/mL^UCUM|0-20|H|||F"
            "|||20260330081500+0800||||A1^Analyser^L||20260330103000"
        )
        if number % 5 == 0:
            segments.append("NTE|1|L|Repeated on a second aliquot")
    segments.append("SPM|1|||SER^Serum^HL70487|||||||||||||20260330081500+0800")
    return ("\r".join(segments) + "\r").encode()


def measure(results: int, messages: int) -> tuple[float, float]:
    """Return messages a second of bare parsing and of the reader; the best of several rounds of each."""
    raw = message(results)
    reading = read(raw)
    if reading.faults or reading.message is None or len(reading.message.results) != results:
        raise SystemExit(f"the message of {results} results is not read whole: nothing to measure")
    turns = max(1, messages // results)
    bare, ours = [], []
    for _ in range(ROUNDS):
        bare.append(_rate(lambda: hl7.parse(raw.decode()), turns))
        ours.append(_rate(lambda: read(raw), turns))
    return max(bare), max(ours)


def _rate(work: Callable[[], object], turns: int) -> float:
    started = time.perf_counter()
    for _ in range(turns):
        work()
    return turns / (time.perf_counter() - started)


def summary(measured: dict[int, tuple[float, float]], kept: tuple[float, float]) -> dict[str, Any]:
    """Return ratios, their bounds, and the figures they come from."""
    ratios = {f"{results} results: reader over bare hl7": ours / bare for results, (bare, ours) in measured.items()}
    figures = {
        f"{results} results, {name}: messages per second": round(rate, 1)
        for results, rates in measured.items()
        for name, rate in zip(("bare hl7", "reader"), rates, strict=True)
    }
    bounds = {name: ["ge", LEAST_RATIO] for name in ratios}
    ratios[f"listener, {SENDERS} senders, over bare commits"] = kept[1] / kept[0]
    figures |= {"bare commits a second": round(kept[0], 1), "listener: messages a second": round(kept[1], 1)}
    return {"ratios": ratios, "bounds": bounds, "figures": figures}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print ratios, bounds and figures as JSON")
    parser.add_argument("--messages", type=int, default=300, help="messages of one result; of larger ones, fewer")
    return parser.parse_args()


if __name__ == "__main__":
    main()
