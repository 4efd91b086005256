"""Reads FHIRPath text into a tree of tuples: ``("name", parts…)``."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from fhirbridge.errors import ProfileError

Tree = tuple[Any, ...]

_TOKEN = re.compile(
    r"""\s*(?://[^\n]*\n?\s*|/\*.*?\*/\s*)*(?:
    (?P<datetime>@\d{4}(?:-\d{2}(?:-\d{2})?)?(?:T(?:\d{2}(?::\d{2}(?::\d{2}(?:\.\d+)?)?)?)?(?:Z|[+-]\d{2}:\d{2})?)?|@T\d{2}(?::\d{2}(?::\d{2}(?:\.\d+)?)?)?)
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<string>'(?:[^'\\]|\\.)*')
    |(?P<quoted>`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*")
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<symbol><=|>=|!=|!~|\$[a-z]+|[-+*/|&<>=~.,()\[\]{}%])
    |(?P<end>$))""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)

_BINARY = [
    {"implies"},
    {"or", "xor"},
    {"and"},
    {"in", "contains"},
    {"=", "~", "!=", "!~"},
    {"<", ">", "<=", ">="},
    {"|"},
    {"is", "as"},
    {"+", "-", "&"},
    {"*", "/", "div", "mod"},
]
"""Binary operators, weakest first (http://hl7.org/fhirpath/N1/#operator-precedence)."""
_DURATIONS = frozenset(["year", "month", "week", "day", "hour", "minute", "second", "millisecond"])
_MAX_DEPTH = 200


def parse(text: str) -> Tree:
    """Return the tree of an expression. Raises ProfileError saying where it stops making sense."""
    reader = _Reader(text)
    tree = reader.expression(0)
    if reader.kind != "end":
        raise reader.fault(f"unexpected {reader.value!r}")
    return tree


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at, self.kind, self.value, self.start, self.depth = text, 0, "", "", 0, 0
        self.advance()

    def fault(self, what: str) -> ProfileError:
        return ProfileError(f"FHIRPath {self.text!r} at {self.start + 1}: {what}.")

    def advance(self) -> str:
        taken = self.value
        found = _TOKEN.match(self.text, self.at)
        if found is None or found.lastgroup is None:
            self.start = self.at
            raise self.fault("cannot be read")
        self.kind, self.value = found.lastgroup, found[found.lastgroup]
        self.start, self.at = found.start(found.lastgroup), found.end()
        return taken

    def take(self, symbol: str) -> None:
        if self.value != symbol or self.kind not in ("symbol", "name"):
            raise self.fault(f"expected {symbol}, found {self.value!r}")
        self.advance()

    def sees(self, *symbols: str) -> bool:
        return self.kind in ("symbol", "name") and self.value in symbols

    def expression(self, level: int) -> Tree:
        self.depth += 1
        if self.depth > _MAX_DEPTH * len(_BINARY):
            raise self.fault("nested too deep")
        tree = self._level(level)
        self.depth -= 1
        return tree

    def _level(self, level: int) -> Tree:
        if level == len(_BINARY):
            return self.polarity()
        left = self.expression(level + 1)
        while self.sees(*_BINARY[level]):
            operator = self.advance()
            if operator in ("is", "as"):
                left = (operator, left, self.type_name())
            else:
                left = ("op", operator, left, self.expression(level + 1))
        return left

    def polarity(self) -> Tree:
        if self.sees("+", "-"):
            sign = self.advance()
            inner = self.polarity()
            return ("minus", inner) if sign == "-" else inner
        return self.postfix(self.term())

    def postfix(self, tree: Tree) -> Tree:
        while True:
            if self.sees("."):
                self.advance()
                tree = self.invocation(tree)
            elif self.sees("["):
                self.advance()
                tree = ("index", tree, self.expression(0))
                self.take("]")
            else:
                return tree

    def invocation(self, on: Tree | None) -> Tree:
        if self.kind == "symbol" and self.value in ("$this", "$index", "$total"):
            return ("variable", self.advance())
        name = self.identifier()
        if not self.sees("("):
            return ("path", on, name)
        self.advance()
        arguments: list[Tree] = []
        if name in ("is", "as", "ofType") and not self.sees(")"):
            arguments.append(("type", self.type_name()))
        while not self.sees(")"):
            arguments.append(self.expression(0))
            if self.sees(","):
                self.advance()
        self.take(")")
        return ("call", on, name, arguments)

    def identifier(self) -> str:
        if self.kind == "quoted":
            return _unescape(self.advance()[1:-1])
        if self.kind == "name":
            return self.advance()
        raise self.fault(f"expected a name, found {self.value!r}")

    def type_name(self) -> str:
        if self.sees("("):
            self.advance()
            name = self.type_name()
            self.take(")")
            return name
        name = self.identifier()
        while self.sees("."):
            self.advance()
            name += "." + self.identifier()
        return name

    def term(self) -> Tree:
        if self.kind == "number":
            return self.number()
        if self.kind == "string":
            return ("literal", _unescape(self.advance()[1:-1]))
        if self.kind == "datetime":
            return ("moment", self.advance()[1:])
        if self.sees("("):
            self.advance()
            tree = self.expression(0)
            self.take(")")
            return tree
        if self.sees("{"):
            self.advance()
            self.take("}")
            return ("empty",)
        if self.sees("%"):
            self.advance()
            return (
                "constant",
                _unescape(self.advance()[1:-1]) if self.kind == "string" else self.identifier(),
            )
        if self.sees("true", "false"):
            return ("literal", self.advance() == "true")
        return self.invocation(None)

    def number(self) -> Tree:
        text = self.advance()
        value: Any = Decimal(text) if "." in text else int(text)
        if self.kind == "string":
            return ("quantity", Decimal(text), _unescape(self.advance()[1:-1]))
        if self.kind == "name" and self.value.rstrip("s") in _DURATIONS:
            return ("quantity", Decimal(text), self.advance())
        return ("literal", value)


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _ESCAPES.get(m[2], m[2]), text)
