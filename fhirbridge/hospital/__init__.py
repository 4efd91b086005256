"""The client for a hospital's FHIR R4 server: what it can do, reading, searching, and writing in transactions."""

from fhirbridge.hospital.capabilities import Capabilities
from fhirbridge.hospital.client import Hospital
from fhirbridge.hospital.retries import Retries, sleep_unless
from fhirbridge.hospital.traffic import Traffic, TrafficReport
from fhirbridge.hospital.transactions import (
    EntryResult,
    Mode,
    conditional_put_entry,
    create_entry,
    delete_entry,
    identifier_query,
    put_entry,
    transaction_bundle,
)

__all__ = [
    "Capabilities",
    "EntryResult",
    "Hospital",
    "Mode",
    "Retries",
    "Traffic",
    "TrafficReport",
    "conditional_put_entry",
    "create_entry",
    "delete_entry",
    "identifier_query",
    "put_entry",
    "sleep_unless",
    "transaction_bundle",
]
