"""Pushing in tests: the study "trial", as one run, with a breaker that does not rest, and counts that balance."""

from __future__ import annotations

from typing import Any

from fhirbridge.hospital import Hospital
from fhirbridge.store import Store
from fhirbridge.sync.breaker import Rest
from fhirbridge.sync.push import PushOptions, PushReport, push

_OPTIONS = set(PushOptions.__dataclass_fields__)


def pushed(store: Store, hospital: Hospital, **given: Any) -> PushReport:
    """Push with some options of ``PushOptions`` and some parameters of ``push``; check that the counts balance."""
    options = {name: value for name, value in given.items() if name in _OPTIONS}
    others = {name: value for name, value in given.items() if name not in _OPTIONS}
    chosen = PushOptions(**({"rest": Rest(after=3, first=0.0)} | options))
    report = push(store, hospital, "trial", run="push-1", options=chosen, **others)
    assert report.balanced, report.as_dict()
    if "compartments" not in given:
        assert report.desired == sum(store.counts("trial").values())
    return report
