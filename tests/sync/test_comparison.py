"""Comparing one resource with a server's: what counts, what does not, and what is only digits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirbridge.sync.comparison import compare

BASE = "http://hospital.test/fhir"

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=3), inside, max_size=3),
    max_leaves=12,
)


def outcome(ours: Any, theirs: Any) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    found = compare({"x": ours}, {"x": theirs}, BASE)
    return found.verdict, found.different, found.digits


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("a", "a"),
        (1, 1),
        (Decimal("5.50"), Decimal("5.50")),
        (Decimal("1.7E8"), Decimal("1.7e8")),
        ({"a": 1}, {"a": 1, "b": None, "c": "", "d": [], "e": {"f": []}}),
        ({"a": 1, "b": {}}, {"a": 1}),
        ([None, {"a": 1}], [None, {"a": 1}]),
        ({"reference": "Patient/1"}, {"reference": f"{BASE}/Patient/1"}),
    ],
)
def test_these_are_the_same(ours: Any, theirs: Any) -> None:
    assert outcome(ours, theirs) == ("same", (), ())


@pytest.mark.parametrize(
    ("ours", "theirs", "path"),
    [
        ("a", "b", "x"),
        (True, 1, "x"),
        (0, False, "x"),
        ("1", 1, "x"),
        ({"a": "1"}, {"b": "1"}, "x.a"),
        ([1, 2], [1], "x"),
        ([{"a": 1}, {"a": 2}], [{"a": 2}, {"a": 1}], "x.a"),
        ({"a": None}, {"a": 1}, "x.a"),
        (Decimal("0.12345678901234567"), Decimal("0.1234567890123456"), "x"),
        ({"reference": "Patient/1"}, {"reference": "http://elsewhere/fhir/Patient/1"}, "x.reference"),
    ],
)
def test_these_are_different(ours: Any, theirs: Any, path: str) -> None:
    verdict, different, digits = outcome(ours, theirs)
    assert (verdict, digits) == ("different", ())
    assert path in different


@pytest.mark.parametrize(
    ("ours", "theirs"), [("5.50", "5.5"), ("1.7E+8", "170000000.0"), ("0.00", "0"), ("10.0", "10")]
)
def test_these_are_the_same_number_with_other_digits(ours: str, theirs: str) -> None:
    assert outcome([{"value": Decimal(ours)}], [{"value": Decimal(theirs)}]) == ("digits lost", (), ("x.value",))


def test_an_integer_for_a_decimal_is_lost_digits() -> None:
    assert outcome(Decimal("5.0"), 5)[0] == "digits lost"


def test_a_missing_tag_is_a_difference_and_a_further_one_is_not() -> None:
    one, two = {"system": "s", "code": "1"}, {"system": "s", "code": "2"}
    assert compare({"meta": {"tag": [one]}}, {"meta": {"tag": [two, one]}}, BASE).verdict == "same"
    assert compare({"meta": {"tag": [one, two]}}, {"meta": {"tag": [two]}}, BASE).different == ("meta.tag",)


def test_a_narrative_of_ours_counts() -> None:
    ours = {"text": {"status": "generated", "div": "<div>a</div>"}}
    assert compare(ours, {"text": {"status": "generated", "div": "<div>b</div>"}}, BASE).different == ("text.div",)
    assert compare({}, {"text": {"status": "additional", "div": "<div>b</div>"}}, BASE).different == ("text",)


@given(values)
def test_anything_is_the_same_as_itself(value: Any) -> None:
    assert outcome(value, value)[0] == "same"


@given(values, values)
def test_whether_two_are_the_same_does_not_depend_on_which_is_ours(one: Any, other: Any) -> None:
    assert outcome(one, other)[0] == outcome(other, one)[0]
