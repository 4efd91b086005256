"""Whatever stands in a resource: nothing of it is let out unasked, and the view never fails."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fhirbridge import fhirjson
from fhirbridge.release.agreement import TYPES, Agreement
from fhirbridge.release.letting import LET_OUT
from fhirbridge.release.view import View
from tests.mappings.cases import STUDY
from tests.release.conftest import KEY

VIEW = View(
    Agreement(id="a", registry="north", study=STUDY.id, purpose="HRESCH", types=TYPES, expires=dt.date(2029, 12, 31)),
    STUDY,
    KEY,
)
SECRET = "Zhang-Wei 1971"
TAG = {"tag": [{"system": "https://fhirbridge.github.io/sid/study", "code": STUDY.id}], "source": SECRET}
NAMES = st.sampled_from(
    [*sorted({name for kinds in LET_OUT.values() for name in kinds}),
     "coding", "text", "display", "value", "system", "code", "url", "reference", "identifier", "type", "valueString",
       "start", "end", "who", "extension", "repeat", "event", "unit", "low", "div", "contained", "id", "_status"]
)  # fmt: skip
LEAVES = st.one_of(
    st.just(SECRET),
    st.just(f"https://hospital.example/{SECRET}"),
    st.sampled_from(["Patient/p1", "http://loinc.org", "http://unitsofmeasure.org", "final", "#1", "2028-02-29"]),
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.decimals(0, 9, places=2).map(Decimal),
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=25
)
OF_PEOPLE = st.sampled_from(
    [name for name in TYPES if name not in ("Organization", "Location", "Group", "ResearchStudy")]
)


@settings(max_examples=300, deadline=None)
@given(OF_PEOPLE, st.dictionaries(NAMES, TREES, max_size=8))
def test_no_free_text_of_any_shape_at_any_place_comes_through(kind: str, elements: dict[str, Any]) -> None:
    patient = {"reference": "Patient/p1"}
    resource = elements | {"resourceType": kind, "id": "p1", "meta": TAG, "subject": patient}
    seen = VIEW.release(resource)
    assert seen is not None
    assert SECRET.encode() not in fhirjson.dumps(seen)
    assert b'"p1"' not in fhirjson.dumps(seen)
    assert b"Patient/p1" not in fhirjson.dumps(seen)
    assert "hospital.example" not in fhirjson.dumps(seen).decode()


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(NAMES, TREES, max_size=6), TREES, TREES)
def test_nothing_makes_a_view_fail(elements: dict[str, Any], id: Any, meta: Any) -> None:
    for kind in TYPES:
        for part in (meta, TAG | (meta if isinstance(meta, dict) else {})):
            seen = VIEW.release(elements | {"resourceType": kind, "id": id, "meta": part})
            assert seen is None or fhirjson.dumps(seen)
