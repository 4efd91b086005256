"""Compares our verdicts with HAPI's; ``python -m tests.validation.differential`` says the figures."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fhirbridge import fhirjson
from fhirbridge.errors import Resource
from fhirbridge.validation import Validator
from tests.conftest import HapiValidator
from tests.validation.disagreements import NO_ANSWER, RULES, Complaint, Disagreement
from tests.validation.mutations import mutations
from tests.validation.specimens import SPECIMENS

ROOT = Path(__file__).parents[2]
PROFILES = ROOT / "profiles"
BATCH = 100
"""Resources in one Parameters: faster than one by one, and little is asked again where one stops HAPI's parser."""


def own_cases() -> dict[str, Resource]:
    """Our examples (valid and invalid), specimens, golden files, and the mutations of valid examples and specimens."""
    valid = {f"example {path.stem}": path for path in sorted((PROFILES / "examples" / "valid").glob("*.json"))}
    found = {name: fhirjson.loads(path.read_bytes()) for name, path in valid.items()}
    found |= {f"specimen {name}": resource for name, resource in SPECIMENS.items()}
    for name, resource in list(found.items()):
        found.update(mutations(name, resource))
    for path in sorted((ROOT / "tests" / "golden").glob("*.json")):
        found[f"golden {path.stem}"] = fhirjson.loads(path.read_bytes())
    for path in sorted((PROFILES / "examples" / "invalid").glob("*.json")):
        if path.name != "index.json":
            found[f"invalid example {path.stem}"] = fhirjson.loads(path.read_bytes())
    return found


def hl7_cases(shared: Path) -> dict[str, Resource]:
    """HL7's R4 examples and their mutations."""
    files = sorted((shared / "data" / "3_fhir" / "hl7_r4_examples").glob("*.json"))
    found = {f"HL7 {path.stem}": fhirjson.loads(path.read_bytes()) for path in files}
    for name, resource in list(found.items()):
        found.update(mutations(name, resource))
    return found


@dataclass
class Comparison:
    """How many cases agree; the others by the rule that explains them, and those that no rule explains."""

    cases: int = 0
    agreed: int = 0
    valid: int = 0
    explained: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unexplained: dict[str, object] = field(default_factory=dict)

    @property
    def judged(self) -> int:
        """Cases that HAPI can judge: all but those that a rule of exclusion takes out."""
        return self.cases - sum(len(self.explained[rule.name]) for rule in RULES if rule.excluded)

    @property
    def agreement(self) -> float:
        return self.agreed / self.judged


def compare(validator: Validator, hapi: HapiValidator, cases: dict[str, Resource]) -> Comparison:
    """Ask both; HAPI in batches first, and one by one where a batch's answer is not ours."""
    ours = {name: [i for i in validator.issues(case) if i.severity == "error"] for name, case in cases.items()}
    theirs = _in_batches(hapi, cases)
    again = {name: case for name, case in cases.items() if bool(theirs[name]) != bool(ours[name])}
    theirs |= dict(zip(again, _one_by_one(hapi, again.values()), strict=True))
    result = Comparison(len(cases))
    for name in cases:
        found: Disagreement = (ours[name], theirs[name])
        result.valid += not ours[name]
        if bool(ours[name]) == bool(theirs[name]) and NO_ANSWER not in theirs[name]:
            result.agreed += 1
        elif (rule := next((rule for rule in RULES if rule.explains(*found)), None)) is not None:
            result.explained[rule.name].append(name)
        else:
            result.unexplained[name] = found
    return result


def _definitions() -> list[Path]:
    return sorted(PROFILES.glob("*-*.json"))


def _one_by_one(hapi: HapiValidator, resources: Iterable[Resource]) -> list[list[Complaint]]:
    asked = [(None, resource) for resource in resources]
    return [list(_complaints(outcome)) for outcome in hapi(_definitions(), asked)] if asked else []


def _in_batches(hapi: HapiValidator, cases: dict[str, Resource]) -> dict[str, list[Complaint]]:
    names = [name for name, case in cases.items() if not _nests(case)]
    batches = [names[at : at + BATCH] for at in range(0, len(names), BATCH)]
    outcomes = hapi(_definitions(), [(None, _together(cases[name] for name in batch)) for batch in batches])
    found: dict[str, list[Complaint]] = {}
    for batch, outcome in zip(batches, outcomes, strict=True):
        complaints = list(_complaints(outcome))
        places = [re.match(r"Parameters\.parameter\[(\d+)\]\.resource", complaint.place) for complaint in complaints]
        if all(places):  # else the parser stopped at one of them, and nothing was judged
            found |= {name: [] for name in batch}
            for place, complaint in zip(places, complaints, strict=True):
                assert place
                found[batch[int(place[1])]].append(complaint)
    rest = {name: case for name, case in cases.items() if name not in found}
    return found | dict(zip(rest, _one_by_one(hapi, rest.values()), strict=True))


def _nests(value: object) -> bool:
    """Tell whether a list stands in a list, which HAPI's parser does not survive."""
    if isinstance(value, list):
        return any(isinstance(item, list) or _nests(item) for item in value)
    return isinstance(value, dict) and any(_nests(item) for item in value.values())


def _together(resources: Iterable[Resource]) -> Resource:
    return {"resourceType": "Parameters", "parameter": [{"name": "case", "resource": r} for r in resources]}


def _complaints(outcome: Resource) -> Iterator[Complaint]:
    for issue in outcome["issue"]:
        if issue["severity"] in ("error", "fatal"):
            coding = issue.get("details", {}).get("coding", [{}])[0]
            place = (issue.get("expression") or ["?"])[0]
            failed = issue["code"] == "exception"
            yield NO_ANSWER if failed else Complaint(place, coding.get("code", ""), issue.get("diagnostics", ""))


def summary(result: Comparison) -> str:
    """Return the figures and how often each rule explained a case."""
    counts = Counter({name: len(found) for name, found in result.explained.items()})
    lines = [
        f"{result.cases} cases, {result.valid} valid to us; HAPI can judge {result.judged}, "
        f"agreed {result.agreed} = {result.agreement:.2%}; of all {result.agreed / result.cases:.2%}"
    ]
    lines += [f"{count:5} {name}" for name, count in counts.most_common() if count]
    return "\n".join(lines + [f"UNEXPLAINED {name}: {found}" for name, found in result.unexplained.items()])


def unexplained(result: Comparison) -> list[str]:
    """Return the cases that no rule explains, each with what both say."""
    return [f"{name}: {found}" for name, found in result.unexplained.items()]


if __name__ == "__main__":
    from functools import partial

    from tests.conftest import SHARED
    from tests.real_servers import build_hapi, hapi_outcomes

    everything = own_cases() | (hl7_cases(SHARED) if SHARED.is_dir() else {})
    judge = partial(hapi_outcomes, build_hapi())
    print(summary(compare(Validator.load([PROFILES]), judge, everything)))  # noqa: T201
