"""fhirbridge: a FHIR R4 (4.0.1) service for investigator-initiated trials."""

__version__ = "0.1.0"
