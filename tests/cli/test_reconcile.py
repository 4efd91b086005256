"""`fhirbridge reconcile`: what it finds, what it repairs, and what it says to do next."""

from __future__ import annotations

from collections.abc import Callable

from tests.cli.conftest import Run
from tests.sync.breakable_hospital import BreakableHospital

Stored = Callable[[str], list[str]]


def test_a_server_in_step_is_in_step_by_versions_and_in_full(quick: Run, breakable: BreakableHospital) -> None:
    quick("push")
    for given in ([], ["--full"], ["--since", "last"]):
        ran = quick("reconcile", *given, "--json")
        assert (ran.code, ran.json["in_step"], ran.json["balanced"]) == (0, True, True)


def test_what_is_missing_is_named_repaired_by_the_next_push_and_then_well(
    quick: Run, breakable: BreakableHospital, stored: Stored
) -> None:
    quick("push")
    chosen = stored("DiagnosticReport")[0]
    breakable.remove(f"DiagnosticReport/{chosen}")
    found = quick("reconcile")
    assert found.code == 1
    assert f"missing: DiagnosticReport/{chosen}" in found.err
    assert "fhirbridge reconcile --repair" in found.err
    assert "Next: fhirbridge push" in quick("reconcile", "--repair").err
    assert (quick("push").code, quick("reconcile").code) == (0, 0)


def test_what_others_changed_is_named_with_its_fields_and_not_overwritten(
    quick: Run, breakable: BreakableHospital, stored: Stored
) -> None:
    quick("push")
    name = f"Observation/{stored('Observation')[0]}"
    breakable.put(breakable.kept[name] | {"status": "amended"})
    found = quick("reconcile", "--repair")
    assert (found.code, f"drifted: {name} (status)" in found.err) == (1, True)
    quick("push")
    assert breakable.kept[name]["status"] == "amended"


def test_a_window_is_an_instant(quick: Run, breakable: BreakableHospital) -> None:
    quick("push")
    assert quick("reconcile", "--since", "2026-03-01T08:00:00Z").code == 0
    ran = quick("reconcile", "--since", "yesterday", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (2, "structure")
    assert "is no instant" in ran.err
