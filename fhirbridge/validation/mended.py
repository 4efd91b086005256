"""Published R4 expressions that do not say what their text says: what is run instead, and why. The only such place."""

from __future__ import annotations

from typing import NamedTuple


class Mend(NamedTuple):
    """What to run for a published expression, and what is wrong with that."""

    expression: str
    reason: str


REF_1 = (
    "reference.startsWith('#').not() or "
    "(reference.substring(1).trace('url') in %rootResource.contained.id.trace('ids'))"
)
_ENTERED_IN_ERROR = (
    "verificationStatus.coding.where(system='http://terminology.hl7.org/CodeSystem/condition-ver-status'"
    " and code = 'entered-in-error').exists()"
)
_ELD_19 = (
    r"[^\\s\\.,:;\\\'\"\\/|?!@#$%&*()\\[\\]{}]{1,64}"
    r"(\\.[^\\s\\.,:;\\\'\"\\/|?!@#$%&*()\\[\\]{}]{1,64}(\\[x\\])?(\\:[^\\s\\.]+)?)*"
).replace(r"\"", '"')
_ELD_20 = r"[A-Za-z][A-Za-z0-9]*(\\.[a-z][A-Za-z0-9]*(\\[x])?)*"

MENDED: dict[str, Mend] = {
    REF_1: Mend(
        "reference.exists().not() or reference.hasValue().not() or reference.startsWith('#').not() or "
        "(reference.substring(1) in %rootResource.contained.id) or (reference = '#' and %rootResource != %resource)",
        "ref-1: a reference without `reference` makes it empty, and '#', from a contained resource to its container, "
        "is forgotten (R5 has it)",
    ),
    "operator = 'exists' implies (answer is Boolean)": Mend(
        "operator = 'exists' implies (answer is boolean)",
        "que-7: System.Boolean never is a FHIR boolean",
    ),
    "enableWhen.count() > 2 implies enableBehavior.exists()": Mend(
        "enableWhen.count() >= 2 implies enableBehavior.exists()",
        "que-12: the text says more than one",
    ),
    "probability is decimal implies (probability as decimal) <= 100": Mend(
        "probability.empty() or (probability is decimal).not() or probability.ofType(decimal) <= 100",
        "ras-2: `as` on a choice that is absent is empty, and empty fails",
    ),
    f"clinicalStatus.exists() or {_ENTERED_IN_ERROR} or category.select($this='problem-list-item').empty()": Mend(
        f"clinicalStatus.exists() or {_ENTERED_IN_ERROR} or category.coding.where(code='problem-list-item').empty()",
        "con-3: compares a CodeableConcept with a string",
    ),
    "offset.empty() or (when.exists() and ((when in ('C' | 'CM' | 'CD' | 'CV')).not()))": Mend(
        "offset.empty() or (when.exists() and when.select($this in ('C' | 'CM' | 'CD' | 'CV')).allFalse())",
        "tim-9: `in` takes one item, but when repeats",
    ),
    "fullUrl.contains('/_history/').not()": Mend(
        "fullUrl.exists().not() or fullUrl.contains('/_history/').not()",
        "bdl-8: an absent fullUrl makes it empty, and empty fails",
    ),
    "duration.exists() implies duration >= 0": Mend(
        "duration.empty() or duration.hasValue().not() or duration >= 0",
        "tim-4: a duration that has only an extension makes it empty, and empty fails",
    ),
    "period.exists() implies period >= 0": Mend(
        "period.empty() or period.hasValue().not() or period >= 0",
        "tim-5: a period that has only an extension makes it empty, and empty fails",
    ),
    f"path.matches('{_ELD_19}')": Mend(
        f"path.matches('^{_ELD_19}$')", "eld-19: matches() finds a part, but the whole path is meant"
    ),
    f"path.matches('{_ELD_20}')": Mend(
        f"path.matches('^{_ELD_20}$')", "eld-20: matches() finds a part, but the whole path is meant"
    ),
}
"""By published expression. Left as published although odd: ppc-2 to ppc-5 ask for the system "something" and eld-11
for the existence of an answer, so none of them ever fires; cid-0 asks for a name that ChargeItemDefinition does not
have, so it always warns. dom-3, which lets a contained resource refer to itself, is mended in contained.py: N1 has no
way to name the resource that is being looked for."""


def mended(expression: str) -> str:
    """Return the expression to run for a published one."""
    found = MENDED.get(expression)
    return found.expression if found else expression
