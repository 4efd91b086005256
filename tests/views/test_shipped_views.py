"""The views in profiles/views: what they make of our resources, and that docs/views.md says the same as the files."""

from __future__ import annotations

import copy
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirbridge import fhirjson
from fhirbridge.errors import InputError, Resource
from fhirbridge.validation.node import Model
from fhirbridge.views import library
from fhirbridge.views.faults import ViewError
from fhirbridge.views.view import View
from tests.views.page import PAGE, ROOT, VIEWS, shipped, written

GOLDEN = [fhirjson.loads(path.read_bytes()) for path in sorted((ROOT / "tests" / "golden").glob("*.json"))]
ANNA = "kmm4eyhnbokjec3qk742qwcqnshlhzpy"


@pytest.fixture(scope="module")
def views(model: Model) -> dict[str, View]:
    return {view.name: view for view in library.chosen((), VIEWS, model)}


def golden(name: str) -> Resource:
    found: Resource = fhirjson.loads((ROOT / "tests" / "golden" / f"{name}.json").read_bytes())
    return found


def row(view: View, resource: Resource) -> dict[str, Any]:
    (found,) = view.rows(resource)
    return {field.name: value for field, value in zip(view.fields, found, strict=True) if value is not None}


def test_the_page_says_what_the_files_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(page), "run: python -m tests.views.page"
    assert "| `derived_from_key` | id |" in page


def test_every_rule_is_on_the_page() -> None:
    assert ViewError.__doc__ is not None
    told = ViewError.__doc__.partition("Rules: ")[2].rstrip(". \n").split(",")
    table = PAGE.read_text(encoding="utf-8").partition("## Rules")[2]
    assert re.findall(r"^\| `([a-z-]+)` \|", table, re.M) == [rule.strip() for rule in told]
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "fhirbridge" / "views").glob("*.py"))
    assert [rule for rule in map(str.strip, told) if f'"{rule}"' not in code] == []


def test_a_shipped_view_has_the_name_of_its_file_and_describes_every_column() -> None:
    assert [view["name"] for view in shipped()] == library.names(VIEWS)
    for view in shipped():
        for column in (one for select in view["select"] for one in select["column"]):
            assert re.fullmatch(r"[a-z][a-z0-9_]*", column["name"]), column["name"]
            assert column["description"].endswith("."), column["name"]
            assert column["type"]


def test_every_view_that_is_about_people_can_be_joined(views: dict[str, View]) -> None:
    assert all("subject_key" in [field.name for field in view.fields] for view in views.values())
    keys = {
        row[[f.name for f in view.fields].index("subject_key")] for view in views.values() for row in view.table(GOLDEN)
    }
    assert ANNA in keys
    assert None not in keys


def test_a_subject_is_a_row_with_its_arm_and_index_date(views: dict[str, View]) -> None:
    assert row(views["subject"], golden("research-subject")) == {
        "subject_key": ANNA,
        "subject_number": "SZ-0001",
        "study": "nct07120750",
        "status": "on-study-intervention",
        "assigned_arm": "NA+PegIFN",
        "actual_arm": "NA+PegIFN",
        "index_date": "2025-09-10",
        "enrolment_date": "2025-09-05",
        "consent_key": "voabxg5h5usafva6qdm27zi6rieihnxm",
    }
    assert row(views["patient"], golden("patient-deceased")) == {
        "subject_key": "yfqxvilixzo4t6mdc4pe2x366jedrbva",
        "sex": "male",
        "birth_date": "1971",
        "deceased_date": "2028-02-29",
    }


def test_a_result_keeps_its_digits_its_comparator_and_its_limits(views: dict[str, View]) -> None:
    found = row(views["laboratory"], golden("hbsag-quantitative"))
    assert (str(found["value"]), found["unit"], found["loinc"], found["visit"]) == (
        "5.50",
        "[IU]/mL",
        "63557-3",
        "W000",
    )
    low = row(views["laboratory"], golden("hbv-dna-below-lloq"))
    assert (low["comparator"], low["value"], low["lower_limit"], low["interpretation"]) == ("<", 10, 10, "DET")
    none = row(views["laboratory"], golden("hbv-dna-not-detected"))
    assert (none["answer"], none["answer_text"], "value" in none) == ("260415000", "Not detected", False)
    missing = row(views["laboratory"], golden("hbv-dna-missing"))
    assert (missing["absent_reason"], "value" in missing, "answer" in missing) == ("error", False, False)


def test_a_computed_result_names_the_measured_one(views: dict[str, View]) -> None:
    computed, measured = (row(views["laboratory"], golden(f"hbv-dna-{name}")) for name in ("from-copies", "in-copies"))
    assert computed["derived_from_key"] == measured["result_key"]
    assert measured["test"].endswith("as measured")


