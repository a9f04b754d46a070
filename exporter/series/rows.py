"""Rows of a data series: the untrusted document of Braze becomes stats by variation.

Any JSON value gives rows or `MalformedSeries`. An odd field, entry or row costs only
itself, and what is left out is counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from exporter.model.config import Selection
from exporter.model.errors import MalformedSeries
from exporter.model.json_values import is_number
from exporter.model.labels import (
    NamedEntry,
    VariationKey,
    assign_labels,
    clean,
    identify,
)
from exporter.model.patterns import matcher
from exporter.model.snapshot import Stats, Variation
from exporter.series.days import parse_date

Row = Mapping[str, object]
"""One element of `data`."""

StatsKey = tuple[str, VariationKey]
DayStats = dict[StatsKey, Stats]
"""(channel, variation) → stats of one day, none of them empty."""

# No channel has an empty key, so the campaign-wide stats can have one.
OVERALL = ("", VariationKey("", "", 0))

_MAX_ENTRIES = 100_000
"""Of one document: a hundred rows of a thousand variations. 4 MiB can hold three times
as many empty ones, which would cost hundreds of MB."""

_NO_STATS = ("variation_name", "variation_api_id")
_LARGE = 2**1000
"""A double can hold every smaller integer, rounded."""


def check(document: object) -> None:
    """Raise `MalformedSeries` unless it is a data series; rows are not looked at."""
    _data(document)


def usable_rows(document: object, today: date) -> tuple[list[tuple[date, Row]], int]:
    """Return the rows newest first, one per date, and how many were skipped.

    Rows without a date and of days after tomorrow are skipped; of two rows with one
    date the later in the list is used. `MalformedSeries`: it is not a data series.
    """
    rows: dict[date, Row] = {}
    skipped = 0
    for row in _data(document):
        day = parse_date(row.get("time")) if isinstance(row, dict) else None
        if not isinstance(row, dict) or day is None or (day - today).days > 1:
            skipped += 1
        else:
            rows[day] = row
    return sorted(rows.items(), key=lambda item: item[0], reverse=True), skipped


def has_count(row: Row) -> bool:
    """Return whether the row or one of its entries has a number other than 0."""
    messages = row.get("messages")
    channels = messages.values() if isinstance(messages, dict) else ()
    entries = [
        entry
        for channel in channels
        if isinstance(channel, list)
        for entry in channel
        if isinstance(entry, dict)
    ]
    return any(
        value and is_number(value)
        for part in (row, *entries)
        for value in part.values()
    )


class _LabelTexts(dict[str, str]):
    """Braze's names → label texts, computed once; empty if not selected."""

    def __init__(self, selection: Selection, *hidden: str) -> None:
        super().__init__(dict.fromkeys(hidden, ""))
        self._is_selected = matcher(selection)

    def __missing__(self, name: str) -> str:
        text = self[name] = clean(name) if self._is_selected(name) else ""
        return text


class _ChannelNames(NamedTuple):
    """The ids and names of one channel's entries on one day or on several."""

    raw: list[tuple[object, object]]
    """Ids and names as in the document, of any type."""
    entries: list[NamedEntry]
    keys: list[StatsKey]


