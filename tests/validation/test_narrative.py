"""Narratives: which XHTML R4 allows."""

from __future__ import annotations

import pytest

from fhirbridge.validation.narrative import is_allowed

XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'


@pytest.mark.parametrize(
    "inside",
    [
        "plain",
        "a&#160;b &amp; &lt;c&gt;",
        "<p>one</p><p>two <b>three</b></p>",
        '<table border="1"><tr><td colspan="2">x</td></tr></table>',
        "<table><tbody><tr><th>x</th></tr></tbody></table>",
        '<ul><li>x</li></ul><a href="https://example.org/a?b=c#d">x</a>',
        '<img src="data:image/png;base64,AAAA" alt="x"/>',
        "<!-- note -->x",
    ],
)
def test_formatting_is_allowed(inside: str) -> None:
    assert is_allowed(f"<div {XHTML}>{inside}</div>")


@pytest.mark.parametrize(
    "inside",
    [
        "a&nbsp;b",
        "a & b",
        "<p>one<div>two</div></p>",
        "<td>x</td>",
        "<li>x</li>",
        '<a href="javascript:x()">x</a>',
        '<a href="https://example.org/{id}">x</a>',
        '<a href="https://example.org/?a=1&b=2">x</a>',
        '<p onclick="x()">x</p>',
        "<script>x</script>",
        "<p>x",
        "   ",
    ],
)
def test_what_is_no_formatting_or_no_xhtml_is_not(inside: str) -> None:
    assert not is_allowed(f"<div {XHTML}>{inside}</div>")


@pytest.mark.parametrize(
    "div",
    [
        "<div>x</div>",
        '<div xmlns="http://example.org">x</div>',
        f"<p {XHTML}>x</p>",
        "x",
        f"<!DOCTYPE x><div {XHTML}>x</div>",
        f"<div {XHTML}>x</div><div {XHTML}>y</div>",
    ],
)
def test_a_narrative_is_one_div_in_the_namespace_of_xhtml(div: str) -> None:
    assert not is_allowed(div)
