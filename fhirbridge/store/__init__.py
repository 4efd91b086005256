"""The store: resources and their versions, runs, quarantine, and what each hospital acknowledged."""

from fhirbridge.store.acknowledgements import Backlog, Group
from fhirbridge.store.resources import Outcome, Stored, Transaction
from fhirbridge.store.runs import Run
from fhirbridge.store.store import Store

__all__ = ["Backlog", "Group", "Outcome", "Run", "Store", "Stored", "Transaction"]
