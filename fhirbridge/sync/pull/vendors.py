"""What servers of different makers bear when they are asked for results: one row each, chosen by name or by setting.

Sources: public reports of searches that were refused or came back empty, and what makers publish; the rows of Epic and
Oracle were never tried at such a server. A server of no known maker is asked in the most careful way: one patient at a
time, since one that does not read ``patient=a,b`` as two patients finds nothing and says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fhirbridge.errors import ConfigurationError

Select = Literal["category", "code", "everything"]
"""What is asked for: all of the laboratory's results, those with codes that the laboratories' files know, or all."""

Incremental = Literal["updated", "date", "whole"]
"""How only the new is asked for: by ``_lastUpdated``, by when the specimen was taken, or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """One row. ``known_by``: what stands in ``CapabilityStatement.software.name``, in lower case.

    ``needs_selection``: refuses a search for everything. ``patients``, ``codes``: most in one request. ``page``: the
    page's size that is asked for. ``sifts``: what is asked for by category is chosen here, from all that the server has
    of these patients. ``sort``: what makes pages hold still, where they would not. ``url_length``: most
    characters of a URL.
    """

    name: str
    known_by: tuple[str, ...] = ()
    select: Select = "category"
    needs_selection: bool = False
    post: bool = True
    incremental: Incremental = "updated"
    patients: int = 1
    codes: int = 100
    page: int = 200
    sifts: bool = False
    sort: str | None = None
    url_length: int = 2000


GENERIC = Vendor(name="generic")
VENDORS = (
    GENERIC,
    # A search without category (or code) is 400; what was updated cannot be asked for.
    Vendor(name="epic", known_by=("epic",), needs_selection=True, incremental="date", codes=30),
    # At most 200 a page; each code needs its system; `date` and `_lastUpdated` exclude each other.
    Vendor(name="oracle", known_by=("cerner", "oracle", "millennium"), needs_selection=True, post=False, codes=30),
    # A category beside several patients, or beside `_lastUpdated`, is joined row by row: minutes instead of moments.
    Vendor(name="hapi", known_by=("hapi", "smile"), patients=50, sifts=True),
    # Pages by offset in the order of last writing, unless sorted.
    Vendor(name="sekmet", known_by=("sekmet",), patients=50, page=1000, sort="_id"),
)
"""Every maker that is known; a further one is a row here."""

NAMES = tuple(vendor.name for vendor in VENDORS)


def chosen(software: str, setting: str | None) -> Vendor:
    """Return the row that the setting names, else the one that the server's software name tells, else the generic.

    Raises ConfigurationError for a setting that names none.
    """
    if setting is not None:
        found = next((vendor for vendor in VENDORS if vendor.name == setting), None)
        if found is None:
            raise ConfigurationError(f"setting 'pull_vendor': {setting!r} is none of {', '.join(NAMES)}.")
        return found
    said = software.lower()
    return next((vendor for vendor in VENDORS if any(word in said for word in vendor.known_by)), GENERIC)
