"""YAML text as a tree of nodes with line numbers, and plain values as YAML text.

Every text results in a tree or a `ConfigError`. Rejected: aliases (and with them alias
bombs), tags, several documents, keys that are not strings, deep nesting.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping as AbstractMapping
from typing import Any, NamedTuple, cast

import yaml

from exporter.model.config import Problem
from exporter.model.errors import ConfigError

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_DEEPEST = 20
_LONGEST_NAME = 60
_REFUSED = re.compile(
    r"[\0-\x08\v\f\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]"
)
_ESCAPE = re.compile(
    r"\\(?:(?P<pair>u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|/)|.)"
)
# Allowed in JSON's strings; for YAML they are line breaks, or forbidden.
_JSON_TEXT = re.compile("[\x7f-\x9f\u2028\u2029]")
# Braze's API keys are UUIDs.
_KEY = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


class Scalar(NamedTuple):
    """A single value; `tag` is the type it resolves to: str, int, null, ..."""

    line: int
    tag: str
    text: str


class Sequence(NamedTuple):
    """A list."""

    line: int
    items: list[Node]


class Mapping(NamedTuple):
    """Keys with their values; of a duplicate key the first."""

    line: int
    entries: dict[str, MappingEntry]


class MappingEntry(NamedTuple):
    """The value of a key, and the line of the key."""

    line: int
    node: Node


Node = Scalar | Sequence | Mapping


def compose(
    text: str, *, file: str, loader: Any = _Loader
) -> tuple[Node, list[Problem]]:
    """Return the tree and the problems in it, or raise `ConfigError`."""
    text = _json_as_yaml(text)
    if refused := _REFUSED.search(text):
        line = text.count("\n", 0, refused.start()) + 1
        message = f"the character U+{ord(refused[0]):04X} is not allowed in YAML"
        raise ConfigError((Problem(file, line, "", message),))
    composer = _Composer(loader(text), file)
    try:
        return composer.document(), composer.problems
    # The loader in Python raises the last two for "\UFFFFFFFF".
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        composer.add(*_syntax_error(error, text))
        raise composer.failure() from error
    finally:
        composer.loader.dispose()


def _json_as_yaml(text: str) -> str:
    """Return JSON as the YAML that it is not quite, and any other text unchanged.

    YAML has no surrogate pairs, no tabs between tokens, and more line breaks.
    """
    if text.lstrip()[:1] != "{":
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    text = _JSON_TEXT.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return _ESCAPE.sub(_unescaped, text).replace("\t", " ")


def _unescaped(escape: re.Match[str]) -> str:
    return json.loads(f'"{escape[0]}"') if escape["pair"] else escape[0]


def dump(value: AbstractMapping[str, object]) -> str:
    """Return plain values as YAML; keys keep their order."""
    written: str = yaml.dump(
        value,
        Dumper=_Dumper,
        allow_unicode=True,
        default_flow_style=False,
        sort_keys=False,
        width=1_000_000,
    )
    return written


def quoted(text: str) -> str:
    """Return a string as one line in YAML's double quotes."""
    return f'"{"".join(map(_escaped, text))}"'


def in_comment(text: str) -> str:
    """Return a text that stays in one line as part of a comment."""
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    if char in '\\"':
        return f"\\{char}"
    if char.isprintable() and not _REFUSED.match(char):
        return char
    code = ord(char)
    return f"\\U{code:08X}" if code > 0xFFFF else f"\\u{code:04X}"


def shown(name: str) -> str:
    """Return the name of a YAML key for messages; `?` if it may be a secret."""
    is_name = _NAME.fullmatch(name) and len(name) <= _LONGEST_NAME
    return name if is_name and not _KEY.fullmatch(name) else "?"


def by_line(problem: Problem) -> int:
    """Return the sort key of a problem."""
    return problem.line


def join(path: str, name: str) -> str:
    """Return the path of a key of the mapping at `path`."""
    return f"{path}.{shown(name)}" if path else shown(name)


