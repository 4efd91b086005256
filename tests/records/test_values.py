"""A laboratory value is read exactly or refused: no digit is lost, and nothing is guessed."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirbridge.records.values import ANSWERS, Censored, Number, Ordinal, Text, parse

NUMBERS = st.builds(
    lambda whole, fraction, exponent: f"{whole}{fraction}{exponent}",
    st.integers(0, 10**9).map(str),
    st.just("") | st.from_regex(r"\.[0-9]{1,6}", fullmatch=True),
    st.just("") | st.from_regex(r"[eE][+]?[0-8]", fullmatch=True),
)


@given(NUMBERS)
def test_a_number_keeps_all_its_digits(text: str) -> None:
    value = parse(text, "Qn")
    assert isinstance(value, Number)
    assert value.value.as_tuple() == Decimal(text).as_tuple()
    assert parse(str(value.value), "Qn") == value


@given(
    st.sampled_from(["<", "<=", ">", ">="]), NUMBERS.filter(lambda text: Decimal(text) > 0), st.sampled_from(["", " "])
)
def test_a_limit_keeps_its_sign_and_its_digits(sign: str, text: str, gap: str) -> None:
    value = parse(f"{sign}{gap}{text}", "Qn")
    assert isinstance(value, Censored)
    assert (value.comparator, value.value.as_tuple()) == (sign, Decimal(text).as_tuple())
    assert parse(f"{value.comparator}{value.value}", "Qn") == value


@given(st.text(max_size=20), st.sampled_from(["Qn", "Ord"]))
def test_any_text_is_read_or_refused(text: str, scale: str) -> None:
    with suppress(ValueError):
        assert isinstance(parse(text, scale), Number | Censored | Ordinal)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "1,2e3", "1,200", "-5", "-0", "<-5", "< <10", "<", "1.", ".5", "007", "0x10", "1e", "１２", "NaN", "inf", "",
        "1_000", "≤10", "5 IU/mL", "1e999", "1e99999999999999999999", "1e-400", "<0", "1" * 19, "0." + "1" * 19,
        "positive", "negative",
    ],
)  # fmt: skip
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse(text, "Qn")


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_ordinal_test_answers_in_words(answer: str) -> None:
    assert parse(answer.title(), "Ord") == Ordinal(answer)  # type: ignore[arg-type]


def test_a_quantitative_test_may_answer_not_detected_and_a_narrative_anything() -> None:
    assert parse("not detected", "Qn") == Ordinal("not detected")
    assert parse("not detected", "Nar") == Text("not detected")
    with pytest.raises(ValueError, match="is none of: positive"):
        parse("1200", "Ord")