class RowParser:
    """Parses rows, newest first; labels and counters are those of all rows."""

    def __init__(self, *, channels: Selection, metrics: Selection) -> None:
        self.ignored_values = 0
        self.entries = 0
        """Of all rows, usable or not."""
        self._channels = _LabelTexts(channels)
        self._row_fields = _LabelTexts(metrics, "time", "messages", *_NO_STATS)
        self._entry_fields = _LabelTexts(metrics, *_NO_STATS)
        self._names: dict[str, list[_ChannelNames]] = defaultdict(list)
        self._controls: set[StatsKey] = set()

    def parse(self, row: Mapping[str, object]) -> DayStats:
        """Return the stats of one row."""
        day: DayStats = {}
        for channel, entries in self._messages(row.get("messages")).items():
            for key, entry in zip(self._keys(channel, entries), entries, strict=True):
                if "enrolled" in entry and is_number(entry["enrolled"]):
                    self._controls.add(key)
                if stats := self._stats(entry, self._entry_fields):
                    day[key] = stats
        if stats := self._stats(row, self._row_fields):
            day[OVERALL] = stats
        return day

    def variations(self) -> dict[StatsKey, Variation]:
        """Return the variations of the rows parsed so far, by (channel, label)."""
        variations: dict[StatsKey, Variation] = {}
        for channel, names in self._names.items():
            for key, label in assign_labels(one.entries for one in names).items():
                variations[channel, key] = Variation(
                    channel=channel,
                    label=label,
                    id=clean(key.id),
                    is_control=(channel, key) in self._controls,
                )
        return dict(
            sorted(
                variations.items(), key=lambda item: (item[1].channel, item[1].label)
            )
        )

    def _keys(
        self, channel: str, entries: Sequence[Mapping[str, object]]
    ) -> Sequence[StatsKey]:
        """Return the key of each entry of a channel on one day."""
        raw = [(e.get("variation_api_id"), e.get("variation_name")) for e in entries]
        names = self._names[channel]
        # Nearly every day has the same variations as the day after it.
        if not names or names[-1].raw != raw:
            found = identify((_text(id_), _text(name)) for id_, name in raw)
            names.append(
                _ChannelNames(raw, found, [(channel, one.key) for one in found])
            )
        return names[-1].keys

    def _messages(self, messages: object) -> dict[str, list[Mapping[str, object]]]:
        """Return the entries of each selected channel."""
        found: dict[str, list[Mapping[str, object]]] = {}
        if messages is not None and not isinstance(messages, dict):
            self.ignored_values += 1
        elif messages:
            self._count_entries(messages.values())
            for key, entries in messages.items():
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

    def _count_entries(self, channels: Iterable[object]) -> None:
        """Raise `MalformedSeries` for too many, before they cost time and memory."""
        self.entries += sum(
            max(len(entries), 1) if isinstance(entries, list) else 1
            for entries in channels
        )
        if self.entries > _MAX_ENTRIES:
            message = f"more than {_MAX_ENTRIES} variations, expected fewer"
            raise MalformedSeries(message)

    def _stats(self, fields: Mapping[str, object], texts: _LabelTexts) -> Stats:
        """Return the numbers of the selected fields, by label text."""
        stats: dict[str, int | float] = {}
        for name, value in fields.items():
            text = texts[name]
            if not text:
                continue
            # The first test is enough for nearly all of thousands of values.
            if (type(value) is int and -_LARGE < value < _LARGE) or is_number(value):
                if text not in stats:
                    stats[text] = value
            elif value is not None:
                self.ignored_values += 1
        return stats


class DocumentRows:
    """The usable rows of a document; each is parsed once, when it is needed."""

    def __init__(self, document: object, today: date, parser: RowParser) -> None:
        """MalformedSeries: it is not a data series."""
        self.rows, self.skipped_rows = usable_rows(document, today)
        """Newest first, one per date; and how many were left out."""
        self.parser = parser
        self._days: list[tuple[date, DayStats]] = []

    def days(self, most: int | None = None) -> list[tuple[date, DayStats]]:
        """Return the stats of the newest days, or of all, newest first."""
        for day, row in self.rows[len(self._days) : most]:
            self._days.append((day, self.parser.parse(row)))
        return self._days[:most]


def _data(document: object) -> list[object]:
    if not isinstance(document, dict):
        raise MalformedSeries(f"the body is {_kind(document)}, expected an object")
    message = document.get("message")
    if message is not None and message != "success":
        raise MalformedSeries(f"message is {_quote(message)}, expected success")
    if "data" not in document:
        raise MalformedSeries("data is missing, expected a list of days")
    data = document["data"]
    if not isinstance(data, list):
        raise MalformedSeries(f"data is {_kind(data)}, expected a list of days")
    return data


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", type(None): "null"}
    return kinds.get(type(value), "a bool" if isinstance(value, bool) else "a number")


def _quote(message: object) -> str:
    """Return a text of Braze, short and on one line."""
    if not isinstance(message, str):
        return _kind(message)
    return '"' + " ".join(clean(message).split())[:200] + '"'


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
