"""The demo's end: a registry is let in, asks our API three questions, and each answer is held against the store."""

from __future__ import annotations

import csv
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhirbridge import identity
from fhirbridge.audit.verifying import Verdict
from fhirbridge.audit.verifying import verify as check
from fhirbridge.cli import console
from fhirbridge.cli.demo_questions import OF_PEOPLE, QUESTIONS, Question, Reply, held
from fhirbridge.cli.registries import agreements_of
from fhirbridge.cli.registry import register
from fhirbridge.cli.releasing import run_release
from fhirbridge.cli.serve import addressed, bound, listening
from fhirbridge.cli.workplace import Workplace
from fhirbridge.demo.registry import Registry
from fhirbridge.errors import FhirbridgeError
from fhirbridge.release.agreement import Agreement
from mappings.patient import logical_id

AGREEMENT = "demo-registry"
NAME = "Demo registry"
_WORD = re.compile(rb"[A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True)
class Visit:
    """All that became of a registry's questions."""

    replies: Sequence[Reply]
    released: int
    looked_at: int
    accesses: int
    """Requests that the registry made, those for a token among them."""
    audit: Verdict
    names: int
    """The study's own names for people, each of which was looked for in all that came."""
    leaked: int
    threshold: int

    @property
    def came(self) -> int:
        """How many resources the registry got, of all questions."""
        return sum(one.came.matches.total() + one.came.included.total() for one in self.replies)

    @property
    def held(self) -> int:
        """How many it should have got, by the store."""
        return sum(one.held.matches.total() + one.held.included.total() for one in self.replies)

    @property
    def recorded(self) -> bool:
        """Whether the audit trail is whole and holds every access."""
        return not self.audit.problems and self.audit.events == self.accesses

    @property
    def true(self) -> bool:
        """Whether everything is as it should be."""
        return all(reply.agrees for reply in self.replies) and self.recorded and not self.leaked


def prepared(directory: Path) -> dict[str, str]:
    """Make the keys and folders that it takes to let registries in, and return the settings that name them."""
    from fhirbridge.api.access_tokens import new_key

    root = directory.absolute()
    new_key(root / "api.key")
    for name in ("release", "audit"):
        identity.new_key(root / f"{name}.key")
    (root / "agreements").mkdir()
    places = {
        "agreements": "agreements",
        "release_key": "release.key",
        "api_signing_key": "api.key",
        "api_export_folder": "exports",
        "audit_folder": "audit",
        "audit_key": "audit.key",
    }
    found = {setting: (root / name).as_posix() for setting, name in places.items()}
    return found | {"api_url": "http://127.0.0.1:8000/fhir"}  # for `fhirbridge serve` after the demo


def visit(place: Workplace, directory: Path, records: Path) -> Visit:
    """Have an agreement signed, release under it, register a registry, and let it ask; check all that it is given.

    ``records`` is the folder of the cohort's tables. Raises Refused where the registry is not answered as FHIR says.
    """
    agreement = _signed(place, directory)
    counts = _released(place, agreement)
    registry = Registry(directory / "registry")
    registry.write_jwks(jwks := directory / "registry-jwks.json")
    client = register(place, NAME, agreement.id, jwks=jwks, by="demo")
    console.remark(f"The registry is registered by its public key, as {client.id}.")
    api = Workplace(place.settings)
    with closing(api), served(api) as base, closing(registry):
        registry.meet(base, client.id)
        console.remark(f"Our FHIR API serves it at {base}: a short token for each statement signed with its key.")
        replies = [_asked(api, agreement, registry, question) for question in QUESTIONS]
    names = own_names(place, records)
    return Visit(
        replies=replies,
        released=counts["released"],
        looked_at=sum(counts[fate] for fate in ("released", "unchanged", "deleted", "hidden")),
        accesses=registry.asked + registry.tokens,
        audit=check(api.settings.audit_folder, api.audit_key),
        names=len(names),
        leaked=len(leaks((file for reply in replies for file in reply.came.files), names)),
        threshold=agreement.counts.threshold,
    )


def _signed(place: Workplace, directory: Path) -> Agreement:
    file = directory / "agreements" / f"{AGREEMENT}.toml"
    types = ", ".join(f'"{one}"' for one in ("ResearchStudy", *OF_PEOPLE))
    lines = {
        "id": f'"{AGREEMENT}"',
        "registry": f'"{AGREEMENT}"',
        "study": f'"{place.study.id}"',
        "purpose": '"HRESCH"',
        "types": f"[{types}]",
        "expires": f"{place.today.year + 1}-12-31",
    }
    file.write_text("".join(f"{name} = {value}\n" for name, value in lines.items()), encoding="utf-8")
    console.remark(f"A registry has a data-use agreement: {file}.")
    return agreements_of(place).all()[AGREEMENT]


def _released(place: Workplace, agreement: Agreement) -> dict[str, Any]:
    done, outcome = run_release(place, [agreement.id])
    failed = done[agreement.id]
    if isinstance(failed, FhirbridgeError):
        raise failed
    counts = dict(outcome.counts)
    console.remark(
        f"{console.many(counts['released'], 'resource')} released to it: pseudonyms of its own, dates moved, "
        "no free text, and nothing of who withdrew."
    )
    return counts


@contextmanager
def served(place: Workplace) -> Iterator[str]:
    """Serve the API of a workplace on a free port of this machine until the block ends; give its base URL."""
    here = place.settings.model_copy(update={"api_address": "127.0.0.1", "api_port": 0, "api_url": None})
    with bound(here) as opened:
        port = opened.getsockname()[1]
        place.settings = addressed(here.model_copy(update={"api_port": port}))
        with listening(place, opened) as (server, _, _):
            thread = threading.Thread(target=server.run, name="api", daemon=True)  # ends as we do, however that is
            thread.start()
            try:
                yield str(place.settings.api_url)
            finally:
                server.trigger.pull_trigger(lambda: _end(server))  # its sockets are its own thread's business
                thread.join()


def _end(server: Any) -> None:
    """Close everything that the loop of a waitress server waits for, which ends the loop."""
    for channel in list(server.active_channels.values()):
        channel.handle_close()
    server.close()


def _asked(place: Workplace, agreement: Agreement, registry: Registry, question: Question) -> Reply:
    console.remark(f"It asks: {question.words}\n    GET {question.asked}")
    if question.kind == "export":
        came = registry.export(question.asked)
    else:
        came = registry.search(question.kind, question.asked)
    return Reply(question, came, held(place, agreement, question))


def own_names(place: Workplace, records: Path) -> frozenset[bytes]:
    """Return what the study calls its subjects: their numbers, their pseudonyms in the store, and their ids there."""
    with (records / "subjects.csv").open(encoding="utf-8", newline="") as file:
        numbers = [row["subject"] for row in csv.DictReader(file)]
    known = ((one, place.identity.pseudonym(one), logical_id(one, place.identity)) for one in numbers)
    return frozenset(name.encode() for names in known for name in names)


def leaks(files: Iterable[Path], names: frozenset[bytes]) -> set[bytes]:
    """Return those of the names that are words of the files."""
    found = set[bytes]()
    for file in files:
        with file.open("rb") as lines:
            for line in lines:
                found |= names.intersection(_WORD.findall(line))
    return found
