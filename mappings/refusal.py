"""How a mapping refuses a record that FHIR, or this study, has no way to say."""

from __future__ import annotations

from fhirbridge.errors import Finding, MappingError


def refusal(record: str, field: str, value: object, rule: str, message: str, remedy: str) -> MappingError:
    """Return the MappingError to raise; ``record`` names the record in its owner's words (``laboratory R-1``)."""
    text = None if value is None else str(value)
    return MappingError(
        Finding(record=record, field=field, value=text, rule=f"mapping/{rule}", message=message, remedy=remedy)
    )
