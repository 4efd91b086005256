"""`fhirbridge coverage` and `fhirbridge replay`, as a coordinator and a data manager use them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from fhirbridge.store import Store
from tests.cli.conftest import Run


def subject_of(folder: Path) -> str:
    with Store.open(f"sqlite:///{folder / 'fhirbridge.db'}") as store:
        (found,) = store.iterate("nct07120750", types=["ResearchSubject"])
        return str(found.content()["identifier"][0]["value"])


def test_the_coverage_of_a_loaded_cohort_adds_up(quick: Run) -> None:
    found = quick("coverage", "--json")
    assert found.code == 0
    report = found.json
    assert len(report["cells"]) == 2 * 14
    states = [name for name in report["total"] if name != "share_filled"]
    assert sum(report["total"][state] for state in states) == 28
    for grouped in ("by_analyte", "by_visit"):
        assert {state: sum(one[state] for one in report[grouped].values()) for state in states} == {
            state: report["total"][state] for state in states
        }
    assert report["total"]["filled"] > 0
    assert report["concordance"]["total"]["compared"] == 0
    assert report["yardstick"] == {"filled": 0.84, "exact": 0.89}


def test_the_coverage_is_shown_by_analyte_and_visit_beside_the_published_figures(quick: Run) -> None:
    shown = quick("coverage").out
    assert "HBV-DNA" in shown
    assert "W012" in shown
    assert "84% filled" in shown


def test_one_subject_is_shown_visit_by_visit(quick: Run, loaded: Path) -> None:
    shown = quick("coverage", "--subject", subject_of(loaded)).out
    assert re.search(r"W000.*HBSAG.*filled.*entered", shown)


def test_a_subject_that_is_not_there_is_named_nowhere_in_the_refusal(quick: Run) -> None:
    refused = quick("coverage", "--subject", "S-999")
    assert refused.code == 2
    assert "S-999" not in refused.err
    assert "no subject of this number" in refused.err


def test_the_coverage_is_drawn_into_a_file_and_only_as_svg(quick: Run, loaded: Path) -> None:
    assert quick("coverage", "--plot", "coverage.svg").code == 0
    assert (loaded / "coverage.svg").read_text(encoding="utf-8").startswith("<svg")
    refused = quick("coverage", "--plot", "coverage.png")
    assert (refused.code, (loaded / "coverage.png").exists()) == (2, False)
    assert quick("coverage", "--plot", "nowhere/coverage.svg").code == 2


def test_without_a_pull_there_is_nothing_to_replay(quick: Run) -> None:
    refused = quick("replay", "--json")
    assert refused.code == 2
    assert "no pull to replay" in json.loads(refused.out)["error"]["message"]
    assert quick("replay", "nothing").code == 2


def test_the_help_of_coverage_shows_an_example_of_its_own(quick: Run) -> None:
    told = " ".join(quick("coverage", "--help").out.split())
    assert "Example: fhirbridge coverage --plot coverage.svg" in told
