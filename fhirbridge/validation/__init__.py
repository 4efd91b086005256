"""StructureDefinitions compiled to a validator that explains itself; stands alone, knows nothing of the rest.

validator = Validator.load(["profiles/", "more.tgz", structure_definition])
outcome = validator.validate(resource, profiles=["https://…"])
"""

from fhirbridge.validation.outcome import Issue, has_errors
from fhirbridge.validation.validator import Validator

__all__ = ["Issue", "Validator", "has_errors"]
