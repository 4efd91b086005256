"""How a search is read: what is ignored, what is refused and in which words, and what its self link says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirbridge.errors import InputError
from fhirbridge.search.query import LIMITS, Query, parse, self_query
from fhirbridge.search.refused import SearchError
from fhirbridge.search.results import Include, SortKey
from tests.search.conftest import AROUND, Read


def refusal(read: Read, asked: str, **options: object) -> SearchError:
    with pytest.raises(SearchError) as raised:
        read(asked, **options)
    return raised.value


def test_what_is_not_known_is_ignored_and_left_out_of_the_self_link(read: Read) -> None:
    query = read("Observation?foo=1&code=1&subject:Patient.foo=2&_filter=x&status=")
    assert self_query(query) == "code=1"
    assert [one.name for one in query.ignored] == ["foo", "subject:Patient.foo", "_filter", "status"]
    assert "no bound" in query.ignored[2].why


@pytest.mark.parametrize("asked", ["foo=1", "subject:Patient.foo=2", "_has:Observation:foo:code=1", "status=", "code"])
def test_strict_handling_refuses_what_is_not_known(read: Read, asked: str) -> None:
    assert read(f"Observation?{asked}").filters == ()
    error = refusal(read, f"Observation?{asked}", strict=True)
    assert error.http_status == 400
    assert error.parameter == asked.partition("=")[0]


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        ("Observation?date=2026-99", "this is no date"),
        ("Observation?date=2026-02-30", "this is no date"),
        ("Observation?date=yesterday", "there is no prefix 'ye'"),
        ("Observation?date=2026-01-01T10", "this is no date"),
        ("Observation?date=2026-01-01T25:00:00Z", "this is no date"),
        ("Observation?date=20260101", "this is no date"),
        ("Observation?date=2026-W01-1", "this is no date"),
        ("Observation?date=xx2026", "there is no prefix 'xx'"),
        ("Observation?date=2026,2027-13", "this is no date"),
        ("Observation?value-quantity=abc", "there is no prefix 'ab'"),
        ("Observation?value-quantity=1.2.3", "this is no number"),
        ("Observation?value-quantity=5|mg", "a quantity is number, number|system|code or number||code"),
        ("Observation?value-quantity=1e999", "this is no number"),
        ("Observation?value-quantity=NaN", "there is no prefix 'Na'"),
        ("Observation?code=a|b|c", "a token is code, system|code, |code or system|"),
        ("Observation?code=|", "a token is code, system|code, |code or system|"),
        ("Observation?code=a,,b", "one of the values is empty"),
        ("Observation?code:missing=maybe", "missing is true or false"),
        ("Observation?code:in=http://nowhere.example/vs", "this value set is not known here"),
        ("Observation?subject=Pat ient/1", "this is no reference"),
        ("Observation?subject:Patient=Group/1", "the modifier asks for a Patient"),
        ("Observation?subject:Organization=1", "subject points to no Organization"),
        ("Observation?code-value-quantity=1", "it takes 2 values: code and value-quantity"),
        ("Observation?code-value-quantity=1$", "it takes 2 values: code and value-quantity"),
        ("Observation?code-value-quantity=1$abc", "there is no prefix 'ab'"),
        ("Patient?active=yes", "its values are true and false"),
        ("Patient?given=-", "there is no letter or digit in it"),
        ("Observation?code.text=1", "code is no reference"),
        ("Observation?focus.code=1", "focus may point to anything"),
        ("Patient?_has:Observation=1", "_has needs a type, a reference and a parameter"),
        ("Patient?_has:Observation:patient:=1", "_has needs a type, a reference and a parameter"),
        ("Patient?_has:Observation:has-member:code=1", "Observation.has-member points to no Patient"),
        ("Patient?_has:Observation:code:code=1", "Observation.code points to no Patient"),
        ("Patient?_count=-1", "it is a whole number, 0 or more"),
        ("Patient?_count=ten", "it is a whole number, 0 or more"),
        ("Patient?_count=١", "it is a whole number, 0 or more"),
        ("Patient?_count=1&_count=2", "it is given twice"),
        ("Patient?_sort=gender&_sort=name", "it is given twice"),
        ("Patient?_sort=foo", "Patient cannot be sorted by this"),
        ("Observation?_sort=code-value-quantity", "Observation cannot be sorted by this"),
        ("Patient?_total=exact", "it is one of none, estimate, accurate"),
        ("Patient?_summary=yes", "it is one of true, text, data, count, false"),
        ("Patient?_pretty=1", "it is one of true, false"),
        ("Patient?_elements=a,,b", "this is no element's name"),
        ("Patient?_contained=true", "contained resources are not searched"),
        ("Patient?_containedType=container", "this is not supported"),
        ("Patient?_count:exact=1", "this is not supported"),
        ("Patient?_include=Observation", "Observation has no such reference"),
        ("Patient?_include=Observation:code", "Observation has no such reference"),
        ("Patient?_include=Medication:patient", "there are no Medication resources here"),
        ("Patient?_include=Patient:organization:Group", "organization points to no Group"),
        ("Patient?_include=a:b:c:d", "it is Type:reference or Type:reference:Type"),
        ("Patient?_revinclude=Observation:has-member", "this points to no Patient"),
    ],
)
def test_a_wrong_value_of_a_known_parameter_is_always_refused(read: Read, asked: str, rule: str) -> None:
    error = refusal(read, asked)
    assert error.rule == rule
    assert isinstance(error, InputError)
    assert error.http_status == 400
    assert str(error).startswith(error.parameter)
    assert str(error).endswith(error.remedy)
    assert error.remedy


@pytest.mark.parametrize(
    "name",
    ["code:above", "code:below", "code:exact", "_profile:below", "_profile:above", "date:not", "given:text",
     "subject:not", "identifier:of-type", "code-value-quantity:missing", "value-quantity:in", "code:"[:4] + ":x"],
)  # fmt: skip
def test_a_modifier_that_is_not_supported_is_refused_even_in_lenient_handling(read: Read, name: str) -> None:
    type_ = "Patient" if name.startswith("given") else "Observation"
    error = refusal(read, f"{type_}?{name}=x")
    assert error.issue == "not-supported"
    assert "does not take the modifier" in error.rule


@pytest.mark.parametrize("raw", [b"code=%ff", b"%ff=1", b"code=\xff", b"code=%C3"])
def test_what_is_not_utf8_is_refused(raw: bytes) -> None:
    with pytest.raises(SearchError, match="not UTF-8"):
        parse("Observation", raw, AROUND)


@pytest.mark.parametrize("raw", [b"code=%zz", b"code=100%", b"code=%00", b"code=a%0Ab", b"a%0D%0A=b"])
def test_broken_encoding_and_control_characters_are_refused(raw: bytes) -> None:
    with pytest.raises(SearchError):
        parse("Observation", raw, AROUND)


@pytest.mark.parametrize(
    "asked",
    [
        "Observation?code=" + "1" * 10_000,
        "Observation?code=" + ",".join("1" * 500),
        "Observation?" + "&".join(["code=1"] * 65),
        "Observation?" + "&".join(["_include=Observation:subject"] * 17),
        "Observation?_sort=" + ",".join(["code"] * 9),
        "Observation?" + "derived-from." * 5 + "code=1",
        "Observation?" + "_has:Observation:derived-from:" * 5 + "code=1",
        "Observation?" + "_has:Observation:derived-from:" * 200 + "code=1",
    ],
)
def test_what_asks_too_much_is_refused(read: Read, asked: str) -> None:
    assert refusal(read, asked).issue == "too-costly"


def test_as_much_as_is_allowed_is_answered(read: Read) -> None:
    query = read("Observation?" + "derived-from." * 4 + "code=" + ",".join("1" * LIMITS.values))
    assert len(query.filters) == 1


def test_a_message_shows_a_long_value_shortened_and_a_log_none_at_all(read: Read) -> None:
    error = refusal(read, "Patient?birthdate=1971-13-" + "7" * 200)
    assert len(str(error)) < 250
    assert "1971-13-" in str(error)
    assert "1971" not in error.for_log
    assert error.for_log.startswith("birthdate: ")


@pytest.mark.parametrize(("given", "count"), [("0", 0), ("10", 10), ("5000", 1000), ("9" * 30, 1000), ("007", 7)])
def test_a_count_is_capped_and_the_self_link_says_so(read: Read, given: str, count: int) -> None:
    query = read(f"Patient?_count={given}")
    assert query.count == count
    assert self_query(query) == f"_count={count}"


def test_how_to_answer_is_read(read: Read) -> None:
    query = read(
        "Patient?_sort=-birthdate,_id&_summary=count&_total=none&_elements=id,gender&_format=json&_pretty=true"
    )
    assert query.sort == (SortKey("birthdate", "date", True), SortKey("_id", "token", False))
    assert (query.summary, query.total, query.elements) == ("count", "none", ("id", "gender"))
    assert (query.format, query.pretty, query.count) == ("json", True, None)


def test_includes_are_read(read: Read) -> None:
    query = read(
        "Patient?_include=Patient:organization&_include:iterate=Organization:partof:Organization"
        "&_revinclude=Observation:subject&_revinclude:iterate=Provenance:target"
    )
    assert query.includes == (
        Include("Patient", "organization", None, iterate=False, reverse=False),
        Include("Organization", "partof", "Organization", iterate=True, reverse=False),
        Include("Observation", "subject", None, iterate=False, reverse=True),
        Include("Provenance", "target", None, iterate=True, reverse=True),
    )


def test_an_asterisk_includes_every_reference_once(read: Read) -> None:
    every = read("Observation?_include=*").includes
    assert Include("Observation", "subject", None, iterate=False, reverse=False) in every
    assert read("Observation?_include=Observation:*&_include=*&_include=Observation:subject").includes == every
    assert {one.code for one in read("Observation?_include=Observation:*:Patient").includes} >= {"subject", "patient"}
    assert all(one.target == "Patient" for one in read("Observation?_include=Observation:*:Patient").includes)
    back = read("Patient?_revinclude=*").includes
    assert {one.source for one in back} >= {"Observation", "Consent", "Provenance"}
    assert all(one.reverse for one in back)
    reports = {one.code for one in read("Patient?_revinclude=DiagnosticReport:*").includes}
    assert "subject" in reports
    assert "result" not in reports, "it points to no Patient"


def test_a_form_counts_like_the_query_and_both_together(read: Read) -> None:
    query = parse("Observation", b"_count=5", AROUND, form=b"code=a%2Bb&date=ge2026")
    assert self_query(query) == "_count=5&code=a%2Bb&date=ge2026"
    with pytest.raises(SearchError, match="given twice"):
        parse("Observation", b"_count=5", AROUND, form=b"_count=5")


def test_a_plus_is_a_space_but_in_a_time_zone_it_is_what_was_meant(read: Read) -> None:
    assert read("Patient?name=li+wei").kept == (("name", "li wei"),)
    plain = read("Observation?date=2026-01-01T00:00:00%2B08:00").filters
    assert read("Observation?date=2026-01-01T00:00:00+08:00").filters == plain
    assert read("Observation?date=2025-12-31T16:00:00Z").filters == plain


def test_the_callers_own_parameters_are_handed_over_and_kept_out_of_the_self_link(read: Read) -> None:
    query = read("Patient?_page=abc&gender=male", others=("_page",))
    assert query.others == {"_page": "abc"}
    assert self_query(query) == "gender=male"


@pytest.mark.parametrize(
    "asked",
    [
        "code=http://loinc.org|42595-9,http://loinc.org|63557-3",
        "code:in=http://example.org/fhir/ValueSet/viral",
        "identifier=http://a|1%5C%2C2",
        "subject:Patient.identifier=http://a|2%26%3D%23%2B",
        "_has:Observation:derived-from:code=1&_sort=-date&_include:iterate=Observation:subject",
        "code:text=肝炎",
    ],
)
def test_the_self_link_read_again_is_the_same_search(read: Read, asked: str) -> None:
    query = read(f"Observation?{asked}")
    assert query.filters
    told = self_query(query)
    again = read(f"Observation?{told}")
    assert again == query
    assert self_query(again) == told
    assert told.isascii()


_NAMES = st.sampled_from(
    ["code", "date", "value-quantity", "subject", "identifier", "_count", "_sort", "_include", "_revinclude:iterate",
     "_has:Observation:derived-from:code", "subject:Patient.gender", "code-value-quantity", "_summary", "status:in",
     "x"]
)  # fmt: skip
_VALUES = st.text(alphabet="a0|,$\\:.-+%& 2T=éeq", max_size=12) | st.text(max_size=8)


@settings(deadline=None)
@given(st.lists(st.tuples(_NAMES, _VALUES), max_size=4))
def test_any_names_and_values_are_read_or_refused(pairs: list[tuple[str, str]]) -> None:
    raw = "&".join(f"{name}={value}" for name, value in pairs).encode("utf-8", "surrogatepass")
    _read_or_refused(raw)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    _read_or_refused(raw)


def _read_or_refused(raw: bytes) -> None:
    try:
        query = parse("Observation", raw, AROUND)
    except SearchError:
        return
    assert isinstance(query, Query)
    assert parse("Observation", self_query(query).encode(), AROUND).filters == query.filters


def test_a_message_never_breaks_its_line(read: Read) -> None:
    for asked in (
        "Patient?_include=A\u2028b:c",
        "Patient?_include=Patient:link:A\u2028b",
        "Patient?link:A\u2028b=1",
        "Patient?_has:A\u2028b:c:d=1",
    ):
        error = refusal(read, asked, strict=True)
        assert len(str(error).splitlines()) == len(error.for_log.splitlines()) == 1
