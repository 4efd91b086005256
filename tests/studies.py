"""The shipped study under a name of its own, so that tests can share a server."""

from __future__ import annotations

import secrets
from pathlib import Path

STUDIES = Path(__file__).parents[1] / "mappings" / "studies"


def own_study(directory: Path) -> Path:
    """Write the shipped study under a name of its own and return the file."""
    number, file = f"{secrets.randbelow(10**8):08d}", directory / "study.toml"
    text = (STUDIES / "nct07120750.toml").read_text(encoding="utf-8")
    text = text.replace("07120750", number).replace("IIT-2024-077", f"IIT-{number}")
    file.write_text(text, encoding="utf-8")
    return file
