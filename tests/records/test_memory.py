"""A large file is streamed: memory does not grow with it, be its rows good or bad."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.records.source import Folder, text

MEGABYTE = 1 << 20
STUDY = Path(__file__).parents[2] / "mappings" / "studies" / "nct07120750.toml"

# In a process of its own, as the high-water mark of memory never falls. Linux hands a parent's mark on in ru_maxrss,
# so /proc is asked where there is one.
SCRIPT = """
import datetime, json, pathlib, re, resource, sys
from fhirbridge.records.tables import read
from fhirbridge.study import load

def peak():
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def run(folder):
    with read(pathlib.Path(folder), load(pathlib.Path(sys.argv[1])), today=datetime.date(2026, 11, 1)) as batch:
        records = sum(len(group.records) for group in batch.subjects())
        return {"records": records, "findings": sum(1 for _ in batch.findings()), "peak": peak()}

print(json.dumps([run(folder) for folder in sys.argv[2:]]))
"""


def write(folder: Path, size: int, value: str) -> int:
    """Write two subjects and results of this many bytes; return how many results."""
    folder.mkdir()
    rows = Folder(folder, None)  # type: ignore[arg-type]
    rows.write("subjects", text(rows.tables["subjects"]))
    line = f"W000,HBV-DNA,2026-01-12,{value},[IU]/mL,final,COBAS TaqMan HBV Test,a comment to fill the line with text"
    count = 0
    with (folder / "laboratory.csv").open("w", encoding="utf-8") as file:
        file.write("result,subject,visit,analyte,collected,value,unit,status,assay,comment\n")
        while file.tell() < size:
            file.writelines(f"R-{n},S00{1 + n % 2},{line}\n" for n in range(count, count + 1000))
            count += 1000
    return count


@pytest.mark.parametrize(("value", "good"), [("5.50", True), ('"1,2e3"', False)])
def test_eight_megabytes_take_hardly_more_memory_than_one(tmp_path: Path, value: str, good: bool) -> None:
    write(tmp_path / "small", MEGABYTE, value)
    count = write(tmp_path / "large", 8 * MEGABYTE, value)
    command = [sys.executable, "-c", SCRIPT, str(STUDY), str(tmp_path / "small"), str(tmp_path / "large")]
    small, large = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=300).stdout)
    assert (large["records"], large["findings"]) == ((count + 2, 0) if good else (2, count))
    assert large["peak"] - small["peak"] < 16 * MEGABYTE, (small, large)
