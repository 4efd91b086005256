"""The codec keeps what a number says and gives equal content one hash."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirbridge import fhirjson
from fhirbridge.errors import InputError


@pytest.mark.parametrize("digits", ["5.50", "0.05", "1.0", "125000", "0.10", "123456789012345678.90"])
def test_a_decimal_comes_out_with_the_digits_it_came_in_with(digits: str) -> None:
    assert fhirjson.dumps(fhirjson.loads(f'{{"value":{digits}}}')) == f'{{"value":{digits}}}'.encode()


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9))
def test_any_decimal_survives_a_round_trip(value: Decimal) -> None:
    assert str(fhirjson.loads(fhirjson.dumps([value]))[0]) == str(value)


def test_a_number_with_an_exponent_keeps_its_value() -> None:
    assert fhirjson.loads("1.7E8") == Decimal("1.7E8")


def test_the_order_of_keys_does_not_change_the_hash() -> None:
    assert fhirjson.content_hash({"a": 1, "b": 2}) == fhirjson.content_hash({"b": 2, "a": 1})


def test_digits_change_the_hash_because_they_are_content() -> None:
    assert fhirjson.content_hash({"v": Decimal("5.50")}) != fhirjson.content_hash({"v": Decimal("5.5")})


def test_what_a_server_adds_to_meta_is_no_content() -> None:
    ours = {"resourceType": "Patient", "meta": {"profile": ["p"]}}
    theirs = {"resourceType": "Patient", "meta": {"profile": ["p"], "versionId": "3", "lastUpdated": "2026-01-01"}}
    assert fhirjson.content_hash(theirs) == fhirjson.content_hash(ours)
    assert fhirjson.content_hash({"id": "x", "meta": {"versionId": "1"}}) == fhirjson.content_hash({"id": "x"})


def test_what_is_not_json_is_an_input_error_that_names_the_byte() -> None:
    with pytest.raises(InputError, match="byte 9"):
        fhirjson.loads('{"value":}')


def test_chinese_text_is_written_as_it_reads() -> None:
    assert fhirjson.dumps({"text": "未检出"}) == '{"text":"未检出"}'.encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(JSON, st.booleans(), st.sampled_from([None, 1]))
def test_a_text_without_a_repeated_key_is_never_accused(value: object, escaped: bool, indent: int | None) -> None:
    text = json.dumps({"a": value}, ensure_ascii=escaped, indent=indent).encode("utf-8", "replace")
    try:
        read = fhirjson.loads(text)
    except InputError:  # half a surrogate pair
        return
    assert not fhirjson.repeats_keys(text, read)


@given(st.text(), JSON, JSON, st.booleans())
def test_a_repeated_key_is_always_noticed(key: str, one: object, two: object, escaped: bool) -> None:
    name, first, second = (json.dumps(part, ensure_ascii=escaped) for part in (key, one, two))
    text = f'{{"x": [{{{name}: {first}, {name}: {second}}}]}}'.encode("utf-8", "replace")
    try:
        read = fhirjson.loads(text)
    except InputError:
        return
    assert fhirjson.repeats_keys(text, read)


def test_a_key_spelt_with_an_escape_is_the_same_key() -> None:
    text = rb'{"gender": "male", "g\u0065nder": "female"}'
    assert fhirjson.repeats_keys(text, fhirjson.loads(text))


@pytest.mark.parametrize("text", ['{"a": 1E+400000000000000000000}', "[" * 100_000 + "]" * 100_000])
def test_what_python_cannot_hold_is_an_input_error_too(text: str) -> None:
    with pytest.raises(InputError, match="not usable JSON"):
        fhirjson.loads(text)
