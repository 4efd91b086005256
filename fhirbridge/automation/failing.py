"""What may be told of an exception in a log or a notification: its type and place, and text only if it is our own."""

from __future__ import annotations

import re
import traceback
from pathlib import Path
from typing import Any

from fhirbridge.errors import FhirbridgeError, HospitalError, InputError, Refused

LONGEST = 300
FRAMES = 4

_QUERY = re.compile(r"\?[^\s'\"<>]+")


def told(error: BaseException) -> dict[str, Any]:
    """Return type, place, status and harmless text of an exception; values of variables never.

    ``place`` is the last frames, the innermost first: ``sync/push.py:120 in _send``.
    """
    facts: dict[str, Any] = {"error": type(error).__name__}
    if isinstance(error, HospitalError) and error.status is not None:
        facts["status"] = error.status
    if text := harmless(error):
        facts["message"] = text
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    if frames:
        facts["place"] = " < ".join(
            f"{_short(frame.filename)}:{frame.lineno} in {frame.name}" for frame in reversed(frames)
        )
    return facts


def harmless(error: BaseException) -> str | None:
    """Return the text of an error that can quote neither a record nor a server's words; None for any other."""
    if not isinstance(error, FhirbridgeError) or isinstance(error, Refused | InputError):
        return None
    if isinstance(error, HospitalError) and error.outcome is not None:
        return None
    text = _QUERY.sub("?…", " ".join(str(error).split()))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _short(filename: str) -> str:
    """Return a source file's last two parts: where it is installed is nobody's business."""
    return "/".join(Path(filename).parts[-2:])
