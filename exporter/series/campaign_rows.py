"""Parses the days of `/campaigns/data_series`: variations of channels, and the whole.

`data` is a list of days; `messages` of a day has a list of variations per channel.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from exporter.model.config import Selection
from exporter.model.json_values import is_number
from exporter.model.labels import NamedEntry, assign_labels, clean, identify
from exporter.model.snapshot import VARIATION, WHOLE, Part
from exporter.series.rows import (
    WHOLE_KEY,
    DayStats,
    LabelTexts,
    PartKey,
    Row,
    RowParser,
    is_counted,
    items_of,
    text_of,
)

QUIET_DAYS = 14
"""So many complete days without a count make a campaign idle."""

SHORTEST_QUIET_WINDOW = QUIET_DAYS - 1
"""The shortest window in days whose requests can show that: see `days_needed`."""

_NO_STATS = ("variation_name", "variation_api_id")


def days_needed(windows: Iterable[int]) -> int:
    """Return how many days a request has to cover: every window and today."""
    return min(max(windows, default=0) + 2, 100)


def can_be_quiet(days: int) -> bool:
    """Return whether a request for so many days, today included, can show idleness."""
    return days > QUIET_DAYS


class _ChannelNames(NamedTuple):
    """The ids and names of one channel's entries on one day or on several."""

    raw: list[tuple[object, object]]
    """Ids and names as in the document, of any type."""
    entries: list[NamedEntry]
    keys: list[PartKey]


class CampaignRowParser(RowParser):
    """Parses the rows of one campaign."""

    quiet_days = QUIET_DAYS

    def __init__(self, *, channels: Selection, metrics: Selection) -> None:
        super().__init__(channels=channels, metrics=metrics)
        self._row_fields = LabelTexts(metrics, "time", "messages", *_NO_STATS)
        self._entry_fields = LabelTexts(metrics, *_NO_STATS)
        self._names: dict[str, list[_ChannelNames]] = defaultdict(list)
        self._controls: set[PartKey] = set()
        self._has_whole = False

    @staticmethod
    def days(document: object) -> Sequence[object]:
        """Return the days of a document; `MalformedSeries`: it is not a data series."""
        return items_of(document, expected="a list of days")

    def parse(self, row: Row) -> DayStats:
        """Return the stats of one row."""
        day: DayStats = {}
        for channel, entries in self._messages(row.get("messages")).items():
            for key, entry in zip(self._keys(channel, entries), entries, strict=True):
                if "enrolled" in entry and is_number(entry["enrolled"]):
                    self._controls.add(key)
                if stats := self.stats(entry, self._entry_fields):
                    day[key] = stats
        if stats := self.stats(row, self._row_fields):
            day[WHOLE_KEY] = stats
            self._has_whole = True
        return day

    def parts(self) -> dict[PartKey, Part]:
        """Return the parts of the rows parsed so far, by (group, channel, name)."""
        parts: dict[PartKey, Part] = {}
        for channel, names in self._names.items():
            for key, label in assign_labels(one.entries for one in names).items():
                found = (VARIATION, channel, key)
                is_control = found in self._controls
                parts[found] = Part(
                    VARIATION, channel, label, clean(key.id), is_control
                )
        ordered = sorted(parts.items(), key=lambda one: (one[1].channel, one[1].name))
        whole = {WHOLE_KEY: WHOLE} if self._has_whole else {}
        return whole | dict(ordered)

    @staticmethod
    def unit(key: PartKey) -> Hashable:
        """Return what a limit of series keeps or leaves out together with a part."""
        return key

    @staticmethod
    def can_be_quiet(windows: Iterable[int]) -> bool:
        """Return whether the requests for these windows cover the quiet days."""
        return can_be_quiet(days_needed(windows))

    @staticmethod
    def objects(row: Row) -> Iterator[Mapping[str, object]]:
        """Yield the row and its entries."""
        yield row
        messages = row.get("messages")
        for channel in messages.values() if isinstance(messages, dict) else ():
            for entry in channel if isinstance(channel, list) else ():
                if isinstance(entry, dict):
                    yield entry

    @staticmethod
    def has_count(row: Row) -> bool:
        """Return whether the row or one of its entries has a number other than 0."""
        return any(is_counted(one.values()) for one in CampaignRowParser.objects(row))

    def _keys(self, channel: str, entries: Sequence[Row]) -> Sequence[PartKey]:
        """Return the key of each entry of a channel on one day."""
        raw = [(e.get("variation_api_id"), e.get("variation_name")) for e in entries]
        names = self._names[channel]
        # Nearly every day has the same variations as the day after it.
        if not names or names[-1].raw != raw:
            found = identify((text_of(id_), text_of(name)) for id_, name in raw)
            keys = [(VARIATION, channel, one.key) for one in found]
            names.append(_ChannelNames(raw, found, keys))
        return names[-1].keys

    def _messages(self, messages: object) -> dict[str, list[Mapping[str, object]]]:
        """Return the entries of each selected channel."""
        by_channel = self.mappings(messages)
        self.count_entries(_entries(by_channel.values()))
        found: dict[str, list[Mapping[str, object]]] = {}
        for key, entries in by_channel.items():
            channel = self._channels[key]
            if not channel or channel in found or entries is None:
                continue
            if not isinstance(entries, list):
                self.ignored_values += 1
                continue
            objects: list[Mapping[str, object]]
            objects = [entry for entry in entries if isinstance(entry, dict)]
            self.ignored_values += len(entries) - len(objects)
            found[channel] = objects
        return found


def _entries(channels: Iterable[object]) -> int:
    return sum(
        max(len(entries), 1) if isinstance(entries, list) else 1 for entries in channels
    )
