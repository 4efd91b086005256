"""Every code shipped is well-formed, and the project's own codes are the same in Python and in its CodeSystems."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from fhirbridge.records.types import AbsentReason, Aphe, Capsule, Washout
from fhirbridge.records.values import ANSWERS
from fhirbridge.terminology import codes, lirads

ROOT = Path(__file__).parent.parent.parent
SHIPPED = [
    *ROOT.glob("mappings/**/*.py"),
    *ROOT.glob("mappings/**/*.toml"),
    *ROOT.glob("mappings/**/*.csv"),
    *ROOT.glob("fhirbridge/terminology/*.py"),
    *ROOT.glob("profiles/*.json"),
    *ROOT.glob("profiles/examples/**/*.json"),
    *ROOT.glob("tests/golden/*.json"),
]
LOINC = re.compile(r"(?<![\w.-])\d{3,6}-\d(?![\w.-])")
SNOMED = re.compile(r'"(\d{6,18})"')
VERHOEFF = [
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
]  # fmt: skip
PERMUTED = [
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258",
]  # fmt: skip


def loinc_is_right(code: str) -> bool:
    """LOINC's check digit: double every second digit from the right, add the digits, fill up to ten."""
    body, check = code.split("-")
    doubled = [int(digit) * (2 - position % 2) for position, digit in enumerate(reversed(body))]
    return (10 - sum(n // 10 + n % 10 for n in doubled) % 10) % 10 == int(check)


def snomed_is_right(code: str) -> bool:
    """SNOMED CT's check digit, after Verhoeff."""
    state = "0"
    for position, digit in enumerate(reversed(code)):
        state = VERHOEFF[int(state)][int(PERMUTED[position % 8][int(digit)])]
    return state == "0"


def found_in(files: list[Path], pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    for path in files:
        for match in pattern.finditer(path.read_text(encoding="utf-8")):
            yield path.name, match[match.lastindex or 0]


def test_every_loinc_code_shipped_has_the_right_check_digit() -> None:
    shipped = set(found_in(SHIPPED, LOINC))
    assert {"42595-9", "48398-2", "63557-3", "30670-4", "33728-7"} <= {code for _, code in shipped}
    assert [pair for pair in shipped if not loinc_is_right(pair[1])] == []


def test_every_snomed_code_shipped_has_the_right_check_digit() -> None:
    shipped = set(found_in(SHIPPED, SNOMED))
    assert {"10200004", "260415000", "109841003", "61977001"} <= {code for _, code in shipped}
    assert [pair for pair in shipped if not snomed_is_right(pair[1])] == []


@pytest.mark.parametrize("wrong", ["85147-6", "42595-8", "63557-4"])
def test_a_mistyped_loinc_code_is_noticed(wrong: str) -> None:
    assert not loinc_is_right(wrong)


@pytest.mark.parametrize("wrong", ["10200005", "260415001", "109814003"])
def test_a_mistyped_snomed_code_is_noticed(wrong: str) -> None:
    assert not snomed_is_right(wrong)


@pytest.mark.parametrize(
    ("name", "system", "expected"),
    [
        (
            "lirads-category",
            lirads.CATEGORY_SYSTEM,
            lirads.CATEGORIES | {lirads.NO_OBSERVATION: lirads.NO_OBSERVATION_DISPLAY},
        ),
        ("lirads-observable", lirads.OBSERVABLE_SYSTEM, lirads.OBSERVABLES),
        ("lirads-feature", lirads.FEATURE_SYSTEM, lirads.FEATURES),
        ("lirads-method", lirads.METHOD_SYSTEM, lirads.METHODS),
        ("liver-segment", lirads.SEGMENT_SYSTEM, lirads.SEGMENTS),
        ("reference-range-kind", codes.RANGE_KIND_SYSTEM, codes.RANGE_KINDS),
        ("study-milestone", codes.MILESTONE_SYSTEM, codes.MILESTONES),
    ],
)
def test_a_code_system_says_what_the_code_says(name: str, system: str, expected: dict[str, str]) -> None:
    published = json.loads((ROOT / "profiles" / f"CodeSystem-{name}.json").read_text(encoding="utf-8"))
    assert published["url"] == system
    assert {concept["code"]: concept["display"] for concept in published["concept"]} == expected
    assert published["count"] == len(expected)
    assert all(concept["definition"] for concept in published["concept"])


def test_every_word_of_a_record_has_a_code() -> None:
    assert set(codes.ANSWERS) == set(ANSWERS)
    assert set(codes.ABSENT_REASONS) == set(get_args(AbsentReason))
    words = {"aphe": get_args(Aphe), "washout": get_args(Washout), "capsule": get_args(Capsule)}
    assert {f"{feature}-{word}" for feature, listed in words.items() for word in listed} == set(lirads.FEATURES)


def test_every_code_of_a_value_set_exists_in_its_code_system() -> None:
    systems = {}
    for path in ROOT.glob("profiles/CodeSystem-*.json"):
        found = json.loads(path.read_text(encoding="utf-8"))
        systems[found["url"]] = {concept["code"] for concept in found["concept"]}
    for path in ROOT.glob("profiles/ValueSet-*.json"):
        for include in json.loads(path.read_text(encoding="utf-8"))["compose"]["include"]:
            listed = {concept["code"] for concept in include.get("concept", [])}
            assert listed <= systems.get(include["system"], listed)
