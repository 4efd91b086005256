"""Registry record to the relatedArtifacts of its ResearchStudy: publications, links, shared data."""

from __future__ import annotations

from collections.abc import Iterator

from fhirbridge.elements import Element, present
from fhirbridge.records.ctgov_record import RegistryRecord

PUBMED = "https://pubmed.ncbi.nlm.nih.gov"


def artifacts(record: RegistryRecord) -> Iterator[Element]:
    """Yield each artifact; the registry's own word for what it is stands in ``label``."""
    protocol = record.protocol
    for publication in protocol.references.references:
        yield _publication(publication.type, publication.citation, publication.pmid)
        for retraction in publication.retractions:
            yield _publication("RETRACTION", retraction.source, retraction.pmid)
    for link in protocol.references.see_also_links:
        yield _link(link.label, link.url)
    for data in protocol.references.avail_ipds:
        label = f"Individual participant data: {data.type}" if data.type else "Individual participant data"
        yield _link(label, data.url) | present(display=data.id, citation=data.comment)
    if protocol.ipd_sharing.url:
        yield _link("Sharing of individual participant data", protocol.ipd_sharing.url)
    identification = protocol.identification
    own = (identification.org_study_id_info,) if identification.org_study_id_info else ()
    for info in (*own, *identification.secondary_id_infos):
        if info.link:
            yield _link(info.id, info.link)


def _publication(kind: str | None, citation: str | None, pmid: str | None) -> Element:
    url = f"{PUBMED}/{pmid}" if pmid else None
    return present(type="citation", label=kind, citation=citation, url=url)


def _link(label: str | None, url: str | None) -> Element:
    """Return a link; an address with a space in it is no FHIR url and is shown instead."""
    proper = url if url and not any(c.isspace() for c in url) else None
    return present(type="documentation", label=label, citation=None if proper else url, url=proper)
