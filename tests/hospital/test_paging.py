"""A search is read to its end, page after page, and never led astray."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from responses import matchers

from fhirbridge.errors import FatalHospitalError, Resource

from .conftest import BASE, Wire


def _page(*ids: str, self_link: str | None = None, next_link: str | None = None) -> Resource:
    links = [{"relation": "self", "url": self_link}] if self_link else []
    links += [{"relation": "next", "url": next_link}] if next_link else []
    entries = [{"resource": {"resourceType": "Patient", "id": id}, "search": {"mode": "match"}} for id in ids]
    return {"resourceType": "Bundle", "type": "searchset", "link": links, "entry": entries}


def _answer(wire: Wire, url: str, page: Any) -> None:
    wire.network.get(url, json=page, match=[matchers.query_string_matcher(url.partition("?")[2])])


@pytest.mark.parametrize(
    "link", [f"{BASE}?_getpages=a&_offset=2", "?_getpages=a&_offset=2", "/fhir?_getpages=a&_offset=2"]
)
def test_next_links_are_followed_as_given_relative_or_absolute(wire: Wire, link: str) -> None:
    _answer(wire, f"{BASE}/Patient?_tag=s%7Cc&_count=2", _page("a", "b", next_link=link))
    following = f"{BASE}/Patient" if link.startswith("?") else BASE
    _answer(wire, f"{following}?_getpages=a&_offset=2", _page("c"))
    found = wire.client.search("Patient", {"_tag": "s|c", "_count": "2"})
    assert [patient["id"] for patient in found] == ["a", "b", "c"]


def test_a_page_is_fetched_only_when_the_one_before_is_used_up(wire: Wire) -> None:
    _answer(wire, f"{BASE}/Patient", _page("a", "b", next_link="?page=2"))
    found = wire.client.search("Patient")
    assert wire.calls == 0
    assert [next(found)["id"], next(found)["id"]] == ["a", "b"]
    assert wire.calls == 1


def test_an_empty_page_in_the_middle_is_no_end(wire: Wire) -> None:
    _answer(wire, f"{BASE}/Patient", _page("a", next_link="?page=2"))
    _answer(wire, f"{BASE}/Patient?page=2", _page(next_link="?page=3"))
    _answer(wire, f"{BASE}/Patient?page=3", _page("b"))
    assert [patient["id"] for patient in wire.client.search("Patient")] == ["a", "b"]


def test_included_resources_and_warnings_are_no_matches(wire: Wire) -> None:
    page = _page("a")
    warning = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "informational"}]}
    page["entry"] += [
        {"resource": {"resourceType": "Organization", "id": "o"}, "search": {"mode": "include"}},
        {"resource": warning, "search": {"mode": "outcome"}},
        {"fullUrl": f"{BASE}/Patient/none"},
    ]
    _answer(wire, f"{BASE}/Patient", page)
    assert [patient["id"] for patient in wire.client.search("Patient")] == ["a"]


def test_entries_that_do_not_say_why_they_are_there_are_matches(wire: Wire) -> None:
    page = _page("a")
    del page["entry"][0]["search"]
    _answer(wire, f"{BASE}/Patient", page)
    assert [patient["id"] for patient in wire.client.search("Patient")] == ["a"]


@pytest.mark.parametrize(
    "link",
    ["http://elsewhere.test/fhir?page=2", "https://hospital.test/fhir?page=2", "http://hospital.test:81/fhir?p=2"],
)
def test_a_next_page_on_another_server_is_refused_and_not_asked_for(wire: Wire, link: str) -> None:
    _answer(wire, f"{BASE}/Patient", _page("a", next_link=link))
    found = wire.client.search("Patient")
    assert next(found)["id"] == "a"
    with pytest.raises(FatalHospitalError, match="the next page lies on another server"):
        next(found)
    assert wire.calls == 1


def test_the_port_by_default_is_no_other_server(wire: Wire) -> None:
    _answer(wire, f"{BASE}/Patient", _page("a", next_link="http://hospital.test:80/fhir?page=2"))
    _answer(wire, "http://hospital.test:80/fhir?page=2", _page("b"))
    assert len(list(wire.client.search("Patient"))) == 2


def test_a_circle_of_next_links_ends(wire: Wire) -> None:
    _answer(wire, f"{BASE}/Patient", _page("a", next_link="?page=2"))
    _answer(wire, f"{BASE}/Patient?page=2", _page("b", next_link="?page=2"))
    with pytest.raises(FatalHospitalError, match="run in a circle after 2 pages"):
        list(wire.client.search("Patient"))
    assert wire.calls == 2


def test_a_parameter_that_the_server_dropped_is_fatal(wire: Wire) -> None:
    page = _page("a", self_link=f"{BASE}/Patient?_count=10")
    _answer(wire, f"{BASE}/Patient?_tag=s%7Cc&_count=10", page)
    with pytest.raises(FatalHospitalError, match="ignored the search parameter _tag"):
        list(wire.client.search("Patient", [("_tag", "s|c"), ("_count", "10")]))


def test_a_parameter_repeated_with_its_modifier_was_heeded(wire: Wire) -> None:
    page = _page("a", self_link=f"{BASE}/Patient?name%3Aexact=Li")
    _answer(wire, f"{BASE}/Patient?name%3Aexact=Li", page)
    assert len(list(wire.client.search("Patient", {"name:exact": "Li"}))) == 1


def test_an_error_reported_inside_a_page_is_not_passed_over(wire: Wire) -> None:
    page = _page("a")
    broken = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}
    page["entry"].append({"resource": broken, "search": {"mode": "outcome"}})
    _answer(wire, f"{BASE}/Patient", page)
    with pytest.raises(FatalHospitalError, match="search of Patient: timeout"):
        list(wire.client.search("Patient"))


def test_an_answer_that_is_no_searchset_is_fatal(wire: Wire) -> None:
    _answer(wire, f"{BASE}/Patient", {"resourceType": "Patient", "id": "a"})
    with pytest.raises(FatalHospitalError, match="a Patient that is no searchset"):
        list(wire.client.search("Patient"))


def test_a_lookup_asks_for_fifty_ids_at_a_time_and_a_part_of_each(wire: Wire) -> None:
    ids = [f"p{number}" for number in range(120)]
    for start in (0, 50, 100):
        some = ids[start : start + 50]
        asked = urlencode([("_id", ",".join(some)), ("_count", str(len(some))), ("_elements", "identifier,meta")])
        _answer(wire, f"{BASE}/Patient?{asked}", _page(*some[1:]))
    found = [patient["id"] for patient in wire.client.lookup("Patient", ids, elements=("identifier", "meta"))]
    assert sorted(found) == sorted(set(ids) - {"p0", "p50", "p100"})
    assert wire.calls == 3


def test_a_lookup_of_nothing_asks_nothing(wire: Wire) -> None:
    assert list(wire.client.lookup("Patient", [])) == []
    assert wire.calls == 0


def test_a_lookup_leaves_out_what_it_did_not_ask_for(wire: Wire) -> None:
    _answer(wire, f"{BASE}/Patient?_id=a%2Cb&_count=2", _page("a", "stranger"))
    assert [patient["id"] for patient in wire.client.lookup("Patient", ["a", "b"])] == ["a"]


def _answer_form(wire: Wire, url: str, form: dict[str, str], page: Any, status: int = 200) -> None:
    def is_it(request: Any) -> tuple[bool, str]:
        is_form = request.headers["Content-Type"] == "application/x-www-form-urlencoded"
        return is_form and dict(parse_qsl(request.body.decode())) == form, "another form"

    wire.network.post(url, json=page, status=status, match=[is_it])


def test_a_search_by_post_puts_its_parameters_into_no_url(wire: Wire) -> None:
    _answer_form(wire, f"{BASE}/Observation/_search", {"patient": "p1", "_count": "2"}, _page("a", next_link="?n=2"))
    _answer_form(wire, f"{BASE}/Observation/_search", {"n": "2"}, _page("b"))
    found = wire.client.search("Observation", {"patient": "p1", "_count": "2"}, post=True)
    assert [one["id"] for one in found] == ["a", "b"]
    assert not any("p1" in str(call.request.url) for call in wire.network.calls)


@pytest.mark.parametrize(
    ("link", "form"),
    [
        (f"{BASE}/Observation/_search?patient=p1&page=2", {"patient": "p1", "page": "2"}),
        (f"{BASE}/Observation?patient=p1&page=2", {"patient": "p1", "page": "2"}),
        ("Observation?patient=p1&page=2", {"patient": "p1", "page": "2"}),
        ("_search?page=2", {"page": "2"}),
    ],
)
def test_a_next_link_that_repeats_the_form_is_posted_too(wire: Wire, link: str, form: dict[str, str]) -> None:
    _answer_form(wire, f"{BASE}/Observation/_search", {"patient": "p1"}, _page("a", next_link=link))
    _answer_form(wire, f"{BASE}/Observation/_search", form, _page("b"))
    found = wire.client.search("Observation", {"patient": "p1"}, post=True)
    assert [one["id"] for one in found] == ["a", "b"]
    assert not any("?" in str(call.request.url) for call in wire.network.calls)


def test_a_next_link_of_a_kept_search_is_got_as_given(wire: Wire) -> None:
    following = f"{BASE}?_getpages=a&_offset=2"
    _answer_form(wire, f"{BASE}/Observation/_search", {"patient": "p1"}, _page("a", next_link=following))
    _answer(wire, following, _page("b"))
    assert len(list(wire.client.search("Observation", {"patient": "p1"}, post=True))) == 2


@pytest.mark.parametrize("status", [405, 414])
def test_a_server_that_takes_no_search_by_get_is_asked_by_post(wire: Wire, status: int) -> None:
    wire.network.get(f"{BASE}/Observation", status=status, json={"resourceType": "OperationOutcome", "issue": []})
    _answer_form(wire, f"{BASE}/Observation/_search", {"code": "a,b"}, _page("a"))
    assert len(list(wire.client.search("Observation", {"code": "a,b"}))) == 1


def test_a_search_by_post_that_is_refused_is_never_made_by_get(wire: Wire) -> None:
    _answer_form(wire, f"{BASE}/Observation/_search", {"patient": "p1"}, {}, status=405)
    with pytest.raises(FatalHospitalError, match="405"):
        list(wire.client.search("Observation", {"patient": "p1"}, post=True))
    assert wire.calls == 1


def test_a_parameter_dropped_from_a_posted_search_is_fatal_and_a_self_link_without_any_is_not(wire: Wire) -> None:
    form = {"patient": "p1", "code": "c"}
    _answer_form(wire, f"{BASE}/Observation/_search", form, _page("a", self_link=f"{BASE}/Observation?patient=p1"))
    with pytest.raises(FatalHospitalError, match="ignored the search parameter code"):
        list(wire.client.search("Observation", form, post=True))
    wire.network.reset()
    _answer_form(
        wire, f"{BASE}/Observation/_search", form, _page("a", self_link=f"{BASE}/Observation/_search?_count=5")
    )
    assert len(list(wire.client.search("Observation", form, post=True))) == 1


def test_a_circle_of_posted_pages_ends(wire: Wire) -> None:
    again = f"{BASE}/Observation/_search?patient=p1&page=2"
    _answer_form(wire, f"{BASE}/Observation/_search", {"patient": "p1"}, _page("a", next_link=again))
    _answer_form(wire, f"{BASE}/Observation/_search", {"patient": "p1", "page": "2"}, _page("b", next_link=again))
    with pytest.raises(FatalHospitalError, match="run in a circle after 2 pages"):
        list(wire.client.search("Observation", {"patient": "p1"}, post=True))
