"""`fhirbridge pull`: what a person reads of a pull."""

from __future__ import annotations

import pytest

from fhirbridge.cli.pull import show_pull
from fhirbridge.sync.pull.pull_report import PullReport
from tests.sync.pull.judged import Inbox, context, dna


def test_results_of_earlier_pulls_that_stand_otherwise_now_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    report = PullReport(run="r", study="s", feed="https://fhir.hospital.example/r4", full=False)
    show_pull(report)
    assert "earlier pulls" not in capsys.readouterr().out
    inbox = Inbox(context())
    inbox.run(dna("1"), dna("2", collected="2026-05-05"), dna("3", collected="2026-05-06"))
    for one in inbox.judged.values():
        report.funnel.shifted("s1", one)
    show_pull(report)
    said = capsys.readouterr().out
    assert "3 results of earlier pulls now stand otherwise: 2 out of window, 1 accepted." in said
