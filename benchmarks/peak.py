"""The most memory that a process held."""

from __future__ import annotations

import resource
from pathlib import Path


def peak_mib(process: int | str = "self") -> float:
    """Return the most memory this process held so far, or on Linux another, in MiB.

    ru_maxrss would count what the process's parent held, too.
    """
    told = Path(f"/proc/{process}/status")
    lines = told.read_text().splitlines() if told.exists() else []
    found = next((line for line in lines if line.startswith("VmHWM:")), None)
    return (int(found.split()[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024
