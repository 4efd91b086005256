"""What recording needs, put together: what the store knows of subjects, the mapping, the validator and the store."""

from __future__ import annotations

from functools import lru_cache, partial

import fhirbridge
import mappings
from fhirbridge.cli.subjects import facts_of, result_of
from fhirbridge.cli.workplace import Workplace
from fhirbridge.sync.pull.recording import Recorder


def recorder(place: Workplace, run: str) -> Recorder:
    """Return what records accepted candidates of the study of the workplace."""
    study = place.pulled_study
    return Recorder(
        store=place.bound_store,
        study=study,
        identity=place.identity,
        mapper=lambda record: mappings.resources(record, study, place.identity),
        checks=place.validator,
        facts=lru_cache(maxsize=4096)(partial(facts_of, place)),
        result_facts=partial(result_of, study=study),
        today=place.today,
        software=f"fhirbridge {fhirbridge.__version__}",
        run=run,
    )
