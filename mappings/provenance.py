"""Provenance: where a pulled result came from, by which table it was mapped, and who decided that it is study data.

Its id follows from the result's, so a correction makes a new version of the same Provenance, as it makes a new
version of the same Observation; the history of decisions is the history of this resource. R4's Provenance has no
subject: the person is named by the extension that HL7 publishes for R5's element ``patient``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from fhirbridge.elements import Element, coding, concept, present
from fhirbridge.errors import Resource
from fhirbridge.identity import Identity
from fhirbridge.records.types import LaboratoryResult, ResultDecision, ResultSource
from fhirbridge.study import Study
from fhirbridge.terminology.codes import DATA_OPERATION, PROVENANCE_AGENT
from mappings import meta
from mappings.laboratory_result import result_reference
from mappings.measured_result import as_measured, measured_reference
from mappings.patient import patient_reference

PROFILE = "result-provenance"

PATIENT = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Provenance.patient"
"""http://hl7.org/fhir/R5/provenance-definitions.html#Provenance.patient, for use with R4."""

URI = "urn:ietf:rfc:3986"
"""System of identifiers that are URIs: http://hl7.org/fhir/R4/identifier-registry.html"""

BY_POLICY = "policy"
"""Who decided, where the study's own rule did."""

_VERSION = re.compile(r"[A-Za-z0-9\-.]{1,64}(?=$|[+ ])", re.ASCII)
"""A version that a server gave, whatever follows it; one told by its content, or one that is gone, is none."""

_RECORDED = coding(DATA_OPERATION, "CREATE", "create")
_TAKEN_BACK = coding(DATA_OPERATION, "NULLIFY", "nullify")
_AUTHOR = coding(PROVENANCE_AGENT, "author", "Author")
_VERIFIER = coding(PROVENANCE_AGENT, "verifier", "Verifier")
_ASSEMBLER = coding(PROVENANCE_AGENT, "assembler", "Assembler")


def provenance(record: LaboratoryResult, study: Study, identity: Identity) -> Iterator[Resource]:
    """Yield the Provenance of a pulled result; of one that people entered, nothing."""
    source = record.source
    if source is None:
        return
    decision = source.decision
    yield present(
        resourceType="Provenance",
        id=identity.id("Provenance", "laboratory", record.result),
        meta=meta.subject_level(PROFILE, study),
        extension=[{"url": PATIENT, "valueReference": patient_reference(record.subject, identity)}],
        target=[
            result_reference(record.result, identity),
            *([measured_reference(record, identity)] if as_measured(record) else []),
        ],
        recorded=decision.at,
        policy=_policies(source, study),
        reason=[concept(text=decision.reason)] if decision.reason else None,
        activity=concept(_TAKEN_BACK if decision.action == "reject" else _RECORDED),
        agent=[_decided(decision), {"type": concept(_ASSEMBLER), "who": {"display": source.software}}],
        entity=[{"role": "source", "what": _what(source, study, identity)}],
    )


def _decided(decision: ResultDecision) -> Element:
    """Return who decided: the author of a value of their own, else who verified the laboratory's."""
    return {
        "type": concept(_AUTHOR if decision.action == "override" else _VERIFIER),
        "who": {"display": decision.by},
    }


def _policies(source: ResultSource, study: Study) -> list[str]:
    """Return what the value was made by: the row of the mapping tables, and the rule that accepted it in which run."""
    row, run = (f"#{quote(text)}" if text else "" for text in (source.row, source.decision.run))
    table = [f"{study.system('mapping')}/{source.mapping}{row}"] if source.mapping else []
    return table + ([study.system("policy") + run] if source.decision.by == BY_POLICY else [])


def _what(source: ResultSource, study: Study, identity: Identity) -> Element:
    """Return the result at its source, in its version: by URL, or for HL7 v2, whose numbers must not leave, by digest.

    Both are identifiers and no literal reference, which a server would look up: HAPI refuses one to another server, and
    others drop the version, or the address where it is their own.
    """
    if source.feed.startswith("http"):
        return {"type": "Observation", "identifier": {"system": URI, "value": _url(source)}}
    named = identity.id("source", source.feed, source.reference, source.version)
    return {"type": "Observation", "identifier": {"system": study.system("source"), "value": named}}


def _url(source: ResultSource) -> str:
    """Return the URL of the source's resource in its version; a component (``Observation/1#code``) is a part of one."""
    whole = f"{source.feed}/{source.reference.split('#')[0]}"
    there = _VERSION.match(source.version)
    return f"{whole}/_history/{there[0]}" if there else f"{whole}#{quote(source.version, safe=':')}"
