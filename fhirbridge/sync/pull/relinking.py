"""What becomes of results that came before their subject was linked to another person or number of the hospital.

A server is asked for everything again once that happened: what it does not tell of again is another patient's. Who
sent a message cannot be asked whose it is now, so a person must say it, seeing since when it is in doubt.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhirbridge.store.arrivals import Arrival
from fhirbridge.store.decisions import Decision
from fhirbridge.sync.pull import incoming as incomings
from fhirbridge.sync.pull.cases import Held
from fhirbridge.sync.pull.meaning import Meaning
from fhirbridge.sync.pull.taking import GONE


def held(
    last: Arrival,
    decisions: Sequence[Decision],
    *,
    moved: bool,
    relinked: str | None,
    meaning: Meaning | None = None,
) -> Held:
    """Return a result as it is held: what arrived last of it, and what was decided.

    ``moved`` says that it arrived later as another subject's, ``relinked`` when its subject was last linked anew;
    ``meaning`` is what it means, where that is known.
    """
    before = relinked if relinked is not None and last.at < relinked else None
    by_message = last.feed.startswith(incomings.BY_MESSAGE)
    return Held(
        arrival=last.key,
        incoming=meaning.incoming if meaning else incomings.read_back(last.body),
        decisions=decisions,
        relinked=moved or (before is not None and not by_message),
        doubted=before if by_message else None,
        gone=last.version.startswith(GONE),
        meaning=meaning,
    )
