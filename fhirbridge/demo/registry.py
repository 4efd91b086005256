"""The demo's registry: a client of its own key that knows of the service only its address and what FHIR says.

    registry = Registry(Path(".demo/registry"))
    registry.write_jwks(Path("jwks.json"))            # its public key, for those who register it
    registry.meet("http://127.0.0.1:8000/fhir", "demo-registry-5f0c1a2b")
    registry.search("Observation?code=42595-9")

Whatever is answered is kept in the folder as it came. Sources: http://hl7.org/fhir/smart-app-launch/backend-services.html,
http://hl7.org/fhir/R4/http.html#search, http://hl7.org/fhir/uv/bulkdata/STU2/export.html
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from fhirbridge import fhirjson
from fhirbridge.errors import Refused, Resource

ALGORITHM = "ES384"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
KEY_ID = "demo-1"
SECONDS = 60.0
"""To wait for an answer."""
LONGEST_EXPORT = 600.0
"""Seconds to wait for an export."""
_LEFT = 60.0
"""Seconds of a token's life at which another one is fetched."""


@dataclass(slots=True)
class Answered:
    """What came as the answer to one question: how many resources of each type, and of whom."""

    matches: Counter[str] = field(default_factory=Counter)
    included: Counter[str] = field(default_factory=Counter)
    people: set[str] = field(default_factory=set)
    """Ids of the Patients that the matches are of, as the registry knows them."""
    told: dict[str, int | None] = field(default_factory=dict)
    """The numbers that the service itself tells, by type; None where it tells none."""
    files: list[Path] = field(default_factory=list)


