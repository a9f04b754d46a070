"""Typed access to a YAML tree that collects all problems instead of the first.

A parser takes a `Field` and returns a value or raises `ValueError` with what was
expected; the field adds file, line and path. Messages never quote a value of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import NamedTuple, TypeVar

from exporter.config import yaml_tree
from exporter.config.option import OPTIONAL, Option
from exporter.config.yaml_tree import MappingEntry, Node, Scalar, Sequence
from exporter.model.config import Problem

T = TypeVar("T")
Options = Mapping[str, Option]

_LONGEST = 1000
_KEY_NAMES = {"api_key", "apikey", "key", "rest_api_key", "token"}
_KINDS = {
    "bool": "true or false",
    "float": "a number",
    "int": "a number",
    "merge": "a merge key",
    "null": "no value",
    "timestamp": "a date",
    "value": "a default value",
}


class Findings(NamedTuple):
    """The problems of one file."""

    file: str
    problems: list[Problem]


class Field(NamedTuple):
    """A value of the file with its path and its option."""

    node: Node
    path: str
    findings: Findings
    option: Option = OPTIONAL

    @property
    def is_null(self) -> bool:
        """Whether the key has no value."""
        return isinstance(self.node, Scalar) and self.node.tag == "null"

    @property
    def is_empty(self) -> bool:
        """Whether the key has no value, or a list without items."""
        return self.is_null or self.node == Sequence(self.node.line, [])

    def error(
        self, message: str, *, line: int | None = None, is_warning: bool = False
    ) -> None:
        """Add an error, by default in the line of this value."""
        line = line or self.node.line
        problem = Problem(self.findings.file, line, self.path, message, is_warning)
        self.findings.problems.append(problem)

    def warn(self, message: str, *, line: int | None = None) -> None:
        """Add a warning, by default in the line of this value."""
        self.error(message, line=line, is_warning=True)

    def parsed(self, parse: Callable[[Field], T]) -> T | None:
        """Return the value; None, after an error was added, if it is invalid."""
        try:
            return parse(self)
        except ValueError as error:
            self.error(str(error))
            return None

    def scalar(self, expected: str, *tags: str) -> str:
        """Return the text of a scalar that YAML resolves to one of `tags`."""
        node = self.node
        if isinstance(node, Scalar) and node.tag in tags:
            return node.text
        message = f"expected {expected}, found {_kind(node)}"
        if isinstance(node, Scalar) and tags == ("str",):
            if node.text:
                kind = _kind(node)
                message = f"YAML reads this as {kind}; expected {expected} in quotes"
            else:
                message += "; write a text that begins with # in quotes"
        raise ValueError(message)

    def text(self) -> str:
        """Return a string that is not blank."""
        text = self.scalar("text", "str")
        if not text.strip():
            message = "expected text, found an empty string"
            raise ValueError(message)
        return text

    def plain_text(self) -> str:
        """Return a single line that may be quoted in a message: a path, a URL."""
        text = self.text()
        if not text.isprintable() or len(text) > _LONGEST:
            message = f"expected a single line of at most {_LONGEST} characters"
            raise ValueError(message)
        return text

    def quantity(self, expected: str, parse: Callable[[str], T]) -> T:
        """Parse a string or a number."""
        return parse(self.scalar(expected, "str", "int", "float"))

    def amount(self, parse: Callable[[str], T]) -> T:
        """Parse a number that is not in quotes."""
        return parse(self.scalar("a number without quotes", "int", "float"))

    def items(self, expected: str, *, if_empty: str = "") -> list[Field]:
        """Return the items of a list; `if_empty` is the error if there are none."""
        node = self.node
        if if_empty and self.is_empty:
            raise ValueError(if_empty)
        if not isinstance(node, Sequence):
            message = f"expected {expected}, found {_kind(node)}"
            raise ValueError(message)
        return [
            Field(item, f"{self.path}[{index}]", self.findings, self.option)
            for index, item in enumerate(node.items)
        ]

    def fields(self, expected: str) -> dict[str, Field]:
        """Return the values of a mapping of arbitrary names."""
        return {
            name: Field(entry.node, yaml_tree.join(self.path, name), self.findings)
            for name, entry in self._entries(expected).items()
        }

    def section(self, expected: str, options: Options) -> Section:
        """Return the mapping as a section, after its keys were checked."""
        entries = self._entries(expected)
        section = Section(self, entries, options)
        for name in entries:
            if name not in options:
                section.check_unknown(name)
            elif moved_to := options[name].moved_to:
                moved = section.field_of(name, entries[name].node)
                message = f"`{name}` was moved to {moved_to}; move it here, too"
                moved.warn(message, line=entries[name].line)
        return section

    def _entries(self, expected: str) -> dict[str, MappingEntry]:
        if not isinstance(self.node, yaml_tree.Mapping):
            message = f"expected {expected}, found {_kind(self.node)}"
            raise ValueError(message)
        return self.node.entries


class Section(NamedTuple):
    """A mapping whose keys are options; methods accept previous names of options."""

    field: Field
    entries: Mapping[str, MappingEntry]
    options: Options
    moved: Mapping[str, Field] = {}
    """Options of it that are set in the enclosing section, where they were before."""

    def find(self, name: str, parse: Callable[[Field], T]) -> T | None:
        """Return the value of an option; None if it is invalid or not set."""
        if field := self.at(name):
            return field.parsed(parse)
        if self._option(name)[1].is_required:
            self.missing(name)
        return None

    def read(self, name: str, parse: Callable[[Field], T]) -> T:
        """Return the value of an option; the default if it is invalid or not set."""
        value = self.find(name, parse)
        if value is not None:
            return value
        _, option = self._option(name)
        default = _composed(option.default or "")
        return parse(Field(default, "", self.field.findings, option))

    def at(self, name: str) -> Field | None:
        """Return an option that is set, under its name or its previous one."""
        current, option = self._option(name)
        for key in (current, option.renamed_from):
            if entry := self.entries.get(key):
                return self.field_of(key, entry.node, option)
        moved = self.moved.get(current)
        return moved and moved._replace(option=option)

    def inner(self, name: str, expected: str) -> Section | None:
        """Return a section in this one, with the options that were moved there.

        Empty, after an error was added, if it is no mapping. None: neither it nor an
        option of it is set.
        """
        path = f"{self.field.path.rpartition('.')[2]}.{name}"
        moved = {
            option.moved_to.removeprefix(f"{path}."): self.field_of(key, entry.node)
            for key, entry in self.entries.items()
            if (option := self.options.get(key))
            and option.moved_to.startswith(f"{path}.")
        }
        options = self.options[name].section
        found = self.find(name, lambda field: field.section(expected, options))
        if found is None and not moved and name not in self.entries:
            return None
        section = (found or Section(self.field, {}, options))._replace(moved=moved)
        for key in section.entries.keys() & moved:
            message = f"set as {path}.{key} as well; expected only one of the two"
            moved[key].error(message)
        return section

    def missing(self, name: str, hint: str = "") -> None:
        """Add the error that a required option is not set."""
        field = self.field_of(self._option(name)[0], self.field.node)
        field.error(f"this option is required but missing{hint}")

    def check_unknown(self, key: str) -> None:
        """Add the problem of a key that is not the name of an option."""
        line = self.entries[key].line
        field = self.field_of(key, self.field.node)
        renamed = {one.renamed_from: name for name, one in self.options.items()}
        name = renamed.get(key)
        if name is None:
            field.error(unknown_key(key, self.options), line=line)
        elif name in self.entries:
            message = f"previous name of `{name}`, which is set as well"
            field.error(f"{message}; expected only one of the two", line=line)
        else:
            message = f"`{key}` was renamed to `{name}`"
            field.warn(f"{message}; rename it here, too", line=line)

    def _option(self, name: str) -> tuple[str, Option]:
        """Return an option with its current name."""
        if option := self.options.get(name):
            return name, option
        return next(one for one in self.options.items() if one[1].renamed_from == name)

    def field_of(self, key: str, node: Node, option: Option = OPTIONAL) -> Field:
        """Return a node at the path of a key of this section."""
        path = yaml_tree.join(self.field.path, key)
        return Field(node, path, self.field.findings, option)


def values(fields: Iterable[Field], parse: Callable[[Field], T]) -> tuple[T, ...]:
    """Return the values of the fields, without the invalid ones."""
    parsed = (field.parsed(parse) for field in fields)
    return tuple(value for value in parsed if value is not None)


@cache
def _composed(default: str) -> Node:
    return yaml_tree.compose(default, file="")[0]


def _kind(node: Node) -> str:
    if isinstance(node, Scalar):
        return _KINDS.get(node.tag, "text")
    return "a list" if isinstance(node, Sequence) else "a mapping"


def unknown_key(name: str, options: Options) -> str:
    """Return the message about a key that is not the name of an option."""
    if name.lower().replace("-", "_") in _KEY_NAMES:
        return (
            f"`{name}`: an API key does not belong in the configuration;"
            " expected api_key_env (the name of an environment variable)"
            " or api_key_file (the path of a file)"
        )
    known = [name for name, one in options.items() if not one.moved_to]
    close = get_close_matches(name[:100], known, n=1)
    hint = f" (did you mean `{close[0]}`?)" if close else ""
    expected = f"expected one of {', '.join(known)}"
    return f"unknown key `{yaml_tree.shown(name)}`{hint}; {expected}"
