"""What benchmarks/validation.py measures in processes of their own: nothing is imported here but the validator.

python benchmarks/validating.py start PROFILES FILE CACHE      seconds of load and first check; with imports
python benchmarks/validating.py memory PROFILES FILE COUNT     peak MiB after a tenth (at most 100,000), and at last
"""

import time

BEGAN = time.perf_counter()

import sys  # noqa: E402  # importing is part of what is measured
from pathlib import Path  # noqa: E402

from peak import peak_mib  # noqa: E402

from fhirbridge import fhirjson  # noqa: E402
from fhirbridge.validation import Validator  # noqa: E402

FEW = 100_000
"""Resources after which memory is first looked at."""


def start(profiles: str, file: Path, cache: str) -> None:
    """Load and check one resource."""
    imported = time.perf_counter()
    validator = Validator.load([profiles], cache=Path(cache))
    if not validator.is_valid(fhirjson.loads(file.read_bytes())):
        raise SystemExit("the resource is not valid")
    done = time.perf_counter()
    sys.stdout.write(f"{done - imported} {done - BEGAN}\n")


def memory(profiles: str, file: Path, count: str) -> None:
    """Judge the lines of a file over and over, every time under another id."""
    from fhirbridge.validation import report
    from fhirbridge.validation.reading import Text

    validator = Validator.load([profiles])
    lines = file.read_bytes().splitlines()
    asked = report.Asked(errors_only=True)
    for number in range(int(count)):
        line = lines[number % len(lines)].replace(b'"id":"', b'"id":"%d-' % number, 1)
        if not report.judge(validator, Text("labs.ndjson", number + 1, line), asked).is_valid:
            raise SystemExit(f"not valid: {line!r}")
        if number + 1 in (min(FEW, int(count) // 10), int(count)):
            sys.stdout.write(f"{peak_mib()}\n")


if __name__ == "__main__":
    {"start": start, "memory": memory}[sys.argv[1]](sys.argv[2], Path(sys.argv[3]), sys.argv[4])
