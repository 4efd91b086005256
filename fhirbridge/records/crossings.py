"""What rows must hold together: one row for a key, a subject with consent for a result, all lesions for an exam."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fhirbridge.errors import Finding
from fhirbridge.records.checks import outside_consent
from fhirbridge.records.columns import TABLES, Table
from fhirbridge.records.refusals import quoted
from fhirbridge.records.scratch import DUPLICATE, GOOD, HELD, REFUSED, Scratch, unpack
from fhirbridge.records.types import SubjectFacts
from fhirbridge.study import Study

SUBJECTS, LABORATORY, IMAGING, LESIONS = range(len(TABLES))


@dataclass(frozen=True, slots=True)
class Crossings:
    """What the checks need: the staged rows, each table, its file and columns, and which tables could not be used."""

    scratch: Scratch
    tables: Mapping[str, Table]
    files: Mapping[str, str]
    at: Mapping[str, Mapping[str, int]]
    unusable: frozenset[str]
    missing: frozenset[str]

    def settle(self, study: Study, known: Callable[[str], SubjectFacts | None]) -> None:
        """Decide on every row that is good by itself. An exam is settled before its lesions, and after them again."""
        self._keys()
        self._facts(known)
        for tab in (LABORATORY, IMAGING):
            self._subjects(tab)
            if TABLES[tab] in study.schedule.requires_consent:
                self._consent(tab)
        self._exams()

    def _finding(self, tab: int, line: int, cells: bytes, rule: str, field: str, message: str, remedy: str) -> Finding:
        table = self.tables[TABLES[tab]]
        texts: dict[str, str] = {
            name: cell for name, cell in zip(table.order, unpack(cells), strict=True) if cell is not None
        }
        return Finding(
            record=table.label(texts, line),
            rule=rule,
            message=message,
            remedy=remedy,
            field=field,
            value=quoted(table, field, texts),
            file=self.files[table.name],
            line=line,
            column=self.at[table.name].get(field),
        )

    def _place(self, tab: int, line: int) -> str:
        return f"{self.files[TABLES[tab]]} line {line}"

    def _keys(self) -> None:
        """Count rows that repeat another, and refuse all rows of a key under which rows differ."""
        self.scratch.run(
            "CREATE TEMP TABLE repeated AS SELECT tab, key, min(seq) AS first, NULL AS other FROM row "
            "WHERE key IS NOT NULL GROUP BY tab, key HAVING count(*) > 1"
        )
        self.scratch.run(
            "UPDATE repeated SET other = (SELECT min(r.seq) FROM row r WHERE r.tab = repeated.tab AND "
            "r.key = repeated.key AND r.cells <> (SELECT cells FROM row WHERE seq = repeated.first))"
        )
        self.scratch.run(
            "UPDATE row SET state = ? WHERE state = ? AND seq IN "
            "(SELECT r.seq FROM repeated JOIN row r USING (tab, key) WHERE other IS NULL AND r.seq > first)",
            DUPLICATE,
            GOOD,
        )
        self.scratch.judge(
            REFUSED,
            "SELECT r.seq, r.tab, r.line, r.cells, o.line, o.cells FROM repeated p JOIN row r USING (tab, key) "
            "JOIN row f ON f.seq = p.first JOIN row o ON o.seq = iif(r.cells = f.cells, p.other, p.first) "
            "WHERE p.other IS NOT NULL AND r.state = ?",
            self._conflict,
            GOOD,
        )

    def _conflict(self, tab: int, line: int, cells: bytes, other: int, others: bytes) -> Finding:
        order = self.tables[TABLES[tab]].order
        pairs = zip(order, unpack(cells), unpack(others), strict=True)
        differing = [name for name, mine, theirs in pairs if mine != theirs]
        return self._finding(
            tab,
            line,
            cells,
            "conflict",
            differing[0],
            f"line {other} has the same key but another {', '.join(differing)}; neither row was taken",
            "Keep the row that is right and remove the other.",
        )

    def _facts(self, known: Callable[[str], SubjectFacts | None]) -> None:
        """Gather the consent of every subject that results may belong to: from this run, else as already known."""
        order = self.tables["subjects"].order
        add = "INSERT INTO fact VALUES (?, ?, ?)"
        good = "SELECT key, cells FROM row WHERE tab = ? AND state = ?"
        for subject, cells in self.scratch.query(good, SUBJECTS, GOOD):
            row = dict(zip(order, unpack(cells), strict=True))
            self.scratch.run(add, subject, row["consent_date"], row["consent_withdrawn"])
        absent = (
            "SELECT DISTINCT parent FROM row WHERE tab IN (?, ?) AND parent IS NOT NULL "
            "AND NOT EXISTS (SELECT 1 FROM row s WHERE s.tab = ? AND s.key = row.parent)"
        )
        for (subject,) in self.scratch.query(absent, LABORATORY, IMAGING, SUBJECTS):
            facts = known(subject)
            if facts is not None:
                withdrawn = facts.consent_withdrawn.isoformat() if facts.consent_withdrawn else None
                self.scratch.run(add, subject, facts.consent_date.isoformat(), withdrawn)

    def _subjects(self, tab: int) -> None:
        """Refuse rows of unknown subjects; hold those of a subject whose own row was refused."""
        sql = (
            "SELECT r.seq, r.tab, r.line, r.cells, (SELECT min(line) FROM row s WHERE s.tab = ? AND s.key = r.parent) "
            "FROM row r WHERE r.tab = ? AND r.state = ? AND r.parent NOT IN (SELECT subject FROM fact)"
        )
        broken = "subjects" in self.unusable

        def held(tab: int, line: int, cells: bytes, cause: int | None) -> Finding:
            why = f"its row ({self._place(SUBJECTS, cause)}) was refused" if cause else "that table could not be used"
            message, remedy = f"the subject is not known, as {why}", "Mend the subject first, then read this row again."
            return self._finding(tab, line, cells, "held", "subject", message, remedy)

        def unknown(tab: int, line: int, cells: bytes, _: None) -> Finding:
            message = "the subject is not in the table subjects, nor known from an earlier run"
            remedy = "Add the subject to the table subjects, or correct its number here."
            return self._finding(tab, line, cells, "unknown-subject", "subject", message, remedy)

        exists = "EXISTS (SELECT 1 FROM row s WHERE s.tab = ? AND s.key = r.parent)"
        where = sql if broken else f"{sql} AND {exists}"
        self.scratch.judge(HELD, where, held, SUBJECTS, tab, GOOD, *(() if broken else (SUBJECTS,)))
        self.scratch.judge(REFUSED, sql, unknown, SUBJECTS, tab, GOOD)

    def _consent(self, tab: int) -> None:
        """Refuse rows dated before the subject's consent or after its withdrawal; all dates are civil, as ISO text."""
        name = "collected" if tab == LABORATORY else "performed"

        def outside(tab: int, line: int, cells: bytes, day: str, consent: str, withdrawn: str | None) -> Finding:
            problem = outside_consent(name, day, consent, withdrawn)
            assert problem is not None  # the query selects no other rows
            return self._finding(tab, line, cells, problem.rule, name, problem.message, problem.remedy)

        self.scratch.judge(
            REFUSED,
            "SELECT r.seq, r.tab, r.line, r.cells, substr(r.moment, 1, 10), f.consent, f.withdrawn "
            "FROM row r JOIN fact f ON f.subject = r.parent WHERE r.tab = ? AND r.state = ? "
            "AND (substr(r.moment, 1, 10) < f.consent OR substr(r.moment, 1, 10) > f.withdrawn)",
            outside,
            tab,
            GOOD,
        )

    def _exams(self) -> None:
        """Take an exam with all its lesions or not at all: a report short of one would understate the disease."""
        if self._lesions_unread():
            why = "is missing" if "lesions" in self.missing else "could not be used"
            remedy = "Give the table lesions; where no exam found a lesion, its header alone will do."

            def unread(tab: int, line: int, cells: bytes) -> Finding:
                message = f"the table lesions {why}, so the exam's lesions are not known"
                return self._finding(tab, line, cells, "held", "exam", message, remedy)

            rows = "SELECT seq, tab, line, cells FROM row WHERE tab = ? AND state = ?"
            self.scratch.judge(HELD, rows, unread, IMAGING, GOOD)
        self._orphans()
        self.scratch.judge(
            HELD,
            "SELECT r.seq, r.tab, r.line, r.cells, min(l.line) FROM row r JOIN row l ON l.tab = ? AND l.parent = r.key "
            "AND l.state = ? WHERE r.tab = ? AND r.state = ? GROUP BY r.seq",
            self._incomplete,
            LESIONS,
            REFUSED,
            IMAGING,
            GOOD,
        )
        self.scratch.judge(
            HELD,
            "SELECT r.seq, r.tab, r.line, r.cells, (SELECT min(line) FROM row e WHERE e.tab = ? AND e.key = r.parent) "
            "FROM row r WHERE r.tab = ? AND r.state = ? "
            "AND NOT EXISTS (SELECT 1 FROM row e WHERE e.tab = ? AND e.key = r.parent AND e.state = ?)",
            self._waiting,
            IMAGING,
            LESIONS,
            GOOD,
            IMAGING,
            GOOD,
        )

    def _lesions_unread(self) -> bool:
        return "lesions" in self.missing | self.unusable

    def _orphans(self) -> None:
        if "imaging" in self.unusable:
            return

        def orphan(tab: int, line: int, cells: bytes) -> Finding:
            message = "the exam is not in the table imaging"
            remedy = "Add the exam to the table imaging, or correct its identifier here."
            return self._finding(tab, line, cells, "unknown-exam", "exam", message, remedy)

        self.scratch.judge(
            REFUSED,
            "SELECT r.seq, r.tab, r.line, r.cells FROM row r WHERE r.tab = ? AND r.state = ? "
            "AND NOT EXISTS (SELECT 1 FROM row e WHERE e.tab = ? AND e.key = r.parent)",
            orphan,
            LESIONS,
            GOOD,
            IMAGING,
        )

    def _incomplete(self, tab: int, line: int, cells: bytes, cause: int) -> Finding:
        message = f"one of its lesions ({self._place(LESIONS, cause)}) was refused; without it the exam is not complete"
        return self._finding(tab, line, cells, "held", "exam", message, "Mend the lesion, then read the exam again.")

    def _waiting(self, tab: int, line: int, cells: bytes, cause: int | None) -> Finding:
        why = (
            f"its exam ({self._place(IMAGING, cause)}) was not taken"
            if cause
            else "the table imaging could not be used"
        )
        return self._finding(
            tab, line, cells, "held", "exam", why, "Mend what is told of the exam, then read it again."
        )
