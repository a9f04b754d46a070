"""The metric families of one kind of object: their names, texts and labels."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import NamedTuple


class Family(NamedTuple):
    """One metric family."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    """Of a family of plain samples: its labels after those of an object."""


class PartLabels(NamedTuple):
    """The label names of a group of parts; empty: its parts lack the field."""

    channel: str = ""
    name: str = ""


class PartInfo(NamedTuple):
    """The family with the ids of parts; several groups may share it."""

    family: Family
    labels: PartLabels
    has_control: bool = False
    """Whether it has the label control."""


class GroupFamilies(NamedTuple):
    """The families of one group of parts."""

    labels: PartLabels
    daily: Family
    last_complete_day: Family
    trailing: Family
    revision: Family | None = None
    """Change of the last complete day."""
    info: PartInfo | None = None


class ObjectFamilies(NamedTuple):
    """The families of one kind of object; kinds may share some."""

    kind: str
    label: str
    """The label with an object's name."""
    up: Family
    failure_info: Family
    interval: Family
    last_success: Family
    groups: Mapping[str, GroupFamilies] = {}
    daily_timestamp: Family | None = None
    last_complete_day_timestamp: Family | None = None
    info: Family | None = None
    last_edited: Family | None = None
    month_to_date: Family | None = None
    samples: tuple[Family, ...] = ()
    """Of a kind without groups."""

    def values(self) -> tuple[Family, ...]:
        """Return the families of values, in the order of a page."""
        groups = self.groups.values()
        counts = ((one.daily, one.last_complete_day, one.trailing) for one in groups)
        found = (
            *chain.from_iterable(counts),
            *(one.revision for one in groups),
            self.daily_timestamp,
            self.last_complete_day_timestamp,
            self.month_to_date,
            *(one.info.family for one in groups if one.info),
            *self.samples,
        )
        return tuple(dict.fromkeys(one for one in found if one is not None))

    def status(self) -> tuple[Family, ...]:
        """Return the families of the state of polls, in the order of a page."""
        polls = (self.up, self.failure_info, self.interval, self.last_success)
        found = (self.info, *polls, self.last_edited)
        return tuple(one for one in found if one is not None)

    @property
    def all(self) -> tuple[Family, ...]:
        """All families, in the order of a page."""
        return (*self.values(), *self.status())
