"""A file that a setting names for a secret: closed to others, and a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhirbridge.errors import ConfigurationError
from fhirbridge.hospital.secret_files import check_private


def test_a_folder_in_the_place_of_a_secret_is_named_and_nobody_is_told_to_close_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a folder") as refused:
        check_private(tmp_path, "linking_key")
    assert "chmod" not in str(refused.value)
