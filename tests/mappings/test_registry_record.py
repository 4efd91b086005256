"""A registry record as resources: all valid, in order, the same every time, and nothing lost in silence."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhirbridge import fhirjson
from fhirbridge.errors import RecordError
from fhirbridge.records import ctgov
from fhirbridge.records.ctgov_record import RegistryRecord, generic, known_paths, leaves, parse
from mappings.registry_paths import CARRIED, IMPLIED, LEFT, place
from mappings.registry_record import ORDER, bundle
from tests.mappings.registry_cases import GOLDEN, NAMES, ROOT, errors, lost, mapped, raw, values

REAL = ("NCT03198546", "NCT04207047", "NCT06171568", "NCT06777628", "NCT07362693")


def real(shared: Path, name: str) -> RegistryRecord:
    [found] = ctgov.read(shared / "data" / "1_ctgov" / f"{name}.json")
    assert isinstance(found, RegistryRecord), found
    return found


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_a_real_record_comes_out_valid(shared: Path, name: str) -> None:
    assert errors(mapped(real(shared, name))) == []


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_every_value_of_a_real_record_is_in_a_resource_or_in_the_report(shared: Path, name: str) -> None:
    record = real(shared, name)
    assert lost(record, mapped(record)) == []


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_a_real_record_leaves_out_nothing_that_its_sponsor_wrote(shared: Path, name: str) -> None:
    left = {each.path for each in mapped(real(shared, name)).unrepresented}
    assert left <= set(LEFT)


@pytest.mark.parametrize("name", NAMES)
def test_an_invented_record_gives_exactly_its_golden_file(name: str) -> None:
    found = mapped(parse(raw(name)))
    made = {"resources": list(found.resources), "report": found.summary()["unrepresented"]}
    path = GOLDEN / f"{name}.resources.json"
    text = fhirjson.pretty(made) + "\n"
    if os.environ.get("FHIRBRIDGE_WRITE_GOLDEN") == "1":
        path.write_text(text, encoding="utf-8")
        warnings.warn(f"wrote {path}", stacklevel=1)
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", NAMES)
def test_an_invented_record_is_valid_and_complete(name: str) -> None:
    record = parse(raw(name))
    found = mapped(record)
    assert errors(found) == []
    assert lost(record, found) == []


def test_the_invented_record_fills_every_field_that_the_types_know() -> None:
    filled = {generic(path) for path, _ in leaves(raw())}
    open_ended = {"resultsSection", "documentSection", "annotationSection"}
    assert known_paths() - filled == open_ended | {"protocolSection.identificationModule.orgStudyIdInfo.domain"}


def test_every_known_field_has_a_place_or_a_reason() -> None:
    assert [path for path in known_paths() if not place(path, CARRIED) and not place(path, LEFT)] == []
    assert set(IMPLIED) <= known_paths()


def test_the_guide_lists_every_field_and_where_it_goes() -> None:
    guide = (ROOT / "docs" / "registry-import.md").read_text(encoding="utf-8")
    missing = [f"| `{path}` | {text} |" for path, text in (CARRIED | LEFT).items()]
    assert [line for line in missing if line not in guide] == []


def test_resources_come_after_what_they_refer_to_and_all_belong_to_the_study() -> None:
    found = mapped(parse(raw())).resources
    ranks = [ORDER.index(resource["resourceType"]) for resource in found]
    assert ranks == sorted(ranks)
    seen: set[str] = set()
    for resource in found:
        told = {value for path, value in values(resource) if path.endswith(".reference")}
        assert told <= seen, resource
        seen.add(f"{resource['resourceType']}/{resource['id']}")
        assert resource["meta"]["tag"] == [{"system": "https://fhirbridge.github.io/sid/study", "code": "nct00000001"}]
        assert len(resource["id"]) <= 64
    assert len(seen) == len(found)


def test_the_same_record_gives_the_same_resources() -> None:
    assert bundle(parse(raw())).resources == bundle(parse(raw())).resources


def test_a_field_the_registry_added_since_is_reported() -> None:
    whole = raw()
    whole["protocolSection"]["contactsLocationsModule"]["locations"][0]["countryCode"] = "CZ"
    whole["protocolSection"]["moodModule"] = {"mood": ["calm", "calm"]}
    report = {each.path: each for each in mapped(parse(whole)).unrepresented}
    assert report["protocolSection.moodModule.mood[1]"].value == "calm"
    unknown = report["protocolSection.contactsLocationsModule.locations[0].countryCode"]
    assert unknown.why == "a field that this version does not know"


def test_a_record_without_any_one_of_its_parts_is_still_valid_or_refused_in_words() -> None:
    for holder, key in _parts(raw(), ()):
        whole = raw()
        node: Any = whole
        for step in holder:
            node = node[step]
        del node[key]
        _valid_or_refused(whole, profiles=len(holder) <= 1)


def test_a_summary_names_the_study_and_counts_what_it_became() -> None:
    told = mapped(parse(raw("cohort"))).summary()
    assert told["record"] == "NCT00000002"
    assert told["status"] == "approved"
    assert told["resources"] == {"Organization": 1, "Group": 1, "ResearchStudy": 1}
    assert told["unrepresented"] == [
        {
            "path": "hasResults",
            "value": "1 value",
            "why": "says whether the registry holds results; results are not imported",
        }
    ]


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=0, max_size=20)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_is_cut_or_rewritten_nothing_is_lost_in_silence(data: st.DataObject) -> None:
    whole = raw(data.draw(st.sampled_from(NAMES)))
    for _ in range(data.draw(st.integers(0, 4))):
        holder, key = data.draw(st.sampled_from(_parts(whole, ()) or [((), "protocolSection")]))
        node: Any = whole
        for step in holder:
            node = node[step]
        if key not in node and isinstance(node, dict):
            continue
        if isinstance(node[key], str) and data.draw(st.booleans()):
            node[key] = data.draw(TEXT)
        elif data.draw(st.booleans()):
            node[key] = data.draw(st.sampled_from([None, 7, True, [], {}, "NO", ["x"]]))
        else:
            del node[key]
    _valid_or_refused(whole, profiles=False)


def _parts(node: object, above: tuple[str | int, ...]) -> list[tuple[tuple[str | int, ...], str | int]]:
    """Return every key and position of a record with where it is."""
    pairs = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    found: list[tuple[tuple[str | int, ...], str | int]] = []
    for key, inner in pairs:
        found += [(above, key), *_parts(inner, (*above, key))]
    return found


def _valid_or_refused(whole: dict[str, Any], *, profiles: bool) -> None:
    refused: RecordError | None = None
    try:
        record = parse(whole)
        found = mapped(record)
    except RecordError as error:
        refused = error
    if refused:
        assert refused.finding.rule
        assert refused.finding.remedy
        return
    assert lost(record, found) == []
    if profiles:
        assert errors(found) == []
