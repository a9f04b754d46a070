"""Rows of a data series: the untrusted document of Braze becomes stats by variation.

Any JSON value at all gives rows or `MalformedSeries`; no odd field, entry or row costs
more than itself, and what is left out is counted. It does not know which days are of
use, nor what is made of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from math import isfinite
from typing import Any, NamedTuple, TypeGuard

from exporter.model.config import Selection
from exporter.model.errors import MalformedSeries
from exporter.model.labels import Claim, Identity, claim, clean, give_labels
from exporter.model.patterns import matcher
from exporter.model.snapshot import Stats, Variation
from exporter.series.days import read_date

Row = Mapping[str, object]
"""One element of `data`."""

StatsKey = tuple[str, Identity]
DayStats = dict[StatsKey, Stats]
"""Figures in the making: (channel, identity) → stats, none of them empty."""

# No channel has an empty key, so the campaign-wide stats can stand among the others.
OVERALL = ("", Identity("", "", 0))

_MOST_ENTRIES = 100_000
"""Of one document: a hundred rows of a thousand variations. 4 MiB can hold three times
as many empty ones, which would cost hundreds of MB."""

_NO_STATS = ("variation_name", "variation_api_id")


def check(document: object) -> None:
    """Raise `MalformedSeries` if it is no data series, whatever its rows are."""
    _data(document)


def usable_rows(document: object, today: date) -> tuple[list[tuple[date, Row]], int]:
    """Return the rows newest first, one per date, and how many were skipped.

    Those of days later than tomorrow are. `MalformedSeries`: it is no data series.
    """
    rows: dict[date, Row] = {}
    skipped = 0
    for row in _data(document):
        day = read_date(row.get("time")) if isinstance(row, dict) else None
        if not isinstance(row, dict) or day is None or (day - today).days > 1:
            skipped += 1
        else:
            rows[day] = row
    return sorted(rows.items(), key=lambda item: item[0], reverse=True), skipped


def holds_a_count(row: Row) -> bool:
    """Tell whether a number other than 0 stands in the row or in one of its entries."""
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
        value and _is_number(value)
        for part in (row, *entries)
        for value in part.values()
    )


class _Texts(dict[str, str]):
    """Braze's names → label texts, found out once; empty: not to be shown."""

    def __init__(self, selection: Selection, *hidden: str) -> None:
        super().__init__(dict.fromkeys(hidden, ""))
        self.hidden = hidden
        self.as_named: set[str] = set()
        """Those of the names met so far that are their own texts."""
        self._is_selected = matcher(selection)

    def __missing__(self, name: str) -> str:
        text = self[name] = clean(name) if self._is_selected(name) else ""
        if text and text == name:
            self.as_named.add(name)
        return text


class _Named(NamedTuple):
    """The entries of one channel as they are called on one day or on several."""

    raw: list[tuple[object, object]]
    """Their ids and names, whatever Braze sent."""
    claims: list[Claim]
    keys: list[StatsKey]


class Reader:
    """Reads rows, newest first, and remembers what concerns all of them."""

    def __init__(self, *, channels: Selection, metrics: Selection) -> None:
        self.ignored_values = 0
        self.entries = 0
        """Of all rows, usable or not."""
        self._channels = _Texts(channels)
        self._row_fields = _Texts(metrics, "time", "messages", *_NO_STATS)
        self._entry_fields = _Texts(metrics, *_NO_STATS)
        self._lists: dict[str, list[_Named]] = defaultdict(list)
        self._controls: set[StatsKey] = set()

    def read(self, row: Mapping[str, object]) -> DayStats:
        """Return the stats of one row."""
        part: DayStats = {}
        for channel, entries in self._messages(row.get("messages")).items():
            for key, entry in zip(self._keys(channel, entries), entries, strict=True):
                if "enrolled" in entry and _is_number(entry["enrolled"]):
                    self._controls.add(key)
                if stats := self._stats(entry, self._entry_fields):
                    part[key] = stats
        if stats := self._stats(row, self._row_fields):
            part[OVERALL] = stats
        return part

    def variations(self) -> dict[StatsKey, Variation]:
        """Return every identity of the rows read so far, by (channel, label)."""
        variations: dict[StatsKey, Variation] = {}
        for channel, lists in self._lists.items():
            for identity, label in give_labels(one.claims for one in lists).items():
                variations[channel, identity] = Variation(
                    channel=channel,
                    label=label,
                    id=clean(identity.id),
                    is_control=(channel, identity) in self._controls,
                )
        return dict(
            sorted(
                variations.items(), key=lambda item: (item[1].channel, item[1].label)
            )
        )

    def _keys(
        self, channel: str, entries: Sequence[Mapping[str, object]]
    ) -> Sequence[StatsKey]:
        """Return what each entry of a channel is known by on one day."""
        raw = [(e.get("variation_api_id"), e.get("variation_name")) for e in entries]
        lists = self._lists[channel]
        # Nearly every day has the variations of the day after it.
        if not lists or lists[-1].raw != raw:
            claims = claim((_text(id_), _text(name)) for id_, name in raw)
            keys = [(channel, one.identity) for one in claims]
            lists.append(_Named(raw, claims, keys))
        return lists[-1].keys

    def _messages(self, messages: object) -> dict[str, list[Mapping[str, object]]]:
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
        """Before any of them is looked at: that is what would cost time and memory."""
        self.entries += sum(
            max(len(entries), 1) if isinstance(entries, list) else 1
            for entries in channels
        )
        if self.entries > _MOST_ENTRIES:
            message = f"more than {_MOST_ENTRIES} variations, expected fewer"
            raise MalformedSeries(message)

    def _stats(self, fields: Mapping[str, object], texts: _Texts) -> Stats:
        """Return the numbers among the fields, under the texts they are shown by."""
        if usual := _usual_stats(fields, texts):
            return usual
        stats: dict[str, int | float] = {}
        for name, value in fields.items():
            text = texts[name]
            if not text:
                continue
            if _is_number(value):
                stats.setdefault(text, value)
            elif value is not None:
                self.ignored_values += 1
        return stats


class DocumentRows:
    """A document of which every row is read once, when it is asked for."""

    def __init__(self, document: object, today: date, reader: Reader) -> None:
        """MalformedSeries: it is no data series."""
        self.rows, self.skipped_rows = usable_rows(document, today)
        """Newest first, one per date; and how many were left out."""
        self.reader = reader
        self._days: list[tuple[date, DayStats]] = []

    def days(self, most: int | None = None) -> list[tuple[date, DayStats]]:
        """Return the stats of the newest days, or of all, newest first."""
        for day, row in self.rows[len(self._days) : most]:
            self._days.append((day, self.reader.read(row)))
        return self._days[:most]


def _usual_stats(fields: Mapping[str, object], texts: _Texts) -> Stats | None:
    """Return what nearly every entry holds: finite numbers alone, shown as named.

    One look at all of them at once: there are thousands of values in a document.
    """
    stats: dict[str, Any] = dict(fields)
    for name in texts.hidden:
        stats.pop(name, None)
    values = stats.values()
    try:
        is_finite = isfinite(sum(values))
    except (TypeError, OverflowError):
        return None
    is_usual = is_finite and bool not in map(type, values)
    return stats if is_usual and texts.as_named.issuperset(stats) else None


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
    """Show a text of Braze so that it stays on its log line."""
    if not isinstance(message, str):
        return _kind(message)
    return '"' + " ".join(clean(message).split())[:200] + '"'


def _is_number(value: object) -> TypeGuard[int | float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return isfinite(value)
    except OverflowError:
        return False


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
