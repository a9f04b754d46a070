"""Typed reading of a YAML tree that goes on after a mistake.

A reading takes a `Field` and returns a value or raises `ValueError` with what was
expected; the field adds file, line and path. Messages repeat no value of the file. It
knows nothing of which options there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import NamedTuple, TypeVar

from exporter.config import yaml_tree
from exporter.config.yaml_tree import MappingEntry, Node, Scalar, Sequence
from exporter.model.config import Problem

T = TypeVar("T")
Options = Mapping[str, str | None]
"""The keys of a section with their defaults as YAML: "" for required, None for none."""

REQUIRED = ""
OPTIONAL = None
_LONGEST = 1000
_KEY_NAMES = {"api_key", "apikey", "key", "rest_api_key", "token"}
_KINDS = {
    "bool": "true or false",
    "float": "a number",
    "int": "a number",
    "merge": "a merge key",
    "null": "nothing",
    "timestamp": "a date",
}


class Findings(NamedTuple):
    """Collects what is wrong in one file."""

    file: str
    problems: list[Problem]


class Field(NamedTuple):
    """A value of the file at its place."""

    node: Node
    path: str
    findings: Findings

    @property
    def is_null(self) -> bool:
        """Whether nothing stands after the key."""
        return isinstance(self.node, Scalar) and self.node.tag == "null"

    def error(self, message: str, *, line: int | None = None) -> None:
        """Note a problem, in the line of this value unless told otherwise."""
        self._note(message, line=line, is_warning=False)

    def warn(self, message: str) -> None:
        """Note a problem that stops nothing."""
        self._note(message, line=None, is_warning=True)

    def _note(self, message: str, *, line: int | None, is_warning: bool) -> None:
        line = line or self.node.line
        problem = Problem(self.findings.file, line, self.path, message, is_warning)
        self.findings.problems.append(problem)

    def taken(self, reading: Callable[[Field], T]) -> T | None:
        """Return the value, or None after noting why there is none."""
        try:
            return reading(self)
        except ValueError as wrong:
            self.error(str(wrong))
            return None

    def scalar(self, expected: str, *tags: str) -> str:
        """Return the text of a value that YAML takes for one of `tags`."""
        node = self.node
        if isinstance(node, Scalar) and node.tag in tags:
            return node.text
        message = f"expected {expected}, found {_kind(node)}"
        if isinstance(node, Scalar) and tags == ("str",) and node.tag != "null":
            message = (
                f"YAML takes this for {_kind(node)}; expected {expected} in quotes"
            )
        raise ValueError(message)

    def text(self) -> str:
        """Return a text that is not blank."""
        text = self.scalar("text", "str")
        if not text.strip():
            message = "expected text, found an empty one"
            raise ValueError(message)
        return text

    def plain_text(self) -> str:
        """Return a text in one line: fit for a message, a path, a URL."""
        text = self.text()
        if not text.isprintable() or len(text) > _LONGEST:
            message = f"expected at most {_LONGEST} characters in one line"
            raise ValueError(message)
        return text

    def quantity(self, expected: str, reading: Callable[[str], T]) -> T:
        """Return what the reading makes of a text or a number."""
        return reading(self.scalar(expected, "str", "int", "float"))

    def amount(self, reading: Callable[[str], T]) -> T:
        """Return what the reading makes of a number that is not in quotes."""
        return reading(self.scalar("a number without quotes", "int", "float"))

    def items(self, expected: str, *, if_empty: str = "") -> list[Field]:
        """Return the fields of a list; `if_empty` says why there must be some."""
        node = self.node
        if if_empty and (self.is_null or node == Sequence(node.line, [])):
            raise ValueError(if_empty)
        if not isinstance(node, Sequence):
            message = f"expected {expected}, found {_kind(node)}"
            raise ValueError(message)
        return [
            Field(item, f"{self.path}[{index}]", self.findings)
            for index, item in enumerate(node.items)
        ]

    def fields(self, expected: str) -> dict[str, Field]:
        """Return the fields of a mapping of any names."""
        return {
            name: Field(entry.node, yaml_tree.join(self.path, name), self.findings)
            for name, entry in self._entries(expected).items()
        }

    def section(self, expected: str, options: Options) -> Section:
        """Return the mapping as a section, after noting its unknown keys."""
        entries = self._entries(expected)
        for name, entry in entries.items():
            if name not in options:
                place = yaml_tree.join(self.path, name)
                unknown = Field(self.node, place, self.findings)
                unknown.error(_unknown(name, options), line=entry.line)
        return Section(self, entries, options)

    def _entries(self, expected: str) -> dict[str, MappingEntry]:
        if not isinstance(self.node, yaml_tree.Mapping):
            message = f"expected {expected}, found {_kind(self.node)}"
            raise ValueError(message)
        return self.node.entries


class Section(NamedTuple):
    """A mapping whose keys are options."""

    field: Field
    entries: Mapping[str, MappingEntry]
    options: Options

    def find(self, name: str, reading: Callable[[Field], T]) -> T | None:
        """Return the option, or None where it is wrong or not there."""
        if field := self.at(name):
            return field.taken(reading)
        if self.options[name] == REQUIRED:
            self.missing(name)
        return None

    def read(self, name: str, reading: Callable[[Field], T]) -> T:
        """Return the option; its default where it is wrong or not there."""
        value = self.find(name, reading)
        return reading(self._default(name)) if value is None else value

    def at(self, name: str) -> Field | None:
        """Return the field of an option that is there."""
        entry = self.entries.get(name)
        return entry and Field(entry.node, self._path(name), self.field.findings)

    def missing(self, name: str) -> None:
        """Note that a required option is not there."""
        Field(self.field.node, self._path(name), self.field.findings).error(
            "this key is required and missing"
        )

    def _path(self, name: str) -> str:
        return yaml_tree.join(self.field.path, name)

    def _default(self, name: str) -> Field:
        return Field(_composed(self.options[name] or ""), "", self.field.findings)


def values(fields: Iterable[Field], reading: Callable[[Field], T]) -> tuple[T, ...]:
    """Return the values of the fields, without those that are wrong."""
    taken = (field.taken(reading) for field in fields)
    return tuple(value for value in taken if value is not None)


@cache
def _composed(default: str) -> Node:
    return yaml_tree.compose(default, file="")[0]


def _kind(node: Node) -> str:
    if isinstance(node, Scalar):
        return _KINDS.get(node.tag, "text")
    return "a list" if isinstance(node, Sequence) else "a mapping"


def _unknown(name: str, options: Options) -> str:
    if name.lower().replace("-", "_") in _KEY_NAMES:
        return (
            f"`{name}`: a key never stands in the configuration;"
            " expected api_key_env (the name of an environment variable)"
            " or api_key_file (the path of a file)"
        )
    close = get_close_matches(name[:100], options, n=1)
    hint = f" (did you mean `{close[0]}`?)" if close else ""
    known = ", ".join(options)
    return f"unknown key `{yaml_tree.shown(name)}`{hint}; expected one of {known}"