class _Composer:
    """Builds nodes from the events of a PyYAML loader.

    PyYAML's own composer follows aliases and recurses without limit.
    """

    def __init__(self, loader: Any, file: str) -> None:
        self.loader = loader
        self.file = file
        self.problems: list[Problem] = []

    def add(self, line: int, message: str, path: str = "") -> None:
        self.problems.append(Problem(self.file, line, path, message))

    def failure(self) -> ConfigError:
        return ConfigError(tuple(sorted(self.problems, key=by_line)))

    def document(self) -> Node:
        self.loader.get_event()
        event = self.loader.get_event()
        if isinstance(event, yaml.StreamEndEvent):
            self.add(1, "the file is empty; expected `workspaces:`")
            raise self.failure()
        node = self._node(self.loader.get_event(), "", 0)
        self.loader.get_event()
        event = self.loader.get_event()
        if not isinstance(event, yaml.StreamEndEvent):
            message = "a second YAML document begins here; expected only one"
            self.add(_line(event), message)
        return node

    def _node(self, event: Any, path: str, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            message = "write a text that begins with * in quotes, such as '*_push'"
            self._fail(event, path, f"YAML aliases (`*`) are not supported; {message}")
        if event.anchor is not None or event.tag is not None:
            message = "write a text that begins with & or ! in quotes"
            message = f"YAML anchors (`&`) and tags (`!`) are not supported; {message}"
            self.add(_line(event), message, path)
            if isinstance(event, yaml.ScalarEvent):  # its value is no second problem
                return Scalar(_line(event), "str", event.value or "?")
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(_line(event), self._tag(event), event.value)
        if depth == _DEEPEST:
            self._fail(event, "", f"nested deeper than {_DEEPEST} levels")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event, path, depth + 1)
        return self._mapping(event, path, depth + 1)

    def _fail(self, event: Any, path: str, message: str) -> None:
        self.add(_line(event), message, path)
        raise self.failure()

    def _tag(self, event: Any) -> str:
        if not event.implicit[0]:
            return "str"
        tag: str = self.loader.resolve(yaml.ScalarNode, event.value, (True, False))
        return tag.rpartition(":")[2]

    def _sequence(self, start: Any, path: str, depth: int) -> Sequence:
        items: list[Node] = []
        event = self.loader.get_event()
        while not isinstance(event, yaml.SequenceEndEvent):
            items.append(self._node(event, f"{path}[{len(items)}]", depth))
            event = self.loader.get_event()
        return Sequence(_line(start), items)

    def _mapping(self, start: Any, path: str, depth: int) -> Mapping:
        entries: dict[str, MappingEntry] = {}
        event = self.loader.get_event()
        while not isinstance(event, yaml.MappingEndEvent):
            key = self._node(event, path, depth)
            name = key.text if isinstance(key, Scalar) and key.tag == "str" else ""
            place = join(path, name)
            node = self._node(self.loader.get_event(), place, depth)
            if not name:
                message = "this key is not a string; expected a name"
                if not isinstance(key, Scalar):
                    message += ", or a text that begins with {{ in quotes"
                self.add(key.line, message, path)
            elif name in entries:
                first = entries[name].line
                message = f"duplicate key, set in line {first} already"
                self.add(key.line, message, place)
            else:
                entries[name] = MappingEntry(key.line, node)
            event = self.loader.get_event()
        return Mapping(_line(start), entries)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


_BAD_BEGINNINGS = (
    "cannot start any token",
    "mapping keys are not allowed",
    "expected node content",
    "expected the node content",
    "alphabetic or numeric character",
    "expected whitespace or line break",
    "expected ' '",
)
"""Problems at the first character of a text, in the words of both loaders."""

_BAD_COLONS = ("mapping values are not allowed", "unexpected ':'")
_BAD_ESCAPES = ("unknown escape", "hexdecimal number", "hexadecimal number")
_BEGINNINGS = ("block scalar", "an anchor", "an alias", "a tag")
"""Contexts of problems that a first character causes later in the text."""


