"""Packages from folders, archives, files and dicts, and canonical URLs with and without a version."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from fhirbridge import fhirjson
from fhirbridge.errors import InputError, ProfileError, Resource
from fhirbridge.validation import Validator
from tests.validation.building import OBSERVATION, element, profile

STRICT = profile("strict", "Observation", element("Observation.note", min=1))
URL = STRICT["url"]


def written(folder: Path, *resources: Resource) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_bytes(b'{"name": "x", "version": "1.0.0"}')
    for number, resource in enumerate(resources):
        (folder / f"{resource['resourceType']}-{number}.json").write_bytes(fhirjson.dumps(resource))
    return folder


def packed(path: Path, *resources: Resource) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for number, resource in enumerate(resources):
            content = fhirjson.dumps(resource)
            info = tarfile.TarInfo(f"package/{resource['resourceType']}-{number}.json")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_every_kind_of_source_is_read(tmp_path: Path) -> None:
    single = tmp_path / "one.json"
    single.write_bytes(fhirjson.dumps(STRICT))
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": STRICT}]}
    for source in (
        written(tmp_path / "folder", STRICT),
        str(written(tmp_path / "unpacked" / "package", STRICT).parent),
        packed(tmp_path / "p.tgz", STRICT),
        single,
        STRICT,
        bundle,
    ):
        validator = Validator.load([source])
        assert not validator.is_valid(OBSERVATION, [URL])


def test_versions_are_told_apart() -> None:
    loose = {**profile("strict", "Observation", element("Observation.note", max="5")), "version": "1.10.0"}
    validator = Validator.load([loose, {**STRICT, "version": "1.9.0"}])
    assert validator.is_valid(OBSERVATION, [URL])
    assert validator.is_valid(OBSERVATION, [URL + "|1.10.0"])
    assert not validator.is_valid(OBSERVATION, [URL + "|1.9.0"])
    with pytest.raises(ProfileError, match="not loaded"):
        validator.is_valid(OBSERVATION, [URL + "|2.0.0"])


def test_what_is_loaded_later_wins() -> None:
    loose = profile("strict", "Observation", element("Observation.note", max="5"))
    assert Validator.load([STRICT, loose]).is_valid(OBSERVATION, [URL])
    assert not Validator.load([loose, STRICT]).is_valid(OBSERVATION, [URL])


def test_a_source_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(b"{")
    (tmp_path / "bad.tgz").write_bytes(b"no archive")
    for source in (tmp_path / "bad.json", tmp_path / "bad.tgz", tmp_path / "none", tmp_path):
        with pytest.raises(InputError) as caught:
            Validator.load([source])
        assert str(tmp_path) in str(caught.value)


def test_a_definition_without_url_is_refused() -> None:
    with pytest.raises(ProfileError, match="no url"):
        Validator.load([{k: v for k, v in STRICT.items() if k != "url"}])
