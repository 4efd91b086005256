"""Checks a QuestionnaireResponse against its Questionnaire (http://hl7.org/fhir/R4/questionnaireresponse.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirbridge.validation import answers
from fhirbridge.validation.questionnaires import Item, chosen, is_enabled, items, limit, link_id, listed

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.walker import Walker

_FINISHED = ("completed", "amended")
"""The states in which required questions must have been answered."""

Placed = tuple[str, Item]
"""Where something stands, and what it is."""


def check(walker: Walker, node: Node) -> None:
    """Check a response against the Questionnaire it names, where that is contained in it or loaded."""
    canonical = node.value.get("questionnaire")
    form = _form(walker, canonical) if isinstance(canonical, str) else None
    if form is not None:
        _Filling(walker, form, node.value).group(form, [(node.path, node.value)])
    elif isinstance(canonical, str) and canonical.startswith("#"):
        text = f"There is no contained Questionnaire {canonical}."
        walker.error("not-found", "qrs-form", text, f"{node.path}.questionnaire")
    elif isinstance(canonical, str):
        text = f"The Questionnaire {canonical} is not loaded, so the answers were not checked against it."
        remedy = "Load the package that defines it."
        walker.error("not-found", "qrs-form", text, f"{node.path}.questionnaire", remedy, "information")


def _form(walker: Walker, canonical: str) -> Item | None:
    if canonical.startswith("#"):
        found = walker.around.resolve(canonical)
        return found if found and found.get("resourceType") == "Questionnaire" else None
    return walker.snapshots.definitions.questionnaire(canonical)


class _Filling:
    """One response beside its form."""

    def __init__(self, walker: Walker, form: Item, response: Item) -> None:
        self.walker = walker
        self.form = form
        self.response = response
        self.finished = any(response.get("status") == state for state in _FINISHED)
        self.known = {link_id(item) for item in items(form)}

    def group(self, above: Item, places: list[Placed]) -> None:
        """Check the items of each place against the questions below a form, a group or a question."""
        questions = [question for _, question in listed(above, "item")]
        position = {link_id(question): number for number, question in enumerate(questions)}
        for path, holder in places:
            self._order(position, holder, path)
            given: dict[str, list[Placed]] = {}
            for number, item in listed(holder, "item"):
                given.setdefault(link_id(item), []).append((f"{path}.item[{number}]", item))
            for question in questions:
                self._question(question, given.get(link_id(question), []), path)

    def _order(self, position: dict[str, int], holder: Item, path: str) -> None:
        latest = -1
        for number, item in listed(holder, "item"):
            link, place = link_id(item), f"{path}.item[{number}]"
            if link not in position:
                wrong = "stands elsewhere" if link in self.known else "is not"
                text = f"The item {link} {wrong} in the Questionnaire."
                self.walker.error("structure", "qrs-link", text, place)
            elif position[link] < latest:
                text = f"The item {link} comes after an item that the Questionnaire has behind it."
                self.walker.error("structure", "qrs-order", text, place, "Keep the Questionnaire's order.")
            else:
                latest = position[link]

    def _question(self, question: Item, given: list[Placed], above: str) -> None:
        link, kind = link_id(question), question.get("type")
        enabled = is_enabled(question, self.response)
        if not given:
            if question.get("required") is True and enabled and self.finished:
                self.walker.error("required", "qrs-required", f"The required item {link} is missing.", above)
            return
        if len(given) > 1 and question.get("repeats") is not True:
            text = f"The item {link} may come once, but came {len(given)} times."
            self.walker.error("structure", "qrs-repeats", text, given[1][0])
        for path, item in given:
            if not enabled and _has_answer(item):
                text = f"The item {link} has an answer, but its enableWhen is not met."
                self.walker.error("business-rule", "qrs-enabled", text, path, "Remove it.")
            self._text(question, item, path)
            if kind == "group":
                self._group(question, item, path, enabled)
            elif kind in ("display", "question"):
                self._no_answer(question, item, path)
            else:
                self._answers(question, item, path, enabled)

    def _text(self, question: Item, item: Item, path: str) -> None:
        told, wanted = item.get("text"), question.get("text")
        if isinstance(told, str) and isinstance(wanted, str) and told != wanted:
            text = f"The text of {question.get('linkId')} is not the Questionnaire's."
            self.walker.error("invalid", "qrs-text", text, f"{path}.text", "Repeat the question, or leave it out.")

    def _group(self, question: Item, item: Item, path: str, enabled: bool) -> None:
        self._no_answer(question, item, path)
        if question.get("required") is True and enabled and self.finished and not listed(item, "item"):
            text = f"The required group {question.get('linkId')} is empty."
            self.walker.error("required", "qrs-required", text, path)
        elif listed(item, "item"):
            self.group(question, [(path, item)])

    def _no_answer(self, question: Item, item: Item, path: str) -> None:
        if listed(item, "answer"):
            text = f"{question.get('linkId')} is a {question.get('type')} and takes no answer."
            self.walker.error("structure", "qrs-type", text, path)

    def _answers(self, question: Item, item: Item, path: str, enabled: bool) -> None:
        link = link_id(question)
        given = [(f"{path}.answer[{number}]", answer) for number, answer in listed(item, "answer")]
        if listed(item, "item"):
            text = f"{link} is no group: what belongs to its answer stands in answer.item."
            self.walker.error("structure", "qrs-link", text, path, "Move the items into the answer.")
        if not given and question.get("required") is True and enabled and self.finished:
            self.walker.error("required", "qrs-required", f"The required item {link} has no answer.", path)
        if len(given) > 1 and question.get("repeats") is not True:
            self.walker.error("structure", "qrs-repeats", f"{link} takes one answer, has {len(given)}.", path)
        self._count(question, len(given), path)
        for place, answer in given:
            answers.check(self.walker, question, answer, place, self.form)
        if given:
            self.group(question, given)

    def _count(self, question: Item, count: int, path: str) -> None:
        least, most = limit(question, "questionnaire-minOccurs"), limit(question, "questionnaire-maxOccurs")
        if isinstance(least, int) and count < least and self.finished:
            text = f"{question.get('linkId')} needs {least} answers, has {count}."
            self.walker.error("business-rule", "qrs-limit", text, path)
        if isinstance(most, int) and count > most:
            text = f"{question.get('linkId')} takes {most} answers, has {count}."
            self.walker.error("business-rule", "qrs-limit", text, path)


def _has_answer(item: Item) -> bool:
    """Tell whether there is an answer in an item or below it."""
    below = [item, *items(item)]
    return any(chosen(answer)[0] for one in below for _, answer in listed(one, "answer"))
