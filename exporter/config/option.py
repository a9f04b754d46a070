"""The definition of one configuration option: type, default, bounds, help, example."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from math import inf
from typing import NamedTuple

from exporter.config import units


class OptionKind(StrEnum):
    """The type of an option's value, as documentation names it."""

    BOOLEAN = "boolean"
    DURATION = "duration"
    INTEGER = "integer"
    INTEGERS = "mapping of integers"
    LABELS = "mapping of labels"
    LIST = "list of strings"
    NUMBER = "number"
    PATH = "path"
    PERCENTAGE = "percentage"
    SECTION = "section"
    SECTIONS = "list of sections"
    SIZE = "size"
    STRING = "string"
    URL = "URL"
    WINDOWS = "list of durations"


class Option(NamedTuple):
    """One key of a section of the configuration."""

    default: str | None = None
    """The default as YAML; None: without the option there is no value."""
    kind: OptionKind = OptionKind.STRING
    is_required: bool = False
    least: float = -inf
    """In the unit of the parsed value: seconds, bytes, or a fraction of 1."""
    most: float = inf
    excludes_most: bool = False
    help: str = ""
    example: str = ""
    """A value as YAML; empty: the default is the example."""
    attribute: str = ""
    """Of the parsed section, dotted; empty: the name, of durations + `_seconds`."""
    section: Mapping[str, Option] = {}
    """The options of the value, for `OptionKind.SECTION` and `OptionKind.SECTIONS`."""
    renamed_from: str = ""
    """The previous name: accepted with a warning, and still valid in our code."""
    moved_to: str = ""
    """Where the option is now: here it is accepted with a warning."""

    @property
    def bounds(self) -> str:
        """The bounds as text, such as `1s to 7d`; empty if there are none."""
        if self.most == inf:
            return ""
        write = _WRITERS[self.kind]
        to = "to below" if self.excludes_most else "to"
        return f"{write(self.least)} {to} {write(self.most)}"

    def allows(self, value: float) -> bool:
        """Return whether the value is within the bounds."""
        is_below = value < self.most if self.excludes_most else value <= self.most
        return self.least <= value and is_below


OPTIONAL = Option()
REQUIRED = Option(is_required=True)

_WRITERS: Mapping[OptionKind, Callable[[float], str]] = {
    OptionKind.DURATION: units.duration_text,
    OptionKind.WINDOWS: units.duration_text,
    OptionKind.INTEGER: units.number_text,
    OptionKind.INTEGERS: units.number_text,
    OptionKind.NUMBER: units.number_text,
    OptionKind.PERCENTAGE: units.percentage_text,
    OptionKind.SIZE: lambda size: units.size_text(int(size)),
}