class Registry:
    """A registry's system. ``folder`` takes what it is answered; ``pause`` waits for so many seconds.

    Every method raises Refused for an answer that is not what the specification promises.
    """

    def __init__(self, folder: Path, *, pause: Callable[[float], None] = time.sleep) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.asked = 0
        """Requests made with a token; the service puts on record each of them, and each for a token."""
        self.tokens = 0
        self._folder, self._pause = folder, pause
        self._key = ec.generate_private_key(ec.SECP384R1())
        self._base = self._client = self._endpoint = self._token = ""
        self._renew = 0.0
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy of the environment has no business on the loopback interface

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def write_jwks(self, file: Path) -> None:
        """Write the public half of the key, for those who register this system."""
        public = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        file.write_bytes(fhirjson.dumps({"keys": [{**public, "kid": KEY_ID, "use": "sig", "alg": ALGORITHM}]}))

    def meet(self, base: str, client: str) -> None:
        """Find the token endpoint of the service at this base URL, where it is known by this client id."""
        self._base, self._client = base, client
        answer = self._http.get(f"{base}/.well-known/smart-configuration", timeout=SECONDS)
        self._endpoint = str(_json(answer, HTTPStatus.OK)["token_endpoint"])

    def search(self, name: str, query: str) -> Answered:
        """Ask a search, and follow its pages to the end. They are kept as ``<name>-1.json`` and so on."""
        answered, url, seen = Answered(), f"{self._base}/{query}", set[tuple[str, str]]()
        kind = query.split("?")[0]
        while url:
            page = self._get(url)
            bundle = _json(page, HTTPStatus.OK)
            self._keep(answered, f"{name}-{len(answered.files) + 1}.json", [page.content])
            answered.told.setdefault(kind, bundle.get("total"))
            for entry in bundle.get("entry", ()):
                resource, mode = entry["resource"], entry["search"]["mode"]
                if (place := (resource["resourceType"], resource["id"])) not in seen:
                    seen.add(place)
                    _count(answered, resource, answered.matches if mode == "match" else answered.included)
            url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), "")
        return answered

    def export(self, path: str) -> Answered:
        """Begin an export, wait for it, fetch its files (kept under their types' names), and have it deleted."""
        begun = self._get(f"{self._base}/{path}", {"Accept": "application/fhir+json", "Prefer": "respond-async"})
        _expect(begun, HTTPStatus.ACCEPTED)
        where = begun.headers["Content-Location"]
        answered = Answered()
        for item in self._manifest(where)["output"]:
            kind, before = item["type"], answered.matches[item["type"]]
            with self._get(item["url"], {"Accept": "application/fhir+ndjson"}, stream=True) as answer:
                _expect(answer, HTTPStatus.OK)
                file = self._keep(answered, f"{kind}-{len(answered.files) + 1}.ndjson", answer.iter_content(1 << 20))
            with file.open("rb") as lines:
                for line in lines:
                    _count(answered, fhirjson.loads(line), answered.matches)
            told = item.get("count")
            if told is not None and told != answered.matches[kind] - before:
                raise Refused(f"the export says {told} of {file.name}, which holds {answered.matches[kind] - before}.")
            answered.told[kind] = None if told is None else (answered.told.get(kind) or 0) + told
        _expect(self._ask("DELETE", where), HTTPStatus.ACCEPTED)
        return answered

    def _manifest(self, where: str) -> Resource:
        waited = 0.0
        while (answer := self._get(where, {"Accept": "application/json"})).status_code == HTTPStatus.ACCEPTED:
            seconds = float(answer.headers.get("Retry-After", 1))
            if waited > LONGEST_EXPORT:
                raise Refused(f"the export was not ready after {waited:.0f} seconds.")
            self._pause(seconds)
            waited += seconds
        return _json(answer, HTTPStatus.OK)

    def _get(self, url: str, headers: Mapping[str, str] | None = None, *, stream: bool = False) -> requests.Response:
        return self._ask("GET", url, headers, stream=stream)

    def _ask(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, *, stream: bool = False
    ) -> requests.Response:
        if time.monotonic() >= self._renew:
            self._let_in()
        self.asked += 1
        given = {"Accept": "application/fhir+json", **(headers or {}), "Authorization": f"Bearer {self._token}"}
        return self._http.request(method, url, headers=given, timeout=SECONDS, stream=stream, allow_redirects=False)

    def _let_in(self) -> None:
        """Prove who we are with a statement signed for this endpoint alone, and get a token."""
        claims = {
            "iss": self._client,
            "sub": self._client,
            "aud": self._endpoint,
            "exp": int(time.time()) + 240,
            "jti": uuid.uuid4().hex,
        }
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": jwt.encode(claims, self._key, ALGORITHM, {"kid": KEY_ID}),
            "scope": "system/*.rs",
        }
        said = _json(self._http.post(self._endpoint, data=form, timeout=SECONDS), HTTPStatus.OK)
        self.tokens += 1
        self._token = str(said["access_token"])
        self._renew = time.monotonic() + float(said["expires_in"]) - _LEFT

    def _keep(self, answered: Answered, name: str, parts: Iterable[bytes]) -> Path:
        file = self._folder / name
        with file.open("wb") as written:
            for part in parts:
                written.write(part)
        answered.files.append(file)
        return file


def _count(answered: Answered, resource: Resource, counts: Counter[str]) -> None:
    counts[resource["resourceType"]] += 1
    if counts is answered.matches and (person := _person(resource)):
        answered.people.add(person)


def _person(resource: Resource) -> str | None:
    """Return the id of the Patient that a resource is or is of."""
    if resource["resourceType"] == "Patient":
        return str(resource["id"])
    told = [resource[name]["reference"] for name in ("subject", "individual", "patient") if name in resource]
    kind, _, id = told[0].partition("/") if told else ("", "", "")
    return id if kind == "Patient" else None


def _expect(answer: requests.Response, status: HTTPStatus) -> None:
    if answer.status_code != status:
        asked = answer.request
        text = f"{asked.method} {str(asked.url).partition('?')[0]}: answered {answer.status_code}, not {status.value}"
        raise Refused(f"the demo registry's {text}. It said: {answer.text[:500]}")


def _json(answer: requests.Response, status: HTTPStatus) -> Resource:
    _expect(answer, status)
    said: Resource = fhirjson.loads(answer.content)
    return said
