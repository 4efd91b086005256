"""What lies sealed in the store: opened by its key alone, where it belongs, and found without being readable."""

import os
import stat
from pathlib import Path

import pytest

from fhirbridge.errors import ConfigurationError, StoreError
from fhirbridge.sealing import Seal, new_key, read_keys

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


def test_what_is_sealed_opens_with_its_key_and_shows_nothing_before() -> None:
    sealed = Seal([OLD]).seal(b"0012345", "link 1")
    assert b"0012345" not in sealed
    assert Seal([OLD]).open(sealed, "link 1") == b"0012345"


def test_another_key_opens_nothing_and_says_what_to_do() -> None:
    sealed = Seal([OLD]).seal(b"0012345", "link 1")
    with pytest.raises(ConfigurationError, match="Use the key file that it was sealed with"):
        Seal([NEW]).open(sealed, "link 1")


def test_sealed_bytes_moved_to_another_row_do_not_open_there() -> None:
    sealed = Seal([OLD]).seal(b"0012345", "link 1")
    with pytest.raises(StoreError, match="not made for"):
        Seal([OLD]).open(sealed, "link 2")


def test_content_with_any_bytes_comes_back_whole() -> None:
    content = bytes(range(256)) * 2
    assert Seal([OLD]).open(Seal([OLD]).seal(content, "a"), "a") == content


def test_after_a_rotation_the_old_opens_and_the_new_seals() -> None:
    rotated = Seal([NEW, OLD])
    before = Seal([OLD]).seal(b"x", "a")
    assert rotated.open(before, "a") == b"x"
    assert not rotated.is_newest(before)
    after = rotated.seal(b"x", "a")
    assert rotated.is_newest(after)
    assert Seal([NEW]).open(after, "a") == b"x"


def test_a_digest_is_stable_under_its_key_and_another_one_under_another() -> None:
    assert Seal([OLD]).lookup("12") == Seal([OLD]).lookup("12")
    assert Seal([OLD]).lookup("12") != Seal([OLD]).lookup("13")
    assert Seal([OLD]).lookup("12") != Seal([NEW]).lookup("12")


def test_after_a_rotation_rows_are_found_under_either_digest() -> None:
    assert Seal([NEW, OLD]).lookups("12") == (Seal([NEW]).lookup("12"), Seal([OLD]).lookup("12"))


def test_a_new_key_file_is_for_its_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "linking.key"
    before = os.umask(0)
    try:
        new_key(file)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    held = file.read_bytes()
    with pytest.raises(ConfigurationError, match="exists already"):
        new_key(file)
    assert file.read_bytes() == held


def test_a_key_file_may_hold_several_keys_the_newest_first(tmp_path: Path) -> None:
    assert read_keys(f"{NEW.hex()}\n\n{OLD.hex()}\n".encode(), tmp_path) == (NEW, OLD)


@pytest.mark.parametrize("held", [b"no key", b"\xff\xfe", OLD.hex().encode() + b"\nsecret"])
def test_a_key_file_that_holds_something_else_is_refused_and_not_quoted(held: bytes) -> None:
    with pytest.raises(ConfigurationError, match="hexadecimal") as refused:
        read_keys(held, Path("linking.key"))
    assert "secret" not in str(refused.value)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="32 bytes"):
        Seal([b"short"])
