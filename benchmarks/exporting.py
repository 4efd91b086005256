"""Everything that is released, fetched by ``$export``, and its peer: the stored JSON, copied and de-identified."""

from __future__ import annotations

import time
from pathlib import Path

import requests
from load import Server
from sqlalchemy import create_engine, text

from fhirbridge import fhirjson
from fhirbridge.cli.workplace import Workplace
from fhirbridge.release.view import View

LOOK_SECONDS = 0.05
AT_ONCE = 1 << 20
ROWS = 500

_STORED = (
    "SELECT v.body FROM resource r JOIN version v ON v.resource = r.key AND v.version = r.version "
    "WHERE r.study = :study ORDER BY r.key"
)


def exported(server: Server, folder: Path) -> tuple[int, float]:
    """Begin an export, wait for it and fetch its files; return bytes and seconds. Ends with a message if it fails."""
    started = time.perf_counter()
    with requests.Session() as http:
        http.headers.update(server.headers)
        begun = http.get(f"{server.base}/$export", headers={"Prefer": "respond-async"}, timeout=60)
        where = begun.headers.get("Content-Location", "")
        while (stands := http.get(where, headers={"Accept": "application/json"}, timeout=60)).status_code == 202:
            time.sleep(LOOK_SECONDS)
        if stands.status_code != 200:
            raise SystemExit(f"the export failed: {stands.status_code}")
        size = sum(_fetched(http, one["url"], folder / "exported.ndjson") for one in stands.json()["output"])
        seconds = time.perf_counter() - started
        http.delete(where, timeout=60).raise_for_status()
    return size, seconds


def _fetched(http: requests.Session, url: str, file: Path) -> int:
    with http.get(url, headers={"Accept": "application/fhir+ndjson"}, stream=True, timeout=60) as answer:
        answer.raise_for_status()
        with file.open("wb") as written:
            return sum(written.write(part) for part in answer.iter_content(AT_ONCE))


def copied(place: Workplace, view: View, url: str, file: Path) -> tuple[int, float]:
    """Write what the view lets out of each stored resource, one a line; return bytes and seconds."""
    started, size = time.perf_counter(), 0
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection, file.open("wb") as written:
        chosen = connection.execution_options(yield_per=ROWS).execute(text(_STORED), {"study": place.study.id})
        for (body,) in chosen:
            seen = view.release(fhirjson.loads(bytes(body)))
            if seen is not None:
                size += written.write(fhirjson.dumps(seen) + b"\n")
    engine.dispose()
    return size, time.perf_counter() - started
