"""HL7 v2's names of coding systems (table 0396) as FHIR's URIs.

Source: https://terminology.hl7.org/CodeSystem-v2-0396.html
"""

from __future__ import annotations

import re

from fhirbridge.elements import LOINC, SNOMED, UCUM

_SYSTEMS = {
    "LN": LOINC, "LOINC": LOINC, "SCT": SNOMED, "SCT2": SNOMED, "UCUM": UCUM,
    "I9": "http://hl7.org/fhir/sid/icd-9-cm", "I9C": "http://hl7.org/fhir/sid/icd-9-cm",
    "I9CDX": "http://hl7.org/fhir/sid/icd-9-cm", "I10": "http://hl7.org/fhir/sid/icd-10",
    "I10C": "http://hl7.org/fhir/sid/icd-10-cm", "C4": "http://www.ama-assn.org/go/cpt",
    "NULLFL": "http://terminology.hl7.org/CodeSystem/v3-NullFlavor",
    "ISO3166_1": "urn:iso:std:iso:3166", "ISO+": "urn:oid:2.16.840.1.113883.6.8",
}  # fmt: skip
_HL7_TABLE = re.compile(r"HL7([0-9]{4})", re.ASCII)
_LOCAL = re.compile(r"(?:L|LB|99.*)?", re.ASCII | re.DOTALL)


def is_local(name: str) -> bool:
    """Tell whether a name of table 0396 means the sender's own codes: ``L``, ``99…`` or none at all."""
    return _LOCAL.fullmatch(name.upper()) is not None


def system_of(name: str) -> str | None:
    """Return the URI of a coding system by its name of table 0396; None for the sender's own.

    A name that is not known becomes a URI of its own, so that its codes are taken for nobody else's.
    """
    short = name.strip().upper()
    if is_local(short):
        return None
    table = _HL7_TABLE.fullmatch(short)
    if table is not None:
        return f"http://terminology.hl7.org/CodeSystem/v2-{table[1]}"
    return _SYSTEMS.get(short, f"urn:hl7v2:{name.strip()}")
