"""`fhirbridge serve` as a process, over a small cohort of which one result was corrected after the first release."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import requests
from cryptography.hazmat.primitives import serialization

import mappings
from fhirbridge import fhirjson
from fhirbridge.api.access_tokens import new_key
from fhirbridge.api.assertions import ASSERTION_TYPE
from fhirbridge.demo.cohort import participants, write_cohort
from fhirbridge.errors import Resource
from fhirbridge.identity import new_key as new_secret
from fhirbridge.release.agreement import TYPES
from tests.api.registering import EC_KEY, RSA_KEY, jwks, public_jwk
from tests.mappings.cases import IDENTITY, STUDY

SUBJECTS = 6
CORRECTED = 98_765
"""What the first result of HBsAg is corrected to: a value that no other result has."""
LOINC = "http://loinc.org"

_AGREEMENT = f"""id = "north-2026"
registry = "north"
study = "{STUDY.id}"
purpose = "HRESCH"
types = {json.dumps(sorted(TYPES))}
expires = 2099-12-31

[counts]
threshold = 1
"""


@cache
def cohort() -> dict[str, tuple[Resource, ...]]:
    """Return what the mappings make of the cohort, by type: what a client must find, under other ids and dates."""
    records: list[Any] = [STUDY]
    for one in participants(STUDY, subjects=SUBJECTS):
        records += [one.subject, *one.laboratory, *one.imaging]
    made: dict[str, dict[str, Resource]] = {}
    for record in records:
        for _, resource in mappings.resources(record, STUDY, IDENTITY):
            made.setdefault(resource["resourceType"], {})[resource["id"]] = resource
    return {type_: tuple(found.values()) for type_, found in made.items()}


def loinc(resource: Any) -> str:
    """Return the LOINC code of an Observation of the cohort, '' for one that has none."""
    codings = resource["code"].get("coding", ())
    return next((one["code"] for one in codings if one["system"] == LOINC), "")


def busiest_code() -> tuple[str, int]:
    """Return the LOINC code that most Observations have, and how many have it."""
    return Counter(code for one in cohort()["Observation"] if (code := loinc(one))).most_common(1)[0]


@dataclass
class Live:
    """A running service. ``client`` is registered with an RSA key (kid ``rsa``) and one on P-384 (kid ``ec``)."""

    base: str
    client: str
    folder: Path
    corrected: str = ""
    """Id of the Observation of which there are two versions."""
    _token: str = field(default="", repr=False)

    def statement(self, token_url: str, *, key: Any = EC_KEY, alg: str = "ES384", kid: str = "ec") -> str:
        """Return what SMART Backend Services has a client sign."""
        now = int(time.time())
        said = {"iss": self.client, "sub": self.client, "aud": token_url, "exp": now + 240, "jti": uuid.uuid4().hex}
        return jwt.encode(said, key, alg, {"kid": kid})

    def rsa_statement(self, token_url: str) -> str:
        return self.statement(token_url, key=RSA_KEY, alg="RS384", kid="rsa")

    @property
    def token(self) -> str:
        """A token got as a registry gets it; it outlives this run of the tests."""
        if not self._token:
            said = requests.get(f"{self.base}/.well-known/smart-configuration", timeout=30).json()
            where = said["token_endpoint"]
            form = {
                "grant_type": "client_credentials",
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": self.statement(where),
                "scope": "system/*.rs",
            }
            answer = requests.post(where, data=form, timeout=30)
            assert answer.status_code == 200, answer.text
            self._token = answer.json()["access_token"]
        return self._token

    def get(self, path: str) -> Any:
        """Return an answer as JSON, asked for without any client's help."""
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = requests.get(f"{self.base}/{path}", headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        return fhirjson.loads(answer.content)


def private_jwks(kid: str = "ec") -> str:
    """Return the client's key on P-384 as a JWK Set to sign with."""
    made = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(EC_KEY))
    return json.dumps({"keys": [made | {"kid": kid, "alg": "ES384", "key_ops": ["sign"]}]})


def private_pem(key: Any) -> bytes:
    """Return a private key as a PEM file has it."""
    return bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Live]:
    """Load, register, serve; correct a result, and wait until the correction is released."""
    site = _site(folder)
    write_cohort(STUDY, folder / "cohort", subjects=SUBJECTS)
    _run(site, folder, "ingest", "cohort")
    (folder / "jwks.json").write_text(jwks(public_jwk(EC_KEY, "ec"), public_jwk(RSA_KEY, "rsa")))
    client = _run(site, folder, "registry", "add", "North", "--agreement", "north-2026", "--jwks", "jwks.json")
    port = _free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fhirbridge", "serve", "--port", str(port)],
            env=site, cwd=folder, stderr=log, stdout=log,
        )  # fmt: skip
        try:
            service = Live(f"http://127.0.0.1:{port}/fhir", client.split()[0], folder)
            _wait(lambda: _answers(service.base), process, folder)
            _correct(folder / "cohort" / "laboratory.csv")
            _run(site, folder, "ingest", "cohort")
            _wait(lambda: _corrected(service), process, folder)
            yield service
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) in (0, 130)
        finally:
            process.kill()
            process.wait()


def _site(folder: Path) -> dict[str, str]:
    (folder / "agreements").mkdir()
    (folder / "agreements" / "north.toml").write_text(_AGREEMENT)
    for name in ("a.key", "b.key"):
        new_secret(folder / name)
    new_key(folder / "api.key")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FHIRBRIDGE_")}
    return kept | {
        "FHIRBRIDGE_DATABASE": f"sqlite:///{folder / 'store.db'}",
        "FHIRBRIDGE_PSEUDONYM_KEY": str(folder / "a.key"),
        "FHIRBRIDGE_RELEASE_KEY": str(folder / "b.key"),
        "FHIRBRIDGE_AGREEMENTS": str(folder / "agreements"),
        "FHIRBRIDGE_API_SIGNING_KEY": str(folder / "api.key"),
        "FHIRBRIDGE_API_TOKEN_SECONDS": "3600",
        "FHIRBRIDGE_API_RELEASE_SECONDS": "0.2",
        "FHIRBRIDGE_AUDIT_FOLDER": str(folder / "audit"),
        "FHIRBRIDGE_API_EXPORT_FOLDER": str(folder / "released"),
    }


def _run(site: dict[str, str], folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "fhirbridge", *words]
    done = subprocess.run(command, env=site, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait(done: Any, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + 300  # far longer than it takes: only a service that hangs meets it
    while not done():
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.1)


def _answers(base: str) -> bool:
    with contextlib.suppress(requests.ConnectionError):
        return requests.get(f"{base}/metadata", timeout=10).status_code == 200
    return False


def _correct(table: Path) -> None:
    """Give the first result of HBsAg another value, as a site does that corrects its table."""
    with table.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows, columns = list(reader), reader.fieldnames
    next(one for one in rows if one["analyte"] == "HBSAG" and one["value"][:1].isdigit())["value"] = str(CORRECTED)
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns or (), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _corrected(service: Live) -> bool:
    found = service.get(f"Observation?value-quantity={CORRECTED}").get("entry", ())
    for entry in found:
        if entry["resource"]["valueQuantity"]["value"] == CORRECTED:
            service.corrected = entry["resource"]["id"]
    return bool(service.corrected)


def day(text: str) -> dt.date:
    """Return the day of a dateTime: some have a time, and all that have one are of the study's time zone."""
    return dt.date.fromisoformat(text[:10])
