"""The data-use agreement that tests begin with, and the key of their releases."""

from __future__ import annotations

import datetime as dt

from fhirbridge.release.agreement import TYPES, Agreement
from tests.mappings.cases import STUDY

RELEASE_KEY = bytes(range(64, 96))
NORTH = Agreement(
    id="north-2026",
    registry="north",
    study=STUDY.id,
    purpose="HRESCH",
    types=TYPES,
    expires=dt.date(2029, 12, 31),
)
