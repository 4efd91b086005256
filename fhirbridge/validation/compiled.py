"""Keeps compiled schemas on disk by content hash, so that a second start need not compile them again."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from fhirbridge import fhirjson
from fhirbridge.errors import InputError
from fhirbridge.validation.packages import Definitions

Keyword = tuple[str, str, str]
"""An invariant run as Python inside the schema: the StructureDefinition's URL, the element's id, the expression."""

_KEPT = 16
"""Sets of definitions whose compiled profiles are kept."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """One profile ready to run: its JSON Schema, the invariants run inside it, and those run after it."""

    schema: dict[str, Any]
    keywords: dict[str, Keyword]
    rest: list[str]


def default_folder() -> Path:
    """Return the user's cache folder for compiled profiles."""
    return platformdirs.user_cache_path("fhirbridge") / "validation"


class Store:
    """Compiled profiles in a folder. A file is written whole or not at all, and read only if its checksum holds."""

    def __init__(self, folder: Path, definitions: Definitions) -> None:
        self.folder = folder
        self._digest = hashlib.sha256(f"{definitions.digest} {_code_digest()}".encode()).hexdigest()[:32]

    def load(self, canonical: str) -> Compiled | None:
        """Return what was kept for a profile, or None where nothing usable is there."""
        try:
            checksum, _, content = self._file(canonical).read_bytes().partition(b"\n")
            if hashlib.sha256(content).hexdigest().encode() != checksum:
                return None
            found = fhirjson.loads(content)
        except (OSError, InputError):
            return None
        keywords = {name: (home, id_, text) for name, (home, id_, text) in found["keywords"].items()}
        return Compiled(found["schema"], keywords, found["rest"])

    def keep(self, canonical: str, compiled: Compiled) -> None:
        """Write a compiled profile; a folder that cannot be written to is no error, only slower."""
        content = fhirjson.dumps({"schema": compiled.schema, "keywords": compiled.keywords, "rest": compiled.rest})
        target = self._file(canonical)
        try:
            if not target.parent.is_dir():
                target.parent.mkdir(parents=True, exist_ok=True)
                self._prune()
            handle, scratch = tempfile.mkstemp(dir=target.parent, prefix=".new-")
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
            Path(scratch).replace(target)
        except OSError:
            return

    def _file(self, canonical: str) -> Path:
        return self.folder / self._digest / (hashlib.sha256(canonical.encode()).hexdigest() + ".json")

    def _prune(self) -> None:
        """Forget all but the latest sets of definitions: every change of a profile begins a new one."""
        folders = sorted(
            (f for f in self.folder.iterdir() if f.is_dir()), key=lambda f: f.stat().st_mtime, reverse=True
        )
        for folder in folders[_KEPT:]:
            shutil.rmtree(folder, ignore_errors=True)


def _code_digest() -> str:
    """Change with every change of this package, so that no schema of an older compiler is ever run."""
    here = Path(__file__).parent
    told = [(str(f.relative_to(here)), f.stat().st_size, f.stat().st_mtime_ns) for f in sorted(here.rglob("*.py"))]
    return hashlib.sha256(repr(told).encode()).hexdigest()
