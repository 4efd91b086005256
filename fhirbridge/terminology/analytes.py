"""The study's table of analytes with what the laboratories' files add to it: their assays, and analytes of their own.

There is one table. A laboratory's row that names an analyte the study lacks adds it; one that names an assay the
analyte lacks adds that; one that contradicts the study is refused.
"""

from __future__ import annotations

import msgspec

from fhirbridge.errors import ConfigurationError
from fhirbridge.study import Analyte, Assay, Study
from fhirbridge.terminology import units
from fhirbridge.terminology.laboratories import Laboratories, LaboratoryTest


def with_laboratories(study: Study, laboratories: Laboratories) -> Study:
    """Return the study with the laboratories' analytes and assays. Raises ConfigurationError naming file and line."""
    analytes = {analyte.name: analyte for analyte in study.analytes}
    for row in laboratories.rows:
        if row.analyte is None:
            continue
        known = analytes.get(row.analyte) or _new(row, row.analyte)
        _check(row, known)
        analytes[row.analyte] = _with_assay(row, known)
    return msgspec.structs.replace(study, analytes=tuple(analytes.values()))


def _new(row: LaboratoryTest, name: str) -> Analyte:
    return Analyte(
        name=name, title=row.labels[0] if row.labels else name, loinc=row.loinc, display=row.loinc_name,
        scale=row.scale, unit=row.canonical_unit, lowest_possible=row.lowest_possible,
        highest_possible=row.highest_possible,
    )  # fmt: skip


def _check(row: LaboratoryTest, analyte: Analyte) -> None:
    """Refuse a row whose results could not become values of the analyte it names."""
    if row.scale != analyte.scale:
        raise _wrong(row, f"scale {row.scale} where the study's {analyte.name} has {analyte.scale}")
    log = analyte.log10.unit if analyte.log10 else None
    copies = units.COPIES if analyte.unit == units.INTERNATIONAL else None
    if row.canonical_unit not in (analyte.unit, log, copies):
        raise _wrong(row, f"canonical unit {row.canonical_unit} where the study's {analyte.name} has {analyte.unit}")
    if row.canonical_unit != analyte.unit and row.loinc == analyte.loinc:
        raise _wrong(row, f"{row.loinc} is the code of values in {analyte.unit}, not in {row.canonical_unit}")


def _with_assay(row: LaboratoryTest, analyte: Analyte) -> Analyte:
    if row.assay is None or row.canonical_unit != analyte.unit:
        return analyte
    known = analyte.assay(row.assay)
    if known is None:
        added = Assay(name=row.assay, lloq=row.lloq, uloq=row.uloq, copies_per_iu=row.copies_per_iu)
        return msgspec.structs.replace(analyte, assays=(*analyte.assays, added))
    for name in ("lloq", "uloq", "copies_per_iu"):
        said = getattr(row, name)
        if said is not None and said != getattr(known, name):
            raise _wrong(
                row, f"{name} {said} where assay {row.assay!r} already has {getattr(known, name)}: name another assay"
            )
    return analyte


def _wrong(row: LaboratoryTest, why: str) -> ConfigurationError:
    return ConfigurationError(f"{row.source}: {why}. See docs/harmonisation.md.")
