"""Checks a MeasureReport against its Measure (http://hl7.org/fhir/R4/measurereport.html)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fhirbridge.validation.questionnaires import Item, listed

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.walker import Walker

_OBSERVED = "measure-observation"
"""Code of the populations that are computed from others, and need not be reported."""


def check(walker: Walker, node: Node) -> None:
    """Check groups, populations, stratifiers and scores against the Measure, where that is contained or loaded."""
    report, canonical = node.value, node.value.get("measure")
    measure = _measure(walker, canonical) if isinstance(canonical, str) else None
    groups = listed(report, "group")
    if measure is None:
        return
    asked = [group for _, group in listed(measure, "group")]
    if len(asked) == len(groups) == 1 and not ("code" in asked[0] and "code" in groups[0][1]):
        paired = [(asked[0], groups[0][1], f"{node.path}.group[0]")]
    else:
        finished = report.get("status") == "complete" and report.get("type") != "data-collection"
        paired = list(_paired(walker, asked, groups, f"{node.path}.group", complete=finished))
    for wanted, group, path in paired:
        _group(walker, wanted, group, path)
        if _is_cohort(measure) and "measureScore" in group:
            text = "A cohort is counted, not scored: a group of its report has no measureScore."
            walker.error("business-rule", "mrp-score", text, f"{path}.measureScore")


def _measure(walker: Walker, canonical: str) -> Item | None:
    if canonical.startswith("#"):
        return walker.around.resolve(canonical)
    return walker.snapshots.definitions.measure(canonical)


def _is_cohort(measure: Item) -> bool:
    return any(coding.get("code") == "cohort" for _, coding in listed(measure.get("scoring"), "coding"))


def _group(walker: Walker, wanted: Item, group: Item, path: str) -> None:
    """Check the populations and stratifiers of a group."""
    for name in ("population", "stratifier"):
        asked = [part for _, part in listed(wanted, name)]
        told = listed(group, name)
        if any("code" in part for part in asked) and (told or name == "population"):
            for _ in _paired(walker, asked, told, f"{path}.{name}", complete=name == "population"):
                pass


def _paired(
    walker: Walker, asked: list[Item], told: list[tuple[int, Item]], path: str, *, complete: bool
) -> Iterator[tuple[Item, Item, str]]:
    """Yield what belongs together by code; refuse what has no code, no counterpart, or comes twice."""
    seen: list[Item] = []
    name = path.rpartition(".")[2]
    for number, part in told:
        place = f"{path}[{number}]"
        codes = _codes(part.get("code"))
        found = next((one for one in asked if codes & _codes(one.get("code"))), None)
        if not codes:
            walker.error("required", "mrp-code", f"{place} has no code, so what it reports cannot be told.", place)
        elif found is None:
            walker.error("not-found", "mrp-code", f"The Measure has no {name} of the code of {place}.", place)
        elif any(found is one for one in seen):
            walker.error("duplicate", "mrp-code", f"The {name} of the code of {place} is reported already.", place)
        else:
            seen.append(found)
            yield found, part, place
    missing = [one for one in asked if not any(one is other for other in seen) and _counts(one)]
    if complete and missing:
        text = f"The Measure has {len(missing)} {name}s that are not reported."
        walker.error("required", "mrp-missing", text, path.rpartition(".")[0])


def _counts(part: Item) -> bool:
    """Tell whether something must be reported: what has no code cannot be told apart, an observation is computed."""
    codes = _codes(part.get("code"))
    return bool(codes) and not any(code == _OBSERVED for _, code in codes)


def _codes(value: Any) -> set[tuple[str, str]]:
    """Return the codings and texts of a CodeableConcept, or of a list of them."""
    if isinstance(value, list):
        return {code for one in value for code in _codes(one)}
    if not isinstance(value, dict):
        return set()
    found = {(str(coding.get("system")), str(coding["code"])) for _, coding in listed(value, "coding")
             if "code" in coding}  # fmt: skip
    return found | ({("", value["text"])} if isinstance(value.get("text"), str) else set())
