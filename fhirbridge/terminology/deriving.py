"""Values computed from a harmonised one: its logarithm or antilogarithm, international units for copies and back."""

from __future__ import annotations

from dataclasses import dataclass

from fhirbridge.study import Analyte, Assay
from fhirbridge.terminology import units
from fhirbridge.terminology.laboratories import LaboratoryTest
from fhirbridge.terminology.units import Amount


@dataclass(frozen=True, slots=True)
class Derived:
    """A value that was computed, not reported; ``rule`` says how and with which factor."""

    loinc: str
    amount: Amount
    rule: str


def derived(amount: Amount, test: LaboratoryTest, analyte: Analyte | None, assay: Assay | None) -> tuple[Derived, ...]:
    """Return what follows from the canonical value: its logarithm or antilogarithm, IU for copies or copies for IU."""
    if analyte is None or analyte.unit is None:
        return ()
    log = analyte.log10
    if log is not None and test.canonical_unit == log.unit:
        linear = units.antilogarithm(amount, analyte.unit)
        return (Derived(analyte.loinc, linear, "antilogarithm"),) if linear else ()
    found: list[Derived] = []
    factor = test.copies_per_iu or (assay.copies_per_iu if assay else None)
    if factor is not None and (test.canonical_unit, analyte.unit) == (units.COPIES, units.INTERNATIONAL):
        amount = units.quotient(amount, factor, units.INTERNATIONAL)
        found.append(Derived(analyte.loinc, amount, f"{factor} copies to an IU ({test.assay})"))
    elif factor is not None and test.canonical_unit == units.INTERNATIONAL and analyte.loinc in units.COPIES_LOINC:
        copies = units.product(amount, factor, units.COPIES)
        found.append(Derived(units.COPIES_LOINC[analyte.loinc], copies, f"{factor} copies to an IU ({test.assay})"))
    if log is not None and amount.unit == analyte.unit:
        logarithm = units.logarithm(amount, log.unit)
        found += [Derived(log.loinc, logarithm, "logarithm")] if logarithm else []
    return tuple(found)
