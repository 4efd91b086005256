"""MRI exams in FHIR: lesions that keep their identity, categories, features and the report's conclusion."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fhirbridge.errors import MappingError
from fhirbridge.terminology import lirads
from tests.mappings.cases import ABLATED, CLEAR_EXAM, EXAM, GROWING, following, mapped


def test_a_lesion_is_one_body_structure_over_all_exams_whatever_they_saw() -> None:
    later = replace(EXAM, exam="M-2009", visit="W036", lesions=(replace(GROWING, segment="VII", size_mm=22),))
    first = following(mapped(EXAM), "liver-lesion")[0]
    assert following(mapped(later), "liver-lesion") == [first]
    finding = following(mapped(later), "lirads-lesion")[0]
    assert finding["focus"] == [{"reference": f"BodyStructure/{first['id']}"}]
    assert finding["id"] != following(mapped(EXAM), "lirads-lesion")[0]["id"]
    assert finding["bodySite"]["coding"][1]["code"] == "VII"


def test_the_same_lesion_number_of_another_person_is_another_lesion() -> None:
    other = following(mapped(replace(EXAM, subject="SZ-0009")), "liver-lesion")
    assert not {found["id"] for found in other} & {found["id"] for found in following(mapped(EXAM), "liver-lesion")}


def test_a_feature_the_record_does_not_mention_is_absent() -> None:
    bare = replace(EXAM, lesions=(ABLATED,))
    (finding,) = following(mapped(bare), "lirads-lesion")
    assert [part["code"]["coding"][0]["code"] for part in finding["component"]] == ["treated"]


@pytest.mark.parametrize(
    ("category", "treated", "method"),
    [("LR-5", False, "ct-mri-2018"), ("LR-NC", False, "ct-mri-2018"), ("LR-TR-V", True, "treatment-response-2018")],
)
def test_the_method_tells_the_algorithm_of_the_category(category: str, treated: bool, method: str) -> None:
    exam = replace(EXAM, lesions=(replace(GROWING, category=category, treated=treated),))
    (finding,) = following(mapped(exam), "lirads-lesion")
    assert finding["method"]["coding"][0]["code"] == method


@pytest.mark.parametrize("category", lirads.CATEGORIES)
def test_every_category_has_a_place_in_the_order_of_concern(category: str) -> None:
    assert category in lirads.CONCERN
    assert len(lirads.CONCERN) == len(lirads.CATEGORIES)


@pytest.mark.parametrize(
    ("categories", "worst"),
    [
        (["LR-3", "LR-5", "LR-4"], "LR-5"),
        (["LR-5", "LR-TIV"], "LR-TIV"),
        (["LR-TR-NV", "LR-2"], "LR-2"),
        (["LR-TR-V", "LR-M"], "LR-TR-V"),
        (["LR-1", "LR-NC"], "LR-NC"),
    ],
)
def test_a_report_concludes_with_the_category_of_most_concern(categories: list[str], worst: str) -> None:
    lesions = tuple(replace(GROWING, lesion=f"L{n}", category=found) for n, found in enumerate(categories))
    (report,) = following(mapped(replace(EXAM, lesions=lesions)), "mri-report")
    assert [found["coding"][0]["code"] for found in report["conclusionCode"]] == [worst]
    assert len(report["result"]) == len(categories)


@pytest.mark.parametrize(
    ("status", "concluded"),
    [("final", True), ("amended", True), ("preliminary", False), ("cancelled", False), ("entered-in-error", False)],
)
def test_only_a_finished_exam_without_lesions_says_that_there_are_none(status: Any, concluded: bool) -> None:
    (report,) = following(mapped(replace(CLEAR_EXAM, status=status)), "mri-report")
    assert ("conclusionCode" in report) == concluded
    assert "result" not in report


def test_a_correction_carries_its_status_into_report_and_lesions() -> None:
    found = mapped(replace(EXAM, status="entered-in-error"))
    assert {one["status"] for one in found if "status" in one} == {"entered-in-error"}


@pytest.mark.parametrize(
    ("change", "field"),
    [({"category": "LR-5g"}, "category"), ({"segment": "IX"}, "segment"), ({"segment": ""}, "segment")],
)
def test_a_word_without_a_code_is_refused(change: dict[str, str], field: str) -> None:
    with pytest.raises(MappingError) as caught:
        mapped(replace(EXAM, lesions=(replace(GROWING, **change),)))  # type: ignore[arg-type]
    assert caught.value.finding.field == field
    assert "M-2001 lesion L01" in caught.value.finding.record
