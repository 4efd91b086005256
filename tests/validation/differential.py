"""Compares our verdicts with HAPI's; ``python -m tests.validation.differential SEED...`` says the figures."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fhirbridge import fhirjson
from fhirbridge.errors import Resource
from fhirbridge.validation import Validator
from tests.conftest import HapiValidator
from tests.validation import exclusions
from tests.validation.disagreements import NO_ANSWER, RULES, Complaint, Disagreement
from tests.validation.mutations import mutations
from tests.validation.specimens import SPECIMENS

ROOT = Path(__file__).parents[2]
PROFILES = ROOT / "profiles"
SEED = "one"
OWN, HL7 = 230, 110
"""Mutations of each category, of our examples and of HL7's."""
BATCH = 100
"""Resources in one Parameters: faster than one by one, and little is asked again where one stops HAPI's parser."""


class Case(NamedTuple):
    """A resource to judge, and for a mutation what it was made of and how."""

    resource: Resource
    origin: Resource | None = None
    category: str = ""
    kind: str = ""


def own_cases(seed: str = SEED, each: int = OWN) -> dict[str, Case]:
    """Our examples (valid and invalid), specimens, golden files, and mutations of valid examples and specimens."""
    examples = PROFILES / "examples"
    origins = _read("example", (examples / "valid").glob("*.json"))
    origins |= {f"specimen {name}": resource for name, resource in SPECIMENS.items()}
    others = _read("golden", (ROOT / "tests" / "golden").glob("*.json"))
    others |= _read("invalid example", (p for p in (examples / "invalid").glob("*.json") if p.name != "index.json"))
    return {name: Case(case) for name, case in (origins | others).items()} | mutated(origins, seed, each)


def hl7_cases(shared: Path, seed: str = SEED, each: int = HL7) -> dict[str, Case]:
    """HL7's R4 examples and mutations of them."""
    origins = _read("HL7", (shared / "data" / "3_fhir" / "hl7_r4_examples").glob("*.json"))
    return {name: Case(case) for name, case in origins.items()} | mutated(origins, seed, each)


def mutated(origins: Mapping[str, Resource], seed: str, each: int) -> dict[str, Case]:
    """Mutations of resources, by a name that says of what and how."""
    return {
        found.name: Case(found.resource, origins[found.origin], found.category, found.kind)
        for found in mutations(origins, seed, each)
    }


def _read(what: str, files: Iterable[Path]) -> dict[str, Resource]:
    return {f"{what} {file.stem}": fhirjson.loads(file.read_bytes()) for file in sorted(files)}


@dataclass
class Comparison:
    """The names of all cases, of those that agree, of those that the rules set apart, and of HAPI's crashes."""

    cases: dict[str, Case] = field(default_factory=dict)
    agreed: set[str] = field(default_factory=set)
    valid: set[str] = field(default_factory=set)
    terminology: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)
    crashed: set[str] = field(default_factory=set)
    differing: dict[str, Disagreement] = field(default_factory=dict)
    """What both say where they disagree, HAPI's crashes and the cases set apart among them."""

    def __or__(self, other: Comparison) -> Comparison:
        return Comparison(*(getattr(self, name) | getattr(other, name) for name in vars(self)))

    @property
    def counted(self) -> set[str]:
        """The cases that no rule sets apart and for which HAPI did not crash."""
        return self.cases.keys() - self.terminology - self.known - self.crashed

    def share(self, cases: set[str]) -> float:
        """How many of some cases agree."""
        return len(self.agreed & cases) / len(cases)

    @property
    def agreement(self) -> float:
        return self.share(self.counted)

    def explained(self) -> dict[str, list[str]]:
        """The disagreements that count, by the rule that explains them; those without one under an empty name."""
        found: dict[str, list[str]] = defaultdict(list)
        for name, told in self.differing.items():
            if name in self.counted:
                resource = self.cases[name].resource
                found[next((rule.name for rule in RULES if rule.explains(resource, *told)), "")].append(name)
        return found

    def unexplained(self) -> list[str]:
        """The disagreements that no rule explains, each with what both say."""
        return [f"{name}: {self.differing[name]}" for name in self.explained().get("", ())]


def compare(validator: Validator, hapi: HapiValidator, cases: dict[str, Case], *, batched: bool = True) -> Comparison:
    """Ask both; HAPI in batches first, and one by one where a batch's answer is not ours."""
    resources = {name: case.resource for name, case in cases.items()}
    result = Comparison(cases)
    for name, case in cases.items():
        if exclusions.terminology(validator, case.resource, case.origin):
            result.terminology.add(name)
        if exclusions.known_to_differ(validator, case.resource, case.origin):
            result.known.add(name)
    ours = {name: [i for i in validator.issues(case) if i.severity == "error"] for name, case in resources.items()}
    theirs = _in_batches(hapi, resources) if batched else {}
    again = [name for name in cases if name not in theirs or bool(theirs[name]) != bool(ours[name])]
    theirs |= dict(zip(again, _one_by_one(hapi, (resources[name] for name in again)), strict=True))
    for name in cases:
        if not ours[name]:
            result.valid.add(name)
        if NO_ANSWER in theirs[name]:
            result.crashed.add(name)
        if bool(ours[name]) == bool(theirs[name]) and NO_ANSWER not in theirs[name]:
            result.agreed.add(name)
        else:
            result.differing[name] = (ours[name], theirs[name])
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
    """Return the figures: agreement with nothing apart, without (a), without (a) and (b); categories; rules."""
    everything = set(result.cases)
    answered = everything - result.crashed
    told = [f"{len(everything)} cases, {len(result.valid)} valid to us; HAPI crashed on {len(result.crashed)}"]
    for label, cases in {
        "nothing apart": everything,
        "without (a)": answered - result.terminology,
        "without (a) and (b)": result.counted,
    }.items():
        told.append(f"{label:20} {len(result.agreed & cases):5} of {len(cases):5} = {result.share(cases):.2%}")
    for category in dict.fromkeys(case.category for case in result.cases.values()):
        cases = {name for name in result.counted if result.cases[name].category == category}
        told.append(f"  {category or 'as they are':22} {len(cases):5} {result.share(cases):.2%}")
    counts = Counter({name: len(found) for name, found in result.explained().items()})
    told += [f"{count:5} {name or 'UNEXPLAINED'}" for name, count in counts.most_common()]
    return "\n".join(told + result.unexplained())


if __name__ == "__main__":
    import sys
    from functools import partial

    from tests.conftest import SHARED
    from tests.real_servers import build_hapi, hapi_outcomes

    judge, ours = partial(hapi_outcomes, build_hapi()), Validator.load([PROFILES])
    for seed in sys.argv[1:] or [SEED]:
        own = compare(ours, judge, own_cases(seed))
        hl7 = compare(ours, judge, hl7_cases(SHARED, seed)) if SHARED.is_dir() else Comparison()
        print(f"seed {seed}\n{summary(own | hl7)}")  # noqa: T201
