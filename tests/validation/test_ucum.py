"""UCUM's grammar: what is a unit, and what only looks like one."""

from __future__ import annotations

import pytest

from fhirbridge.validation.ucum import is_unit


@pytest.mark.parametrize(
    "code",
    ["mg", "mg/dL", "kg.m-2", "10*3/uL", "10^6", "/min", "mm[Hg]", "[iU]/mL", "[IU]/L", "{score}", "mL/min/{1.73_m2}",
     "U/(10.g){feces}", "24.h", "dB[SPL]", "KiBy", "%", "[degF]", "m+2", "1", "[in_i'Hg]"],
)  # fmt: skip
def test_a_unit_is_made_of_symbols_prefixes_powers_and_notes(code: str) -> None:
    assert is_unit(code)


@pytest.mark.parametrize(
    "code",
    ["", "IU/mL", "copies/mL", "mmHg", "beats/min", "log10", "°C", "µg", "m²", "mg/", "m--2", "m{", "(m", "kmin", "mmm",
     "24h", " mg", "m(g)", "k[degF]", "[iU", "2,5", "(m/s)2"],
)  # fmt: skip
def test_what_only_looks_like_a_unit_is_none(code: str) -> None:
    assert not is_unit(code)


def test_brackets_without_end_are_refused_and_not_followed() -> None:
    assert not is_unit("(" * 500 + "m" + ")" * 500)
