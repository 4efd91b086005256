"""The client for a hospital's FHIR R4 server: what it can do, reading, searching, and writing in transactions."""

from fhirbridge.hospital.capabilities import Capabilities
from fhirbridge.hospital.client import Hospital
from fhirbridge.hospital.retries import Retries
from fhirbridge.hospital.traffic import Traffic, TrafficReport
from fhirbridge.hospital.transactions import EntryResult, put_entry, transaction_bundle

__all__ = [
    "Capabilities",
    "EntryResult",
    "Hospital",
    "Retries",
    "Traffic",
    "TrafficReport",
    "put_entry",
    "transaction_bundle",
]
