"""The store: resources and their versions, runs, quarantine, and how each hospital's server stands to them."""

from fhirbridge.store.acknowledgements import Acknowledged, Delivered, Policy, State
from fhirbridge.store.arrivals import Arrival, Novelty
from fhirbridge.store.candidates import Candidates, Known
from fhirbridge.store.conflicts import Conflict, ConflictNote, Settled
from fhirbridge.store.decisions import INBOX, WITHDRAWN, WORKLIST, Action, Decision, NewDecision, Stale
from fhirbridge.store.deliveries import Backlog, Delivery
from fhirbridge.store.failures import Failure, FailureNote
from fhirbridge.store.held import Held
from fhirbridge.store.judgements import Candidate, Judgement
from fhirbridge.store.pulls import Pull, Pulled, Pulls
from fhirbridge.store.resources import Outcome, Stored, Transaction
from fhirbridge.store.runs import Run, Tally
from fhirbridge.store.servers import ServerState
from fhirbridge.store.store import Store
from fhirbridge.store.wanted import CONSENT_KEPT

__all__ = [
    "CONSENT_KEPT",
    "INBOX",
    "WITHDRAWN",
    "WORKLIST",
    "Acknowledged",
    "Action",
    "Arrival",
    "Backlog",
    "Candidate",
    "Candidates",
    "Conflict",
    "ConflictNote",
    "Decision",
    "Delivered",
    "Delivery",
    "Failure",
    "FailureNote",
    "Held",
    "Judgement",
    "Known",
    "NewDecision",
    "Novelty",
    "Outcome",
    "Policy",
    "Pull",
    "Pulled",
    "Pulls",
    "Run",
    "ServerState",
    "Settled",
    "Stale",
    "State",
    "Store",
    "Stored",
    "Tally",
    "Transaction",
]
