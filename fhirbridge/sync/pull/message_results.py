"""Takes the results of one patient of a message: whose they are, whether they may be taken, and what is new of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from fhirbridge.errors import Finding
from fhirbridge.records.hl7v2.faults import label
from fhirbridge.records.hl7v2.types import Message, Patient
from fhirbridge.store import Store
from fhirbridge.sync.pull.from_messages import Senders, Taken, feed_of, results
from fhirbridge.sync.pull.incoming import BY_MESSAGE, Incoming, SetAside, as_bytes, digest, read_back
from fhirbridge.sync.pull.linked import Linked, Mismatch
from fhirbridge.sync.pull.linking import Linking
from fhirbridge.sync.pull.meaning import collects, without_strange_words
from fhirbridge.sync.pull.message_versions import completed, names_no_value, outdated
from fhirbridge.terminology.laboratories import Laboratories

Fate = Literal["new", "changed", "unchanged", "not collected", "other patient", "unusable"]
"""``unchanged`` is also what was overtaken on its way: something later is known. ``other patient``: no subject of the
study, one without consent today, or one that the message contradicts."""
Fates = Counter[Fate]

_OID = re.compile(r"[0-2](\.[0-9]+)+", re.ASCII)
_NAME = re.compile(r"[^\W\d_][\w .:/-]{0,39}")
_DIGITS = 4
"""More in a name that is no OID may be a patient's number that stands in the wrong place."""
_NAMED = 5
"""Authorities that one finding names at most."""

_LATEST = dict[tuple[str, str], Incoming]


class Counts(Protocol):
    """Where fates are counted."""

    found: int
    fates: Fates
    subjects: dict[str, Fates]


@dataclass(slots=True, kw_only=True)
class Results:
    """Takes results for one run; remembers the latest of each subject it has met."""

    store: Store
    study: str
    linking: Linking
    laboratories: Laboratories
    senders: Senders
    run: str
    report: Counts
    _latest: dict[str, _LATEST] = field(default_factory=dict)
    _systems: frozenset[str] | None = None
    """Of the numbers that are linked, once they were asked for."""

    def count(self, fate: Fate, number: int = 1, subject: str | None = None) -> None:
        """Count results that were found, with what became of them."""
        if not number:
            return
        self.report.found += number
        self.report.fates[fate] += number
        if subject is not None:
            self.report.subjects.setdefault(subject, Counter())[fate] += number

    def of_patient(self, message: Message, patient: Patient, findings: list[Finding]) -> bool:
        """Take the results of one patient; return whether that is a subject with consent. Findings are added."""
        found = results(message, patient, self.senders)
        try:
            linked = self.linking.by_numbers(list(_numbers(patient)))
            if linked is None and not self._recognised(patient):
                findings.append(_nobodys(message, patient))
            if linked is not None and self.linking.consented(linked):
                self._check(linked, patient)
            else:
                linked = None
        except Mismatch as mismatch:
            findings.append(_mismatch(message, mismatch))
            self.count("other patient", len(found))
            return True
        if linked is None:
            self.count("other patient", len(found))
            return False
        usable = [one for one in found if self._usable(one, message, linked.subject, findings)]
        self._arrive(linked, feed_of(message), usable, message, findings)
        return True

    def _recognised(self, patient: Patient) -> bool:
        """Say whether anybody who assigned a patient's numbers is known; where nobody is linked that says nothing."""
        if self._systems is None:
            self._systems = self.linking.systems()
        systems, named = self._systems, {authority for authority, _ in _numbers(patient)}
        return not systems or any(self.linking.recognises(authority, systems) for authority in named)

    def _check(self, linked: Linked, patient: Patient) -> None:
        if linked.state == "mismatch":
            raise Mismatch(linked.subject, "its link to the hospital is not certain")
        self.linking.confirm(linked, patient.birth_date, patient.sex)

    def _usable(self, one: Taken, message: Message, subject: str, findings: list[Finding]) -> bool:
        result = one.result
        if isinstance(result, SetAside):
            if result.why == "unusable":
                findings.append(_unusable(message, one.line, result.detail))
                self.count("unusable", 1, subject)
            else:
                self.count("not collected", 1, subject)
            return False
        if not collects(result, self.laboratories):
            self.count("not collected", 1, subject)
            return False
        return True

    def _arrive(self, linked: Linked, feed: str, found: list[Taken], message: Message, findings: list[Finding]) -> None:
        subject, latest = linked.subject, self._known(linked.subject)
        arriving: list[Incoming] = []
        for one in found:
            result = one.result
            assert isinstance(result, Incoming)
            before = latest.get((feed, result.reference))
            if names_no_value(result):
                if before is None:
                    findings.append(_unusable(message, one.line, _NOTHING_BEFORE))
                    self.count("unusable", 1, subject)
                    continue
                result = completed(result, before)
            if before is not None and outdated(result, before):
                self.count("unchanged", 1, subject)
                continue
            result = without_strange_words(result, self.laboratories)
            latest[feed, result.reference] = result
            arriving.append(result)
        items = [(one.reference, one.version, _hash(one, linked.relinked), as_bytes(one)) for one in arriving]
        for novelty in self.store.candidates.arrive(self.study, subject, feed, items, self.run) if items else ():
            self.count(novelty, 1, subject)

    def _known(self, subject: str) -> _LATEST:
        if subject not in self._latest:
            self._latest[subject] = {
                (arrival.feed, arrival.reference): read_back(arrival.body)
                for _, arrival, _ in self.store.candidates.of_subject(self.study, subject)
                if arrival.feed.startswith(BY_MESSAGE)
            }
        return self._latest[subject]


