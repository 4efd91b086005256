"""What must hold of any search and any value, whatever they are."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fhirbridge import fhirjson
from fhirbridge.errors import Resource
from fhirbridge.search import moments, scaling
from fhirbridge.search.extract import Indexer
from fhirbridge.search.folding import folded
from fhirbridge.search.matching import matching
from fhirbridge.search.query import parse
from tests.search.conftest import AROUND, SHANGHAI
from tests.search.page import PAGE

UCUM = "http://unitsofmeasure.org"
INDEXER = Indexer(SHANGHAI)
GOLDEN = [fhirjson.loads(path.read_bytes()) for path in sorted((PAGE.parents[1] / "tests" / "golden").glob("*.json"))]


def matches(asked: str, resource: Resource) -> bool:
    index = {(resource["resourceType"], "x"): INDEXER.rows(resource | {"id": "x"})}
    return bool(matching(parse(resource["resourceType"], asked.encode(), AROUND), index))


def observed(**elements: Any) -> Resource:
    return {"resourceType": "Observation"} | elements


def measured(value: Decimal, comparator: str | None = None, code: str = "mg") -> Resource:
    more = {"comparator": comparator} if comparator else {}
    return observed(valueQuantity={"value": value, "system": UCUM, "code": code} | more)


def escaped(text: str) -> str:
    for mark in "\\,$|":
        text = text.replace(mark, "\\" + mark)
    return quote(text)


NUMBERS = st.decimals(min_value=-1000, max_value=1000, places=2)
INSTANTS = st.datetimes(dt.datetime(1971, 1, 1), dt.datetime(2100, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=dt.UTC)
)
LENGTHS = st.sampled_from([4, 7, 10, 16, 19])


@st.composite
def dates(draw: st.DrawFn) -> str:
    """A FHIR date or dateTime of some precision."""
    text = draw(INSTANTS).replace(tzinfo=None).isoformat(timespec="milliseconds")[: draw(LENGTHS)]
    return quote(text + draw(st.sampled_from(["Z", "+08:00", "-05:00", ""]))) if len(text) > 10 else text


@st.composite
def spans(draw: st.DrawFn) -> Resource:
    """An effective time: a date of some precision, or a period, perhaps open."""
    one = draw(INSTANTS).isoformat(timespec="milliseconds")
    later = (dt.datetime.fromisoformat(one) + draw(st.timedeltas(dt.timedelta(), dt.timedelta(900)))).isoformat()
    return draw(
        st.sampled_from(
            [
                {"effectiveDateTime": one[:4]},
                {"effectiveDateTime": one[:10]},
                {"effectiveDateTime": one},
                {"effectiveInstant": one},
                {"effectivePeriod": {"start": one, "end": later}},
                {"effectivePeriod": {"start": one}},
                {"effectivePeriod": {"end": one}},
            ]
        )
    )


@settings(deadline=None)
@given(spans(), dates())
def test_the_prefixes_of_a_date_divide_time_as_the_book_does(when: Resource, asked: str) -> None:
    one = observed(**when)
    found = {
        prefix: matches(f"date={prefix}{asked}", one)
        for prefix in ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
    }  # fmt: skip
    assert found["ne"] is not found["eq"]
    assert found["ge"] is (found["gt"] or found["eq"])
    assert found["le"] is (found["lt"] or found["eq"])
    assert found["gt"] or found["lt"] or found["eq"]
    assert not (found["sa"] and (found["eb"] or found["lt"] or found["eq"] or found["le"]))
    assert not (found["eb"] and (found["gt"] or found["eq"] or found["ge"]))
    assert found["gt"] or not found["sa"]
    assert found["lt"] or not found["eb"]
    assert found["ap"] or not found["eq"]
    assert found["ap"] or found["sa"] or found["eb"]


@settings(deadline=None)
@given(INSTANTS, INSTANTS)
def test_instants_compare_as_time_does(one: dt.datetime, other: dt.datetime) -> None:
    has = observed(effectiveInstant=one.isoformat(timespec="milliseconds"))
    asked = quote(other.isoformat(timespec="milliseconds"))
    assert matches(f"date=lt{asked}", has) is (one < other)
    assert matches(f"date=gt{asked}", has) is (one > other)
    assert matches(f"date={asked}", has) is (one == other)
    assert (moments.written(one) < moments.written(other)) is (one < other)
    assert len(moments.written(one)) == len(moments.FIRST) == len(moments.LAST)
    assert moments.FIRST < moments.written(one) < moments.LAST


@settings(deadline=None)
@given(INSTANTS, LENGTHS)
def test_an_instant_lies_in_every_date_that_its_own_text_begins_with(when: dt.datetime, length: int) -> None:
    here = when.astimezone(SHANGHAI).isoformat(timespec="milliseconds")
    asked = here[:length] + ("" if length <= 10 else "%2B08:00")
    assume(here.endswith("+08:00"))  # not in the summers of 1986 to 1991
    assert matches(f"date={asked}", observed(effectiveDateTime=when.isoformat(timespec="milliseconds")))
    assert matches(f"date={here[:length]}", observed(effectiveDateTime=here))


@settings(deadline=None)
@given(NUMBERS, NUMBERS)
def test_exact_numbers_compare_as_numbers_do(has: Decimal, asked: Decimal) -> None:
    one, text = measured(has), quote(str(asked))
    assert matches(f"value-quantity=lt{text}", one) is matches(f"value-quantity=eb{text}", one) is (has < asked)
    assert matches(f"value-quantity=gt{text}", one) is matches(f"value-quantity=sa{text}", one) is (has > asked)
    assert matches(f"value-quantity=le{text}", one) is (has <= asked)
    assert matches(f"value-quantity=ge{text}", one) is (has >= asked)
    assert matches(f"value-quantity={text}", one) is (has == asked), (
        "two decimals each: within half a hundredth is equal"
    )
    assert matches(f"value-quantity=ne{text}", one) is (has != asked)
    assert matches(f"value-quantity=ap{text}", one) or has != asked


@settings(deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15))
def test_a_number_is_found_by_its_own_figures(value: Decimal) -> None:
    assume(len(value.as_tuple().digits) <= 30)
    assume(abs(int(value.as_tuple().exponent)) <= 30)
    assert matches(f"value-quantity={quote(str(value))}", measured(value))
    assert matches(f"value-quantity={quote(str(value))}|{UCUM}|mg", measured(value))


@settings(deadline=None)
@given(NUMBERS, st.sampled_from(["<", "<=", ">", ">="]), NUMBERS, st.decimals(min_value=0, max_value=50, places=2))
def test_what_is_beyond_a_limit_matches_what_it_may_be_and_what_it_must_be(
    limit: Decimal, comparator: str, asked: Decimal, distance: Decimal
) -> None:
    assume(distance or comparator in ("<=", ">="))
    one = measured(limit, comparator)
    possible = measured(limit - distance if comparator.startswith("<") else limit + distance)
    for prefix in ("gt", "lt", "ge", "le", "ap", "ne"):
        query = f"value-quantity={prefix}{quote(str(asked))}"
        assert matches(query, one) or not matches(query, possible)
    for prefix in ("sa", "eb", "eq"):
        query = f"value-quantity={prefix}{quote(str(asked))}"
        assert matches(query, possible) or not matches(query, one)


@settings(deadline=None)
@given(NUMBERS, st.sampled_from([("m", "cm"), ("mm", "m"), ("[IU]/mL", "k[IU]/L"), ("g/L", "mg/dL"), ("mol", "umol")]))
def test_a_number_is_found_in_every_unit_that_it_can_be_said_in(value: Decimal, units: tuple[str, str]) -> None:
    one, other = (scaling.scale(unit) for unit in units)
    assert one is not None
    assert other is not None
    assert one.base == other.base
    said = value.scaleb(one.exponent - other.exponent)
    assert matches(f"value-quantity={quote(str(said))}|{UCUM}|{quote(units[1])}", measured(value, code=units[0]))
    assert matches(f"value-quantity=le{quote(str(said))}|{UCUM}|{quote(units[1])}", measured(value, code=units[0]))
    assert not matches(f"value-quantity=lt{quote(str(said))}|{UCUM}|{quote(units[1])}", measured(value, code=units[0]))


CODES = st.sampled_from(["a", "b", "c", "http://s|a", "|b", "http://s|", "http://t|c"])
CONCEPTS = st.lists(
    st.sampled_from([{"system": "http://s", "code": "a"}, {"code": "b"}, {"system": "http://t", "code": "c"}]),
    max_size=3,
)


@settings(deadline=None)
@given(CONCEPTS, CODES, CODES)
def test_a_comma_is_or_repetition_is_and_not_is_not(has: list[dict[str, str]], one: str, other: str) -> None:
    resource = observed(code={"coding": has}) if has else observed()
    first, second = matches(f"code={one}", resource), matches(f"code={other}", resource)
    assert matches(f"code={one},{other}", resource) is (first or second)
    assert matches(f"code={one}&code={other}", resource) is (first and second)
    assert matches(f"code:not={one}", resource) is not first
    assert matches(f"code:not={one},{other}", resource) is (not first and not second)
    assert matches("code:missing=true", resource) is (not has)
    assert matches("code:missing=false", resource) is bool(has)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12))
def test_any_identifier_is_found_by_itself(value: str) -> None:
    patient = {"resourceType": "Patient", "identifier": [{"system": "http://a", "value": value}]}
    assert matches(f"identifier={escaped(value)}", patient)
    assert matches(f"identifier=http://a|{escaped(value)}", patient)
    assert not matches(f"identifier={escaped(value + 'x')}", patient)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12), st.integers(1, 12))
def test_a_text_is_found_by_its_start_and_exactly_by_itself(text: str, length: int) -> None:
    study = {"resourceType": "ResearchStudy", "title": text}
    assert matches(f"title:exact={escaped(text)}", study)
    assert folded(folded(text)) == folded(text)
    if folded(text):
        assert matches(f"title={escaped(text)}", study)
        assert matches(f"title={escaped(text.upper())}", study) or folded(text.upper()) != folded(text)
        assert matches(f"title:contains={escaped(folded(text)[:length].strip())}", study)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda one: st.lists(one, max_size=2), max_leaves=4
) | st.dictionaries(st.sampled_from(["system", "code", "value", "reference", "coding", "text", "start"]), st.integers())


@settings(deadline=None)
@given(st.sampled_from(GOLDEN), st.integers(0, 200), JSON)
def test_a_resource_of_the_wrong_form_has_fewer_rows_and_raises_nothing(one: Resource, at: int, odd: Any) -> None:
    copy = json.loads(json.dumps(one, default=float))
    places = [(parent, key) for parent, key in _places(copy)]
    parent, key = places[at % len(places)]
    parent[key] = odd
    INDEXER.rows(copy | {"resourceType": one["resourceType"]})


def _places(node: Any) -> list[tuple[Any, Any]]:
    items = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    return [place for key, value in items for place in ((node, key), *_places(value))]
