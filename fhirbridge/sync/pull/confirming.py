"""Whether a person at the hospital is the subject: by birth date and sex as far as both sides know them, never by name.

One of the two must agree, and neither may contradict. A date known in part agrees as far as it goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_DATE = re.compile(r"([0-9]{4})-?([0-9]{2})?-?([0-9]{2})?(?:T.*|[0-9]{2,6}.*)?", re.ASCII)
_SEXES = {"m": "male", "f": "female", "o": "other", "a": "other", "male": "male", "female": "female", "other": "other"}
"""FHIR's administrative gender and HL7 v2 table 0001; unknown and not applicable say nothing."""


def doubt(birth_date: str | None, sex: str | None, theirs: Iterable[tuple[object, object]]) -> str | None:
    """Return why a person is not confirmed, None where it is.

    ``theirs`` are birth date and sex of each of the hospital's records of the person, as they stand there. The text
    holds none of the values.
    """
    agree = False
    differ: set[str] = set()
    for their_date, their_sex in theirs:
        for what, same in (
            ("birth date", _same_day(birth_date, their_date)),
            ("sex", _same_sex(sex, their_sex)),
        ):
            agree = agree or same is True
            if same is False:
                differ.add(what)
    if differ:
        return f"the hospital's record has another {' and another '.join(sorted(differ))}"
    return None if agree else "neither birth date nor sex is known on both sides, so nothing confirms the person"


def _same_day(ours: str | None, theirs: object) -> bool | None:
    """Say whether two dates agree as far as both are known; None where one is absent or no date."""
    known, found = _parts(ours), _parts(theirs)
    if not known or not found:
        return None
    return all(one == other for one, other in zip(known, found, strict=False))


def _parts(date: object) -> list[str]:
    match = _DATE.fullmatch(date.strip()) if isinstance(date, str) else None
    return [part for part in match.groups() if part] if match else []


def _same_sex(ours: str | None, theirs: object) -> bool | None:
    known = _SEXES.get((ours or "").casefold())
    found = _SEXES.get(theirs.strip().casefold()) if isinstance(theirs, str) else None
    return None if known is None or found is None else known == found