_NOTHING_BEFORE = "it says that the value sent before is final (OBX-11 U), but none was"


def _hash(result: Incoming, relinked: str | None) -> bytes:
    """Return the digest of what a result says, whichever message says it: sent again, it is unchanged."""
    return digest(as_bytes(replace(result, version="", updated=None)), relinked)


def _numbers(patient: Patient) -> Iterator[tuple[str, str]]:
    """Yield the patient's numbers with each name that their authority goes by; one that names nobody has ``""``."""
    for number in patient.numbers:
        named = [name for name in (number.authority.universal_id, number.authority.name) if name]
        for authority in named or [""]:
            yield authority, number.value


def _mismatch(message: Message, error: Mismatch) -> Finding:
    return Finding(
        record=label(message.control_id),
        rule="patient",
        field="PID",
        message=f"subject {error.subject}: {error.reason}; none of its results was taken",
        remedy="Correct the enrolment log or have the message corrected, then `fhirbridge messages retry`",
    )


def _nobodys(message: Message, patient: Patient) -> Finding:
    return Finding(
        record=label(message.control_id),
        rule="authority",
        field="PID-3",
        message=f"who assigned the patient's numbers is not known: {', '.join(_authorities(patient))}",
        remedy=(
            "Give its system in the setting linking_authorities, as the enrolment log has it, or an empty one if "
            "nobody of the study has its numbers; then `fhirbridge messages retry --all`"
        ),
    )


def _authorities(patient: Patient) -> list[str]:
    """Return the names of those who assigned a patient's numbers, as far as they cannot be the numbers themselves."""
    found: dict[str, None] = {}
    for name, _ in _numbers(patient):
        plain = _NAME.fullmatch(name) and sum(letter.isdigit() for letter in name) <= _DIGITS
        own = any(number.value in name for number in patient.numbers)
        if not name:
            found['"" (nobody is named)'] = None
        elif (plain or _OID.fullmatch(name)) and not own:
            found[f'"{name}"'] = None
        else:
            found["a name that is not shown here"] = None
    return list(found)[:_NAMED]


def _unusable(message: Message, line: int, why: str) -> Finding:
    return Finding(
        record=label(message.control_id),
        rule="result",
        field="OBX",
        line=line,
        message=why,
        remedy="Ask the laboratory to send the whole report again",
    )
