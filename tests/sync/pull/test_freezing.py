"""A frozen context holds everything that a pull was judged by, to the last digit."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from fhirbridge.errors import StoreError
from fhirbridge.store import Store
from fhirbridge.sync.pull.cases import Context
from fhirbridge.sync.pull.freezing import freeze, frozen_alike, thaw
from fhirbridge.terminology import laboratory_files
from fhirbridge.terminology.analytes import with_laboratories
from tests.store.conftest import database_url as database_url
from tests.store.conftest import postgresql_server as postgresql_server
from tests.store.conftest import store as store
from tests.sync.pull.recorded import ROOT, STUDY

LABORATORIES = laboratory_files.load([ROOT / "mappings" / "laboratories"])
CONTEXT = Context(
    study=with_laboratories(STUDY, LABORATORIES), laboratories=LABORATORIES, today=dt.date(2026, 3, 31), mapping="ab12"
)


def test_a_thawed_context_is_the_one_that_was_frozen() -> None:
    frozen = freeze(CONTEXT, None)
    thawed = thaw(frozen)
    assert thawed.context == CONTEXT
    assert freeze(thawed.context, None) == frozen


def test_a_context_of_another_form_is_refused_and_says_by_whom_it_can_be_read() -> None:
    for strange in (b'{"form": 99}', freeze(CONTEXT, None).replace(b'"schedule"', b'"timetable"', 1)):
        with pytest.raises(StoreError, match="another version"):
            thaw(strange)


def pulled(store: Store, context: Context, *, accounted: bool = True) -> str:
    run = store.start_run("pull")
    store.pulls.freeze(run, STUDY.id, freeze(context, None))
    if accounted:
        store.pulls.save_funnel(run, b"{}")
    return run


def test_another_day_is_judged_alike_and_another_schedule_or_laboratory_is_not(store: Store) -> None:
    first = pulled(store, CONTEXT)
    assert not frozen_alike(store, STUDY.id, first)
    tomorrow = CONTEXT.today + dt.timedelta(days=1)
    later = Context(study=CONTEXT.study, laboratories=LABORATORIES, today=tomorrow, mapping="ab12")
    assert frozen_alike(store, STUDY.id, pulled(store, later))
    schedule = msgspec.structs.replace(CONTEXT.study.schedule, before_days=8)
    wider = Context(
        study=msgspec.structs.replace(CONTEXT.study, schedule=schedule), laboratories=LABORATORIES, today=CONTEXT.today
    )
    assert not frozen_alike(store, STUDY.id, pulled(store, wider))


def test_a_pull_that_was_cut_off_does_not_count_as_judged(store: Store) -> None:
    pulled(store, CONTEXT, accounted=False)
    assert not frozen_alike(store, STUDY.id, pulled(store, CONTEXT))
