"""Small resources for the tests of store and sync."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fhirbridge.elements import STUDY_TAG
from fhirbridge.errors import Resource


@dataclass(frozen=True)
class Make:
    """Makes resources of one study."""

    study: str = "trial"

    def meta(self, study: str | None = None) -> Resource:
        return {"tag": [{"system": STUDY_TAG, "code": study or self.study}]}

    def patient(self, id: str, **elements: Any) -> Resource:
        return {"resourceType": "Patient", "id": id, "meta": self.meta(), **elements}

    def observation(self, id: str, patient: str, value: str = "5.50") -> Resource:
        return {
            "resourceType": "Observation",
            "id": id,
            "meta": self.meta(),
            "identifier": [{"system": "urn:result", "value": id}],
            "status": "final",
            "code": {"text": "HBV DNA"},
            "subject": {"reference": f"Patient/{patient}"},
            "valueQuantity": {"value": Decimal(value), "unit": "IU/mL"},
        }

    def study_resource(self) -> Resource:
        return {"resourceType": "ResearchStudy", "id": self.study, "meta": self.meta(), "status": "active"}

    def subject(self, patient: str, observations: int = 2) -> list[tuple[int, Resource]]:
        """A subject's resources with their ranks, the highest first."""
        made = [(20, self.observation(f"{patient}-{number}", patient)) for number in range(observations)]
        return [*made, (10, self.patient(patient))]

    def cohort(self, subjects: int, observations: int = 2) -> list[tuple[int, Resource]]:
        """The study and so many subjects, each with so many Observations."""
        everyone = [self.subject(f"{self.study}-p{number:03d}", observations) for number in range(subjects)]
        return [(5, self.study_resource()), *(ranked for subject in everyone for ranked in subject)]

    def consent(self, id: str, patient: str, status: str = "active") -> Resource:
        about = {"reference": f"Patient/{patient}"}
        return {"resourceType": "Consent", "id": id, "meta": self.meta(), "status": status, "patient": about}

    def research_subject(self, id: str, patient: str, status: str = "on-study") -> Resource:
        about = {"reference": f"Patient/{patient}"}
        return {"resourceType": "ResearchSubject", "id": id, "meta": self.meta(), "status": status, "individual": about}
