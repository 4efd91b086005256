"""The store: resources and their versions, runs, quarantine, and how each hospital's server stands to them."""

from fhirbridge.store.acknowledgements import Acknowledged, Delivered, Policy, State
from fhirbridge.store.conflicts import Conflict, ConflictNote, Settled
from fhirbridge.store.deliveries import Backlog, Delivery
from fhirbridge.store.failures import Failure, FailureNote
from fhirbridge.store.held import Held
from fhirbridge.store.resources import Outcome, Stored, Transaction
from fhirbridge.store.runs import Run, Tally
from fhirbridge.store.servers import ServerState
from fhirbridge.store.store import Store
from fhirbridge.store.wanted import CONSENT_KEPT

__all__ = [
    "CONSENT_KEPT",
    "Acknowledged",
    "Backlog",
    "Conflict",
    "ConflictNote",
    "Delivered",
    "Delivery",
    "Failure",
    "FailureNote",
    "Held",
    "Outcome",
    "Policy",
    "Run",
    "ServerState",
    "Settled",
    "State",
    "Store",
    "Stored",
    "Tally",
    "Transaction",
]