def test_a_text_that_is_a_result_is_there_and_notes_are_not(views: dict[str, View]) -> None:
    text = golden("hbv-dna") | {"valueString": "see report"}
    del text["valueQuantity"]
    assert row(views["laboratory"], text)["value_text"] == "see report"
    said = {note["text"] for one in GOLDEN for note in one.get("note", ())} | {golden("mri-report")["conclusion"]}
    cells = {cell for view in views.values() for row in view.table(GOLDEN) for cell in row if isinstance(cell, str)}
    assert said
    assert not said & cells


def test_a_lesion_is_a_row_with_its_features_and_an_exam_one_with_its_category(views: dict[str, View]) -> None:
    found = row(views["lesion"], golden("lirads-lesion"))
    expected = {"category": "LR-5", "segment": "VI", "size_mm": 14, "aphe": "aphe-nonrim", "method": "ct-mri-2018"}
    expected |= {"washout": "washout-nonperipheral", "capsule": "capsule-absent", "threshold_growth": True}
    expected |= {"tumor_in_vein": False, "ancillary_malignant": True, "ancillary_benign": False, "treated": False}
    assert expected.items() <= found.items()
    assert found["lesion_key"] == golden("liver-lesion")["id"]
    assert "size_mm" not in row(views["lesion"], golden("lirads-lesion-treated"))
    nothing = row(views["imaging"], golden("mri-report-nothing-found"))
    assert (nothing["category"], nothing["lesions"]) == ("no-reportable-observation", 0)


@pytest.mark.parametrize(
    ("category", "evidence"),
    [
        *(("LR-5", "tumor"), ("LR-TIV", "tumor"), ("LR-TR-V", "viable"), ("LR-TR-NV", "nonviable")),
        *(("LR-4", "adjudicate"), ("LR-M", "adjudicate"), ("LR-3", None), ("LR-NC", None), ("LR-TR-E", None)),
    ],
)
def test_a_finding_bears_on_recurrence_by_its_category(
    category: str, evidence: str | None, views: dict[str, View]
) -> None:
    lesion = golden("lirads-lesion")
    lesion["valueCodeableConcept"]["coding"][0]["code"] = category
    assert [one[-1] for one in views["recurrence"].rows(lesion)] == ([evidence] if evidence else [])
    assert views["recurrence"].rows(lesion | {"status": "preliminary"}) == []


def test_what_was_entered_in_error_is_in_no_view(views: dict[str, View]) -> None:
    for name in ("hbv-dna", "lirads-lesion", "mri-report"):
        wrong = golden(name) | {"status": "entered-in-error"}
        assert [view.name for view in views.values() if view.rows(wrong)] == []
        assert [view.name for view in views.values() if view.rows(golden(name))] != []


@st.composite
def damaged(draw: st.DrawFn) -> Resource:
    """One of our resources with some elements gone, doubled or turned into something else."""
    resource: Resource = copy.deepcopy(draw(st.sampled_from(GOLDEN)))
    for _ in range(draw(st.integers(0, 4))):
        at: Any = resource
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            keys = [key for key in keys if key != "resourceType"]
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(at[key], dict | list) and at[key] and draw(st.integers(0, 3)):
                at = at[key]
                continue
            at[key] = draw(
                st.sampled_from([None, [], {}, "", 1, Decimal("1.0"), True, "x", [at[key], at[key]], [None]])
            )
            break
    return resource


@settings(max_examples=300, deadline=None)
@given(resource=damaged())
def test_no_view_crashes_whatever_a_resource_looks_like(resource: Resource, views: dict[str, View]) -> None:
    for view in views.values():
        try:
            rows = view.rows(resource)
        except ViewError as error:
            assert error.view == view.name  # noqa: PT017
            continue
        assert all(len(one) == len(view.fields) for one in rows)


def test_views_are_found_by_name_or_file_and_what_is_not_there_is_told(tmp_path: Any, model: Model) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text('{"resource": "Patient", "select": [{"column": [{"name": "a", "path": "id"}]}]}', encoding="utf-8")
    found = library.chosen(["lesion", str(mine)], VIEWS, model)
    assert [view.name for view in found] == ["lesion", "mine"]
    with pytest.raises(InputError, match=r"no view 'lesions'\. Name one of imaging, laboratory"):
        library.chosen(["lesions"], VIEWS, model)
    with pytest.raises(InputError, match="two views are called lesion"):
        library.chosen(["lesion", "lesion"], VIEWS, model)
    mine.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"mine\.json is not JSON"):
        library.chosen([str(mine)], VIEWS, model)
