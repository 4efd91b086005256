"""Pseudonyms and ids: stable under one key, unlinkable without it."""

import re
import stat
from pathlib import Path

import pytest

from fhirbridge.errors import ConfigurationError
from fhirbridge.identity import Identity, new_key, read_key

KEY = bytes(range(32))


def test_the_same_key_and_subject_give_the_same_pseudonym() -> None:
    assert Identity(KEY, "s1").pseudonym("SZ-0001") == Identity(KEY, "s1").pseudonym("SZ-0001")


@pytest.mark.parametrize(
    "other",
    [Identity(bytes(32), "s1"), Identity(KEY, "s2")],
    ids=["another key", "another study"],
)
def test_another_key_or_study_gives_another_pseudonym(other: Identity) -> None:
    assert other.pseudonym("SZ-0001") != Identity(KEY, "s1").pseudonym("SZ-0001")


def test_ids_of_different_types_cannot_be_linked_by_looking_at_them() -> None:
    identity = Identity(KEY, "s1")
    ids = {identity.id("Patient", "SZ-0001"), identity.id("Consent", "SZ-0001"), identity.pseudonym("SZ-0001")}
    assert len(ids) == 3


def test_an_id_is_a_fhir_id_and_shows_nothing_of_the_subject_number() -> None:
    found = Identity(KEY, "s1").id("Patient", "SZ-0001")
    assert re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", found)
    assert "0001" not in found


def test_where_one_business_identifier_ends_and_the_next_begins_matters() -> None:
    identity = Identity(KEY, "s1")
    assert identity.id("Observation", "ab", "c") != identity.id("Observation", "a", "bc")


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="16 bytes"):
        Identity(bytes(16), "s1")


def test_a_new_key_is_readable_by_its_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "trial.key"
    new_key(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = read_key(file)
    with pytest.raises(ConfigurationError, match="exists already"):
        new_key(file)
    assert read_key(file) == kept
    assert len(kept) == 32


def test_a_missing_key_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="fhirbridge key new"):
        read_key(tmp_path / "none.key")


def test_a_broken_key_is_refused_without_being_shown(tmp_path: Path) -> None:
    file = tmp_path / "broken.key"
    file.write_text("secret but not hexadecimal")
    with pytest.raises(ConfigurationError) as error:
        read_key(file)
    assert "secret" not in str(error.value)
