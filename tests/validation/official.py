"""Runs HL7's official FHIRPath suite for R4 and writes its results as the FHIRPath section of docs/conformance.md.

``python -m tests.validation.official`` rewrites the section; test_fhirpath_suite.py tells when that is due.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from fhirbridge import fhirjson
from fhirbridge.errors import ProfileError, Resource
from fhirbridge.validation import Validator
from fhirbridge.validation.fhirpath.check import check
from fhirbridge.validation.fhirpath.evaluate import evaluate
from fhirbridge.validation.fhirpath.types import as_text
from fhirbridge.validation.fhirpath.values import truth, value_of
from fhirbridge.validation.node import Node
from fhirbridge.validation.references import surroundings
from fhirbridge.validation.walker import Walker

SUITE = Path(__file__).parent.parent.parent.parent / "shared" / "data" / "7_fhirpath"
PAGE = Path(__file__).parent.parent.parent / "docs" / "conformance.md"
HEADING = "## FHIRPath"
AFTER_N1 = re.compile(
    r"\b(encode|decode|escape|unescape|trim|split|join|sort|(low|high)Boundary|comparable|precision)\("
)
"""Functions of FHIRPath 2.1 and 3.0; R4 rests on N1 (2.0.0), so no R4 invariant may call them."""

_ROUNDS_WRONG = "rounds the boundary towards the value, which then lies outside of its own boundaries"
_HOUR = "takes the hour 08 to be over at 08:00:59.999"
DEVIATIONS = {
    "testPlusDate19": "drops 0.1 seconds; N1 ignores the decimals of a quantity only above seconds",
    "testFHIRPathAsFunction21": "refuses `as` on several items; R4's own dom-3 needs it to filter",
    "LowBoundaryDecimal15": _ROUNDS_WRONG,
    "HighBoundaryDecimal15": _ROUNDS_WRONG,
    "HighBoundaryDecimal16": _ROUNDS_WRONG,
    "HighBoundaryDateTimeMillisecond1": _HOUR,
    "HighBoundaryDateTimeMillisecond3": _HOUR,
}
"""Every test that fails, and why that is right."""

AGE = {
    "url": "http://example.com/fhir/StructureDefinition/patient-age",
    "valueAge": {"value": Decimal(41), "system": "https://unitsofmeasure.org", "code": "a"},
}
"""What the suite's observation-example.xml has and the JSON beside the project lacks; three tests ask for it."""


INTRODUCTION = f"""{HEADING}

HL7's official suite for R4 (`r4/fhirpath/tests-fhir-r4.xml` of FHIR/fhir-test-cases at 2dee8a0f), every test: a value
that is expected must come out, digit by digit, and an expression that is to be refused must be refused, by the static
check (`fhirpath/check.py`) or by the run. Written by `python -m tests.validation.official` and checked by
`tests/validation/test_fhirpath_suite.py`. The suite's observation-example.xml has an extension that our JSON copy
lacks; it is added before the run."""


@dataclass(frozen=True)
class Result:
    """One test of the suite and how it went; ``found`` is what came out, or the error."""

    group: str
    name: str
    expression: str
    expected: str
    found: str
    passed: bool

    @property
    def is_later(self) -> bool:
        return AFTER_N1.search(self.expression) is not None


def start(validator: Validator, resource: Resource) -> tuple[Node, Walker]:
    """Return what an expression on a resource starts from."""
    node = validator.model.root(resource)
    assert node is not None
    return node, Walker(validator.model, validator.terminology, surroundings(resource), node)


def run(folder: Path, validator: Validator) -> list[Result]:
    """Run the whole suite."""
    inputs = {f.stem: fhirjson.loads(f.read_bytes()) for f in (folder / "input").glob("*.json")}
    inputs["observation-example"]["extension"] = [AGE]
    started = {name: start(validator, resource) for name, resource in inputs.items()}
    return list(_results(ET.parse(folder / "tests-fhir-r4.xml").getroot(), started))


def _results(suite: ET.Element, started: dict[str, tuple[Node, Walker]]) -> Iterator[Result]:
    for group in suite.iter("group"):
        for case in group.iter("test"):
            element = case.find("expression")
            assert element is not None
            expression = element.text or ""
            node, walker = started[(case.get("inputfile") or "patient-example.xml").rpartition(".")[0]]
            expected = [(o.get("type"), o.text or "") for o in case.findall("output")]
            wanted = "refused" if element.get("invalid") else ", ".join(text for _, text in expected) or "nothing"
            assert node.shape is not None
            try:
                check(expression, walker.model, node.shape)
                found = evaluate(expression, node, walker)
                told = ", ".join(as_text(value_of(item)) or repr(item) for item in found) or "nothing"
                passed = not element.get("invalid") and _agrees(case, expected, found)
            except ProfileError as error:
                told, passed = f"refused: {error}", element.get("invalid") is not None
            yield Result(str(group.get("name")), str(case.get("name")), expression, wanted, told, passed)


def _agrees(case: ET.Element, expected: list[tuple[str | None, str]], found: list[Any]) -> bool:
    if case.get("predicate") == "true":
        return expected in ([("boolean", str(bool(found and truth(found))).lower())], [] if not found else None)
    texts = [as_text(value_of(item)) or "" for item in found]
    if case.get("ordered") == "false":
        expected, texts = sorted(expected, key=lambda item: item[1]), sorted(texts)
    return len(texts) == len(expected) and all(map(_same, expected, texts))


def _same(expected: tuple[str | None, str], found: str) -> bool:
    kind, wanted = expected
    if kind == "decimal":
        return Decimal(wanted) == Decimal(found)
    if kind in ("date", "dateTime", "instant", "time", None):
        return wanted.removeprefix("@").removeprefix("T") == found
    return wanted == found


def section(results: list[Result]) -> str:
    """Return the section of docs/conformance.md that these results make."""
    lines = [*INTRODUCTION.splitlines(), "", "| tests | of | pass | | fail |", "|---|---|---|---|---|"]
    for title, chosen in (
        ("what an R4 invariant can meet (FHIRPath N1)", [r for r in results if not r.is_later]),
        ("functions that came after N1", [r for r in results if r.is_later]),
        ("all", results),
    ):
        passed = sum(r.passed for r in chosen)
        share = f"{100 * passed / len(chosen):.1f} %"
        lines.append(f"| {title} | {len(chosen)} | {passed} | {share} | {len(chosen) - passed} |")
    failed = [r for r in results if not r.passed]
    groups = {r.group for r in results}
    whole = len(groups) - len({r.group for r in failed})
    lines += ["", f"Of {len(groups)} groups {whole} pass whole. Every test that fails, and why:", ""]
    lines += ["| group | test | expression | expects | finds | why we differ: the suite |", "|---|---|---|---|---|---|"]
    for r in failed:
        cells = (r.group, r.name, f"`{r.expression}`", r.expected, r.found, DEVIATIONS.get(r.name, "**unexplained**"))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def written() -> str:
    """Return the section as it stands in docs/conformance.md."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    found = re.search(rf"^{HEADING}\n.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[0].rstrip() + "\n" if found else ""


def write(new: str) -> None:
    """Put the section into docs/conformance.md, leaving the others alone."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Conformance\n\nWhat was measured against others.\n"
    old = written()
    PAGE.write_text(text.replace(old, new) if old else f"{text.rstrip()}\n\n{new}", encoding="utf-8")


if __name__ == "__main__":
    write(section(run(SUITE, Validator.load())))