def _syntax_error(error: Exception, text: str) -> tuple[int, str]:
    """Return the line of the mistake, and what was expected there.

    The messages of PyYAML's two loaders differ, and neither names the common mistake.
    """
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return 1, "invalid YAML: invalid character escape"
    at, began = error.problem_mark, error.context_mark
    problem, context = error.problem or "", error.context or ""
    line, expected = at.line, _mistake_of_a_character(error, text)
    if expected:
        pass
    elif "<document start>" in problem:
        expected = "expected the same indentation as the first line of the file"
    elif began is not None and "simple key" in context:
        line, expected = began.line, "expected `: ` after this name"
    elif began is not None and "end of stream" in problem:
        line, expected = began.line, "the quote that begins here is not closed"
    elif began is not None and context.endswith(("flow sequence", "flow mapping")):
        bracket, end = "[]" if context.endswith("sequence") else "{}"
        expected = (
            f"the `{bracket}` of line {began.line + 1} is not closed; expected `,` or "
            f"`{end}`, or single quotes around a text that contains a quote, `: `, "
            "` #` or a bracket"
        )
    elif any(one in problem for one in _BAD_ESCAPES):
        expected = (
            "unknown escape; in double quotes write two backslashes for one, or use "
            "single quotes"
        )
    elif (before := _same_line(text, at)).endswith(('"', "'", "]", "}")):
        expected = (
            f"text after {before[-1]} of the same value; enclose the whole text in "
            "single quotes, and write a single quote inside it twice"
        )
    elif began is not None and context.endswith(("block collection", "block mapping")):
        expected = _indentation_mistake(
            at, began, is_list=context.endswith("collection")
        )
    expected = expected or problem + (f" ({context})" if context else "")
    return line + 1, f"invalid YAML: {expected}"


def _mistake_of_a_character(error: yaml.MarkedYAMLError, text: str) -> str:
    """Return what to write instead of a character that YAML reserves, or nothing."""
    at, problem = cast("yaml.Mark", error.problem_mark), error.problem or ""
    context = error.context or ""
    if _character(text, at) == "\t" or "tab character" in problem:
        return "tab character; expected spaces"
    if any(one in context for one in _BEGINNINGS):
        at = error.context_mark or at
    elif "sequence entries are not allowed" in problem:
        return (
            "write a text that begins with `- ` in quotes; a list begins on the next "
            "line"
        )
    elif any(one in problem for one in _BAD_COLONS):
        return (
            "unexpected `:`; indent this line like the one before, or put a text that "
            "contains `: ` in quotes"
        )
    elif not any(one in problem for one in _BAD_BEGINNINGS):
        return ""
    if character := _character(text, at).strip():
        if _same_line(text, at).endswith("{"):
            character = "{" + character  # as Liquid begins
        return f"write a text that begins with {character} in quotes"
    return (
        "expected a value before the end of the file; close all brackets, and write a "
        "text that begins with # in quotes"
    )


def _same_line(text: str, mark: yaml.Mark) -> str:
    """Return what precedes a mark in its line."""
    line = text.removeprefix("\ufeff")[: mark.index].rpartition("\n")[2]
    return line.rstrip()


def _indentation_mistake(at: yaml.Mark, began: yaml.Mark, *, is_list: bool) -> str:
    """Return the mistake in the indentation of a line in a list or mapping."""
    if is_list and at.column == began.column:
        return (
            f"expected `- ` at the indentation of the list of line {began.line + 1}; "
            "indent the lines of an entry by two more spaces"
        )
    kind = "list" if is_list else "mapping"
    return (
        f"an indentation of {at.column} spaces matches no line above; the {kind} of "
        f"line {began.line + 1} has {began.column}"
    )


def _character(text: str, mark: yaml.Mark) -> str:
    rest = text.removeprefix("\ufeff")[mark.index :]
    return rest[:1]
